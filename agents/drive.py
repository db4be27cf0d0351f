"""Drives a scheduler over GAN runs: the one loop that training's validation and the benchmark share."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metagan_rl.agents.scheduler import Scheduler, Situation
from metagan_rl.controls import Controls
from metagan_rl.envs.runs import Runs
from metagan_rl.errors import InvalidValueError, MetaGANError, SchedulerError
from metagan_rl.tasks.task import Task


@dataclass
class Trace:
    """What happened in B runs, interval by interval (T of them, and the start).

    Attributes:
        distance: ``[T + 1, B]``.
        controls: one for each interval.
        vanishing, saturation, mode_loss: stability terms, ``[T, B]``.
    """

    distance: list[np.ndarray] = field(default_factory=list)
    controls: list[Controls] = field(default_factory=list)
    stability: dict[str, list[np.ndarray]] = field(default_factory=dict)


def drive(
    scheduler: Scheduler,
    tasks: Sequence[Task],
    seeds: Sequence[int],
    *,
    watch: Callable[[int, Runs], None] = lambda interval, runs: None,
    **options: Any,
) -> tuple[Runs, Trace]:
    """Trains one GAN for each task under a scheduler, to the end of their budget.

    Args:
        scheduler: begun anew.
        tasks: B of them.
        seeds: of the GANs, and of what the scheduler draws at random, one for each.
        watch: gets the number of intervals done and the runs, before the first interval and after each; it only looks.
        **options: of :class:`Runs`.

    Returns:
        The runs at their end, and how they got there. Diverged ones stay frozen.

    Raises:
        SchedulerError: the scheduler raised, or gave no controls for all runs.
        InvalidValueError: the tasks' budgets are not the same number of intervals.
    """
    runs = Runs(tasks, seeds, **options)
    if runs.horizons.min() < runs.horizons.max():
        raise InvalidValueError(
            f"budgets of {runs.horizons.min()} to {runs.horizons.max()} intervals; drive tasks of one budget at a time"
        )
    trace = Trace(distance=[runs.quality.distance])
    rates = runs.base_rates()
    reward = np.zeros(len(runs))
    watch(0, runs)
    for interval in range(int(runs.horizons[0])):
        situation = Situation(runs.signals(), runs.base_controls(), runs.controls, reward, rates)
        with _blaming(scheduler, interval):
            if not interval:
                scheduler.begin(seeds)
            controls = scheduler.step(situation)
            if not isinstance(controls, Controls) or len(controls) != len(runs):
                raise InvalidValueError(f"it gave {controls!r}, which is no Controls of {len(runs)} runs")
        outcome = runs.advance(controls)
        reward = outcome.reward
        trace.distance.append(runs.quality.distance)
        trace.controls.append(controls)
        for name, values in outcome.stability.items():
            trace.stability.setdefault(name, []).append(values)
        watch(interval + 1, runs)
    return runs, trace


@contextmanager
def _blaming(scheduler: Scheduler, interval: int) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a user's scheduler may raise anything
        what = str(error) if isinstance(error, MetaGANError) else f"{type(error).__name__}: {error}"
        name = type(scheduler).__name__
        raise SchedulerError(f"scheduler {name} failed before interval {interval}: {what}") from error
