"""How sure a comparison is: means, paired ratios and win rates over tasks, each with an interval.

A cell is one GAN run, (task, seed). Seeds of a task are averaged first, so the task is the unit: what is asked is how a
scheduler does on another task of the same kind, and more seeds of the same tasks cannot answer that. Distances are
averaged as logarithms, since a distance halved is worth the same wherever it starts. What the same tasks would give
with other seeds is another question, and ``aggregates.py`` answers it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from metagan_rl.errors import InvalidValueError
from metagan_rl.experiments.benchmark.row import Cell

RESAMPLES = 4000
CONFIDENCE = 0.95
"""Of every interval: 95 %."""
TASKS_TO_RESAMPLE = 8
"""From so many tasks on an interval is resampled; over fewer it is Student's, which tells how little they say."""
TIE = 1e-9
"""Distances that differ by less than this share of themselves are a tie."""


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; ``low`` and ``high`` are NaN where one task alone tells nothing about others."""

    value: float
    low: float
    high: float

    def excludes(self, value: float) -> bool:
        """The interval is known and lies wholly on one side of ``value``."""
        return bool(self.low > value or self.high < value)


UNKNOWN = Estimate(float("nan"), float("nan"), float("nan"))


def fixed_stream(place: int = 0) -> np.random.Generator:
    """What an interval is resampled by where nothing else is asked for: a report made again is the same report.

    Args:
        place: another number is another stream, for things whose resamples must not go together.
    """
    return np.random.default_rng(place)


def draw_tasks(count: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """The bootstrap: how often each of K tasks is drawn, n ~ Multinomial(K, 1/K), ``[resamples, K]``."""
    return rng.multinomial(count, np.full(count, 1 / count), size=resamples)


def percentile_ends(resampled: np.ndarray, *, between: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper end of the percentile interval of resampled values ``[R, ...]``.

    Args:
        resampled: a value for each resample.
        between: ends may lie between two values; not so where some are infinite.
    """
    shares = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    low, high = np.quantile(resampled, shares, axis=0, method="linear" if between else "nearest")
    return low, high


def student_factor(count: int) -> float:
    """Standard errors from a mean of so many values to the end of Student's interval, t(count - 1)."""
    return float(stdtrit(count - 1, (1 + CONFIDENCE) / 2))


def bootstrap(
    values: np.ndarray, rng: np.random.Generator | None = None, *, resamples: int = RESAMPLES
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean over tasks and its percentile bootstrap interval, m* = 1/K sum_k n_k x_k with n of :func:`draw_tasks`.

    With few tasks the interval is too narrow: at 5 tasks a nominal 95 % interval holds about 83 % of the time.

    Args:
        values: ``[K, ...]``, one for each task; trailing axes are resampled together.
        rng: draws the resamples; by default :func:`fixed_stream`.
        resamples: how many.

    Returns:
        Mean, lower and upper end, ``[...]`` each; the ends are NaN for a single task.

    Raises:
        InvalidValueError: no tasks, or no resamples.
    """
    if not len(values):
        raise InvalidValueError("an interval over 0 tasks was asked for; give at least one task")
    if resamples < 1:
        raise InvalidValueError(f"resamples is {resamples}; it must be at least 1")
    mean, count = values.mean(axis=0), len(values)
    if count == 1:
        return mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    weights = draw_tasks(count, resamples, rng or fixed_stream()) / count  # [R, K]
    return mean, *percentile_ends(np.tensordot(weights, values, axes=1))


def mean_interval(
    values: np.ndarray, rng: np.random.Generator | None = None, *, resamples: int = RESAMPLES
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean over K tasks and its interval: :func:`bootstrap`, or for K < 8 Student's, m -+ t(K - 1) s / sqrt(K).

    Arguments, results and errors are those of :func:`bootstrap`.
    """
    count = len(values)
    if not 1 < count < TASKS_TO_RESAMPLE:
        return bootstrap(values, rng, resamples=resamples)
    mean = values.mean(axis=0)
    half = student_factor(count) * values.std(axis=0, ddof=1) / np.sqrt(count)
    return mean, mean - half, mean + half


def geometric_mean(distances: Mapping[Cell, float], rng: np.random.Generator | None = None) -> Estimate:
    """exp( 1/K sum_k 1/S_k sum_s log d_ks ), with the :func:`mean_interval` over the K tasks.

    Args:
        distances: positive and finite, by cell.
        rng: draws the resamples; by default :func:`fixed_stream`.

    Raises:
        InvalidValueError: no cells, or a distance that is not positive and finite.
    """
    return _of_logs(_logs(distances), rng)


def geometric(values: Mapping[Cell, float]) -> float:
    """The same mean alone, of values that are positive; NaN of none."""
    return float(np.exp(by_task({cell: np.log(value) for cell, value in values.items()}).mean())) if values else np.nan


def paired_ratio(
    distances: Mapping[Cell, float], reference: Mapping[Cell, float], rng: np.random.Generator | None = None
) -> Estimate:
    """exp( 1/K sum_k 1/S_k sum_s log(d_ks / r_ks) ) over the cells both have; below 1 the scheduler is the better.

    Pairing takes the difficulty of the task out of the interval: easy and hard tasks move both alike.

    Args:
        distances: of the scheduler, by cell.
        reference: of the scheduler it is held against, by cell.
        rng: draws the resamples; by default :func:`fixed_stream`.

    Raises:
        InvalidValueError: no cell in common, or a distance that is not positive and finite.
    """
    common = _common(distances, reference)
    own = _logs({cell: distances[cell] for cell in common})
    other = _logs({cell: reference[cell] for cell in common})
    return _of_logs({cell: own[cell] - other[cell] for cell in common}, rng)


def win_rate(distances: Mapping[Cell, float], reference: Mapping[Cell, float]) -> Estimate:
    """Share of cells in which the scheduler's distance is the smaller, ties counting half.

    p = 1/K sum_k 1/S_k sum_s w_ks with w in {0, 1/2, 1}, and the interval of :func:`rate`.

    Args:
        distances: of the scheduler, by cell.
        reference: of the scheduler it is held against, by cell.

    Raises:
        InvalidValueError: no cell in common.
    """
    wins = {}
    for cell in _common(distances, reference):
        own, other = distances[cell], reference[cell]
        tie = abs(own - other) <= TIE * max(abs(own), abs(other))
        wins[cell] = 0.5 if tie else float(own < other)
    return rate(wins)


def rate(happened: Mapping[Cell, float]) -> Estimate:
    """Share of runs to which something happened, 1/K sum_k 1/S_k sum_s h_ks, with Wilson's interval of n = K.

    The interval (Wilson 1927): centre (p + z²/2n) / (1 + z²/n), half width z/(1 + z²/n) sqrt(p(1 - p)/n + z²/4n²). A
    bootstrap would have no width where it happened always or never; Wilson's errs on the wide side, because averaging
    seeds only lowers the variance.

    Args:
        happened: 0 to 1, by cell.

    Raises:
        InvalidValueError: no cells.
    """
    shares = by_task(happened)
    n, p, z = len(shares), float(shares.mean()), float(ndtri((1 + CONFIDENCE) / 2))
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return Estimate(p, max(0.0, float(centre - half)), min(1.0, float(centre + half)))


def divergence_rate(diverged: Mapping[Cell, bool]) -> float:
    """1/K sum_k 1/S_k sum_s [run ks diverged], in [0, 1].

    Raises:
        InvalidValueError: no cells.
    """
    return float(by_task(diverged).mean())


def by_task(values: Mapping[Cell, object]) -> np.ndarray:
    """Averages the seeds of each task.

    Args:
        values: numbers or arrays of one shape, by cell.

    Returns:
        ``[K, ...]``, in the order of the tasks' names.

    Raises:
        InvalidValueError: no cells.
    """
    if not values:
        raise InvalidValueError("there are no runs to average; give at least one")
    tasks: dict[str, list[np.ndarray]] = {}
    for (task, _), value in sorted(values.items(), key=lambda item: item[0]):
        tasks.setdefault(task, []).append(np.asarray(value, dtype=np.float64))
    return np.stack([np.mean(seeds, axis=0) for seeds in tasks.values()])


def _common(distances: Mapping[Cell, float], reference: Mapping[Cell, float]) -> list[Cell]:
    common = [cell for cell in distances if cell in reference]
    if not common:
        raise InvalidValueError(
            "the two schedulers have no (task, seed) in common; run both on the same tasks and seeds"
        )
    return common


def _logs(distances: Mapping[Cell, float]) -> dict[Cell, float]:
    for cell, distance in distances.items():
        if not 0 < distance < float("inf"):  # NaN is bad too
            raise InvalidValueError(f"distance of {cell} is {distance!r}; it must be positive and finite")
    return {cell: float(np.log(distance)) for cell, distance in distances.items()}


def _of_logs(logs: Mapping[Cell, float], rng: np.random.Generator | None) -> Estimate:
    ends = mean_interval(by_task(logs), rng)
    with np.errstate(over="ignore"):  # two tasks may say next to nothing
        return Estimate(*(float(np.exp(end)) for end in ends))
