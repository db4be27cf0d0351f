"""Lets happen what is hidden in runs (:class:`metagan_rl.tasks.hidden.Hidden`): rates, faults, drift of the data."""

from collections.abc import Sequence

import numpy as np

from metagan_rl.populations import MixedPopulation
from metagan_rl.populations.settings import Settings
from metagan_rl.populations.state import PopulationState
from metagan_rl.tasks.task import LEARNING_RATE_RANGE, Task

RESET_SEED = 0x5E7
"""Added to a member's seed for the fresh weights of a network that is reset in mid-run."""


class Conditions:
    """The tasks of B runs as they were given, and what has happened to them.

    Args:
        tasks: one for each run.
        stages: how many changes of the data have happened in each, int64 ``[B]``; by default none.
    """

    def __init__(self, tasks: Sequence[Task], stages: np.ndarray | None = None) -> None:
        self.tasks = list(tasks)
        self.stages = np.zeros(len(self.tasks), dtype=np.int64) if stages is None else stages

    def restart(self, members: np.ndarray, tasks: Sequence[Task]) -> None:
        """Takes new tasks, to which nothing has happened, in some places."""
        for member, task in zip(members.tolist(), tasks, strict=True):
            self.tasks[member] = task
        self.stages[members] = 0

    def take(self, sources: np.ndarray) -> None:
        """Replaces what has happened to each run by what has happened to its source."""
        self.tasks = [self.tasks[source] for source in sources.tolist()]
        self.stages = self.stages[sources]

    def factors(self, progress: np.ndarray) -> np.ndarray:
        """What the rates of G and D are multiplied by at shares ``[B]`` of the budgets, ``[B, 2]``."""
        pairs = zip(self.tasks, progress.tolist(), strict=True)
        return np.array([(1.0, 1.0) if task.hidden is None else task.hidden.factors(now) for task, now in pairs])

    def happen(
        self, population: MixedPopulation, settings: Settings, progress: np.ndarray, shares: np.ndarray
    ) -> Settings:
        """Lets happen what comes before the next interval; gives the settings that are really trained with.

        Args:
            population: of the runs; changed in place.
            settings: those that the controls ask for.
            progress: shares of the budgets that are spent, ``[B]``.
            shares: the next interval's shares of the budgets, ``[B]``.
        """
        if all(task.hidden is None for task in self.tasks):
            return settings
        for member, (now, share) in enumerate(zip(progress.tolist(), shares.tolist(), strict=True)):
            hidden = self.tasks[member].hidden
            if hidden is None or now >= 1:
                continue
            stage, resets = hidden.stage(now), hidden.resets(now, share)
            if stage != self.stages[member] or resets:
                self.stages[member] = stage
                _replace(population, member, self.tasks[member].at_stage(stage), resets)
        factors = self.factors(progress)
        return settings.replace(
            generator_lr=np.clip(settings.generator_lr * factors[:, 0], *LEARNING_RATE_RANGE),
            discriminator_lr=np.clip(settings.discriminator_lr * factors[:, 1], *LEARNING_RATE_RANGE),
        )


def _replace(population: MixedPopulation, member: int, task: Task, resets: Sequence[str]) -> None:
    """Lets a member go on with another task of its shape; networks named in ``resets`` begin anew."""
    for part, members in population.groups():
        for row in np.flatnonzero(members == member).tolist():
            kept = part.state[[row]]
            seed = (int(kept.seed) + RESET_SEED) % 2**63 if resets else 0
            population.restart([member], [task], [seed])
            fresh, parts = part.state[[row]].to_dict(), kept.to_dict()
            for network in resets:
                names = [name for name in parts if name.startswith(network)]
                parts |= {name: fresh[name] for name in [*names, *(["average"] if network == "generator" else [])]}
            part.state.put([row], PopulationState(**parts))
