"""How good a scheduler is over many tasks: robust aggregates of scores, each with an interval by resampling.

The definitions are those of Agarwal et al. 2021, "Deep RL at the edge of the statistical precipice" (arXiv:2108.13264).
A cell is one GAN run, (task, seed). Its score is a number, and higher is better (the share of the room, see
``references.py``). There are two intervals for two questions:

* :func:`over_seeds` is the paper's stratified bootstrap. The tasks are fixed, and the seeds within each are resampled.
  It says what the same tasks would give if every GAN were trained again. With S seeds a task, its variance is too small
  by a factor of (S - 1) / S. With 4 seeds an interval is 13 % too narrow; with one seed there is none.
* :func:`over_tasks` resamples whole tasks with all their seeds, as ``statistics.bootstrap`` does. It says what other
  tasks of the same kind would give. It is usually the wider of the two, and more seeds do not narrow it.
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
"""Number of resamples of scores."""
BLOCK = 1 << 18
"""Runs drawn at a time. This many fit the processor's cache, and memory stays small however many runs there are."""
TARGET = 1.0
"""The oracle's score, from which the optimality gap is measured."""
LOWEST = -1.0
"""Lower scores count as this in the optimality gap. The gap is a mean, and a single diverged run would decide it, since
its score comes from the worst possible distance. The other aggregates are robust and take scores as they are."""

Statistic = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Takes ascending values ``[N]`` and how often each is drawn ``[R, N]``; gives a number for each resample ``[R]``."""
Resampling = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]
"""Takes the task of each run ``[N]`` (0 to K - 1, in order) and R; gives how often each run is drawn ``[R, N]``."""


def interquartile_mean(values: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The mean without the lowest and highest quarter of the runs: floor(n / 4) are cut off at each end."""
    ends = np.cumsum(drawn, axis=1, dtype=np.int32)
    total = ends[:, -1:]
    cut = total // 4
    kept = np.clip(ends, cut, total - cut)
    kept = np.diff(kept, axis=1, prepend=cut)  # how many of each value lie between the cuts
    return (kept @ values) / (total - 2 * cut)[:, 0]


def optimality_gap(values: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The mean of 1 - min(score, 1), with scores raised to ``LOWEST``; 0 means as good as the oracle everywhere."""
    return (drawn @ (TARGET - np.clip(values, LOWEST, TARGET))) / drawn.sum(axis=1)


def low_percentile(values: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The 20th percentile: the lowest score that at least a fifth of the runs do not exceed."""
    ends = np.cumsum(drawn, axis=1, dtype=np.int32)
    return values[(ends >= 0.2 * ends[:, -1:] - 1e-9).argmax(axis=1)]


def over_seeds(tasks: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Stratified bootstrap: for each task, draws as many runs as it has, with replacement, from its own runs."""
    count = len(tasks)
    sizes = np.bincount(tasks)
    first, size = (np.cumsum(sizes) - sizes)[tasks], sizes[tasks]
    chosen = first + (rng.random((resamples, count), dtype=np.float32) * size).astype(np.int32)
    chosen = np.minimum(chosen, first + size - 1)  # the product may be rounded up
    flat = (chosen + count * np.arange(resamples)[:, None]).ravel()
    return np.bincount(flat, minlength=resamples * count).reshape(resamples, count)


def over_tasks(tasks: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Bootstrap of whole tasks: draws as many as there are, with replacement, each with all its runs."""
    count = int(tasks[-1]) + 1
    return draw_tasks(count, resamples, rng)[:, tasks]


@dataclass(frozen=True)
class Aggregate:
    """A statistic of some runs.

    Attributes:
        value: its value for the runs as they are.
        resampled: its values for the resamples, ``[R]``; empty if resampling says nothing (one seed of every task, or
            one task).
        tasks: number of tasks if tasks were resampled; 0 if seeds were.
    """

    value: float
    resampled: np.ndarray
    tasks: int = 0

    def __sub__(self, other: "Aggregate") -> "Aggregate":
        """The difference of two aggregates whose runs were resampled independently."""
        known = len(self.resampled) and len(other.resampled)
        differences = self.resampled - other.resampled if known else np.empty(0)
        return Aggregate(self.value - other.value, differences, min(self.tasks, other.tasks))

    def estimate(self) -> Estimate:
        """The value with its percentile interval.

        Over K < 8 tasks percentiles are too narrow. There it is Student's interval with the bootstrap's deviation,
        value -+ t(K - 1) s sqrt(K / (K - 1)). For a mean, that is the usual interval.
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
    """Works out statistics of the runs and of their resamples, which are the same for all statistics.

    Args:
        scores: finite scores by cell.
        statistics: such as :func:`interquartile_mean`, :func:`optimality_gap` and :func:`low_percentile`.
        resampling: :func:`over_seeds` or :func:`over_tasks`.
        rng: draws the resamples.
        resamples: number of resamples.

    Raises:
        InvalidValueError: there are no runs, or a score is not finite.
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
    """The share of runs with a score above each threshold, 1/K sum_k 1/S_k sum_s [x_ks > t], with pointwise bands.

    Args:
        scores: finite scores by cell.
        thresholds: thresholds ``[T]``.
        rng: draws the resamples.
        resampling: :func:`over_seeds` or :func:`over_tasks`.
        resamples: number of resamples.

    Returns:
        Share, lower end and upper end, ``[T]`` each; the ends are NaN if resampling says nothing.

    Raises:
        InvalidValueError: there are no runs, or a score is not finite.
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

    It is 1/K sum_k U_k / (S_k R_k), with Mann and Whitney's U of the task's S_k runs and the reference's R_k. Ties
    count half. Every run is compared with every run of the reference. (``win_rate`` compares only runs of the same
    seed.) The seeds of both are resampled within each task.

    Args:
        distances: the scheduler's distances by cell; lower is better.
        reference: distances by cell of the scheduler to compare with.
        rng: draws the resamples.
        resamples: number of resamples.

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
    """The values ``[N]`` in the order of their cells, and the task of each, 0 to K - 1."""
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
    """Splits the resamples into parts that fit ``BLOCK``."""
    size = max(1, BLOCK // runs)
    for start in range(0, resamples, size):
        yield min(size, resamples - start)
