"""Table and picture of the study: the best of k runs, relative to one run of ``tuned-decay``.

The best run is the one with the lowest distance as rewards are measured. It counts by the distance of fresh samples to
further real points, which chose nothing. So a lucky measurement is not mistaken for a good run.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metagan_rl.experiments.report.figures import lines_for
from metagan_rl.experiments.report.statistics import Estimate
from metagan_rl.experiments.studies.command import picture_file
from metagan_rl.experiments.studies.oracle import best_of
from metagan_rl.experiments.studies.run_to_run.methods import METHODS
from metagan_rl.experiments.studies.transfer.table import REFERENCE, cell, ratio_of_logs

COUNTS = (1, 2, 4, 8, 16, 64)
"""Runs that have a column."""
DRAWN = (1, 2, 4, 8, 16, 32, 64)


def best_so_far(seen: np.ndarray) -> np.ndarray:
    """The place of the best of the first k runs, for k from 1: ``[K]``; the first of equals."""
    lowest = np.minimum.accumulate(seen)
    return np.maximum.accumulate(
        np.where((seen == lowest) & (np.append(np.inf, lowest[:-1]) > seen), np.arange(len(seen)), 0)
    )


def curve(row: Mapping[str, Any], counts: Sequence[int]) -> dict[int, float]:
    """The judged logarithmic distance of the best of k runs, for those of the counts that the row has.

    Where the order of runs means something it is that of the first k runs, elsewhere the mean over all choices of k
    runs. Of population-based training each count is a search of its own.
    """
    seen, judged = np.array(row["seen"]), np.array(row["judged"])
    if METHODS[row["method"]].searches:
        own = dict(zip(row["at"], judged.tolist(), strict=True))
        return {count: own[count] for count in counts if count in own}
    there = [count for count in counts if count <= len(seen)]
    if METHODS[row["method"]].in_order:
        best = judged[best_so_far(seen)]
        return {count: float(best[count - 1]) for count in there}
    return {count: best_of(seen, judged, count) for count in there}


def ratios(rows: Sequence[Mapping[str, Any]], name: str, counts: Sequence[int]) -> dict[int, Estimate]:
    """The ratio of a method's best of k runs to one run of the tuned decay by k, with 95 % intervals over tasks.

    Args:
        rows: of one condition.
        name: of the method's rows.
        counts: values of k; those that the method has none of are left out.
    """
    base = {task: curves[1] for task, curves in _by_task(rows, REFERENCE, (1,)).items()}
    own = {task: curves for task, curves in _by_task(rows, name, counts).items() if task in base}
    found = {}
    for count in counts:
        logs = np.array([curves[count] - base[task] for task, curves in own.items() if count in curves])
        if len(logs):
            found[count] = ratio_of_logs(logs)
    return found


def _by_task(rows: Sequence[Mapping[str, Any]], name: str, counts: Sequence[int]) -> dict[str, dict[int, float]]:
    """The mean curve over the repetitions of each task."""
    found: dict[str, list[dict[int, float]]] = {}
    for row in rows:
        if row["name"] == name:
            found.setdefault(row["task"], []).append(curve(row, counts))
    return {
        task: {count: float(np.mean([each[count] for each in curves])) for count in curves[0]}
        for task, curves in found.items()
    }


def names_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The words for each name in the rows, in the order of the methods."""
    names = sorted({(list(METHODS).index(row["method"]), row["name"], row["method"]) for row in rows})
    return {
        name: f"`{name}`, which remembers" if METHODS[method].needs == "policy" else METHODS[method].words
        for _, name, method in names
    }


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A row for each condition and method, a column for each number of runs, as Markdown."""
    lines = [f"| condition | tasks | who chooses | {' | '.join(map(str, COUNTS))} |"]
    lines.append("|---|--:|---|" + "--:|" * len(COUNTS))
    for condition in dict.fromkeys(row["condition"] for row in rows):
        own = [row for row in rows if row["condition"] == condition]
        for name, words in names_of(own).items():
            tasks = len({row["task"] for row in own if row["name"] == name})
            found = ratios(own, name, COUNTS)
            cells = [cell(found[count]) if count in found else "" for count in COUNTS]
            lines.append(f"| {condition} | {tasks} | {words} | {' | '.join(cells)} |")
    return "\n".join(lines)


def picture(rows: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """A panel for each condition: the ratio against the number of runs, a line for each method."""
    conditions = list(dict.fromkeys(row["condition"] for row in rows))
    names = names_of(rows)
    looks = lines_for(list(names))
    with picture_file(path, 3.4 * len(conditions) + 0.4, 4.2) as figure:
        panels = figure.subplots(1, len(conditions), sharey=True, squeeze=False)[0]
        for axes, condition in zip(panels, conditions, strict=True):
            own = [row for row in rows if row["condition"] == condition]
            for name, words in names.items():
                found = ratios(own, name, DRAWN)
                values = [estimate.value for estimate in found.values()]
                look = looks[name]
                dashes = (0, look.dashes) if look.dashes else "-"
                axes.plot(list(found), values, label=words, color=look.colour, linestyle=dashes, marker="o",
                          markersize=3.5, linewidth=1.6)  # fmt: skip
            axes.axhline(1.0, color="#6e6e6e", linewidth=0.8, linestyle=(0, (5, 2)))
            axes.set(xscale="log", yscale="log", title=condition, xlabel="runs on the task")
            axes.set_xticks(DRAWN, [str(count) for count in DRAWN])
            axes.set_xticks([], minor=True)
        ends = panels[0].get_ylim()
        ticks = [
            tick for tick in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.2, 1.5, 2.0, 3.0, 4.0) if ends[0] <= tick <= ends[1]
        ]
        panels[0].set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        panels[0].set_yticks([], minor=True)
        panels[0].set_ylabel("best run so far / one run of tuned-decay")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, [label.replace("`", "") for label in labels], loc="outside lower center", ncols=4,
                      columnspacing=1.2, frameon=False, fontsize=6.8, handlelength=1.6)  # fmt: skip
    return path
