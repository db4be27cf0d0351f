"""The loop of ``docs/examples/own_loop.py`` with and without its three lines, over seeds.

``python -m metagan_rl.experiments.studies.own_loop`` runs what is missing and prints the table.
"""

import contextlib
import io
import runpy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import metagan_rl
from metagan_rl.experiments.benchmark.backends import Workers
from metagan_rl.experiments.benchmark.records import append_lines, read_lines
from metagan_rl.experiments.benchmark.row import six_digits
from metagan_rl.experiments.report.tables import markdown_table
from metagan_rl.experiments.studies.command import run_command, show_line
from metagan_rl.experiments.studies.full_form import RESULTS
from metagan_rl.files import make_directory

EXAMPLE = Path(metagan_rl.__file__).parents[1] / "docs" / "examples" / "own_loop.py"
OWN = 0.5
"""Beta1 of the loop's own optimizers."""
ARMS = [(scheduler, beta1) for scheduler in ("constant", "rate-check", "on-top") for beta1 in (OWN, 0.0)]
"""Schedulers, and the beta1 that the optimizers get. The first arm is the loop as it is without the three lines."""


@dataclass(frozen=True)
class OwnLoop:
    """The example over seeds."""

    seeds: int = 10
    """Seeds of each arm, from 0."""
    steps: int = 3000
    """Rounds of a run."""
    workers: int | None = None
    """Runs at once; by default one for each core."""
    out: Path = RESULTS / "own-loop"
    """Directory for the rows."""


@dataclass(frozen=True)
class Job:
    """One run of the example."""

    scheduler: str
    beta1: float
    seed: int
    steps: int

    def __str__(self) -> str:
        return f"{self.scheduler} with beta1 {self.beta1:g}, seed {self.seed}"


@cache
def example() -> dict[str, Any]:
    """What the example defines."""
    return runpy.run_path(str(EXAMPLE))


def run_job(job: Job) -> dict[str, Any]:
    """The row of a run: the share of samples near one of the eight places, and how many places they reach."""
    with contextlib.redirect_stdout(io.StringIO()):
        share, places, rates = example()["train"](job.scheduler, job.steps, job.seed, job.beta1)
    return {**vars(job), "share": six_digits(share), "places": places, "rates": [six_digits(rate) for rate in rates]}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Each arm's means over seeds, its runs that reach all places, and those with a larger share than the first arm."""
    lines, first = [], {row["seed"]: row["share"] for row in rows if (row["scheduler"], row["beta1"]) == ARMS[0]}
    for scheduler, beta1 in ARMS:
        own = [row for row in rows if (row["scheduler"], row["beta1"]) == (scheduler, beta1)]
        if own:
            share, places = (float(np.mean([row[name] for row in own])) for name in ("share", "places"))
            whole = sum(row["places"] == 8 for row in own)
            better = sum(row["share"] > first.get(row["seed"], np.inf) for row in own)
            cells = [f"{beta1:g}", f"{len(own)}", f"{share:.2f}", f"{places:.1f}", f"{whole}", f"{better}"]
            lines.append([f"`{scheduler}`", *cells])
    headings = [
        "scheduler",
        "beta1",
        "seeds",
        "share near",
        "places of 8",
        "runs with all 8",
        "runs with a larger share",
    ]
    return markdown_table(headings, lines)


def study(options: OwnLoop) -> None:
    """Runs what is missing, then prints the table."""
    file = make_directory(options.out) / "rows.jsonl"
    jobs = [Job(*arm, seed, options.steps) for seed in range(options.seeds) for arm in ARMS]
    there = {_key(row) for row in read_lines(file)}
    with Workers(run_job, workers=options.workers) as crew:
        for job, row in crew.run([job for job in jobs if _key(vars(job)) not in there]):
            append_lines(file, [row])
            show_line(f"{job}: {row['share']:.2f}, {row['places']} places")
    show_line(table(read_lines(file)))


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("scheduler", "beta1", "seed", "steps"))


if __name__ == "__main__":
    run_command(OwnLoop, study)
