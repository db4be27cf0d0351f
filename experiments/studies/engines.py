"""Whether both engines give the same statistics: ``python -m metagan_rl.experiments.studies.engines --out DIR``.

The same schedulers run on the same tasks with the same seeds, once by the native engine and once by torch. Training is
chaotic, so one pair of runs differs. Over many tasks the ratio of their distances must be 1 within its interval.

Each engine has its benchmark folder in ``DIR``, and a study that was stopped goes on where it was. ``summary.md`` holds
the table. It is also made again from the rows if nothing is missing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from metagan_rl.experiments.benchmark import BenchmarkConfig, run_benchmark
from metagan_rl.experiments.benchmark.records import read_rows
from metagan_rl.experiments.benchmark.row import Cell, Row
from metagan_rl.experiments.report.statistics import geometric, paired_ratio
from metagan_rl.experiments.report.tables import brief
from metagan_rl.experiments.studies.command import called_as, run_command, show_line
from metagan_rl.files import write_whole

ENGINES = ("native", "torch")


@dataclass
class Engines:
    """Options of the comparison."""

    out: Path = Path("runs/engines")
    """Directory for both benchmarks and the table."""
    suite: str = "planar"
    """Suite; its validation split is used."""
    schedulers: str = "constant,cosine,tuned-decay"
    """Names, separated by commas."""
    tasks: int | None = None
    """Use at most this many tasks of each family and kind."""
    seeds: int = 2
    """GAN runs for each task and scheduler."""


def compare(options: Engines) -> None:
    """Runs what is missing and writes the table."""
    command = called_as("engines")
    names = tuple(options.schedulers.split(","))
    rows = {}
    for engine in ENGINES:
        config = BenchmarkConfig(options.suite, "val", names, seeds=options.seeds, tasks=options.tasks, engine=engine)
        run_benchmark([config], options.out / engine, command=command, show=show_line)
        rows[engine] = read_rows(options.out / engine)
    table = as_markdown(rows, names, command)
    write_whole(options.out / "summary.md", table)
    show_line(table)


def as_markdown(rows: Mapping[str, Sequence[Row]], schedulers: Sequence[str], command: str) -> str:
    """The table: each scheduler's mean distance by both engines, and their paired ratio with its 95 % interval."""
    lines = [
        f"Made by `{command}`.",
        "",
        "| scheduler | runs | native | torch | native / torch |",
        "|---|--:|--:|--:|--:|",
    ]
    for name in (*schedulers, ""):
        native, torch = (_distances(rows[engine], name) for engine in ENGINES)
        cells = f"{geometric(native):.4f} | {geometric(torch):.4f}"
        ratio = brief(paired_ratio(native, torch))
        lines.append(f"| {name or 'all'} | {len(native)} | {cells} | {ratio} |")
    return "\n".join(lines) + "\n"


def _distances(rows: Sequence[Row], scheduler: str) -> dict[Cell, float]:
    """Final distances by cell. Of all schedulers together, each has seeds of its own."""
    names = sorted({row.key.scheduler for row in rows})
    return {
        (row.key.task, row.key.seed + (0 if scheduler else 1000 * names.index(row.key.scheduler))): row.distance
        for row in rows
        if row.distance is not None and scheduler in ("", row.key.scheduler)
    }


if __name__ == "__main__":
    run_command(Engines, compare)
