"""Tables in words: numbers as readers want them, the summaries in CSV and Markdown."""

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from metagan_rl.experiments.statistics import Estimate
from metagan_rl.experiments.summary import Group

NARROWEST, WIDEST = 2.2, 5.0
"""The scale of ratios reaches at least 1/2.2 or 2.2 and at most 1/5 or 5; what lies beyond is put at its end."""
UNKNOWN = "\N{EN DASH}"


def number(value: float | None) -> str:
    """Three significant digits, or a dash for what is not known."""
    if value is None or not np.isfinite(value):
        return UNKNOWN
    return f"{value:#.3g}".removesuffix(".") if value else "0"


def percent(value: float | None) -> str:
    """A share in whole per cent."""
    return UNKNOWN if value is None or not np.isfinite(value) else f"{100 * value:.0f} %"


def interval(estimate: Estimate) -> str:
    """The interval of an estimate, in brackets."""
    return f"[{number(estimate.low)}, {number(estimate.high)}]" if np.isfinite(estimate.low) else ""


def percents(estimate: Estimate) -> str:
    """The interval of a share, in brackets."""
    return f"[{100 * estimate.low:.0f}, {100 * estimate.high:.0f}]" if np.isfinite(estimate.low) else ""


def whiskers(group: Group) -> dict[str, Any]:
    """Ratios to the reference on one logarithmic scale, as positions from 0 to 100.

    Returns:
        ``ticks``: labels and positions; ``entries``: position of low end, value and high end by scheduler.
    """
    ratios = {entry.scheduler: entry.ratio for entry in group.entries if np.isfinite(entry.ratio.value)}
    every = [end for ratio in ratios.values() for end in (ratio.low, ratio.value, ratio.high) if np.isfinite(end)]
    low = np.log(np.clip(min([1.0, *every]) / 1.08, 1 / WIDEST, 1 / NARROWEST))
    high = np.log(np.clip(max([1.0, *every]) * 1.08, NARROWEST, WIDEST))

    def at(value: float) -> float:
        return round(float(np.clip(100 * (np.log(value) - low) / (high - low), 0, 100)), 2)

    ticks = [(f"{tick:g}", at(tick)) for tick in (0.25, 0.5, 1, 2, 4) if low < np.log(tick) < high]
    ends = {name: [at(v) if np.isfinite(v) else None for v in (r.low, r.value, r.high)] for name, r in ratios.items()}
    return {"ticks": ticks, "entries": ends}


def shade(value: float, reference: float) -> str:
    """Background of a table's cell: blue for better than the reference, orange for worse, full at a factor of 2.5."""
    if not (np.isfinite(value) and np.isfinite(reference)):
        return "transparent"
    strength = np.log(reference / value) / np.log(2.5)
    return f"rgba({'0,114,178' if strength > 0 else '230,120,0'},{0.42 * min(1.0, abs(strength)):.2f})"


def as_csv(groups: Sequence[Group]) -> str:
    """All entries with all their numbers, one a line; what is not known is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    estimates = ("distance", "ratio", "wins")
    ends = [name + end for name in estimates for end in ("", "_low", "_high")]
    means = list(dict.fromkeys(name for group in groups for entry in group.entries for name in entry.means))
    writer.writerow(
        ["suite", "split", "tag", "scheduler", "tasks", "seeds", "runs", "failed", *ends, "diverged", *means]
    )
    for group in groups:
        for entry in group.entries:
            row: list[Any] = [group.suite, group.split, group.tag, entry.scheduler]
            row += [entry.tasks, entry.seeds, entry.runs, entry.failed]
            for name in estimates:
                estimate = getattr(entry, name)
                row += [_plain(estimate.value), _plain(estimate.low), _plain(estimate.high)]
            row += [_plain(entry.diverged), *(_plain(entry.means.get(name, float("nan"))) for name in means)]
            writer.writerow(row)
    return text.getvalue()


def _plain(value: float) -> str:
    return f"{value:.6g}" if np.isfinite(value) else ""


def as_markdown(groups: Sequence[Group], commands: Sequence[str]) -> str:
    """The headline tables; ``commands`` say how the benchmark was called."""

    def safe(text: object) -> str:
        return str(text).replace("|", "\\|").replace("\n", " ")

    parts = ["# Benchmark of GAN training schedules", *(f"`{line}`" for line in commands or ["run_benchmark"])]
    if not groups:
        parts.append("No run has finished yet.")
    for group in groups:
        reference = safe(group.reference)
        columns = (
            f"scheduler | distance | 95 % | ratio to {reference} | 95 % | wins | 95 % | diverged | precision | coverage"
        )
        table = [
            f"| {columns} | runs |",
            "|---|--:|:--|--:|:--|--:|:--|--:|--:|--:|--:|",
        ]
        for entry in group.entries:
            name = f"**{safe(entry.scheduler)}**" if entry.best else safe(entry.scheduler)
            cells = [name, number(entry.distance.value), interval(entry.distance)]
            cells += [number(entry.ratio.value), interval(entry.ratio), percent(entry.wins.value), percents(entry.wins)]
            cells += [
                percent(entry.diverged),
                number(entry.means.get("precision")),
                number(entry.means.get("coverage")),
            ]
            table.append("| " + " | ".join([*cells, f"{entry.tasks} x {entry.seeds}"]) + " |")
        dashes = " | " * 9
        table.append(f"| *real against real (floor)* | {number(group.floor)}{dashes}|")
        table.append(f"| *untrained (start)* | {number(group.start)}{dashes}|")
        parts += [f"## {safe(group.name)}", "\n".join(table)]
    parts.append(
        "Distance = sliced Wasserstein + 1 - F(precision, coverage), geometric mean over tasks, lower is better. "
        "Bold: lower than the next best, with a 95 % interval of the paired ratio that excludes 1. "
        "Intervals are over tasks: bootstrap, or Student's where there are fewer than 8. Runs: tasks x seeds."
    )
    return "\n\n".join(parts) + "\n"
