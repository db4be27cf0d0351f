"""Sample quality of a population's members as plain arrays, and every metric at the end of a run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from metagan_rl.metrics.metric import METRICS, MemberQuality, Metric, Samples
from metagan_rl.metrics.quality import WORST_DISTANCE, Quality, Reference, real_floor
from metagan_rl.networks.base import find_networks
from metagan_rl.populations.mixed import MixedPopulation
from metagan_rl.tasks.task import Task

AT_ONCE = {"cpu": 32, "cuda": 256}
"""Members evaluated at a time. On a CPU they fit into the cache."""
NUMBERS_AT_ONCE = {"cpu": 2**23, "cuda": 2**27}
"""Numbers generated at a time, so fewer members at a time if they are images, to limit memory."""


@dataclass(frozen=True)
class Evaluation:
    """Quality of some members, float64 ``[b]`` each; see :class:`metagan_rl.metrics.Quality`.

    ``frechet`` is NaN for tasks without features.
    """

    distance: np.ndarray
    sliced_wasserstein: np.ndarray
    precision: np.ndarray
    coverage: np.ndarray
    frechet: np.ndarray

    def of(self, place: int) -> MemberQuality:
        """The quality of one of the members."""
        frechet = float(self.frechet[place])
        return MemberQuality(
            float(self.distance[place]),
            float(self.sliced_wasserstein[place]),
            float(self.precision[place]),
            float(self.coverage[place]),
            None if np.isnan(frechet) else frechet,
        )


def floor(task: Task, *, report: bool = False) -> float:
    """The distance that a perfect generator would score on the task."""
    judge = find_networks(task.networks.kind).judge
    return real_floor(task, report=report) if judge is None else judge.floor


def evaluate(population: MixedPopulation, members: Sequence[int], *, report: bool = False) -> Evaluation:
    """Measures the averaged generators of some members against fixed points, with fixed noise.

    Args:
        population: the population.
        members: which members; diverged ones get the worst value.
        report: whether to use the larger reference for final figures, which rewards never saw.
    """
    result = {each.name: np.full(len(members), np.nan) for each in fields(Evaluation)}
    known = {name: np.zeros(len(members), dtype=bool) for name in result}
    groups: dict[tuple[bool, tuple[int, ...]], list[int]] = {}
    references: dict[int, Reference] = {}
    solved = []
    for place, member in enumerate(members):
        task = population.tasks[member]
        if find_networks(task.networks.kind).judge is not None:
            solved.append(place)
        else:
            references[place] = reference = Reference.of(task, report=report)
            groups.setdefault((reference.embedded is not None, tuple(reference.points.shape)), []).append(place)
    device = population.device.type
    for (_, shape), places in groups.items():
        at_once = max(1, min(AT_ONCE[device], NUMBERS_AT_ONCE[device] // math.prod(shape)))
        for start in range(0, len(places), at_once):
            some = places[start : start + at_once]
            against = [references[place] for place in some]
            points = population.sample([each.noise for each in against], [members[place] for place in some])
            _put(result, known, some, Quality.measure(torch.stack(points), against))
    for place in solved:
        _put(result, known, [place], _judge(population, members[place]))
    diverged = population.diverged[np.asarray(members, dtype=int)]
    for name, values in result.items():
        values[diverged & known[name]] = METRICS[name].worst
    return Evaluation(**result)


def measure_all(
    population: MixedPopulation, members: Sequence[int], metrics: Sequence[Metric] | None = None
) -> list[dict[str, float | None]]:
    """Measures every metric for some members at the end of their runs, on the larger reference.

    Args:
        population: the population.
        members: which members; diverged ones get each metric's worst value.
        metrics: which metrics; by default all registered ones.

    Returns:
        For each member the values by the metric's name; ``None`` if the task does not allow a value.

    Raises:
        InvalidValueError: a metric failed.
    """
    wanted = METRICS.values() if metrics is None else metrics
    quality = evaluate(population, members, report=True)
    points = generated(population, members, report=True)
    found = []
    for place, member in enumerate(members):
        task = population.tasks[member]
        samples = Samples(points[place], Reference.of(task, report=True), task, quality.of(place))
        found.append({each.name: each.of(samples, diverged=bool(population.diverged[member])) for each in wanted})
    return found


def generated(population: MixedPopulation, members: Sequence[int], *, report: bool = False) -> list[Tensor]:
    """The same points ``[M, D]`` that :func:`evaluate` measures."""
    noise = [Reference.of(population.tasks[member], report=report).noise for member in members]
    return population.sample(noise, members)


def _judge(population: MixedPopulation, member: int) -> Quality:
    """Quality of a member that is judged by its weights."""
    weights = population.weights(member)
    judge = find_networks(population.tasks[member].networks.kind).judge
    assert judge is not None
    distance, wasserstein, precision, coverage = judge.measure(*weights)
    return Quality(distance.clamp_max(WORST_DISTANCE), wasserstein.clamp_max(WORST_DISTANCE), precision, coverage)


def _put(result: dict[str, np.ndarray], known: dict[str, np.ndarray], places: Sequence[int], quality: Quality) -> None:
    for name, values in result.items():
        measured = getattr(quality, name)
        if measured is not None:
            values[list(places)] = measured.double().numpy(force=True)
            known[name][list(places)] = True
