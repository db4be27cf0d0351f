"""Drives a scheduler over GAN runs: the one loop that training's validation and the benchmark share."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metagan_rl.agents.scheduler import Scheduler, Situation
from metagan_rl.controls import Controls
from metagan_rl.envs.runs import Runs
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
    scheduler: Scheduler, tasks: Sequence[Task], seeds: Sequence[int], *, seed: int = 0, **options: Any
) -> tuple[Runs, Trace]:
    """Trains one GAN for each task under a scheduler, to the end of every budget.

    Args:
        scheduler: begun anew.
        tasks: B of them.
        seeds: of the GANs, one for each.
        seed: of a scheduler that draws at random.
        **options: of :class:`Runs`.

    Returns:
        The runs at their end, and how they got there. Diverged ones stay frozen.
    """
    runs = Runs(tasks, seeds, **options)
    scheduler.begin(len(runs), seed)
    trace = Trace(distance=[runs.quality.distance])
    reward = np.zeros(len(runs))
    for _ in range(int(runs.horizons.max())):
        controls = scheduler.step(Situation(runs.signals(), runs.base_controls(), runs.controls, reward))
        outcome = runs.advance(controls)
        reward = outcome.reward
        trace.distance.append(runs.quality.distance)
        trace.controls.append(controls)
        for name, values in outcome.stability.items():
            trace.stability.setdefault(name, []).append(values)
    return runs, trace
