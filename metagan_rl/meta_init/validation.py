"""Measures how good GANs are at a meta-initialisation, and after a little training from it."""

from collections.abc import Sequence

import numpy as np

from metagan_rl.evaluation import evaluate
from metagan_rl.meta_init.weights import MetaInit
from metagan_rl.populations import MixedPopulation
from metagan_rl.populations.settings import Settings
from metagan_rl.tasks.task import Task


def adaptation(initial: MetaInit | None, tasks: Sequence[Task], updates: int, *, seed: int = 0) -> tuple[float, float]:
    """Geometric means of the tasks' distances before and after training with each task's own base settings.

    The current generators are measured, as averaged ones would still be near the start.

    Args:
        initial: the weights that all GANs start from; ``None``: fresh weights for each.
        tasks: tasks of any shapes that fit.
        updates: updates of the training, a multiple of 12.
        seed: seed of noise, data order and fresh weights.

    Returns:
        The means at the start and after the updates. Diverged GANs count with the worst distance.
    """
    tasks = [task.with_base(ema_decay=0.0) for task in tasks]
    population = MixedPopulation(tasks, [seed + place for place in range(len(tasks))], initial_weights=initial)
    before = _mean(population)
    population.train(Settings.of([task.base for task in tasks]), updates)
    return before, _mean(population)


def _mean(population: MixedPopulation) -> float:
    return float(np.exp(np.log(evaluate(population, range(len(population))).distance).mean()))
