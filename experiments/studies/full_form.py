"""What the benchmark's full form came to, from the committed rows: the README's table and ``docs/standing.png``."""

import csv
from pathlib import Path

from metagan_rl.experiments.benchmark.records import read_config, read_rows
from metagan_rl.experiments.benchmark.references import load_references
from metagan_rl.experiments.report.ranking import rank
from metagan_rl.experiments.report.tables import amount, fixed, markdown_table
from metagan_rl.experiments.studies.command import picture_file

RESULTS = Path(__file__).parent.parent / "results"
FULL = "full"
"""The benchmark's full form, in ``RESULTS``."""
LOWEST_SHOWN = -0.8
TIER_MARKS = {
    "known-family": ("#0072b2", "s"),
    "held-out-family": ("#56b4e9", "D"),
    "other-network": ("#d55e00", "^"),
    "other-budget": ("#e69f00", "v"),
    "real": ("#009e73", "P"),
}
SHOWN = (
    "default", "without-quality", "oracle", "identified-rule", "rule", "tuned-decay-no-momentum", "tuned-decay",
    "tuned-constant", "pbt", "dqn", "recurrent-ppo", "ppo", "loop", "r3gan", "fsco", "ada", "constant", "gap-aware",
    "ucb", "autoloss", "random-constant",
)  # fmt: skip
"""Schedulers in the table: the first ones, one of each further kind, and what is below all."""
COLUMNS = (
    ("known", "planar", "known-family"),
    ("held-out", "planar", "held-out-family"),
    ("other networks", "planar-mixed", "other-network"),
    ("half the budget", "planar-mixed", "other-budget"),
    ("tables (4)", "tabular", "real"),
    ("digits (1)", "digits", "real"),
)
"""Heading, suite and tag of each column of distances."""


def table() -> str:
    """Score, trials it is worth, distance by tier and cost, a row for each of ``SHOWN``, in Markdown."""
    summary = _read("summary.csv")
    whole = {row["scheduler"]: row for row in summary if row["suite"] == "all"}
    distances = {(row["suite"], row["tag"], row["scheduler"]): float(row["distance"]) for row in summary}
    worth = {row["scheduler"]: row for row in _read("promises.csv") if row["quantity"] == "worth in trials"}
    most = max(float(row["x"]) for row in _read("promises.csv") if row["scheduler"] == "random search")
    headings = ["scheduler", "score", "worth trials", *(heading for heading, _, _ in COLUMNS), "cost"]
    rows = []
    for name in sorted((name for name in SHOWN if name in whole), key=lambda name: -float(whole[name]["score"])):
        row = whole[name]
        value, low, high = (fixed(float(row[f"score_over_tasks{end}"])) for end in ("", "_low", "_high"))
        cells = [
            name,
            f"{value} [{low}, {high}]",
            "" if name == "oracle" or name not in worth else _trials(worth[name], most),
        ]
        cells += [f"{distances[suite, tag, name]:.2f}" for _, suite, tag in COLUMNS]
        rows.append([*cells, _cost(row)])
    return markdown_table(headings, rows) + "\n"


def _read(name: str) -> list[dict[str, str]]:
    with (RESULTS / FULL / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _trials(row: dict[str, str], most: float) -> str:
    value, low, high = (float(row[name]) for name in ("value", "low", "high"))
    if value == float("inf"):
        return f"over {most:.0f}" + ("" if low == float("inf") else f" (at least {low:.0f})")
    return f"{value:.1f} ({low:.0f} to {high:.0f})"


def _cost(row: dict[str, str]) -> str:
    """Updates spent beforehand, and runs on each task besides the one that is judged."""
    tuning, runs = float(row["tuning_updates"]), float(row["extra_updates"])
    beforehand = amount(tuning) if tuning else ""
    return beforehand if not runs else f"{beforehand} {amount(runs)} a run".strip()


def picture(out: Path) -> Path:
    """``standing.png``: the full form's scores by tier, a row for each scheduler; the best first."""
    config = read_config(RESULTS / FULL)
    known = [load_references(entry["suite"], entry["split"]) for entry in config["suites"]]
    ranking = rank(read_rows(RESULTS / FULL), known)
    standings = [each for each in ranking.standings if each.score.value > LOWEST_SHOWN]
    path = out / "standing.png"
    with picture_file(path, 7.2, 0.21 * len(standings) + 1.1) as figure:
        axes = figure.add_subplot()
        for value in (0, 1):
            axes.axvline(value, color="#bdbdbd", linewidth=0.9)
        for row, each in enumerate(standings):
            score = each.score_over_tasks
            axes.plot([score.low, score.high], [row, row], color="#222222", linewidth=1.2, zorder=2)
            axes.plot(score.value, row, "o", color="#222222", markersize=5, zorder=3)
            for tag, tier in each.tiers.items():
                colour, marker = TIER_MARKS[tag]
                axes.plot(max(tier.value, LOWEST_SHOWN), row, marker, color=colour, markersize=4.5, alpha=0.85)
        axes.plot([], [], "o-", color="#222222", label="all, 95 % over tasks")
        for tag in ranking.tiers:
            axes.plot([], [], TIER_MARKS[tag][1], color=TIER_MARKS[tag][0], label=tag)
        axes.set_yticks(range(len(standings)), [each.scheduler for each in standings], fontsize=8)
        highest = max(max(each.score_over_tasks.high, *(t.value for t in each.tiers.values())) for each in standings)
        axes.set(ylim=(len(standings) - 0.5, -0.5), xlim=(LOWEST_SHOWN, highest + 0.05))
        axes.set_xlabel("score: 0 untuned (median random constant), 1 best schedule found for the very task")
        figure.legend(loc="outside upper center", ncols=6, frameon=False, fontsize=7.5, handlelength=1.2)
    return path
