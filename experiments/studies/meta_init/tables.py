"""From the study's rows to tables."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metagan_rl.experiments.benchmark.row import Cell
from metagan_rl.experiments.report.statistics import Estimate, fixed_stream, geometric_mean, paired_ratio
from metagan_rl.experiments.report.tables import brief, markdown_table
from metagan_rl.experiments.studies.meta_init.adapting import MOMENTS
from metagan_rl.experiments.studies.meta_init.combining import Combination
from metagan_rl.experiments.studies.meta_init.kinds import Adaptation
from metagan_rl.experiments.studies.meta_init.study import FRESH, STARTS

SHOWN = (0, 1, 5, 10, 50, 200, 1000)
"""Moments in the tables."""
FAST = 10
"""Updates after which a start is held against fresh weights."""


@dataclass(frozen=True)
class Panel:
    """Rows of one kind of data, with the same number of training images.

    Attributes:
        title: readable.
        distances: by start, by moment, by cell; its first part is what intervals are over: the task, or the seed where
            there are more seeds than tasks.
        repetition: mean by start at the last moment; ``None`` where it is not measured.
    """

    title: str
    distances: Mapping[str, Mapping[int, Mapping[Cell, float]]]
    repetition: Mapping[str, float | None]

    def curve(self, start: str) -> dict[int, Estimate]:
        """Geometric mean distance at every moment, with its interval."""
        rng = fixed_stream()  # one for all moments
        return {moment: geometric_mean(cells, rng) for moment, cells in self.distances[start].items()}

    def worth(self, start: str, after: int = FAST) -> float:
        """Updates from fresh weights that come to the same distance as ``after`` updates from a start.

        Linear between moments in distance's logarithm; infinite where fresh weights never get there.
        """
        level = np.log(self.curve(start)[after].value)
        fresh = {moment: np.log(estimate.value) for moment, estimate in self.curve(FRESH).items()}
        moments, values = np.array(sorted(fresh)), np.array([fresh[moment] for moment in sorted(fresh)])
        reached = np.flatnonzero(values <= level)
        if not len(reached):
            return float("inf")
        place = int(reached[0])
        if place == 0:
            return 0.0
        before, behind = values[place - 1], values[place]
        return float(moments[place - 1] + (before - level) / (before - behind) * (moments[place] - moments[place - 1]))


def panels(rows: Iterable[Mapping[str, Any]]) -> list[Panel]:
    """The rows by kind of data and number of shots; few shots first."""
    groups: dict[tuple[str, int | None], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["kind"], row["shots"]), []).append(row)
    return [_panel(kind, shots, groups[kind, shots]) for kind, shots in sorted(groups, key=_order)]


def _order(key: tuple[str, int | None]) -> tuple[bool, float]:
    return key[0] != "planar", float("inf") if key[1] is None else key[1]


def _panel(kind: str, shots: int | None, rows: Sequence[Mapping[str, Any]]) -> Panel:
    starts = [start for start in STARTS if any(row["start"] == start for row in rows)]
    distances: dict[str, dict[int, dict[Cell, float]]] = {start: {moment: {} for moment in MOMENTS} for start in starts}
    last: dict[str, list[float]] = {start: [] for start in starts}
    tasks, seeds = (list(dict.fromkeys(row[name] for row in rows)) for name in ("task", "seed"))
    over_seeds = len(seeds) > len(tasks)
    for row in rows:
        cell = (f"seed {row['seed']}", tasks.index(row["task"])) if over_seeds else (row["task"], row["seed"])
        distances[row["start"]][row["updates"]][cell] = row["distance"]
        if row["updates"] == MOMENTS[-1] and row["repetition"] is not None:
            last[row["start"]].append(row["repetition"])
    what = "families never seen" if kind == "planar" else "digits never seen"
    some = "" if shots is None and kind == "planar" else ", all images" if shots is None else f", {shots} images"
    return Panel(
        f"{kind}: {what}{some} ({_counted(tasks, 'task')}, {_counted(seeds, 'seed')}; intervals over "
        f"{'seeds' if over_seeds else 'tasks'})",
        distances,
        {start: float(np.mean(values)) if values else None for start, values in last.items()},
    )


def _counted(some: Sequence[Any], what: str) -> str:
    return f"{len(some)} {what}" + "s" * (len(some) > 1)


def as_markdown(
    some: Sequence[Panel],
    combinations: Mapping[str, Sequence[Combination]],
    settings: Mapping[tuple[str, str], Mapping[str, float]],
    adaptations: Mapping[tuple[str, str], Mapping[int, Adaptation]],
    command: str,
) -> str:
    """``summary.md``."""
    lines = [
        "# Starting weights: how fast GANs of new tasks learn from them",
        "",
        f"Made by `{command}`.",
        "",
        "Geometric mean distance (lower is better) after so many updates of both networks, by Adam or SGD at rates "
        "chosen for each start (below), with 95 % intervals. *Worth*: updates that fresh "
        f"weights need for the same distance as {FAST} from this start. *Ratio*: of the distances after "
        f"{FAST} updates to those from fresh weights, the same tasks and seeds.",
    ]
    headings = ["start", *(f"{moment:,}" for moment in SHOWN), "worth", f"ratio at {FAST}"]
    for panel in some:
        table = []
        for start in panel.distances:
            curve = panel.curve(start)
            table.append([start, *(brief(curve[moment]) for moment in SHOWN), *_against_fresh(panel, start)])
        lines += ["", f"## {panel.title}", "", markdown_table(headings, table, ["---"] * len(headings))]
        if any(value is not None for value in panel.repetition.values()):
            told = ", ".join(f"{name} {value:.2f}" for name, value in panel.repetition.items() if value is not None)
            lines += [
                "",
                f"Repetition after {MOMENTS[-1]:,} updates (1: copies of training images; 0: as new as held-back "
                f"images; below: far from all): {told}.",
            ]
    for tag, combined in combinations.items():
        table = [[each.name, brief(each.distance), brief(each.ratio) if each.ratio else ""] for each in combined]
        headings = ["", "distance at the end", "ratio to the first"]
        lines += ["", f"## Weights and schedules together: {tag}", "", markdown_table(headings, table, ["---"] * 3)]
    if combinations:
        lines += ["", "One meta-training and one training of each policy; intervals are over tasks."]
    lines += ["", "## Rates", "", "Chosen on other tasks: of learning by one seed, with a quarter of the updates and"]
    lines += ["Adam to adapt; of adapting for each seed by its weights.", ""]
    for key, values in settings.items():
        rates = [f"{name} {value:g}" for name, value in values.items()]
        counted = Counter(map(str, adaptations.get(key, {}).values())).most_common()
        rates.append("adapted by " + " or ".join(f"{how} ({count}x)" for how, count in counted))
        lines.append(f"* {', '.join(key)}: " + ", ".join(rates))
    return "\n".join(lines) + "\n"


def _against_fresh(panel: Panel, start: str) -> list[str]:
    if start == FRESH or FRESH not in panel.distances:
        return ["", ""]
    worth = panel.worth(start)
    most = f">{MOMENTS[-1]:,}"
    ratio = paired_ratio(panel.distances[start][FAST], panel.distances[FRESH][FAST])
    return [most if np.isinf(worth) else f"{worth:.0f}", brief(ratio)]
