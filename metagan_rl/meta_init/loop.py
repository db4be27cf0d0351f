"""The outer loop of all methods: draws tasks, adapts, steps the meta-weights, skips what diverges, saves it all."""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress, TaskID
from torch import Tensor

from metagan_rl import __version__
from metagan_rl.errors import InvalidValueError
from metagan_rl.meta_init.batch import TaskDistribution, draw_tasks
from metagan_rl.meta_init.checkpoint import read_checkpoint, write_checkpoint
from metagan_rl.meta_init.options import MetaStep, RunOptions
from metagan_rl.meta_init.outer import OuterOptimizer
from metagan_rl.meta_init.settings import MetaSettings
from metagan_rl.meta_init.validation import adaptation
from metagan_rl.meta_init.weights import MetaInit
from metagan_rl.populations.interval import WEIGHT_LIMIT
from metagan_rl.reproducible import mark
from metagan_rl.tasks import Split, Task, get_suite
from metagan_rl.tasks.suites import SUITES


class Method:
    """One way to find out where the meta-weights should go."""

    def __init__(self, settings: MetaSettings) -> None:
        self.settings = settings

    def check(self, meta: MetaInit, tasks: list[Task]) -> None:
        """Checks, before a step, that the method works on its tasks."""

    def step(self, meta: MetaInit, tasks: list[Task], seeds: list[int]) -> tuple[Tensor, Tensor] | None:
        """What the outer optimiser takes as gradients, ``[P_G]`` and ``[P_D]``; ``None`` if a member diverged."""
        raise NotImplementedError

    def state(self) -> dict[str, Tensor]:
        """What the method keeps from one meta-step to the next."""
        return {}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restores what :meth:`state` returned."""


class MeanGradient(Method):
    """A method that follows the mean of its tasks' outer gradients."""

    def member_gradients(self, meta: MetaInit, tasks: list[Task], seeds: list[int]) -> tuple[Tensor, Tensor] | None:
        """The outer gradient of each task, ``[B, P_G]`` and ``[B, P_D]``; ``None`` if a task diverged."""
        raise NotImplementedError

    def step(self, meta: MetaInit, tasks: list[Task], seeds: list[int]) -> tuple[Tensor, Tensor] | None:
        """See :class:`Method`."""
        gradients = self.member_gradients(meta, tasks, seeds)
        return None if gradients is None else (gradients[0].mean(dim=0), gradients[1].mean(dim=0))


def meta_train(
    method: Method, meta: MetaInit, distribution: TaskDistribution, run: RunOptions | None = None
) -> MetaInit:
    """Runs all remaining meta-steps.

    Args:
        method: the method, with its settings.
        meta: the first meta-weights; a resumed checkpoint replaces them.
        distribution: the source of tasks.
        run: options for progress, checkpoints and validation.

    Returns:
        The meta-initialisation; its metadata tell how it was made.

    Raises:
        InvalidValueError: tasks run dry or do not fit, or a resumed run has other settings.
        FileFormatError: the checkpoint is damaged.
    """
    return MetaRun(method, meta, distribution, run or RunOptions()).go()


class MetaRun:
    """A run of meta-training: the meta-weights, the outer optimiser, and the counts."""

    def __init__(self, method: Method, meta: MetaInit, distribution: TaskDistribution, run: RunOptions) -> None:
        self.method, self.meta, self.distribution, self.run = method, meta, distribution, run
        self.settings = method.settings
        self.source = {**_source(distribution), **mark(), **run.record}
        self.outer = OuterOptimizer(self.settings, meta)
        self.steps = self.skipped = 0
        self.validations: list[list[float]] = []
        self._kept: Callable[[str | os.PathLike[str]], None] | None = None
        for task in run.validation:
            meta.check(task)
        if run.checkpoint is not None and not run.resume and Path(run.checkpoint).exists():
            raise InvalidValueError(
                f"checkpoint {run.checkpoint} exists already; continue with resume=True, or name another file"
            )
        if run.resume:
            assert run.checkpoint is not None
            state = read_checkpoint(run.checkpoint, self.settings, self.source, meta)
            self.meta, self.steps, self.skipped = state.meta, state.steps, state.skipped
            self.validations = state.validations
            self.outer.load(state.outer)
            method.load(state.method)

    def go(self) -> MetaInit:
        """Runs all remaining meta-steps. Whatever stops them, the checkpoint holds what is done."""
        run = self.run
        with ExitStack() as cleaning:
            shown = sys.stdout.isatty() if run.progress is None else run.progress
            bar = Progress(*Progress.get_default_columns(), transient=True, disable=not shown)
            writer = self._writer(cleaning)
            if self.steps == 0 and run.validation:
                self._validate_first(writer)
            bar.add_task(self.settings.method, total=self.settings.outer_steps, completed=self.steps)
            cleaning.enter_context(bar)
            cleaning.callback(self._save)
            if self._interrupted_validation():
                self._tell(writer, self._record(self.meta, False, validates=True))
                self._keep()
            while self.steps < self.settings.outer_steps:
                self._tell(writer, self._step())
                note = f" ({self.skipped} of {self.steps} meta-steps diverged and were skipped)" if self.skipped else ""
                bar.update(TaskID(0), completed=self.steps, description=self.settings.method + note)
                if self.steps % run.checkpoint_every == 0:
                    self._save()
        self.meta.metadata = self.metadata()
        return self.meta

    def metadata(self) -> dict[str, Any]:
        """How the weights were made. A validation is GAN updates, distance before and distance after adaptation."""
        return {
            **self.source,
            "settings": asdict(self.settings),
            "steps": self.steps,
            "skipped": self.skipped,
            "gan_updates": self.steps * self.settings.updates_per_step,
            "validations": self.validations,
            "version": __version__,
        }

    def _step(self) -> MetaStep:
        before = self.meta
        tasks, seeds = draw_tasks(self.distribution, self.meta, self.settings, self.steps)
        with torch.inference_mode(False), torch.enable_grad():
            self.method.check(self.meta, tasks)
            gradients = self.method.step(self.meta, tasks, seeds)
        sound = gradients is not None and all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
        if gradients is not None and sound:
            moments = self.outer.state()
            stepped = self.outer.step(self.meta, gradients)
            rows = (stepped.generator.weights, stepped.discriminator.weights)
            sound = all(bool((row.abs() < WEIGHT_LIMIT).all()) for row in rows)  # NaN counts as diverged
            if sound:
                self.meta = stepped
            else:
                self.outer.load(moments)
        self.steps += 1
        self.skipped += not sound
        self._keep()  # before the validation, which takes long, and again after it
        done = self._record(before, not sound, validates=self._validates())
        self._keep()
        return done

    def _validate_first(self, writer: Any) -> None:
        """Validates the first weights; what stops it leaves a checkpoint, as everywhere."""
        self._keep()
        try:
            self._tell(writer, self._record(self.meta, False, validates=True))
        except KeyboardInterrupt:
            self._save()
            raise
        self._kept = None  # a first step that is refused leaves nothing behind

    def _validates(self) -> bool:
        return self.steps % self.run.validate_every == 0 or self.steps == self.settings.outer_steps

    def _interrupted_validation(self) -> bool:
        """Whether the run was stopped while it validated its last step."""
        gan_updates = self.steps * self.settings.updates_per_step
        there = any(validation[0] == gan_updates for validation in self.validations)
        return bool(self.run.validation) and self.steps > 0 and self._validates() and not there

    def _record(self, before: MetaInit, skipped: bool, *, validates: bool) -> MetaStep:
        gan_updates = self.steps * self.settings.updates_per_step
        distances: tuple[float, float] | tuple[None, None] = (None, None)
        if validates and self.run.validation:
            distances = adaptation(self.meta, self.run.validation, self.run.adaptation_updates)
            self.validations.append([gan_updates, *distances])
        return MetaStep(
            self.steps,
            skipped,
            self.skipped,
            gan_updates,
            _moved(before.generator.weights, self.meta.generator.weights),
            _moved(before.discriminator.weights, self.meta.discriminator.weights),
            before=distances[0],
            after=distances[1],
            meta=self.meta,
        )

    def _keep(self) -> None:
        """Notes the run's state, to be saved later. So a stopped run always saves whole meta-steps."""
        self._kept = partial(
            write_checkpoint,
            settings=self.settings,
            source=self.source,
            meta=self.meta,
            progress={"steps": self.steps, "skipped": self.skipped, "validations": list(self.validations)},
            outer=self.outer.state(),
            method=self.method.state(),
        )

    def _save(self) -> None:
        if self.run.checkpoint is not None and self._kept is not None:
            self._kept(self.run.checkpoint)

    def _writer(self, cleaning: ExitStack) -> Any:
        if self.run.tensorboard is None:
            return None
        from torch.utils.tensorboard import SummaryWriter

        writer = SummaryWriter(str(Path(self.run.tensorboard)))
        cleaning.callback(writer.close)
        return writer

    def _tell(self, writer: Any, done: MetaStep) -> None:
        if self.run.on_step is not None:
            self.run.on_step(done)
        if writer is None:
            return
        values = {
            "meta/generator_move": done.generator_move,
            "meta/discriminator_move": done.discriminator_move,
            "meta/skipped": done.total_skipped,
            "validation/before_adaptation": done.before,
            "validation/after_adaptation": done.after,
        }
        for name, value in values.items():
            if value is not None:
                writer.add_scalar(name, value, done.gan_updates)


def _moved(before: Tensor, after: Tensor) -> float:
    return float((after - before).norm() / before.norm().clamp_min(1e-12))


def _source(distribution: TaskDistribution) -> dict[str, Any]:
    """Where the tasks come from, if that is known. A suite is named only if the tasks are those of its split."""
    unknown = {"suite": None, "split": None, "suite_sha256": None, "tasks_sha256": None}
    if not isinstance(distribution, Split):
        return unknown
    record = json.dumps([task.to_dict() for task in distribution], sort_keys=True)
    told = {**unknown, "tasks_sha256": hashlib.sha256(record.encode()).hexdigest()}
    if distribution.suite not in SUITES:
        return told
    suite = get_suite(distribution.suite)
    if distribution.name not in suite.splits or suite.split(distribution.name).tasks != distribution.tasks:
        return told
    return {**told, "suite": distribution.suite, "split": distribution.name, "suite_sha256": suite.sha256}
