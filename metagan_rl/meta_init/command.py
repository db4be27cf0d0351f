"""The work of ``metagan-rl meta-init``: meta-training on a suite's training split, and the file of its weights."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from metagan_rl.errors import InvalidValueError
from metagan_rl.files import check_name, exists, shortened
from metagan_rl.folders import held
from metagan_rl.meta_init.fomaml import FirstOrderMAML
from metagan_rl.meta_init.joint import Joint
from metagan_rl.meta_init.loop import Method, meta_train
from metagan_rl.meta_init.maml import SecondOrderMAML
from metagan_rl.meta_init.options import MetaStep, RunOptions
from metagan_rl.meta_init.reptile import Reptile
from metagan_rl.meta_init.settings import MetaSettings
from metagan_rl.meta_init.weights import MetaDiscriminator, MetaGenerator, MetaInit, save_meta_init
from metagan_rl.tasks import Task, get_suite

METHODS: dict[str, type[Method]] = {
    "reptile": Reptile,
    "maml": SecondOrderMAML,
    "fomaml": FirstOrderMAML,
    "joint": Joint,
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "reptile": {
        "inner_steps": 24, "inner_lr": 1e-3, "inner_optimizer": "adam", "outer_lr": 0.5, "outer_optimizer": "sgd",
    },
    "maml": {"inner_steps": 5, "inner_lr": 0.05, "outer_lr": 1e-3, "outer_optimizer": "adam"},
    "fomaml": {"inner_steps": 5, "inner_lr": 0.05, "outer_lr": 1e-3, "outer_optimizer": "adam"},
    "joint": {
        "inner_steps": 24, "inner_lr": 1e-3, "inner_optimizer": "adam", "outer_lr": 1.0, "outer_optimizer": "sgd",
    },
}  # fmt: skip
"""Settings that apply if none are given. They are places to start from, not the result of a search."""


def settings_for(method: str, updates: int, **settings: Any) -> MetaSettings:
    """Settings that spend about ``updates`` GAN updates, in whole meta-steps; ``DEFAULTS`` supplies those left out.

    Raises:
        InvalidValueError: a value is out of range.
        UnknownNameError: there is no such method or setting.
    """
    if updates < 1:
        raise InvalidValueError(f"updates is {updates}; it must be at least 1")
    chosen = MetaSettings.of(method, outer_steps=1, **{**DEFAULTS.get(method, {}), **settings})
    return replace(chosen, outer_steps=max(1, round(updates / chosen.updates_per_step)))


def meta_init(
    method: str,
    suite: str,
    out: Path,
    *,
    updates: int,
    validation_tasks: int = 6,
    validate_every: int = 200,
    resume: bool = False,
    command: str = "",
    show: Callable[[str], None] = print,
    **settings: Any,
) -> MetaInit:
    """Learns starting weights on a suite's training split. Writes them, with checkpoint and events beside them.

    Args:
        method: as in :class:`MetaSettings`.
        suite: a suite whose tasks all have one shape.
        out: file for the weights.
        updates: GAN updates to spend, rounded to whole meta-steps.
        validation_tasks: number of tasks from the validation split, evenly spread over it.
        validate_every: meta-steps between two validations.
        resume: whether to continue from the checkpoint beside ``out``.
        command: the command line, kept with the weights.
        show: called with a line for every validation, and one at the end.
        **settings: settings of :class:`MetaSettings`; ``DEFAULTS`` supplies those left out.

    Raises:
        InvalidValueError: a value is out of range, the suite's tasks differ in shape, or ``out`` exists already.
        UnknownNameError: a name does not exist.
        OutputError: ``out`` cannot be written, or another process writes it.
    """
    chosen = settings_for(method, updates, **settings)
    if validation_tasks < 0:
        raise InvalidValueError(f"validation_tasks is {validation_tasks}; it must be at least 0")
    kept = get_suite(suite)
    tasks = kept.split("train")
    start = MetaInit(MetaGenerator.of(tasks[0], seed=chosen.seed), MetaDiscriminator.of(tasks[0], seed=chosen.seed))
    try:
        for task in tasks:
            start.check(task)
    except InvalidValueError as error:
        raise InvalidValueError(
            f"suite {suite!r} has tasks of several shapes, but a meta-initialisation has one ({error}); use another"
        ) from None
    checkpoint = out.with_suffix(".checkpoint.safetensors")
    if not resume and (exists(out) or exists(checkpoint)):
        there = out if exists(out) else checkpoint
        raise InvalidValueError(f"{there} exists already; continue with --resume, or use another --out")
    if not out.name:
        raise InvalidValueError(f"out is {str(out)!r}; give a file for the weights")
    check_name(checkpoint)
    run = RunOptions(
        on_step=lambda done: _tell(done, chosen, show),
        checkpoint=checkpoint,
        resume=resume,
        validation=_spread(kept.splits.get("val", ()), validation_tasks),
        validate_every=validate_every,
        tensorboard=out.with_suffix(".events"),
        record={"validation_tasks": validation_tasks, "validate_every": validate_every},
    )
    with held(out.parent, f".{shortened(out.name)}.lock") as lock:
        result = meta_train(METHODS[method](chosen), start, tasks, run)
        result.metadata["command"] = command
        lock.check()
        save_meta_init(out, result.generator, result.discriminator, result.metadata)
    skipped = f", {result.metadata['skipped']} of {chosen.outer_steps} meta-steps diverged and were skipped"
    show(f"{result.metadata['gan_updates']} GAN updates{skipped if result.metadata['skipped'] else ''}")
    show(f"initial weights: {out}\nuse them: metagan-rl benchmark --suite {suite} --initial-weights {out}")
    return result


def _spread(tasks: tuple[Task, ...], count: int) -> list[Task]:
    """``count`` tasks, evenly spaced."""
    count = min(count, len(tasks))
    return [tasks[place * len(tasks) // count] for place in range(count)]


def _tell(done: MetaStep, settings: MetaSettings, show: Callable[[str], None]) -> None:
    if done.before is not None:
        skipped = f", {done.total_skipped} skipped" if done.total_skipped else ""
        show(
            f"meta-step {done.step}/{settings.outer_steps}{skipped}: validation distance {done.before:.3f}, "
            f"{done.after:.3f} after adaptation"
        )
