"""Drives a scheduler over GAN runs: the one loop that training's validation and the benchmark share."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metagan_rl.errors import InvalidValueError, MetaGANError, SchedulerError
from metagan_rl.loop.controls import Controls
from metagan_rl.loop.runs import RunOptions, Runs
from metagan_rl.loop.scheduler import Scheduler, Situation, checked_sources
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

    def take(self, sources: np.ndarray) -> None:
        """What led to these runs, instead: the way of each goes through the runs that it was copied from."""
        self.distance = [values[sources] for values in self.distance]
        self.controls = [controls[sources] for controls in self.controls]
        self.stability = {name: [values[sources] for values in rows] for name, rows in self.stability.items()}


def member_seed(seed: int, member: int) -> int:
    """The GAN seed of one of a run's members; the first has the run's own."""
    return int(np.random.SeedSequence(seed, spawn_key=(member,)).generate_state(1)[0]) if member else seed


def drive(
    scheduler: Scheduler,
    tasks: Sequence[Task],
    seeds: Sequence[int],
    options: RunOptions | None = None,
    *,
    watch: Callable[[int, Runs], None] = lambda interval, runs: None,
    **given: Any,
) -> tuple[Runs, Trace]:
    """Trains a GAN for each task under a scheduler, to the end of their budget.

    Of a scheduler with several members, which trains as many GANs for each task and may let some go on from others,
    only the best of each task is returned: that of the lowest distance, on the reference that the scheduler saw too.

    Args:
        scheduler: begun anew.
        tasks: B of them.
        seeds: of the GANs, and of what the scheduler draws at random, one for each.
        options: of :class:`Runs`.
        watch: gets the number of intervals done and the runs, before the first interval and after each; it only looks.
        **given: options as keywords instead.

    Returns:
        The B runs at their end, and how they got there. Diverged ones stay frozen.

    Raises:
        SchedulerError: the scheduler raised, or gave no controls for all runs.
        InvalidValueError: the tasks' budgets are not the same number of intervals.
    """
    members = scheduler.members
    tasks = [task for task in tasks for _ in range(members)]
    seeds = [member_seed(seed, member) for seed in seeds for member in range(members)]
    runs = Runs(tasks, seeds, options, **given)
    if runs.horizons.min() < runs.horizons.max():
        raise InvalidValueError(
            f"budgets of {runs.horizons.min()} to {runs.horizons.max()} intervals; drive tasks of one budget at a time"
        )
    trace = Trace(distance=[runs.quality.distance])
    reward = np.zeros(len(runs))
    watch(0, runs)
    for interval in range(int(runs.horizons[0])):
        if interval and members > 1:
            with _blaming(scheduler, interval):
                sources = scheduler.exploit(situation_of(runs, reward))
                if sources is not None:
                    sources = checked_sources(sources, len(runs), members)
            if sources is not None:
                runs.copy(sources)
                trace.take(sources)
                reward = reward[sources]
        situation = situation_of(runs, reward)
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
    if members > 1:
        best = np.arange(0, len(runs), members) + runs.quality.distance.reshape(-1, members).argmin(axis=1)
        runs.keep(best)
        trace.take(best)
    return runs, trace


def situation_of(runs: Runs, reward: np.ndarray) -> Situation:
    """What a scheduler is told of runs whose last interval earned so much, ``[B]``."""
    return Situation(runs.signals(), runs.base_controls(), runs.controls, reward, runs.base_rates())


@contextmanager
def _blaming(scheduler: Scheduler, interval: int) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a user's scheduler may raise anything
        what = str(error) if isinstance(error, MetaGANError) else f"{type(error).__name__}: {error}"
        name = type(scheduler).__name__
        raise SchedulerError(f"scheduler {name} failed before interval {interval}: {what}") from error
