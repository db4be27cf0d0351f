"""The folder of a training run: its configuration, the copies of the files that it starts from, and its progress.

A folder belongs to one configuration. The same one goes on, another is refused, and the error names the difference.
Only the length may be changed later, and only by ``resume``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from metagan_rl import __version__
from metagan_rl.agents.learners.catalogue import find_learner
from metagan_rl.agents.learners.config import TrainConfig
from metagan_rl.agents.learners.policy import PolicyConfig
from metagan_rl.agents.learners.policy_files import load_policy
from metagan_rl.archives import check_seal
from metagan_rl.envs.options import plain
from metagan_rl.errors import FileFormatError, InvalidValueError, brief
from metagan_rl.files import exists, file_digest, write_whole
from metagan_rl.folders import refuse_another
from metagan_rl.loop.reference import recorded
from metagan_rl.loop.signals import SIGNAL_SETS, Signal, choose_signals
from metagan_rl.records import line_of, parse_line, read_record, write_record
from metagan_rl.reproducible import mark
from metagan_rl.tasks import get_suite

CONFIG, CHECKPOINT, POLICY, PROGRESS = "config.json", "checkpoint.pt", "policy.safetensors", "progress.jsonl"
KIND = "metagan-rl train"
COPIES = {"initial_weights": "initial_weights.safetensors", "start": "start.safetensors"}
"""Options that name files, and the names of the run's own copies of these files."""
LENGTH = ("minutes", "updates")
TASKS = "tasks_sha256"
"""Entry of the configuration's file: what identifies the tasks, which may come from a user's own data."""
BEGIN_AGAIN = "start a new run in another directory"
SHAPING = (
    "control", "trial_runs", "trial_reward", "interval_updates", "horizon", "decisions", "reward", "price",
    "privileged",
)  # fmt: skip
"""Options of a policy's training that its file keeps only in its metadata."""


def read_config(out: Path) -> TrainConfig:
    """The configuration that a folder belongs to.

    Raises:
        FileFormatError: the folder holds no training run, or its configuration is damaged.
    """
    path = out / CONFIG
    if not exists(path):
        raise FileFormatError(f"{out} is not a training run: it has no {CONFIG}; metagan-rl train makes one")
    record = read_record(path, "a training run's configuration", kind=KIND)
    copies = {name: str(out / copy) for name, copy in COPIES.items() if record.get(name)}
    try:
        config = {
            name: value for name, value in record.items() if name not in ("kind", "version", "reproducible", TASKS)
        }
        return TrainConfig.from_dict({**config, **copies})
    except (ValueError, KeyError, TypeError, OverflowError, AttributeError) as error:
        raise FileFormatError(f"{path} is not a training run's configuration ({error})") from None


def check_reproducible(out: Path) -> None:
    """Checks that this process trains with ``--reproducible`` if the run in the folder began so, and only then.

    Raises:
        InvalidValueError: it does not.
    """
    record = read_record(out / CONFIG, "a training run's configuration", kind=KIND)
    there = {"reproducible": record["reproducible"]} if "reproducible" in record else {}
    refuse_another(out, there, mark(), "Add or leave out --reproducible, as when it began")


def check_tasks(out: Path, config: TrainConfig) -> None:
    """Checks that the run's tasks are still those that it began with.

    Raises:
        InvalidValueError: they are others: the data of a suite have changed, or its definition.
    """
    there = read_record(out / CONFIG, "a training run's configuration", kind=KIND).get(TASKS)
    if there not in (None, get_suite(config.tasks_of()).sha256):
        raise InvalidValueError(
            f"{out} holds a run on other tasks: the data or the definition of suite {config.tasks_of()} have changed "
            "since it began. Choose another --out, or bring them back"
        )


def options_of_policy(path: Path, algorithm: str | None = None) -> dict[str, Any]:
    """The options of training that give such a policy: what it sees and does, and the intervals that it is used to.

    Args:
        path: the policy file.
        algorithm: the algorithm that is to train it further, if another one is wanted.

    Raises:
        FileFormatError: it is not a policy file, or training has no options that give such a policy.
    """
    policy = load_policy(path)
    config, training = policy.config, dict(policy.metadata.get("training") or {})
    try:
        kind = find_learner(algorithm or training.get("algorithm", TrainConfig.algorithm))
        names = {each.name for each in fields(kind.Config)}
        own = {name: value for name, value in (training.get("learner") or training).items() if name in names}
        found: dict[str, Any] = {
            "algorithm": algorithm or training.get("algorithm", TrainConfig.algorithm),
            "learner": kind.Config(**{**own, "hidden": config.hidden or config.layers[0]}),
            "knobs": tuple(map(str, map(plain, config.knobs))),
            "signals": _signals(config, training.get("signals")),
            "actions": config.actions,
            "pace": config.pace,
            **{name: training[name] for name in SHAPING if training.get(name) is not None},
        }
        if config.reference is not None:
            found["reference"] = _reference(config, training.get("reference"))
            found["lr_levels"] = 2 * max(knob.steps for knob in config.knobs) + 1
        TrainConfig(**found)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise FileFormatError(f"{path} cannot be trained further: {error}") from None
    return {**found, "start": str(path)}


def _signals(config: PolicyConfig, told: object) -> str:
    """The set of signals that a policy sees, which its training told or is one of the package's own."""
    seen = [_identity(signal) for signal in config.signals]
    for name in (*([told] if isinstance(told, str) else []), *SIGNAL_SETS):
        if [_identity(signal) for signal in choose_signals(name, config.knobs)] == seen:
            return name
    raise ValueError("its signals are none of the sets that training knows")


def _identity(signal: Signal) -> tuple[object, ...]:
    return signal.name, signal.low, signal.high, signal.version


def _reference(config: PolicyConfig, told: object) -> str:
    """The name of the schedule that a policy departs from, if it still stands for the same schedule."""
    for name in (told, config.reference):
        if isinstance(name, str) and recorded(name) == config.reference:
            return name
    raise ValueError(f"it departs from a schedule that {told or 'no name'} does not stand for; give --reference")


def keep_copies(config: TrainConfig, out: Path) -> TrainConfig:
    """Copies the files that a run starts from into its folder; returns the configuration that names the copies."""
    kept = {name: getattr(config, name) for name in COPIES if getattr(config, name) is not None}
    for name, path in kept.items():
        write_whole(out / COPIES[name], Path(path).read_bytes())
    copies: dict[str, Any] = {name: str(out / COPIES[name]) for name in kept}
    return replace(config, **copies)


def write_config(config: TrainConfig, out: Path) -> None:
    """Writes the configuration into the folder; from now on the folder belongs to it."""
    copies = {name: COPIES[name] for name in COPIES if getattr(config, name) is not None}
    tasks = {TASKS: get_suite(config.tasks_of()).sha256}
    record = {"kind": KIND, "version": __version__, **mark(), **config.to_dict(), **copies, **tasks}
    write_record(out / CONFIG, record)


def with_digests(config: TrainConfig) -> dict[str, Any]:
    """The configuration as JSON, with the contents of files in place of their paths."""
    return {
        **config.to_dict(),
        **{
            name: f"sha256:{file_digest(getattr(config, name))}" for name in COPIES if getattr(config, name) is not None
        },
    }


def check_same(out: Path, there: TrainConfig, wanted: TrainConfig, *, resume: bool) -> None:
    """Checks that what is wanted is the run in the folder; with ``resume`` its length does not count.

    Raises:
        InvalidValueError: it is another; the message names the differences.
    """
    dropped = LENGTH if resume else ()
    ours, theirs = (
        {name: value for name, value in with_digests(config).items() if name not in dropped}
        for config in (wanted, there)
    )
    remedy = "Choose another --out, or leave these options out"
    if not resume:
        remedy = f"Choose another --out, or go on with that run: metagan-rl train --resume {out}"
    refuse_another(out, theirs, ours, remedy)


def lengthened(there: TrainConfig, wanted: TrainConfig) -> TrainConfig:
    """The configuration of a folder, with the length that is wanted, if one is."""
    given = {name: getattr(wanted, name) for name in LENGTH if getattr(wanted, name) is not None}
    return replace(there, **{**dict.fromkeys(LENGTH), **given}) if given else there


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint holds; no code of its own is run.

    Raises:
        FileFormatError: it is damaged.
    """
    check_seal(path, BEGIN_AGAIN)
    try:
        checkpoint = torch.load(path, weights_only=True)
    except Exception as error:  # an archive that was made to deceive can make torch.load raise anything
        raise FileFormatError(f"{path} is damaged ({brief(error)}); {BEGIN_AGAIN}") from None
    if not isinstance(checkpoint, dict):
        raise FileFormatError(f"{path} is no checkpoint; {BEGIN_AGAIN}")
    return checkpoint


def read_progress(out: Path) -> list[dict[str, Any]]:
    """The records of all iterations that a folder holds.

    Raises:
        FileFormatError: a line is damaged; the message names it.
    """
    path = out / PROGRESS
    records = []
    try:
        lines = path.read_bytes().splitlines() if exists(path) else []
    except OSError as error:
        raise FileFormatError(f"cannot read {path}: {error.strerror or error}") from None
    for place, line in enumerate(lines, start=1):
        try:
            record = parse_line(line, strict=True)
            record["iteration"] = int(record["iteration"])
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise FileFormatError(
                f"{path}, line {place} is damaged ({error}); restore it, or remove the line"
            ) from None
        records.append(record)
    return records


def write_progress(out: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Writes the records of all iterations, a line each."""
    write_whole(out / PROGRESS, "".join(map(line_of, records)))
