"""The tasks of one meta-step: draws and checks them, and trains them as one population from the meta-weights."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol

import numpy as np
import torch

from metagan_rl.errors import DataError, InvalidValueError
from metagan_rl.losses import LOSSES
from metagan_rl.meta_init.settings import MetaSettings
from metagan_rl.meta_init.weights import MetaInit
from metagan_rl.populations import Measurements, Population
from metagan_rl.populations.drawing import Pool
from metagan_rl.populations.interval import IntervalInputs, IntervalPlan
from metagan_rl.populations.settings import Settings
from metagan_rl.populations.torch_engine import TorchEngine
from metagan_rl.tasks.task import Task

Part = Literal["all", "support", "query"]
MAX_SEED = 2**31


class TaskDistribution(Protocol):
    """A source of tasks: any split of a suite, or a user's own object."""

    def sample(self, rng: np.random.Generator) -> Task:
        """One task. It must depend only on ``rng``, so that a run can be resumed exactly."""
        ...


def draw_tasks(
    distribution: TaskDistribution, meta: MetaInit, settings: MetaSettings, step: int
) -> tuple[list[Task], list[int]]:
    """Draws the tasks of a meta-step, with the settings of the inner loop, and a seed for each.

    They depend only on the run's seed and the number of the step. Tasks with the same loss stand next to each other.

    Raises:
        InvalidValueError: there is no ``sample``, it ran dry or returned something other than a task, or a task does
            not fit the meta-weights or has another batch size than the rest.
        DataError: a task's data are not finite.
    """
    rng = np.random.default_rng([settings.seed, step])
    tasks = [_checked(_sampled(distribution, rng, step), meta) for _ in range(settings.meta_batch)]
    tasks = [replace(task, base=settings.applied(task.base)) for task in tasks]
    sizes = sorted({task.base.batch_size for task in tasks})
    if len(sizes) > 1:
        raise InvalidValueError(f"tasks have batch sizes of {sizes[0]} to {sizes[-1]}; set one: batch_size={sizes[0]}")
    tasks.sort(key=lambda task: (LOSSES.index(task.base.loss), task.base.penalty_weight > 0))
    return tasks, [int(seed) for seed in rng.integers(MAX_SEED, size=len(tasks))]


def _sampled(distribution: TaskDistribution, rng: np.random.Generator, step: int) -> Task:
    if not callable(getattr(distribution, "sample", None)):
        raise InvalidValueError(
            f"task_distribution is a {type(distribution).__name__}, which has no sample(rng); give a split of a suite, "
            "such as get_suite('planar').split('train')"
        )
    try:
        task = distribution.sample(rng)
    except (StopIteration, IndexError, ValueError) as error:
        if not isinstance(error, StopIteration) and not _is_empty(distribution):
            raise
        task = None
    if task is None:
        raise InvalidValueError(
            f"the task distribution ran dry at meta-step {step}; give one with more tasks, or fewer outer_steps"
        )
    if not isinstance(task, Task):
        raise InvalidValueError(f"the task distribution gave {task!r}, which is not a Task")
    return task


def _is_empty(distribution: Any) -> bool:
    return hasattr(distribution, "__len__") and len(distribution) == 0


def _checked(task: Task, meta: MetaInit) -> Task:
    meta.check(task)
    bad = int((~torch.isfinite(task.data().train)).any(dim=1).sum())
    if bad:
        raise DataError(f"task {task.name!r} has {bad} rows with NaN or infinite values; drop or impute them first")
    return task


class MetaBatch(Population):
    """Tasks as members of one population that all start from the meta-weights.

    Args:
        tasks, seeds: from :func:`draw_tasks`.
        meta: the weights that they start from.
        part: part of each task's training rows: all, or one of the two halves, support and query.
        engine: what trains them.
    """

    def __init__(
        self, tasks: Sequence[Task], seeds: Sequence[int], meta: MetaInit, part: Part = "all", engine: str = "auto"
    ) -> None:
        super().__init__(tasks, seeds, initial_weights=meta, engine=engine)
        if part != "all":
            data = [task.data().train for task in tasks]
            for task, rows in zip(tasks, data, strict=True):
                if len(rows) < 2:
                    raise InvalidValueError(
                        f"task {task.name!r} has {len(rows)} row, which cannot be split into support and query data; "
                        "give it at least 2, or use Reptile"
                    )
            halves = [rows[: len(rows) // 2] if part == "support" else rows[len(rows) // 2 :] for rows in data]
            self._pool = Pool(halves, self.device, self.dtype)

    def train_steps(self, updates: int) -> Measurements:
        """Trains every member for ``updates`` updates, a whole number of its cycles."""
        return self._train(np.arange(len(self)), Settings.of([task.base for task in self.tasks]), updates)

    def prepared(self, updates: int) -> tuple[IntervalPlan, IntervalInputs]:
        """The plan and the random inputs that :meth:`train_steps` would use, with all members in one chunk."""
        engine = TorchEngine(self)
        plan = engine.plan(Settings.of([task.base for task in self.tasks]), updates)
        return plan, engine.inputs(np.arange(len(self)), plan)
