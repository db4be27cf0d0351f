"""The tables of the study: distances of each arm relative to *off* on the same loop, rate and seed."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from metagan_rl.errors import InvalidValueError
from metagan_rl.experiments.benchmark.row import Cell
from metagan_rl.experiments.report.statistics import geometric, paired_ratio
from metagan_rl.experiments.report.tables import markdown_table
from metagan_rl.experiments.studies.practice.arms import ARMS, FINDS_RATES, OFF, SWEEP
from metagan_rl.experiments.studies.practice.loops import LOOPS
from metagan_rl.experiments.studies.practice.plan import BEST, FACTORS, TUNING, best_factors, swept
from metagan_rl.experiments.studies.transfer.table import cell

RATES: tuple[float | str, ...] = (*sorted(FACTORS), BEST)
Rows = Sequence[Mapping[str, Any]]
Number = Callable[[Mapping[str, Any]], float]


class Compared:
    """The rows of one length of run, by loop, rate, arm and seed.

    Args:
        rows: all rows, tuning runs among them.
        steps: length of the runs; by default that of most of them.
    """

    def __init__(self, rows: Rows, steps: int | None = None) -> None:
        shown = [row for row in rows if row["seed"] < TUNING]
        lengths = Counter(row["steps"] for row in shown)
        self.steps = steps or (lengths.most_common(1)[0][0] if lengths else 0)
        self.rows = [{**row, "name": _name(row, shown)} for row in shown if row["steps"] == self.steps]
        self.best = best_factors(rows, self.steps)
        self.loops = [loop for loop in LOOPS if any(row["loop"] == loop for row in self.rows)]
        there = dict.fromkeys(row["name"] for row in self.rows if row["arm"] != OFF)
        schedulers = [name for name in there if name not in ARMS]
        self.sweeps = {
            (loop, factor): swept(rows, loop, factor, self.steps) for loop in self.loops for factor in FACTORS
        }
        self.arms = [*schedulers, *(arm for arm in ARMS if arm in there)]
        if any(factor is not None for factor in self.sweeps.values()):
            self.arms.append(SWEEP)

    def values(self, arm: str, rate: float | str, number: Number) -> dict[Cell, float]:
        """A number of each run of an arm at a rate, by loop and seed; a task is a loop on a device."""
        return {
            (f"{row['loop']} {row['device']} {row['data']}", row["seed"]): number(row)
            for row in self.rows
            if row["name"] == (OFF if arm == SWEEP else arm) and row["factor"] == self._factor(arm, rate, row["loop"])
        }

    def _factor(self, arm: str, rate: float | str, loop: str) -> float | None:
        if arm in FINDS_RATES:
            return 1.0
        if arm == SWEEP:
            return self.sweeps.get((loop, rate)) if isinstance(rate, float) else None
        return self.best.get(loop) if isinstance(rate, str) else rate


def _name(row: Mapping[str, Any], rows: Rows) -> str:
    """The arm, and the digest behind it if there are runs of several files of that name."""
    arm: str = row["arm"]
    digests = {each["digest"] for each in rows if each["arm"] == arm}
    return arm if len(digests) < 2 else f"{arm} {row['digest'] or ''}".strip()


def distance(kind: str) -> Number:
    """The final distance of the ``"last"`` or the ``"average"`` generator."""
    return lambda row: row[kind]["distance"]


def tables(rows: Rows, steps: int | None = None) -> list[str]:
    """The tables as Markdown: by rate, for both generators; by loop; what *off* reaches; accuracies of the table."""
    found = Compared(rows, steps)
    return [by_rate(found, "average"), by_rate(found, "last"), by_loop(found), reached(found), accuracies(found)]


def by_rate(found: Compared, kind: str) -> str:
    """Ratios to *off* over all loops, with 95 % intervals: a line for each arm, a column for each rate."""
    lines = [[f"`{arm}`", *(_ratio(found, arm, rate, rate, kind) for rate in RATES)] for arm in found.arms]
    return markdown_table(["arm", *map(_rate, RATES)], lines, _aligned(1, len(RATES)))


def by_loop(found: Compared) -> str:
    """For each rate and arm: runs, runs that diverged, ratio to *off* at the best rates, the worst loop, each loop."""
    lines = []
    for rate in RATES:
        for arm in found.arms:
            own, off = (found.values(each, rate, distance("average")) for each in (arm, OFF))
            common = own.keys() & off.keys()
            if not common:
                continue
            diverged = sum(found.values(arm, rate, lambda row: row["diverged"]).values())
            ratios = {}
            for loop in found.loops:
                logs = [np.log(own[one] / off[one]) for one in common if one[0].split()[0] == loop]
                if logs:
                    ratios[loop] = float(np.exp(np.mean(logs)))
            worst = max(ratios, key=lambda loop: ratios[loop])
            cells = [_rate(rate), f"`{arm}`", f"{len(common)}", f"{int(diverged)}", _ratio(found, arm, rate, BEST)]
            cells += [
                f"{worst} {ratios[worst]:.2f}",
                *(f"{ratios[each]:.2f}" if each in ratios else "" for each in found.loops),
            ]
            lines.append(cells)
    headings = ["rates", "arm", "runs", "diverged", "to `off` at best", "worst", *found.loops]
    return markdown_table(headings, lines, _aligned(2, len(headings) - 2))


def reached(found: Compared) -> str:
    """The distance of *off* by loop and rate, with the best factor, and the floor: that of real samples."""
    lines = []
    for loop in found.loops:
        own = [row for row in found.rows if row["loop"] == loop]
        cells = [loop, own[0]["data"], f"{found.best[loop]:g}" if loop in found.best else ""]
        for rate in RATES:
            values = found.values(OFF, rate, distance("average"))
            one = {key: value for key, value in values.items() if key[0].split()[0] == loop}
            cells.append(f"{geometric(one):.3f}" if one else "")
        lines.append([*cells, f"{own[0]['floor']:.3f}"])
    headings = ["loop", "data", "best factor", *map(_rate, RATES), "floor"]
    return markdown_table(headings, lines, _aligned(2, len(headings) - 2))


def accuracies(found: Compared) -> str:
    """Accuracy on real rows of a model that saw only generated ones, of the averaged generator, by arm and rate."""
    lines = []
    for arm in (OFF, *found.arms):
        cells = []
        for rate in RATES:
            values = found.values(arm, rate, lambda row: row["average"].get("accuracy", np.nan))
            known = [value for value in values.values() if np.isfinite(value)]
            cells.append(f"{np.mean(known):.3f}" if known else "")
        lines.append([f"`{arm}`", *cells])
    return markdown_table(["arm", *map(_rate, RATES)], lines, _aligned(1, len(RATES)))


def _ratio(found: Compared, arm: str, rate: float | str, reference: float | str, kind: str = "average") -> str:
    """The ratio of an arm at a rate to *off* at another, as tables show it."""
    try:
        ratio = paired_ratio(found.values(arm, rate, distance(kind)), found.values(OFF, reference, distance(kind)))
    except InvalidValueError:  # they have no run in common
        return ""
    return cell(ratio) if np.isfinite(ratio.low) else f"{ratio.value:.2f}"


def _rate(rate: float | str) -> str:
    return rate if isinstance(rate, str) else f"x{rate:g}"


def _aligned(words: int, numbers: int) -> list[str]:
    return ["---"] * words + ["--:"] * numbers
