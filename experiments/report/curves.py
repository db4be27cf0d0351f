"""From curves to bands: quality against updates with its interval, and what each scheduler chose on the way."""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from metagan_rl.controls import RATIOS
from metagan_rl.experiments.report.figures import Band
from metagan_rl.experiments.report.statistics import Cell, by_task, mean_interval
from metagan_rl.experiments.report.summary import SMALLEST
from metagan_rl.losses import LOSSES
from metagan_rl.metrics.quality import WORST_DISTANCE

GRID = 64
"""Steps that runs of different lengths are brought to, and the most that schedules are drawn with."""
UPDATES, SHARE = "updates (D and G together)", "share of the update budget"
NUMBERS = ("generator_lr", "discriminator_lr", "penalty_weight")


def quality_bands(
    curves: Iterable[Mapping[str, Any]], updates: Mapping[tuple[Any, ...], float]
) -> tuple[dict[str, Band], str]:
    """Geometric mean distance of each scheduler against updates, with its bootstrap interval over tasks.

    Args:
        curves: of one group of tasks.
        updates: of each run that came to its end, by (task, seed, scheduler).

    Returns:
        Bands by scheduler; the name of the horizontal axis, which is the share of the budget if budgets differ.
    """
    curves = list(curves)
    keys = [(curve["task"], curve["seed"], curve["scheduler"]) for curve in curves]
    budgets = {updates[key] for key in keys if key in updates}
    lengths = {len(curve["distance"]) for curve in curves}
    same = len(budgets) == 1 and len(lengths) == 1
    steps = lengths.pop() if same else GRID + 1
    share = np.linspace(0, 1, steps)
    logs = log_distances(curves, share)
    x = share * budgets.pop() if same else share
    bands = {}
    for name, cells in logs.items():
        middle, low, high = mean_interval(by_task(cells), np.random.default_rng(0), resamples=1000)
        bands[name] = Band(x, np.exp(middle), np.exp(low), np.exp(high))
    return bands, UPDATES if same else SHARE


def log_distances(curves: Iterable[Mapping[str, Any]], share: np.ndarray) -> dict[str, dict[Cell, np.ndarray]]:
    """Log distance of the runs of each scheduler at ``share`` of their budget, by cell; a lost one is the worst."""
    logs: dict[str, dict[Cell, np.ndarray]] = {}
    for curve in curves:
        distance = np.nan_to_num(np.array(curve["distance"], dtype=np.float64), nan=WORST_DISTANCE)
        log = np.log(np.clip(distance, SMALLEST, WORST_DISTANCE))
        cell = (curve["task"], curve["seed"])
        logs.setdefault(curve["scheduler"], {})[cell] = np.interp(share, np.linspace(0, 1, len(log)), log)
    return logs


def schedule_of(
    curves: Sequence[Mapping[str, Any]], choices: Mapping[str, Sequence[str]]
) -> tuple[dict[str, Band], dict[str, np.ndarray]]:
    """What one scheduler chose over a run, all runs alike.

    Args:
        curves: of that scheduler.
        choices: names of the ratios and the losses.

    Returns:
        Medians and quartiles against progress of the numbers; shares ``[choices, T]`` of the names.
    """
    steps = min(GRID, max(len(curve["generator_lr"]) for curve in curves))
    bands, shares = {}, {}
    for name in NUMBERS:
        values = np.array([resampled(curve[name], steps) for curve in curves], dtype=np.float64)
        low, middle, high = np.nanquantile(values, [0.25, 0.5, 0.75], axis=0)
        bands[name] = Band((np.arange(steps) + 0.5) / steps, middle, low, high)
    for name, names in choices.items():
        code = {each: place for place, each in enumerate(names)}
        chosen = np.array([[code.get(each, -1) for each in resampled(curve[name], steps)] for curve in curves])
        shares[name] = np.array([(chosen == place).mean(axis=0) for place in range(len(names))])
    return bands, shares


def choices_in(curves: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Ratios and losses in the order of their registries, a user's own ones after them; losses only where used."""
    used: dict[str, dict[str, None]] = {"ratio": {}, "loss": {}}
    for curve in curves:
        for name, seen in used.items():
            seen.update(dict.fromkeys(map(str, curve[name])))
    return {
        "ratio": [*RATIOS, *(name for name in used["ratio"] if name not in RATIOS)],
        "loss": [*(name for name in LOSSES if name in used["loss"]), *(n for n in used["loss"] if n not in LOSSES)],
    }


def resampled(values: Sequence[Any], steps: int) -> list[Any]:
    """What held at ``steps`` even moments of values that each held for an equal part of the run."""
    if isinstance(values, array):
        return np.asarray(values)[np.arange(steps) * len(values) // steps].tolist()
    return [values[step * len(values) // steps] for step in range(steps)]
