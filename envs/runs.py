"""B GAN runs, stepped interval by interval: train, evaluate, tell what can be seen, and what it was worth.

This is the main loop of the project. Environments put spaces and episodes around it; the benchmark drives it directly.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from os import PathLike

import numpy as np
import torch

from metagan_rl.controls import CYCLE, Controls
from metagan_rl.envs.reward import Reward
from metagan_rl.errors import InvalidValueError
from metagan_rl.evaluation import Evaluation, evaluate, floor
from metagan_rl.meta_init.weights import MetaInit
from metagan_rl.metrics import StabilityMonitor
from metagan_rl.populations import MixedPopulation
from metagan_rl.signals import (
    HUGE,
    SIGNAL_SETS,
    Signal,
    as_matrix,
    clock_signals,
    control_signals,
    distance_change,
    distance_signals,
    interval_signals,
    sliced_wasserstein_signal,
)
from metagan_rl.tasks.task import Task


@dataclass(frozen=True)
class Outcome:
    """What one interval did, ``[B]`` each.

    Attributes:
        reward: sum of the terms.
        terms: the reward's weighted terms by name.
        stability: the stability terms themselves, in [0, 1], by name.
        diverged: blew up in this interval.
        finished: the budget is spent.
    """

    reward: np.ndarray
    terms: dict[str, np.ndarray]
    stability: dict[str, np.ndarray]
    diverged: np.ndarray
    finished: np.ndarray


class Runs:
    """B GAN runs side by side.

    They train just as well within ``torch.no_grad`` or ``torch.inference_mode``, as agents switch gradients off while
    they collect experience; ``inference_mode(False)`` undoes both.

    Args:
        tasks: one for each run.
        seeds: one for each run, fixing its starting weights, noise and data order.
        interval_updates: updates in an interval, a multiple of 12.
        horizon: intervals in a run; by default each task's budget decides.
        reward: weights of the reward.
        device: ``"cpu"`` or ``"cuda"``.
        noise: ``"host"`` or ``"device"``: where noise and data order are drawn; by default ``"host"`` on a CPU.
        initial_weights: a meta-initialisation, or its file, that all GANs start from; by default each starts from fresh
            weights of its seed.

    Raises:
        InvalidValueError: the interval or the horizon does not fit, or the initial weights do not fit a task.
        FileFormatError: the file of initial weights is damaged.
    """

    @torch.inference_mode(False)
    def __init__(
        self,
        tasks: Sequence[Task],
        seeds: Sequence[int],
        *,
        interval_updates: int = 48,
        horizon: int | None = None,
        reward: Reward | None = None,
        device: str = "cpu",
        noise: str | None = None,
        initial_weights: MetaInit | str | PathLike[str] | None = None,
    ) -> None:
        if interval_updates < CYCLE or interval_updates % CYCLE:
            raise InvalidValueError(f"interval_updates is {interval_updates}; it must be a multiple of {CYCLE}")
        if horizon is not None and horizon < 1:
            raise InvalidValueError(f"horizon is {horizon}; it must be at least 1 interval")
        self.interval_updates, self._horizon = interval_updates, horizon
        self.reward = reward or Reward()
        count = len(tasks)
        self.population = MixedPopulation(tasks, seeds, device=device, noise=noise, initial_weights=initial_weights)
        self.monitor = StabilityMonitor(count)
        self.done_intervals = np.zeros(count, dtype=np.int64)
        self.horizons = np.ones(count, dtype=np.int64)
        self.floor, self.start, self.best = np.ones(count), np.ones(count), np.ones(count)
        self.quality = Evaluation(*(np.ones(count) for _ in fields(Evaluation)))
        self._signals: dict[str, np.ndarray] = {}
        self.controls = self.base_controls()
        self._begin(np.arange(count))

    def __len__(self) -> int:
        return len(self.population)

    @property
    def tasks(self) -> list[Task]:
        """The task of each run."""
        return self.population.tasks

    @property
    def updates(self) -> np.ndarray:
        """Updates done by each run, ``[B]``."""
        return self.done_intervals * self.interval_updates

    def base_controls(self) -> Controls:
        """What each run would use unscheduled."""
        return Controls.base([task.base for task in self.tasks])

    def base_rates(self) -> np.ndarray:
        """Absolute base learning rates of G and D, ``[B, 2]``."""
        return np.array([[task.base.generator_lr, task.base.discriminator_lr] for task in self.tasks])

    @torch.inference_mode(False)
    def restart(self, members: Sequence[int], tasks: Sequence[Task], seeds: Sequence[int]) -> None:
        """Begins new runs in some places."""
        self.population.restart(members, tasks, seeds)
        self._begin(np.asarray(members, dtype=np.int64))

    def copy(self, sources: Sequence[int] | np.ndarray) -> None:
        """Each run goes on from where its source is, with its weights, its moments and all its history.

        It keeps its own seed: what it draws from now on is not what its source draws.

        Args:
            sources: a run for each of the B runs, ``[B]``, of the same task; its own number for one that stays.

        Raises:
            InvalidValueError: a source trains another task.
        """
        sources = np.asarray(sources)
        for run, source in enumerate(sources):
            if self.tasks[source] != self.tasks[run]:
                raise InvalidValueError(f"run {run} cannot go on from run {source}, which trains another task")
        self.population.copy(sources)
        self._take(sources)

    def keep(self, members: Sequence[int] | np.ndarray) -> None:
        """Drops all runs but these, which are distinct, and puts them into this order."""
        self.population.keep(members)
        self._take(np.asarray(members))

    @torch.inference_mode(False)
    def advance(self, controls: Controls) -> Outcome:
        """Trains every run for one interval under the given controls."""
        left = self.horizons - self.done_intervals
        before, seen = self.quality.distance, self._signals
        measured = self.population.train(controls, self.interval_updates)
        self.controls = controls
        self.done_intervals = self.done_intervals + 1
        self.quality = evaluate(self.population, range(len(self)))
        diverged = measured.diverged > 0
        log_distance = np.log(self.quality.distance)
        stability = self.monitor.update(measured, log_distance, self.quality.coverage)
        imbalance = _finite(measured.generator_loss) - _finite(measured.discriminator_loss)
        terms = self.reward.terms(before, self.quality.distance, stability, diverged, np.maximum(left, 1), imbalance)
        self.best = np.minimum(self.best, self.quality.distance)

        values = interval_signals(measured, controls, seen)
        values["gradient_decline"] = self.monitor.gradient_decline(measured) / 3
        values["distance_change"] = distance_change(self.quality.distance, before)
        self._signals = {**values, **stability}
        return Outcome(
            reward=np.sum(list(terms.values()), axis=0),
            terms=terms,
            stability=stability,
            diverged=diverged,
            finished=self.done_intervals >= self.horizons,
        )

    def signals(self) -> dict[str, np.ndarray]:
        """All signals of all runs by name, ``[B]`` each, before clipping."""
        distance = self.quality.distance
        budget = self.horizons * self.interval_updates
        return {
            **self._signals,
            **control_signals(self.controls),
            **clock_signals(self.updates, budget),
            **distance_signals(distance, self.start, self.best, self.floor),
            "sliced_wasserstein": sliced_wasserstein_signal(self.quality.sliced_wasserstein),
            "precision": self.quality.precision,
            "coverage": self.quality.coverage,
        }

    def observe(self, which: str | tuple[Signal, ...] = "all") -> np.ndarray:
        """Signals as an array, float32 ``[B, S]`` within their ranges."""
        chosen = SIGNAL_SETS[which] if isinstance(which, str) else which
        return as_matrix(self.signals(), chosen, len(self))

    def _take(self, sources: np.ndarray) -> None:
        """Everything that is known of each run, from the runs that are now in its place."""
        self.monitor.take(sources)
        self.done_intervals, self.horizons = self.done_intervals[sources], self.horizons[sources]
        self.floor, self.start, self.best = self.floor[sources], self.start[sources], self.best[sources]
        self.quality = Evaluation(**{name: values[sources] for name, values in vars(self.quality).items()})
        self._signals = {name: values[sources] for name, values in self._signals.items()}
        self.controls = self.controls[sources]

    def _begin(self, members: np.ndarray) -> None:
        quality = evaluate(self.population, members.tolist())
        merged = {name: values.copy() for name, values in vars(self.quality).items()}
        for name, values in merged.items():
            values[members] = getattr(quality, name)
        self.quality = Evaluation(**merged)
        tasks = [self.tasks[member] for member in members]
        self.floor[members] = [floor(task) for task in tasks]
        self.start[members] = self.best[members] = quality.distance
        self.done_intervals[members] = 0
        self.horizons[members] = [self._horizon or max(1, task.budget // self.interval_updates) for task in tasks]
        self.monitor.restart(members, np.log(quality.distance), quality.coverage)
        base = Controls.base([task.base for task in tasks])
        controls = {name: values.copy() for name, values in vars(self.controls).items()}
        for name, values in controls.items():
            values[members] = getattr(base, name)
        self.controls = Controls(**controls)
        for values in self._signals.values():
            values[members] = 0.0


def _finite(values: np.ndarray) -> np.ndarray:
    """No infinities, whose difference is not a number; what is none stays."""
    return np.clip(values, -HUGE, HUGE)
