"""How fast GANs of new tasks learn from a start: quality, and whether they only repeat what they were shown."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metagan_rl.evaluation import evaluate, generated
from metagan_rl.meta_init import MetaInit
from metagan_rl.populations import MixedPopulation
from metagan_rl.populations.settings import RATIOS, Settings
from metagan_rl.tasks import Task

MOMENTS = (0, 1, 5, 10, 20, 50, 100, 200, 300, 500, 1000)
"""Updates of both networks after which quality is measured."""


def adapt(
    start: MetaInit | None, tasks: Sequence[Task], seeds: Sequence[int], moments: Sequence[int] = MOMENTS
) -> Iterator[tuple[int, MixedPopulation]]:
    """Trains a GAN for each task, and stops at some moments.

    Args:
        start: where all begin; ``None``: each at fresh weights of its seed.
        tasks: at one ratio.
        seeds: of the GANs.
        moments: ascending numbers of updates of both networks.

    Yields:
        The moment, and the GANs then.
    """
    population = MixedPopulation(tasks, seeds, initial_weights=start)
    settings = Settings.of([task.base for task in tasks])
    cycle = sum(RATIOS[tasks[0].base.ratio])
    done = 0
    for moment in moments:
        if moment > done:
            population.train(settings, cycle * (moment - done))
            done = moment
        yield moment, population


def measure(population: MixedPopulation) -> list[dict[str, Any]]:
    """What is kept of each GAN: quality on the larger reference, and of one with few shots its :func:`repetition`."""
    members = range(len(population))
    quality = evaluate(population, members, report=True)
    points = generated(population, members, report=True)
    return [
        {
            "distance": quality.distance[member],
            "precision": quality.precision[member],
            "coverage": quality.coverage[member],
            "repetition": repetition(points[member], task) if task.shots else None,
            "diverged": bool(population.diverged[member]),
        }
        for member, task in enumerate(population.tasks)
    ]


def repetition(points: Tensor, task: Task) -> float:
    """How much nearer generated points lie to the training points than real ones do that were held back.

    1 - (mean distance of generated points to their nearest training point) / (that of held-back real points). It is 1
    for copies, about 0 for points as new as real ones are, and negative for points far from all data.
    """
    data = task.data()
    if not torch.isfinite(points).all():
        return float("-inf")
    return 1.0 - _to_nearest(points, data.train) / _to_nearest(data.report_reference, data.train)


def _to_nearest(points: Tensor, among: Tensor) -> float:
    exact = "donot_use_mm_for_euclid_dist"  # products would not tell a copy from a neighbour
    return float(torch.cdist(points.float(), among.float(), compute_mode=exact).amin(dim=1).mean())


def geometric(rows: Sequence[dict[str, Any]]) -> float:
    """Geometric mean of the distances of rows."""
    return float(np.exp(np.mean([np.log(row["distance"]) for row in rows])))
