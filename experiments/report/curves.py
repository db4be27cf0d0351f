"""Turns curves into bands: quality against updates with its interval, and what each scheduler chose on the way."""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from metagan_rl.experiments.benchmark.row import DRAWN_NUMBERS, DRAWN_WORDS, LOSS, RATIO, Cell, Curve, RunKey
from metagan_rl.experiments.report.figures import Band
from metagan_rl.experiments.report.statistics import by_task, mean_interval
from metagan_rl.experiments.report.summary import SMALLEST
from metagan_rl.losses import LOSSES
from metagan_rl.metrics.quality import WORST_DISTANCE
from metagan_rl.populations.settings import RATIOS

GRID = 64
"""Steps to which runs of different lengths are brought, and the most steps in a picture of a schedule."""
BAND_RESAMPLES = 1000
"""Resamples of a curve. A band is looked at, not read to the second digit."""
UPDATES, SHARE = "updates (D and G together)", "share of the update budget"


def quality_bands(curves: Iterable[Curve], updates: Mapping[RunKey, float]) -> tuple[dict[str, Band], str]:
    """The geometric mean distance of each scheduler against updates, with its bootstrap interval over tasks.

    Args:
        curves: curves of one group of tasks.
        updates: number of updates of each run that reached its end.

    Returns:
        Bands by scheduler, and the name of the horizontal axis: the share of the budget if budgets differ.
    """
    curves = list(curves)
    budgets = {updates[curve.key] for curve in curves if curve.key in updates}
    lengths = {len(curve.distance) for curve in curves}
    same = len(budgets) == 1 and len(lengths) == 1
    steps = lengths.pop() if same else GRID + 1
    share = np.linspace(0, 1, steps)
    x = share * budgets.pop() if same else share
    logs = log_distances(curves, share)
    return {name: geometric_band(x, cells) for name, cells in logs.items()}, UPDATES if same else SHARE


def geometric_band(x: np.ndarray, logs: Mapping[Cell, np.ndarray]) -> Band:
    """The geometric mean over tasks of curves given as logarithms ``[T]``, with its interval."""
    return Band(x, *(np.exp(end) for end in mean_interval(by_task(logs), resamples=BAND_RESAMPLES)))


def log_distances(curves: Iterable[Curve], share: np.ndarray) -> dict[str, dict[Cell, np.ndarray]]:
    """Each scheduler's log distances at ``share`` of the budget, by cell; an unknown distance counts as the worst.

    The curves may be of several suites.
    """
    logs: dict[str, dict[Cell, np.ndarray]] = {}
    for curve in curves:
        log = np.log(sound_distances(curve))
        logs.setdefault(curve.key.scheduler, {})[curve.key.cell] = np.interp(share, np.linspace(0, 1, len(log)), log)
    return logs


def sound_distances(curve: Curve) -> np.ndarray:
    """Distances ``[T + 1]``, made to have a logarithm; an unknown one counts as the worst."""
    distance = np.nan_to_num(np.asarray(curve.distance, dtype=np.float64), nan=WORST_DISTANCE)
    return distance.clip(SMALLEST, WORST_DISTANCE)


def schedule_of(
    curves: Sequence[Curve], choices: Mapping[str, Sequence[str]]
) -> tuple[dict[str, Band], dict[str, np.ndarray]]:
    """What one scheduler chose over the course of a run; all runs count alike.

    Args:
        curves: curves of that scheduler.
        choices: names of the ratios and the losses.

    Returns:
        For controls that are numbers, medians and quartiles against progress. For names, shares ``[choices, T]``.
    """
    steps = min(GRID, max(curve.intervals for curve in curves))
    bands, shares = {}, {}
    for name in DRAWN_NUMBERS:
        values = np.array([resampled(curve.controls[name], steps) for curve in curves], dtype=np.float64)
        low, middle, high = np.nanquantile(values, [0.25, 0.5, 0.75], axis=0)
        bands[name] = Band((np.arange(steps) + 0.5) / steps, middle, low, high)
    for name, names in choices.items():
        code = {each: place for place, each in enumerate(names)}
        chosen = np.array([[code.get(each, -1) for each in resampled(curve.controls[name], steps)] for curve in curves])
        shares[name] = np.array([(chosen == place).mean(axis=0) for place in range(len(names))])
    return bands, shares


def choices_in(curves: Iterable[Curve]) -> dict[str, list[str]]:
    """Ratios and losses in the order of their registries, then a user's own; losses only if they were used."""
    used: dict[str, dict[str, None]] = {name: {} for name in DRAWN_WORDS}
    for curve in curves:
        for name, seen in used.items():
            seen.update(dict.fromkeys(curve.controls[name]))
    return {
        RATIO: [*RATIOS, *(name for name in used[RATIO] if name not in RATIOS)],
        LOSS: [*(name for name in LOSSES if name in used[LOSS]), *(n for n in used[LOSS] if n not in LOSSES)],
    }


def resampled(values: Sequence[Any], steps: int) -> list[Any]:
    """The value that held at each of ``steps`` even moments; each value holds for an equal part of the run."""
    if isinstance(values, array):
        return np.asarray(values)[np.arange(steps) * len(values) // steps].tolist()
    return [values[step * len(values) // steps] for step in range(steps)]
