"""The loop that runs a scheduler over GAN runs; validation during training and the benchmark both use it."""

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
    """What happened in B runs, for the start and for each of T intervals.

    Attributes:
        distance: quality distance, ``[T + 1, B]``; the first row is before training.
        controls: one for each interval.
        stability: stability terms by name, ``[T, B]`` each.
        reward: what each interval earned, ``[T, B]``.
    """

    distance: list[np.ndarray] = field(default_factory=list)
    controls: list[Controls] = field(default_factory=list)
    stability: dict[str, list[np.ndarray]] = field(default_factory=dict)
    reward: list[np.ndarray] = field(default_factory=list)

    def take(self, sources: np.ndarray) -> None:
        """Replaces each run's history with the history of the run that it was copied from."""
        self.distance = [values[sources] for values in self.distance]
        self.controls = [controls[sources] for controls in self.controls]
        self.stability = {name: [values[sources] for values in rows] for name, rows in self.stability.items()}
        self.reward = [values[sources] for values in self.reward]


def member_seed(seed: int, member: int) -> int:
    """The GAN seed of one member of a run. The first member has the run's own seed."""
    return int(np.random.SeedSequence(seed, spawn_key=(member,)).generate_state(1)[0]) if member else seed


def drive(
    scheduler: Scheduler,
    tasks: Sequence[Task],
    seeds: Sequence[int],
    options: RunOptions | None = None,
    *,
    watch: Callable[[int, Runs], None] = lambda interval, runs: None,
    after: np.ndarray | None = None,
    **given: Any,
) -> tuple[Runs, Trace]:
    """Trains a GAN for each task under a scheduler, until the budgets are spent.

    A scheduler with several members trains that many GANs for each task, and may let some continue from others. Only
    the best GAN of each task is then returned. The best one has the lowest distance, measured on the same reference
    that the scheduler saw.

    Args:
        scheduler: it is started anew (``begin``).
        tasks: B tasks.
        seeds: one for each task; it fixes the GAN and what the scheduler draws at random.
        options: options of :class:`Runs`.
        watch: called before the first interval and after each one, with the number of intervals done and the runs. It
            must only look.
        after: what each run earned in the last interval of the run before on the same task, ``[B]``. The scheduler then
            goes on to its next run (``again``) and is not started anew.
        **given: the options as keywords instead.

    Returns:
        The B runs at their end, and their history. Diverged runs stay frozen.

    Raises:
        SchedulerError: the scheduler raised, or did not return controls for all runs.
        InvalidValueError: the tasks' budgets differ in their number of intervals.
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
        controls = ask(scheduler, situation, interval, begins=None if interval else seeds, after=after)
        outcome = runs.advance(controls)
        reward = outcome.reward
        trace.distance.append(runs.quality.distance)
        trace.controls.append(controls)
        trace.reward.append(reward)
        for name, values in outcome.stability.items():
            trace.stability.setdefault(name, []).append(values)
        watch(interval + 1, runs)
    if members > 1:
        best = np.arange(0, len(runs), members) + runs.quality.distance.reshape(-1, members).argmin(axis=1)
        runs.keep(best)
        trace.take(best)
    return runs, trace


def situation_of(runs: Runs, reward: np.ndarray) -> Situation:
    """What a scheduler is told about runs. ``reward`` is what each earned in the last interval, ``[B]``."""
    return Situation(runs.signals(), runs.base_controls(), runs.controls, reward, runs.base_rates())


def ask(
    scheduler: Scheduler,
    situation: Situation,
    interval: int,
    *,
    begins: Sequence[int] | None = None,
    after: np.ndarray | None = None,
) -> Controls:
    """The controls that a scheduler wants for the next interval.

    Args:
        scheduler: is asked.
        situation: of B runs.
        interval: intervals done, for messages.
        begins: the runs' seeds, if runs begin; ``None`` if they go on.
        after: the last rewards of the runs before, if these are the next runs of a trial, ``[B]``.

    Raises:
        SchedulerError: it raised, or did not give controls for all runs.
    """
    with _blaming(scheduler, interval):
        if begins is not None and after is not None:
            scheduler.again(begins, after)
        elif begins is not None:
            scheduler.begin(begins)
        controls = scheduler.step(situation)
        if not isinstance(controls, Controls) or len(controls) != len(situation):
            raise InvalidValueError(f"it gave {controls!r}, which is no Controls of {len(situation)} runs")
    return controls


@contextmanager
def _blaming(scheduler: Scheduler, interval: int) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a user's scheduler may raise any type
        what = str(error) if isinstance(error, MetaGANError) else f"{type(error).__name__}: {error}"
        name = type(scheduler).__name__
        raise SchedulerError(f"scheduler {name} failed before interval {interval}: {what}") from error
