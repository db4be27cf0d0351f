"""How sure a comparison is: means, paired ratios and win rates over tasks, each with an interval.

A cell is one GAN run, (task, seed). Seeds of a task are averaged first, so the task is the unit. The question is how a
scheduler does on another task of the same kind; more seeds of the same tasks cannot answer that. Distances are averaged
as logarithms, because halving a distance is worth the same wherever it starts. What the same tasks would give with
other seeds is a different question, which ``aggregates.py`` answers.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from metagan_rl.errors import InvalidValueError
from metagan_rl.experiments.benchmark.row import Cell

RESAMPLES = 4000
CONFIDENCE = 0.95
"""The confidence of every interval: 95 %."""
TASKS_TO_RESAMPLE = 8
"""With this many tasks or more, intervals are resampled. Fewer give Student's, which show how little is known."""
TIE = 1e-9
"""Distances that differ by less than this share are a tie."""


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; ``low`` and ``high`` are NaN for a single task, which says nothing about others."""

    value: float
    low: float
    high: float

    def excludes(self, value: float) -> bool:
        """Whether the interval is known and lies wholly on one side of ``value``."""
        return bool(self.low > value or self.high < value)


UNKNOWN = Estimate(float("nan"), float("nan"), float("nan"))


def fixed_stream(place: int = 0) -> np.random.Generator:
    """The default generator for resampling; it is fixed, so that a report made again is the same.

    Args:
        place: number of the stream. Give another for values that need independent resamples.
    """
    return np.random.default_rng(place)


def draw_tasks(count: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """The bootstrap: how often each of K tasks is drawn, n ~ Multinomial(K, 1/K), as ``[resamples, K]``."""
    return rng.multinomial(count, np.full(count, 1 / count), size=resamples)


def percentile_ends(resampled: np.ndarray, *, between: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """The lower and upper end of the percentile interval of resampled values ``[R, ...]``.

    Args:
        resampled: a value for each resample.
        between: whether ends may lie between two values; give false if some are infinite.
    """
    shares = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    low, high = np.quantile(resampled, shares, axis=0, method="linear" if between else "nearest")
    return low, high


def student_factor(count: int) -> float:
    """Half of Student's interval for the mean of ``count`` values, in standard errors: t(count - 1)."""
    return float(stdtrit(count - 1, (1 + CONFIDENCE) / 2))


def bootstrap(
    values: np.ndarray, rng: np.random.Generator | None = None, *, resamples: int = RESAMPLES
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean over tasks and its percentile bootstrap interval, m* = 1/K sum_k n_k x_k with n of :func:`draw_tasks`.

    With few tasks the interval is too narrow: at 5 tasks a nominal 95 % interval holds about 83 % of the time.

    Args:
        values: values ``[K, ...]``, one for each task; trailing axes are resampled together.
        rng: draws the resamples; by default :func:`fixed_stream`.
        resamples: number of resamples.

    Returns:
        Mean, lower end and upper end, ``[...]`` each; the ends are NaN for a single task.

    Raises:
        InvalidValueError: there are no tasks, or no resamples.
    """
    if not len(values):
        raise InvalidValueError("there are no tasks to make an interval from; give at least one")
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
    """The mean over K tasks and its interval: :func:`bootstrap`, or for K < 8 Student's, m -+ t(K - 1) s / sqrt(K).

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
        distances: positive, finite distances by cell.
        rng: draws the resamples; by default :func:`fixed_stream`.

    Raises:
        InvalidValueError: there are no cells, or a distance is not positive and finite.
    """
    return _of_logs(_logs(distances), rng)


def geometric(values: Mapping[Cell, float]) -> float:
    """The same mean of positive values, without an interval; NaN if there are none."""
    return float(np.exp(by_task({cell: np.log(value) for cell, value in values.items()}).mean())) if values else np.nan


def paired_ratio(
    distances: Mapping[Cell, float], reference: Mapping[Cell, float], rng: np.random.Generator | None = None
) -> Estimate:
    """exp( 1/K sum_k 1/S_k sum_s log(d_ks / r_ks) ) over the cells both have; below 1 the scheduler is better.

    Pairing takes the difficulty of tasks out of the interval, because easy and hard tasks move both alike.

    Args:
        distances: the scheduler's distances by cell.
        reference: distances by cell of the scheduler to compare with.
        rng: draws the resamples; by default :func:`fixed_stream`.

    Raises:
        InvalidValueError: they have no cell in common, or a distance is not positive and finite.
    """
    common = _common(distances, reference)
    own = _logs({cell: distances[cell] for cell in common})
    other = _logs({cell: reference[cell] for cell in common})
    return _of_logs({cell: own[cell] - other[cell] for cell in common}, rng)


def win_rate(distances: Mapping[Cell, float], reference: Mapping[Cell, float]) -> Estimate:
    """The share of cells in which the scheduler's distance is smaller; ties count half.

    p = 1/K sum_k 1/S_k sum_s w_ks with w in {0, 1/2, 1}, and the interval of :func:`rate`.

    Args:
        distances: the scheduler's distances by cell.
        reference: distances by cell of the scheduler to compare with.

    Raises:
        InvalidValueError: they have no cell in common.
    """
    wins = {}
    for cell in _common(distances, reference):
        own, other = distances[cell], reference[cell]
        tie = abs(own - other) <= TIE * max(abs(own), abs(other))
        wins[cell] = 0.5 if tie else float(own < other)
    return rate(wins)


def rate(happened: Mapping[Cell, float]) -> Estimate:
    """The share of runs to which something happened, 1/K sum_k 1/S_k sum_s h_ks, with Wilson's interval for n = K.

    The interval (Wilson 1927) has centre (p + z²/2n) / (1 + z²/n) and half width
    z/(1 + z²/n) sqrt(p(1 - p)/n + z²/4n²). A bootstrap would have no width if it happened always or never. Wilson's
    interval errs on the wide side, because averaging seeds only lowers the variance.

    Args:
        happened: 0 to 1, by cell.

    Raises:
        InvalidValueError: there are no cells.
    """
    shares = by_task(happened)
    n, p, z = len(shares), float(shares.mean()), float(ndtri((1 + CONFIDENCE) / 2))
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return Estimate(p, max(0.0, float(centre - half)), min(1.0, float(centre + half)))


def divergence_rate(diverged: Mapping[Cell, bool]) -> float:
    """1/K sum_k 1/S_k sum_s [run ks diverged], in [0, 1].

    Raises:
        InvalidValueError: there are no cells.
    """
    return float(by_task(diverged).mean())


def by_task(values: Mapping[Cell, object]) -> np.ndarray:
    """Averages the seeds of each task.

    Args:
        values: numbers or arrays of one shape, by cell.

    Returns:
        Means ``[K, ...]``, in the order of the tasks' names.

    Raises:
        InvalidValueError: there are no cells.
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
    with np.errstate(over="ignore"):  # two tasks may give a huge interval
        return Estimate(*(float(np.exp(end)) for end in ends))
