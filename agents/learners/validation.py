"""Measures the agent on validation tasks during training, next to the untuned base, random controls and its reference.

A schedule that actions depart from is the one to beat; its distance is the last of the four. In trials of several runs
all of them have as many runs, and the best end counts.
"""

from typing import TYPE_CHECKING

import numpy as np

from metagan_rl.agents.rules.clock import Constant, Random
from metagan_rl.loop.drive import drive
from metagan_rl.loop.reference import found_reference
from metagan_rl.loop.runs import RunOptions
from metagan_rl.loop.scheduler import Scheduler
from metagan_rl.tasks import get_suite

if TYPE_CHECKING:
    from metagan_rl.agents.learners.config import TrainConfig

FIRST_SEED = 1_000_000
"""GAN seeds of validation runs, far from those of training."""
RUNS_APART = 100_000
"""Between the seeds of the runs of a trial."""


class Validation:
    """A fixed set of validation runs; the references are measured once.

    Args:
        config: configuration of the training run.
    """

    def __init__(self, config: "TrainConfig") -> None:
        split = get_suite(config.tasks_of()).split("val")
        step = max(1, len(split) // config.validation_tasks)
        self._tasks = [split[i] for i in range(0, len(split), step)][: config.validation_tasks]
        self._options = RunOptions.of(config).ready()
        self._reference, self._runs = config.reference, max(1, config.trial_runs)
        self._references: dict[str, float] = {}

    def measure(self, scheduler: Scheduler) -> dict[str, float]:
        """Measures final distance (geometric mean) and mean return (log start / end) of agent and references."""
        if not self._references:
            references: dict[str, Scheduler] = {"constant": Constant(), "random": Random()}
            if self._reference is not None:
                references["reference"] = found_reference(self._reference)
            for name, reference in references.items():
                self._references.update(self._measure(reference, f"_{name}"))
        return {**self._measure(scheduler, ""), **self._references}

    def _measure(self, scheduler: Scheduler, suffix: str) -> dict[str, float]:
        start, end = (np.zeros(len(self._tasks)) for _ in "ab")
        intervals = np.array([self._options.intervals(task) for task in self._tasks])
        for count in np.unique(intervals):  # runs are driven side by side if they have equally many intervals
            places = np.flatnonzero(intervals == count)
            tasks, reward = [self._tasks[place] for place in places], None
            for run in range(self._runs):
                seeds = [FIRST_SEED + RUNS_APART * run + int(place) for place in places]
                runs, trace = drive(scheduler, tasks, seeds, self._options, after=reward)
                reward, ended = trace.reward[-1], runs.quality.distance
                end[places] = np.minimum(end[places], ended) if run else ended
                start[places] = start[places] if run else trace.distance[0]
        return {
            f"validation/distance{suffix}": float(np.exp(np.log(end).mean())),
            f"validation/return{suffix}": float(np.log(start / end).mean()),
        }
