"""What ``docs/transfer.md`` shows, made from committed files: the tables, and the rule as lines to copy."""

from metagan_rl.agents.searches.rule import FACTS, NUMBERS, USUAL, shipped_rule
from metagan_rl.experiments.benchmark.records import read_lines
from metagan_rl.experiments.studies.full_form import RESULTS
from metagan_rl.experiments.studies.transfer.conditions import OWN_LOOPS
from metagan_rl.experiments.studies.transfer.room_table import room_table
from metagan_rl.experiments.studies.transfer.table import REFERENCE, courses, table

SHOWN = (REFERENCE, "tuned-decay-no-momentum", "rule", "identified-rule", "default", "without-quality", "on-top")
TOLD = (
    "as trained", "G's rate x8, hidden", "D's rate x8, hidden", "both rates /8, hidden", "G's rate jumps x15",
)  # fmt: skip
"""Conditions whose course is shown."""
TRAININGS = (REFERENCE, "default", "default-1", "default-2")
"""The shipped policy, and two more trainings of it with other seeds."""
OWN = ("users-own", "users-own-checked", "on-top")
WORDS = {
    "budget": "log(budget / 3072)",
    "batch": "log(batch / 128)",
    "size": "log(weights / 10000) / 3",
    "columns": "log(columns / 2) / 3",
    "momentum": "-log(1 - beta1) / 2",
    "rows": "log(rows / 4096) / 3",
}
"""The formulas of the facts, as :mod:`metagan_rl.loop.signals` has them."""


def tables() -> list[str]:
    """The parts of the page, in order."""
    rows = [row for row in read_lines(RESULTS / "transfer" / "rows.jsonl") if row["split"] == "test"]
    own = [row for row in rows if row["condition"].startswith(OWN_LOOPS)]
    others = [row for row in rows if not row["condition"].startswith(OWN_LOOPS)]
    trained = {row["condition"] for row in others if row["scheduler"] == TRAININGS[-1]}
    oracle = read_lines(RESULTS / "transfer" / "oracle.jsonl")
    return [
        table(others, SHOWN),
        table(own, OWN, OWN[0]),
        room_table(oracle, others, SHOWN[2:]),
        courses(others, "default", "rule", TOLD),
        table([row for row in others if row["condition"] in trained], TRAININGS),
        rule_lines(),
    ]


def rule_lines() -> str:
    """The rule as lines of plain arithmetic."""
    known = zip(FACTS, USUAL.tolist(), strict=True)
    lines = [
        "```text",
        "; ".join(f"{name} = {WORDS[name]}" + (f" - {usual:g}" if usual else "") for name, usual in known),
    ]
    for name in NUMBERS:
        first, *rest = getattr(shipped_rule().formula, name)
        sides = [f"{first:.2f}", *(f"{number:+.2f} {fact}" for number, fact in zip(rest, FACTS, strict=True))]
        left = name if name == "hold" else f"log {name}"
        lines.append(f"{left} = {' '.join(sides).replace('+', '+ ').replace(' -', ' - ')}")
    return "\n".join([*lines, "```"])
