"""The scoreboard, ``docs/scoreboard.md``, from committed rows: ``python -m metagan_rl.experiments.studies.scoreboard``.

Rows are those that ``metagan-rl evaluate --out`` adds, and the evaluations of the study of learning curves. Agents of
one environment are ordered by the GAN updates that were spent to make them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metagan_rl.experiments.benchmark.records import ROWS, read_lines
from metagan_rl.experiments.studies import learning_curves
from metagan_rl.experiments.studies.full_form import RESULTS
from metagan_rl.experiments.studies.pictures import filled
from metagan_rl.files import write_whole

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scoreboard.md"
ENTRIES, CURVES = RESULTS / "scoreboard" / ROWS, RESULTS / "learning-curves" / ROWS
REQUIRED = ("agent", "env", "budget", "tasks", "runs", "return", "score", "diverged")


def problem_of(env_id: str) -> str:
    """The environment without the kind of its actions: ``MetaGAN/Ring8-Box-v2`` is an id of ``MetaGAN/Ring8-v2``."""
    for kind in ("-Levels", "-Moves", "-Box"):
        env_id = env_id.replace(kind, "")
    return env_id


def entries() -> list[dict[str, Any]]:
    """All rows, those of one training under several seeds joined into one."""
    found = read_lines(ENTRIES, REQUIRED)
    groups: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
    for row in read_lines(CURVES):
        if row["kind"] == "evaluation":
            groups.setdefault((row["algorithm"], row["env"], row["steps"]), []).append(row)
    for (algorithm, env_id, _), rows in groups.items():
        latest = list({row["seed"]: row for row in rows}.values())
        tests = [row["test"] for row in latest]
        mean = {name: float(np.mean([test[name] for test in tests])) for name in ("return", "score", "diverged")}
        spread = [test["score"] for test in tests]
        error = float(np.std(spread, ddof=1) / len(spread) ** 0.5) if len(spread) > 1 else tests[0]["score_error"]
        note = f"stock settings, {len(tests)} {'seed' if len(tests) == 1 else 'seeds'}"
        about = {"agent": algorithm, "env": env_id, "note": note, "budget": latest[0]["budget"]}
        found.append({**about, **mean, "score_error": error, "tasks": tests[0]["tasks"], "runs": tests[0]["runs"]})
    return found


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """One environment's rows as Markdown, by budget, then by score."""
    lines = [
        "| GAN updates to make it | agent | id | test tasks x runs | mean return | score | diverged |",
        "|--:|---|---|--:|--:|--:|--:|",
    ]
    for row in sorted(rows, key=lambda row: (row["budget"] is None, row["budget"] or 0, -row["score"])):
        budget = "not told" if row["budget"] is None else f"{row['budget']:,}"
        agent = f"`{row['agent']}`" + (f" ({row['note']})" if row.get("note") else "")
        error = "" if row.get("score_error") is None else f" ± {row['score_error']:.3f}"
        name = row["env"].removeprefix("MetaGAN/")
        numbers = f"{row['tasks']} x {row['runs']} | {row['return']:.2f} | {row['score']:.3f}{error}"
        lines.append(f"| {budget} | {agent} | `{name}` | {numbers} | {row['diverged']:.0%} |")
    return "\n".join(lines)


def boards() -> str:
    """All tables, one below the other, each under its environment's name."""
    problems: dict[str, list[dict[str, Any]]] = {}
    for row in entries():
        problems.setdefault(problem_of(row["env"]), []).append(row)
    return "\n\n".join(f"### {name}\n\n{table(rows)}" for name, rows in sorted(problems.items()))


def curves(rows: Sequence[Mapping[str, Any]]) -> str:
    """Mean return of training episodes over the steps of the trainings, as Markdown; the latest of each training."""
    latest: dict[tuple[Any, ...], dict[int, float]] = {}
    ended = learning_curves.finished(rows)
    for row in rows:
        if row["kind"] == "part" and learning_curves.key_of(row) in ended and row["return"] is not None:
            latest.setdefault(learning_curves.key_of(row), {})[row["step"]] = row["return"]
    groups: dict[tuple[str, str, int], list[dict[int, float]]] = {}
    for (environment, algorithm, _, steps), values in latest.items():
        groups.setdefault((environment, algorithm, steps), []).append(values)
    lines = ["| environment | algorithm | seeds | steps | first quarter | half | three quarters | last quarter |"]
    lines.append("|---|---|--:|--:|--:|--:|--:|--:|")
    for (environment, algorithm, steps), many in sorted(groups.items()):
        parts: list[list[float]] = [[], [], [], []]
        for values in many:
            for step, value in values.items():
                parts[min(3, max(0, (4 * step - 1) // steps))].append(value)
        means = " | ".join(f"{np.mean(part):.2f}" if part else "-" for part in parts)
        lines.append(f"| {environment} | `{algorithm}` | {len(many)} | {steps:,} | {means} |")
    return "\n".join(lines)


def page() -> str:
    """The page with its tables as the rows have them; prose stays as it is."""
    return filled(PAGE.read_text(encoding="utf-8"), [boards(), curves(read_lines(CURVES))])


def main() -> None:
    """Writes the page."""
    write_whole(PAGE, page())
    print(PAGE)


if __name__ == "__main__":
    main()
