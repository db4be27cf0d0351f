"""Runs the checks: ``python -m metagan_rl.experiments.studies.rl_libraries``.

Whatever is importable is run. Rows of earlier runs stay unless the check was run again, so that libraries which cannot
be installed side by side are run one after the other, each from an environment of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metagan_rl.experiments.benchmark.records import ROWS, append_lines, read_lines
from metagan_rl.experiments.studies import command
from metagan_rl.experiments.studies.command import check_names, show_line
from metagan_rl.experiments.studies.full_form import RESULTS
from metagan_rl.experiments.studies.pictures import filled
from metagan_rl.experiments.studies.rl_libraries import commands, trainings
from metagan_rl.experiments.studies.rl_libraries.check import ABSENT, FAILED, run_check
from metagan_rl.files import make_directory, write_whole

CHECKS = (*trainings.CHECKS, *commands.CHECKS)
PAGE = Path("docs/suite.md")


@dataclass(frozen=True)
class Libraries:
    """Libraries of reinforcement learning on our environments."""

    only: tuple[str, ...] = ()
    """Libraries to run; all by default."""
    cleanrl: Path | None = None
    """Checkout of CleanRL."""
    stable_baselines3: Path | None = None
    """Checkout of Stable-Baselines3, for its tests, which are in no package."""
    out: Path = RESULTS / "rl-libraries"
    """Directory for the rows."""


def merged(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row for each check, in order. What could not be run now keeps the row that it had."""
    found: dict[tuple[str, str], dict[str, Any]] = {(row["library"], row["what"]): dict(row) for row in old}
    for row in new:
        if row["outcome"] != ABSENT:
            found[row["library"], row["what"]] = dict(row)
        else:
            found.setdefault((row["library"], row["what"]), dict(row))
    order = [(check.library, check.what) for check in CHECKS]
    return [found[key] for key in order if key in found]


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as Markdown."""
    lines = ["| library | what ran | ids | outcome |", "|---|---|---|---|"]
    for row in rows:
        ids = ", ".join(f"`{name}`" for name in row["ids"])
        library = f"{row['library']} {row['version']}" if "version" in row else row["library"]
        lines.append(f"| {library} | {row['what']} | {ids} | {row['outcome']}: {row['detail']} |")
    return "\n".join(lines)


def study(options: Libraries) -> None:
    """Runs what can be run, writes the rows, and fills the page's table.

    Raises:
        UnknownNameError: there is no check of a library that was named.
    """
    libraries = {check.library for check in CHECKS}
    check_names("library", options.only, libraries)
    given = {"cleanrl": options.cleanrl, "stable-baselines3": options.stable_baselines3}
    checkouts = {name: path.resolve() for name, path in given.items() if path is not None}
    new = []
    for check in CHECKS:
        if not options.only or check.library in options.only:
            row = run_check(check, checkouts)
            show_line(f"{row['outcome']:<14}{check.name}  ({row['detail']})")
            new.append(row)
    rows = merged(read_lines(options.out / ROWS), new)
    (make_directory(options.out) / ROWS).unlink(missing_ok=True)
    append_lines(options.out / ROWS, rows)
    if options.out == RESULTS / "rl-libraries" and PAGE.is_file():
        write_whole(PAGE, filled(PAGE.read_text(encoding="utf-8"), [table(rows)]))
    if any(row["outcome"] == FAILED for row in new):
        raise SystemExit(1)


if __name__ == "__main__":
    command.run_command(Libraries, study)
