"""Tables as text: numbers as readers want them, and the summaries in CSV and Markdown."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from typing import Any

import numpy as np

from metagan_rl.experiments.benchmark.references import LEAST_ROOM
from metagan_rl.experiments.report.ranking import BASELINE, Ranking, Standing
from metagan_rl.experiments.report.statistics import Estimate
from metagan_rl.experiments.report.summary import Group

NARROWEST, WIDEST = 2.2, 5.0
"""The scale of ratios reaches at least to 1/2.2 or 2.2, and at most to 1/5 or 5. Values beyond are put at its end."""
DASH = "\N{EN DASH}"
"""Stands for an unknown value."""


def number(value: float | None) -> str:
    """A number with three significant digits, or a dash if it is unknown."""
    if value is None or not np.isfinite(value):
        return DASH
    return f"{value:#.3g}".removesuffix(".") if value else "0"


def percent(value: float | None) -> str:
    """A share in whole per cent."""
    return DASH if value is None or not np.isfinite(value) else f"{100 * value:.0f} %"


def interval(estimate: Estimate) -> str:
    """The interval of an estimate, in brackets."""
    return f"[{number(estimate.low)}, {number(estimate.high)}]" if np.isfinite(estimate.low) else ""


def brief(estimate: Estimate) -> str:
    """An estimate and its interval, if it has one."""
    return f"{estimate.value:.3g}" + (
        f" [{estimate.low:.3g}, {estimate.high:.3g}]" if np.isfinite(estimate.low) else ""
    )


def percents(estimate: Estimate) -> str:
    """The interval of a share, in brackets."""
    return f"[{100 * estimate.low:.0f}, {100 * estimate.high:.0f}]" if np.isfinite(estimate.low) else ""


def fixed(value: float | None) -> str:
    """A score with two decimals, or a dash if it is unknown."""
    if value is None or not np.isfinite(value):
        return DASH
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}").replace("\N{MINUS SIGN}0.00", "0.00")


def fixed_interval(estimate: Estimate) -> str:
    """The interval of a score, in brackets."""
    return f"[{fixed(estimate.low)}, {fixed(estimate.high)}]" if np.isfinite(estimate.low) else ""


def amount(value: float | None) -> str:
    """A number of updates, such as "3.1 k" for 3072 and "20 M" for 20 million."""
    if value is None or not np.isfinite(value):
        return DASH
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size * 0.9995:
            return f"{value / size:.2g}{unit}" if value < 9.95 * size else f"{value / size:.0f}{unit}"
    return f"{value:.0f}"


def whiskers(ratios: Mapping[str, Estimate]) -> dict[str, Any]:
    """Ratios on one logarithmic scale, as positions from 0 to 100.

    Args:
        ratios: by scheduler; unknown ones are left out.

    Returns:
        ``ticks`` with labels and positions, and ``entries`` with the positions of low end, value and high end by
        scheduler.
    """
    ratios = {name: ratio for name, ratio in ratios.items() if np.isfinite(ratio.value)}
    every = [end for ratio in ratios.values() for end in (ratio.low, ratio.value, ratio.high) if np.isfinite(end)]
    low = np.log(np.clip(min([1.0, *every]) / 1.08, 1 / WIDEST, 1 / NARROWEST))
    high = np.log(np.clip(max([1.0, *every]) * 1.08, NARROWEST, WIDEST))

    def at(value: float) -> float:
        return round(float(np.clip(100 * (np.log(value) - low) / (high - low), 0, 100)), 2)

    ticks = [(f"{tick:g}", at(tick)) for tick in (0.25, 0.5, 1, 2, 4) if low < np.log(tick) < high]
    ends = {name: [at(v) if np.isfinite(v) else None for v in (r.low, r.value, r.high)] for name, r in ratios.items()}
    return {"ticks": ticks, "entries": ends}


def shade(value: float, yardstick: float) -> str:
    """A cell's background: blue if better than the yardstick, orange if worse, full colour at a factor of 2.5."""
    if not (np.isfinite(value) and np.isfinite(yardstick)):
        return "transparent"
    strength = np.log(yardstick / value) / np.log(2.5)
    return f"rgba({'0,114,178' if strength > 0 else '230,120,0'},{0.42 * min(1.0, abs(strength)):.2f})"


def markdown_table(headings: Sequence[object], rows: Iterable[Sequence[object]], aligned: Sequence[str] = ()) -> str:
    """A table in Markdown.

    Args:
        headings: headings of its columns.
        rows: its cells; text from outside must be made :func:`safe` first.
        aligned: ``"---"``, ``":--"`` or ``"--:"`` for each column; by default names are left and the rest right.
    """
    aligned = aligned or ["---", *["--:"] * (len(headings) - 1)]
    lines = ["| " + " | ".join(str(cell) for cell in line) + " |" for line in (headings, *rows)]
    return "\n".join([lines[0], "|" + "|".join(aligned) + "|", *lines[1:]])


def safe(text: object) -> str:
    """Makes a name from outside a Markdown cell or heading that cannot start a column, line, tag or code."""
    return re.sub(r"([|`<>&\\])", _escaped, str(text)).replace("\n", " ")


def _escaped(found: re.Match[str]) -> str:
    return {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(found[1], "\\" + found[1])


ESTIMATES = ("distance", "ratio", "wins")
OVERALL = (
    "score", "score_over_tasks", "improvement", "optimality_gap", "low_score", "diverged", "modes_lost", "vanished",
)  # fmt: skip
EVERYTHING = "all"


def as_csv(groups: Sequence[Group], ranking: Ranking) -> str:
    """All numbers, with a line for each scheduler overall (``all``) and in each group; unknown ones are empty."""
    means = list(dict.fromkeys(name for group in groups for entry in group.entries for name in entry.means))
    ends = ("", "_low", "_high")
    columns = ["suite", "split", "tag", "scheduler", "tasks", "seeds", "runs", "failed"]
    columns += [name + end for name in ESTIMATES for end in ends] + ["diverged"]
    further = ["scored", *(name + end for name in OVERALL for end in ends if name + end != "diverged")]
    further += [f"{kind}_{tag}{end}" for kind in ("score", "gap") for tag in ranking.tiers for end in ends]
    further += ["tuning_updates", "extra_updates"]
    taken = {*columns, *further}
    headings = {name: f"metric_{name}" if name in taken else name for name in means}  # a user may call a metric "score"
    columns += [*headings.values(), *further]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", restval="")
    writer.writeheader()
    for standing in ranking.standings:
        writer.writerow(_overall(standing))
    for group in groups:
        for entry in group.entries:
            row: dict[str, Any] = {"suite": group.suite, "split": group.split, "tag": group.tag}
            row |= {name: getattr(entry, name) for name in columns[3:8]}
            for name in ESTIMATES:
                row |= _spread(name, getattr(entry, name))
            row |= {"diverged": _plain(entry.diverged)}
            row |= {headings[name]: _plain(value) for name, value in entry.means.items()}
            writer.writerow(row)
    return text.getvalue()


def _overall(standing: Standing) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(("suite", "split", "tag"), EVERYTHING)
    row |= {name: getattr(standing, name) for name in ("scheduler", "tasks", "seeds", "runs", "failed", "scored")}
    for name in ("distance", *OVERALL):
        row |= _spread(name, getattr(standing, name))
    for kind, values in (("score", standing.tiers), ("gap", standing.gaps)):
        for tag, estimate in values.items():
            row |= _spread(f"{kind}_{tag}", estimate)
    return row | {name: _plain(getattr(standing, name)) for name in ("tuning_updates", "extra_updates")}


def _spread(name: str, estimate: Estimate) -> dict[str, str]:
    return {name + end: _plain(value) for end, value in zip(("", "_low", "_high"), astuple(estimate), strict=True)}


def _plain(value: float) -> str:
    return f"{value:.6g}" if np.isfinite(value) else ""


def as_markdown(groups: Sequence[Group], ranking: Ranking, conclusion: str, commands: Sequence[str]) -> str:
    """The conclusion, the ranking and the headline tables; ``commands`` say how the benchmark was called."""
    parts = [
        "# Benchmark of GAN training schedules",
        *("`{}`".format(line.replace("`", "'")) for line in commands or ["run_benchmark"]),
    ]
    if not groups:
        parts.append("No run has finished yet.")
    else:
        parts += [f"**{safe(conclusion)}**", *_ranking(ranking)]
    parts += [part for group in groups for part in (f"## {safe(group.name)}", _group_table(group))]
    parts.append(
        "Distance = sliced Wasserstein + 1 - F(precision, coverage), geometric mean over tasks, lower is better. "
        "Bold: lower than the next best, with a 95 % interval of the paired ratio that excludes 1. "
        "Intervals are over tasks: bootstrap, or Student's where there are fewer than 8. Runs: tasks x seeds."
    )
    return "\n\n".join(parts) + "\n"


def _group_table(group: Group) -> str:
    headings = [
        "scheduler",
        "distance",
        "95 %",
        f"ratio to {safe(group.yardstick)}",
        "95 %",
        "wins",
        "95 %",
        "diverged",
    ]
    headings += ["precision", "coverage", "runs"]
    rows = []
    for entry in group.entries:
        name = f"**{safe(entry.scheduler)}**" if entry.best else safe(entry.scheduler)
        cells = [name, number(entry.distance.value), interval(entry.distance)]
        cells += [number(entry.ratio.value), interval(entry.ratio), percent(entry.wins.value), percents(entry.wins)]
        cells += [percent(entry.diverged), number(entry.means.get("precision")), number(entry.means.get("coverage"))]
        rows.append([*cells, f"{entry.tasks} x {entry.seeds}"])
    nothing = [""] * 9
    rows += [["*real against real (floor)*", number(group.floor), *nothing]]
    rows += [["*untrained (start)*", number(group.start), *nothing]]
    return markdown_table(headings, rows, ["---", *["--:", ":--"] * 3, *["--:"] * 4])


def _ranking(ranking: Ranking) -> list[str]:
    """The table over all groups, and the explanation of its columns."""
    headings = ["scheduler", "score", "95 % other seeds", "95 % other tasks", *map(safe, ranking.tiers)]
    headings += [f"P(better than {BASELINE})", "95 %", "optimality gap", "20th percentile"]
    headings += ["distance", "diverged", "modes lost", "vanishing", "tuned with", "extra a run", "runs"]
    aligned = ["---", "--:", ":--", ":--", *["--:"] * len(ranking.tiers), "--:", ":--", *["--:"] * 9]
    rows = []
    for standing in ranking.standings:
        cells = [safe(standing.scheduler) + (" *(apart)*" if standing.apart else ""), fixed(standing.score.value)]
        cells += [fixed_interval(standing.score), fixed_interval(standing.score_over_tasks)]
        cells += [fixed(standing.tiers[tag].value if tag in standing.tiers else None) for tag in ranking.tiers]
        cells += [percent(standing.improvement.value), percents(standing.improvement)]
        cells += [fixed(standing.optimality_gap.value), fixed(standing.low_score.value)]
        cells.append(number(standing.distance.value))
        cells += [percent(each.value) for each in (standing.diverged, standing.modes_lost, standing.vanished)]
        cells += [amount(standing.tuning_updates), amount(standing.extra_updates)]
        rows.append([*cells, f"{standing.tasks} x {standing.seeds}"])
    return ["## Ranking", markdown_table(headings, rows, aligned), what_ranking_shows(ranking)]


def _apart(ranking: Ranking) -> str:
    """Which tasks the ranked schedulers are compared on, and who is listed apart; nothing if all have all tasks."""
    told = ""
    if 0 < ranking.common < ranking.tasks:
        told += (
            f"Ranked schedulers are compared on the {ranking.common} of {ranking.tasks} tasks that all of them have. "
        )
    apart = [f"{safe(each.scheduler)} ({each.tasks} tasks)" for each in ranking.standings if each.apart]
    if apart:
        told += (
            f"Listed apart, below, and not to be compared with the ranked: {', '.join(apart)}. They lack tasks that "
            "the ranked have. "
        )
    return told


def what_ranking_shows(ranking: Ranking) -> str:
    """Explains the columns of the ranking, and says which tasks it covers."""
    told = "There are no scores, because these tasks have no references. Lowest distance first. "
    if ranking.scored:
        told = (
            "Score of a run: (log untuned - log d) / (log untuned - log oracle). 0 is the median random constant, 1 "
            "is the best schedule found for that very task. The score of a scheduler is the interquartile mean over "
            "its runs. The first interval is for other seeds on these tasks (stratified bootstrap; empty with one "
            "seed a task), the second for other tasks of the same kind. Optimality gap: mean of 1 - score, with "
            "scores cut off at -1 and 1. "
            f"{ranking.scored} of {ranking.tasks} tasks have a score"
        )
        if ranking.narrow:
            told += f"; {ranking.narrow} left out because tuning gains almost nothing (untuned / oracle below "
            told += f"{LEAST_ROOM:g})"
        if ranking.unreferenced:
            told += f"; {ranking.unreferenced} without references"
        told += ". "
    told += _apart(ranking)
    if ranking.baseline:
        told += (
            f"P(better): how often a run ends at a smaller distance than a run of {BASELINE} on the same task; ties "
            "count half. "
        )
    return told + (
        "Distance: geometric mean over all tasks. Modes lost and vanishing: shares of the runs that did not diverge. "
        "Tuned with: GAN updates spent once. Extra a run: GAN updates spent on each run besides its own. A dash "
        "means unknown."
    )
