"""Trains a scheduler over a population of GANs by one of the algorithms; can be resumed after any iteration.

An iteration begins new trials in all members, with seeds that depend only on its number. So a run that was stopped goes
on exactly as if it had not been.
"""

import contextlib
import functools
import io
import math
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress, TaskID
from torch.utils.tensorboard import SummaryWriter

from metagan_rl import __version__
from metagan_rl.agents.learners.config import TrainConfig
from metagan_rl.agents.learners.policy import PolicyScheduler
from metagan_rl.agents.learners.policy_files import load_policy, save_policy
from metagan_rl.agents.learners.run_folder import (
    BEGIN_AGAIN,
    CHECKPOINT,
    CONFIG,
    POLICY,
    check_reproducible,
    check_same,
    check_tasks,
    keep_copies,
    lengthened,
    read_checkpoint,
    read_config,
    read_progress,
    with_digests,
    write_config,
    write_progress,
)
from metagan_rl.agents.learners.validation import Validation
from metagan_rl.archives import sealed
from metagan_rl.errors import FileFormatError, InvalidValueError, brief
from metagan_rl.files import exists, write_whole
from metagan_rl.folders import Held, held, refuse_other_kind
from metagan_rl.populations.engines import engine_of
from metagan_rl.tasks import get_suite


def train(
    config: TrainConfig | None, out: str | Path, *, resume: bool = False, show: Callable[[str], None] = print
) -> Path:
    """Trains a scheduler and writes its policy file.

    A directory belongs to one configuration. If it holds a run of this configuration, that run goes on. While one
    process trains, no other can write into the directory.

    Args:
        config: the run's configuration; with ``resume``, ``None`` for the directory's own.
        out: run directory, for configuration, checkpoint, TensorBoard events, ``progress.jsonl`` and the policy file.
        resume: go on with the run in ``out``, which must exist. ``minutes`` or ``updates`` of the configuration may
            then be more than the run's: it goes on to that length.
        show: gets a line for every iteration.

    Returns:
        The policy file. It holds the policy that was best on validation tasks, or the last one without validation.

    Raises:
        OutputError: the directory cannot be written, or another process writes into it.
        FileFormatError: the directory holds a damaged run or, with ``resume``, none.
        InvalidValueError: the directory holds a run of another configuration; the message names the differences.
    """
    out = Path(out)
    if resume:
        read_config(out)  # before the directory is made
    with held(out) as lock:
        refuse_other_kind(out, CONFIG)
        if resume or exists(out / CONFIG):
            run = _resumed(config, out, lock, resume=resume)
            if run.over():
                show(
                    f"the run in {out} is finished: {run.iteration} iterations. More --minutes or --updates with "
                    f"--resume {out} make it longer; another run needs another --out"
                )
            else:
                show(f"going on with the run in {out} after {run.iteration} iterations")
        elif config is None:
            raise InvalidValueError(f"config is None, and {out} holds no run to take it from; give a TrainConfig")
        else:
            run = _fresh(config, out, lock)
        return run.go(show)


class TrainingRun:
    """A training run and its directory, which ``lock`` holds."""

    def __init__(self, config: TrainConfig, out: Path, lock: Held) -> None:
        self.config, self.out, self.lock = config, out, lock
        self.iteration, self.best = 0, math.inf
        self.seconds = 0.0
        self.cost_before = 0
        """GAN updates that the policy it starts from has cost."""
        self.learner = config.kind(config)

    def go(self, show: Callable[[str], None]) -> Path:
        """Runs the remaining iterations."""
        with contextlib.ExitStack() as cleaning:
            cleaning.callback(self.learner.close)
            writer = SummaryWriter(str(self.out))
            cleaning.callback(writer.close)
            validation = Validation(self.config) if self.config.validate_every else None
            bar = Progress(*Progress.get_default_columns(), transient=True, disable=not sys.stdout.isatty())
            self._advance = functools.partial(bar.advance, bar.add_task("intervals", total=None))
            cleaning.enter_context(bar)
            while not self.over():
                started = time.monotonic()
                record = self._iterate()
                self.seconds += time.monotonic() - started
                self.lock.check()
                if validation is None:
                    save_policy(self.out / POLICY, self.scheduler())
                elif self._validates():
                    record.update(validation.measure(self.scheduler()))
                    self.lock.check()
                    if record["validation/distance"] < self.best:
                        self.best = record["validation/distance"]
                        save_policy(self.out / POLICY, self.scheduler())
                    else:
                        self._add_cost()
                bar.update(TaskID(0), total=self.iteration * self.learner.intervals_per_iteration / self.done())
                record["time/minutes"] = self.seconds / 60
                self._write(record, writer)
                show(self._line(record))
        return self.out / POLICY

    def begin_at_policy(self) -> None:
        """Gives the agent the weights of the policy that it starts from, if there is one."""
        if self.config.start is not None:
            policy = load_policy(self.config.start)
            self.learner.start_from(policy)
            self.cost_before = policy.cost

    def _add_cost(self) -> None:
        """Writes the cost of all training so far into the best policy's file, not only the cost up to that policy."""
        best = load_policy(self.out / POLICY)
        best.metadata["gan_updates"] = self._cost()
        save_policy(self.out / POLICY, best)

    def _cost(self) -> int:
        return self.cost_before + self.iteration * self.learner.updates_per_iteration

    def _validates(self) -> bool:
        return self.over() or self.iteration % self.config.validate_every == 0

    def over(self) -> bool:
        """Whether the run is as close to its end as whole iterations allow."""
        return self.iteration > 0 and 1 - self.done() < 0.5 * self.done() / self.iteration

    def done(self) -> float:
        """The share of the run that is done, from 0 to 1."""
        if self.config.updates is not None:
            return self.iteration / max(1, self.config.updates // self.learner.updates_per_iteration)
        assert self.config.minutes is not None
        return self.seconds / (60 * self.config.minutes)

    def _iterate(self) -> dict[str, float]:
        started = time.monotonic()
        record = self.learner.iterate(self.iteration, min(1.0, self.done()), self._advance)
        self.iteration += 1
        record["time/updates_per_second"] = self.learner.updates_per_iteration / (time.monotonic() - started)
        return record

    def scheduler(self) -> PolicyScheduler:
        """The agent as it is now, as a scheduler."""
        metadata = {
            "metagan_rl": __version__,
            "training": with_digests(self.config),
            "engine": self._engine(),
            "iterations": self.iteration,
            "gan_updates": self._cost(),
        }
        return self.learner.policy(metadata)

    def _engine(self) -> str:
        """What trained the GANs; both names if the tasks are of both kinds."""
        tasks = get_suite(self.config.tasks_of()).split("train")
        where = self.config.engine, self.config.device
        return ", ".join(sorted({engine_of(each.networks, *where, each.base.optimizer) for each in tasks}))

    def _write(self, record: dict[str, float], writer: SummaryWriter) -> None:
        updates = self.iteration * self.learner.updates_per_iteration
        line = {"iteration": self.iteration, "gan_updates": updates, **{k: _plain(v) for k, v in record.items()}}
        for name, value in record.items():
            writer.add_scalar(name, value, updates)
        writer.flush()
        self.lock.check()
        write_progress(self.out, [*read_progress(self.out), line])
        checkpoint = {
            **self.learner.state(),
            "iteration": self.iteration,
            "seconds": self.seconds,
            "best": self.best,
        }
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_whole(self.out / CHECKPOINT, sealed(content.getvalue()))

    def load(self) -> None:
        """Restores the checkpoint."""
        path = self.out / CHECKPOINT
        if exists(path):
            checkpoint = read_checkpoint(path)
            try:
                self.learner.load_state(checkpoint)
                self.iteration = checkpoint["iteration"]
                self.seconds, self.best = checkpoint["seconds"], checkpoint["best"]
            except Exception as error:  # libraries raise anything for what does not fit
                raise FileFormatError(f"{path} is damaged ({brief(error)}); {BEGIN_AGAIN}") from None
        # Without a checkpoint, the run was stopped in its first iteration.
        records = read_progress(self.out)
        kept = [record for record in records if record["iteration"] <= self.iteration]
        if len(kept) < len(records):  # lines that the checkpoint does not have will be written again
            write_progress(self.out, kept)

    def _line(self, record: dict[str, float]) -> str:
        parts = [
            f"iteration {self.iteration} ({min(1, self.done()):.0%})",
            f"return {record['rollout/return']:+.3f}",
            f"distance {record['rollout/distance']:.3f}",
            f"diverged {record['rollout/diverged']:.0%}",
            f"{record['time/updates_per_second']:,.0f} updates/s",
        ]
        if "validation/distance" in record:
            base, random = record["validation/distance_constant"], record["validation/distance_random"]
            parts.append(
                f"validation distance {record['validation/distance']:.3f} (untuned {base:.3f}, random {random:.3f})"
            )
        return "  ".join(parts)


def _whole(config: TrainConfig) -> TrainConfig:
    """The configuration with everything that was left open."""
    if config.minutes is None and config.updates is None:
        config = replace(config, minutes=10.0)
    return config.settled()


def _fresh(config: TrainConfig, out: Path, lock: Held) -> TrainingRun:
    run = TrainingRun(_whole(config), out, lock)
    try:
        run.begin_at_policy()
        run.config = keep_copies(run.config, out)
        write_config(run.config, out)  # only now, so that a configuration that cannot run leaves nothing behind
    except BaseException:
        run.learner.close()
        raise
    return run


def _resumed(wanted: TrainConfig | None, out: Path, lock: Held, *, resume: bool) -> TrainingRun:
    there = config = read_config(out)
    check_reproducible(out)
    if wanted is not None:
        check_same(out, there, wanted.settled() if resume else _whole(wanted), resume=resume)
        config = lengthened(there, wanted)
    check_tasks(out, config)
    run = TrainingRun(config, out, lock)
    try:
        run.begin_at_policy()
        run.load()
        if config != there:
            write_config(config, out)
    except BaseException:
        run.learner.close()
        raise
    return run


def _plain(value: Any) -> Any:
    return float(f"{float(value):.6g}")
