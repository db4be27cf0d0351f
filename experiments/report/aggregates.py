"""How good a scheduler is over many tasks: robust aggregates of scores, each with an interval by resampling.

Definitions are those of Agarwal et al. 2021, "Deep RL at the edge of the statistical precipice" (arXiv:2108.13264).
A cell is one GAN run, (task, seed), and its score a number of which more is better (the share of the room, see
``references.py``). Two questions have two intervals:

* :func:`over_seeds`, the paper's stratified bootstrap: the tasks are fixed, the seeds within each are resampled. It
  answers what these very tasks would give if every GAN were trained again. With S seeds a task its variance is too
  small by (S - 1) / S: at 4 seeds an interval is 13 % too narrow, and of one seed it knows nothing.
* :func:`over_tasks`: whole tasks are resampled with all their seeds, as ``statistics.bootstrap`` does. It answers
  what other tasks of the same kind would give, is the wider of the two as a rule, and more seeds do not narrow it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from metagan_rl.errors import InvalidValueError
from metagan_rl.experiments.benchmark.row import Cell
from metagan_rl.experiments.report.statistics import (
    TASKS_TO_RESAMPLE,
    TIE,
    Estimate,
    draw_tasks,
    percentile_ends,
    student_factor,
)

DRAWS = 2000
"""Resamples of scores."""
BLOCK = 1 << 18
"""Runs drawn at a time, so that memory stays small however many there are; so many fit the processor's cache."""
TARGET = 1.0
"""The score that the optimality gap is measured to: the oracle's."""
LOWEST = -1.0
"""Scores below this count as this in the optimality gap, which is a mean: one diverged run, whose score is set by the
worst distance there is, would decide it. The other aggregates are robust and take scores as they are."""

Statistic = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From ascending values ``[N]`` and how often each is drawn ``[R, N]`` to a number for each resample ``[R]``."""
Resampling = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]
"""From the task of each run ``[N]`` (0 to K - 1, in order) and a number R to how often each run is drawn ``[R, N]``."""


def interquartile_mean(values: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Mean without the lowest and the highest quarter of the runs: floor(n / 4) are cut off at either end."""
    ends = np.cumsum(drawn, axis=1, dtype=np.int32)
    total = ends[:, -1:]
    cut = total // 4
    kept = np.clip(ends, cut, total - cut)
    kept = np.diff(kept, axis=1, prepend=cut)  # how many of each value lie between the cuts
    return (kept @ values) / (total - 2 * cut)[:, 0]


def optimality_gap(values: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Mean of 1 - min(score, 1), scores below ``LOWEST`` counting as that; 0: as good as the oracle everywhere."""
    return (drawn @ (TARGET - np.clip(values, LOWEST, TARGET))) / drawn.sum(axis=1)


def low_percentile(values: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The 20th percentile: the least score that at least a fifth of the runs do not exceed."""
    ends = np.cumsum(drawn, axis=1, dtype=np.int32)
    return values[(ends >= 0.2 * ends[:, -1:] - 1e-9).argmax(axis=1)]


def over_seeds(tasks: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Stratified bootstrap: of each task as many runs as it has, drawn with replacement from its own."""
    count = len(tasks)
    sizes = np.bincount(tasks)
    first, size = (np.cumsum(sizes) - sizes)[tasks], sizes[tasks]
    chosen = first + (rng.random((resamples, count), dtype=np.float32) * size).astype(np.int32)
    chosen = np.minimum(chosen, first + size - 1)  # the product may be rounded up
    flat = (chosen + count * np.arange(resamples)[:, None]).ravel()
    return np.bincount(flat, minlength=resamples * count).reshape(resamples, count)


def over_tasks(tasks: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Bootstrap of whole tasks: as many as there are, drawn with replacement, each with all its runs."""
    count = int(tasks[-1]) + 1
    return draw_tasks(count, resamples, rng)[:, tasks]


@dataclass(frozen=True)
class Aggregate:
    """A statistic of some runs.

    Attributes:
        value: of the runs as they are.
        resampled: ``[R]``; empty where resampling would tell nothing (one seed of every task, or one task).
        tasks: how many, where tasks were resampled; 0 where seeds were.
    """

    value: float
    resampled: np.ndarray
    tasks: int = 0

    def __sub__(self, other: "Aggregate") -> "Aggregate":
        """The difference, of runs that were resampled independently."""
        known = len(self.resampled) and len(other.resampled)
        differences = self.resampled - other.resampled if known else np.empty(0)
        return Aggregate(self.value - other.value, differences, min(self.tasks, other.tasks))

    def estimate(self) -> Estimate:
        """The value with its percentile interval.

        Over K < 8 tasks, where percentiles are too narrow, it is Student's with the bootstrap's deviation,
        value -+ t(K - 1) s sqrt(K / (K - 1)); of a mean that is the usual interval.
        """
        if not len(self.resampled):
            return Estimate(self.value, float("nan"), float("nan"))
        if 1 < self.tasks < TASKS_TO_RESAMPLE:
            deviation = self.resampled.std() * np.sqrt(self.tasks / (self.tasks - 1))
            half = float(student_factor(self.tasks) * deviation)
            return Estimate(self.value, self.value - half, self.value + half)
        low, high = percentile_ends(self.resampled)
        return Estimate(self.value, float(low), float(high))


def aggregates(
    scores: Mapping[Cell, float],
    statistics: Sequence[Statistic],
    resampling: Resampling,
    rng: np.random.Generator,
    *,
    resamples: int = DRAWS,
) -> list[Aggregate]:
    """Works out statistics of the runs and of resamples of them, the same resamples for all.

    Args:
        scores: by cell; finite.
        statistics: of :func:`interquartile_mean`, :func:`optimality_gap`, :func:`low_percentile`, or others like them.
        resampling: :func:`over_seeds` or :func:`over_tasks`.
        rng: draws the resamples.
        resamples: how many.

    Raises:
        InvalidValueError: no runs, or a score that is not finite.
    """
    values, tasks = _in_order(scores)
    order = np.argsort(values, kind="stable")
    ascending = values[order]
    once = np.ones((1, len(values)), dtype=np.int64)
    whole = [float(statistic(ascending, once)[0]) for statistic in statistics]
    count = int(tasks[-1]) + 1
    if (count if resampling is over_tasks else len(tasks) - count + 1) == 1:
        return [Aggregate(value, np.empty(0)) for value in whole]
    parts: list[list[np.ndarray]] = [[] for _ in statistics]
    for block in _blocks(len(values), resamples):
        drawn = resampling(tasks, block, rng)[:, order]
        for place, statistic in enumerate(statistics):
            parts[place].append(statistic(ascending, drawn))
    units = count if resampling is over_tasks else 0
    return [Aggregate(value, np.concatenate(some), units) for value, some in zip(whole, parts, strict=True)]


def performance_profile(
    scores: Mapping[Cell, float],
    thresholds: np.ndarray,
    rng: np.random.Generator,
    *,
    resampling: Resampling = over_seeds,
    resamples: int = DRAWS,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Share of runs with a score above each threshold, 1/K sum_k 1/S_k sum_s [x_ks > t], with pointwise bands.

    Args:
        scores: by cell; finite.
        thresholds: ``[T]``.
        rng: draws the resamples.
        resampling: :func:`over_seeds` or :func:`over_tasks`.
        resamples: how many.

    Returns:
        Share, lower and upper end, ``[T]`` each; the ends are NaN where resampling would tell nothing.

    Raises:
        InvalidValueError: no runs, or a score that is not finite.
    """
    values, tasks = _in_order(scores)
    sizes = np.bincount(tasks)
    above = (values[:, None] > thresholds) / sizes[tasks][:, None]  # [N, T]
    share = above.sum(axis=0) / len(sizes)
    if (sizes.max() if resampling is over_seeds else len(sizes)) == 1:
        return share, np.full_like(share, np.nan), np.full_like(share, np.nan)
    drawn = (resampling(tasks, part, rng) for part in _blocks(len(values), resamples))
    shares = np.concatenate([some @ above for some in drawn]) / len(sizes)
    return share, *percentile_ends(shares)


def probability_of_improvement(
    distances: Mapping[Cell, float],
    reference: Mapping[Cell, float],
    rng: np.random.Generator,
    *,
    resamples: int = DRAWS,
) -> Aggregate:
    """P(a run of the scheduler ends at a smaller distance than one of the reference on the same task).

    1/K sum_k U_k / (S_k R_k), with Mann and Whitney's U of the task's S_k runs and the reference's R_k, ties counting
    half: every run is held against every one of the reference, not only that of its own seed as in ``win_rate``. The
    seeds of both are resampled within each task.

    Args:
        distances: of the scheduler, by cell; less is better.
        reference: of the scheduler it is held against, by cell.
        rng: draws the resamples.
        resamples: how many.

    Raises:
        InvalidValueError: the two have no task in common.
    """
    common = {task for task, _ in distances} & {task for task, _ in reference}
    if not common:
        raise InvalidValueError("the two schedulers have no task in common; run both on the same tasks")
    own, tasks = _in_order({cell: value for cell, value in distances.items() if cell[0] in common})
    other, other_tasks = _in_order({cell: value for cell, value in reference.items() if cell[0] in common})
    places = [(np.flatnonzero(tasks == k), np.flatnonzero(other_tasks == k)) for k in range(len(common))]
    wins = []
    for mine, theirs in places:
        x, y = own[mine][:, None], other[theirs][None, :]
        tie = np.abs(x - y) <= TIE * np.maximum(np.abs(x), np.abs(y))
        wins.append(np.where(tie, 0.5, x < y) / (len(mine) * len(theirs)))
    value = float(np.mean([share.sum() for share in wins]))
    if len(tasks) == len(other_tasks) == len(common):
        return Aggregate(value, np.empty(0))
    parts = []
    for part in _blocks(len(own) + len(other), resamples):
        drawn, against = over_seeds(tasks, part, rng), over_seeds(other_tasks, part, rng)
        shares = [
            ((drawn[:, mine] @ share) * against[:, theirs]).sum(axis=1)
            for (mine, theirs), share in zip(places, wins, strict=True)
        ]
        parts.append(np.mean(shares, axis=0))
    return Aggregate(value, np.concatenate(parts))


def _in_order(scores: Mapping[Cell, float]) -> tuple[np.ndarray, np.ndarray]:
    """Values ``[N]`` in the order of their cells, and the task of each, 0 to K - 1."""
    if not scores:
        raise InvalidValueError("there are no runs to aggregate; give at least one")
    cells = sorted(scores)
    values = np.array([scores[cell] for cell in cells], dtype=np.float64)
    if not np.isfinite(values).all():
        bad = cells[int(np.flatnonzero(~np.isfinite(values))[0])]
        raise InvalidValueError(f"the score of {bad} is {scores[bad]!r}; it must be finite")
    numbers = {task: number for number, task in enumerate(dict.fromkeys(task for task, _ in cells))}
    return values, np.array([numbers[task] for task, _ in cells])


def _blocks(runs: int, resamples: int) -> Iterator[int]:
    """Resamples in parts that fit ``BLOCK``."""
    size = max(1, BLOCK // runs)
    for start in range(0, resamples, size):
        yield min(size, resamples - start)
