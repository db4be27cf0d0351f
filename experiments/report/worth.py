"""What a distance is worth: the number of trials that random search on each task takes to reach it."""

import numpy as np

from metagan_rl.experiments.report.statistics import RESAMPLES, Estimate, draw_tasks, fixed_stream, percentile_ends


def worth_in_trials(search: np.ndarray, logs: np.ndarray, trials: np.ndarray) -> Estimate:
    """The number of trials after which the geometric mean of random search falls to a scheduler's.

    Between the numbers that were tried it is linear in both logarithms. It is 0 if the scheduler does worse than one
    trial, and infinite if search never reaches the scheduler. The interval is the bootstrap's over tasks. It draws
    curve and scheduler together, because hard tasks move both.

    Args:
        search: log distances ``[K, T]`` of K tasks after each number of trials.
        logs: log distances ``[K]`` of the scheduler.
        trials: numbers of trials ``[T]``, ascending from 1.
    """
    count = len(logs)
    value = float(_crossing(search.mean(axis=0)[None], logs.mean()[None], trials)[0])
    if count == 1:
        return Estimate(value, float("nan"), float("nan"))
    weights = draw_tasks(count, RESAMPLES, fixed_stream()) / count
    worth = _crossing(weights @ search, weights @ logs, trials)
    low, high = percentile_ends(worth, between=False)  # nothing lies between a number and infinity
    return Estimate(value, float(low), float(high))


def in_words(worth: Estimate, most: float) -> str:
    """A readable form, such as "9.4 trials [3.0, 22]"; if more than ``most`` trials are needed, it says so with ">".

    The interval is left out if it is unknown or the same as the value.
    """

    def words(value: float) -> str:
        return "<1" if value < 1 else f">{most:g}" if np.isinf(value) else f"{value:.{0 if value >= 10 else 1}f}"

    text = f"{words(worth.value)} trial" + ("" if worth.value <= 1 else "s")
    known = np.isfinite(worth.low) and not worth.low == worth.value == worth.high
    return text + (f" [{words(worth.low)}, {words(worth.high)}]" if known else "")


def _crossing(curves: np.ndarray, levels: np.ndarray, trials: np.ndarray) -> np.ndarray:
    """The trials ``[R]`` at which curves ``[R, T]`` first fall to ``levels`` ``[R]``."""
    below = curves <= levels[:, None]
    after = np.where(below.any(axis=1), below.argmax(axis=1), len(trials))
    inside = (after > 0) & (after < len(trials))
    last = np.where(inside, after, min(1, len(trials) - 1))
    row = np.arange(len(curves))
    before, behind = curves[row, last - 1], curves[row, last]
    part = np.where(inside, (before - levels) / np.where(inside, before - behind, 1.0), 0.0)
    log_trials = np.log2(trials)
    found = 2 ** (log_trials[last - 1] + part * (log_trials[last] - log_trials[last - 1]))
    return np.where(inside, found, np.where(after > 0, np.inf, levels == curves[:, 0]))
