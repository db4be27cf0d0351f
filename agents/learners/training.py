"""Trains a scheduler over a population of GANs by one of the algorithms; can be resumed after any iteration.

An iteration begins new trials in all members, with seeds that depend only on its number. So a run that was stopped goes
on exactly as if it had not been.
"""

import contextlib
import functools
import hashlib
import io
import json
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
from metagan_rl.agents.learners.validation import Validation
from metagan_rl.errors import FileFormatError, InvalidValueError
from metagan_rl.files import make_directory, write_whole
from metagan_rl.populations.engines import engine_of
from metagan_rl.tasks import get_suite

CONFIG, CHECKPOINT, POLICY, PROGRESS = "config.json", "checkpoint.pt", "policy.safetensors", "progress.jsonl"
INITIAL = "initial_weights.safetensors"
"""The run's copy of the meta-initialisation that its GANs start from."""


def train(config: TrainConfig, out: str | Path, *, resume: bool = False, show: Callable[[str], None] = print) -> Path:
    """Trains a scheduler and writes its policy file.

    Args:
        config: the run's configuration. With ``resume`` only its ``minutes`` or ``updates`` count, if given: the run
            then goes on to that length.
        out: run directory, for configuration, checkpoint, TensorBoard events, ``progress.jsonl`` and the policy file.
        resume: go on with the run in ``out``.
        show: gets a line for every iteration.

    Returns:
        The policy file. It holds the policy that was best on validation tasks, or the last one without validation.

    Raises:
        OutputError: the directory cannot be written.
        FileFormatError: with ``resume``, the directory holds no run or a damaged one.
        InvalidValueError: without ``resume``, the directory already holds a run.
    """
    out = Path(out)
    run = _resumed(config, out) if resume else _fresh(config, out)
    return run.go(show)


class TrainingRun:
    """A training run and its directory."""

    def __init__(self, config: TrainConfig, out: Path) -> None:
        self.config, self.out = config, out
        self.iteration, self.best = 0, math.inf
        self.seconds = 0.0
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
                if validation is None:
                    save_policy(self.out / POLICY, self.scheduler())
                elif self._validates():
                    record.update(validation.measure(self.scheduler()))
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

    def _add_cost(self) -> None:
        """Writes the cost of all training so far into the best policy's file, not only the cost up to that policy."""
        best = load_policy(self.out / POLICY)
        best.metadata["gan_updates"] = self.iteration * self.learner.updates_per_iteration
        save_policy(self.out / POLICY, best)

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
        training = self.config.to_dict()
        if self.config.initial_weights is not None:  # its content, not its path
            content = Path(self.config.initial_weights).read_bytes()
            training["initial_weights"] = f"sha256:{hashlib.sha256(content).hexdigest()}"
        metadata = {
            "metagan_rl": __version__,
            "training": training,
            "engine": self._engine(),
            "iterations": self.iteration,
            "gan_updates": self.iteration * self.learner.updates_per_iteration,
        }
        return self.learner.policy(metadata)

    def _engine(self) -> str:
        """What trained the GANs; both names if the tasks' networks are of both kinds."""
        tasks = get_suite(self.config.tasks_of()).split("train")
        return ", ".join(sorted({engine_of(each.networks, self.config.engine, self.config.device) for each in tasks}))

    def _write(self, record: dict[str, float], writer: SummaryWriter) -> None:
        updates = self.iteration * self.learner.updates_per_iteration
        line = {"iteration": self.iteration, "gan_updates": updates, **{k: _plain(v) for k, v in record.items()}}
        for name, value in record.items():
            writer.add_scalar(name, value, updates)
        writer.flush()
        progress = self.out / PROGRESS
        earlier = progress.read_text(encoding="utf-8") if progress.exists() else ""
        write_whole(progress, earlier + json.dumps(line) + "\n")
        checkpoint = {
            **self.learner.state(),
            "iteration": self.iteration,
            "seconds": self.seconds,
            "best": self.best,
        }
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_whole(self.out / CHECKPOINT, content.getvalue())

    def load(self) -> None:
        """Restores the checkpoint."""
        path = self.out / CHECKPOINT
        try:
            checkpoint = torch.load(path, weights_only=True)
            self.learner.load_state(checkpoint)
            self.iteration = checkpoint["iteration"]
            self.seconds, self.best = checkpoint["seconds"], checkpoint["best"]
        except FileNotFoundError:
            self._forget_progress()  # stopped before the first iteration ended: begin again
            return
        except Exception as error:  # a damaged file can make torch.load raise anything
            raise FileFormatError(f"{path} is damaged ({error}); start a new run in another directory") from None
        self._forget_progress()

    def _forget_progress(self) -> None:
        """Drops lines of iterations that the checkpoint does not have; they will be written again."""
        progress = self.out / PROGRESS
        lines = progress.read_text(encoding="utf-8").splitlines() if progress.exists() else []
        kept = [line for line in lines if json.loads(line)["iteration"] <= self.iteration]
        if len(kept) < len(lines):
            write_whole(progress, "".join(f"{line}\n" for line in kept))

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


def _fresh(config: TrainConfig, out: Path) -> TrainingRun:
    if config.minutes is None and config.updates is None:
        config = replace(config, minutes=10.0)
    config = config.settled()
    make_directory(out)
    if (out / CONFIG).exists():
        raise InvalidValueError(f"{out} already holds a run; continue it with --resume {out}, or choose another --out")
    run = TrainingRun(config, out)
    try:
        if config.initial_weights is not None:
            write_whole(out / INITIAL, Path(config.initial_weights).read_bytes())
            run.config = config = replace(config, initial_weights=str(out / INITIAL))
        _write_config(config, out)  # only now, so that a configuration that cannot run leaves nothing behind
    except BaseException:
        run.learner.close()
        raise
    return run


def _write_config(config: TrainConfig, out: Path) -> None:
    record = {"kind": "metagan-rl train", "version": __version__, **config.to_dict()}
    record["initial_weights"] = config.initial_weights and INITIAL
    write_whole(out / CONFIG, json.dumps(record, indent=2) + "\n")


def _resumed(wanted: TrainConfig, out: Path) -> TrainingRun:
    path = out / CONFIG
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record.pop("kind") != "metagan-rl train":
            raise ValueError("it is of another kind")
        record.pop("version")
        initial = str(out / INITIAL) if record.get("initial_weights") else None
        config = TrainConfig.from_dict({**record, "initial_weights": initial})
    except OSError:
        raise FileFormatError(f"{out} is not a training run: it has no {CONFIG}; metagan-rl train makes one") from None
    except (ValueError, KeyError, TypeError) as error:
        raise FileFormatError(f"{path} is not a training run's configuration ({error})") from None
    longer = wanted.minutes is not None or wanted.updates is not None
    if longer:
        config = replace(config, minutes=wanted.minutes, updates=wanted.updates)
    run = TrainingRun(config, out)
    try:
        run.load()
        if longer:
            _write_config(config, out)
    except BaseException:
        run.learner.close()
        raise
    return run


def _plain(value: Any) -> Any:
    return float(f"{float(value):.6g}")
