"""Runs schedulers under conditions, row by row; a study that was stopped goes on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metagan_rl.agents.catalogue import load_scheduler, make_scheduler
from metagan_rl.evaluation import evaluate
from metagan_rl.experiments.benchmark.backends import Workers
from metagan_rl.experiments.benchmark.cells import gan_seed
from metagan_rl.experiments.benchmark.records import append_lines, read_lines
from metagan_rl.experiments.benchmark.row import six_digits
from metagan_rl.experiments.studies.command import show_line
from metagan_rl.experiments.studies.transfer.conditions import find_condition, find_conditions
from metagan_rl.experiments.studies.transfer.table import table
from metagan_rl.files import file_digest, make_directory
from metagan_rl.loop.drive import drive
from metagan_rl.loop.scheduler import Scheduler
from metagan_rl.tasks import Task

FIRST_SEED = {"val": 5000, "test": 0}
"""Seeds of validation runs are far from those of searches."""


@dataclass(frozen=True)
class TransferStudy:
    """Schedulers under every condition."""

    split: str = "val"
    """Split: val to choose, test once at the end."""
    schedulers: tuple[str, ...] = ("tuned-decay", "rule")
    """Names of schedulers."""
    policy: tuple[Path, ...] = ()
    """Policy files to compare too, each named after its file."""
    only: tuple[str, ...] = ()
    """Only conditions whose names contain one of these; by default all but "own loops"."""
    reference: str = "tuned-decay"
    """What the table's ratios are to; "users-own" for own loops."""
    tasks: int = 24
    """Tasks of each condition at most."""
    seeds: int = 3
    """GAN seeds of each task."""
    decisions: int = 16
    """Intervals of a run."""
    workers: int | None = None
    """Jobs run at once; by default one for each core."""
    out: Path = Path("runs/transfer")
    """Directory for the rows."""


@dataclass(frozen=True)
class Job:
    """One scheduler under one condition with one seed for each task."""

    condition: str
    split: str
    count: int
    seed: int
    scheduler: str
    file: Path | None
    decisions: int

    def __str__(self) -> str:
        return f"{self.scheduler} under {self.condition!r}, seed {self.seed}"

    def tasks(self) -> list[Task]:
        """The tasks, in order."""
        return find_condition(self.condition).tasks(self.split, self.count)

    def make(self) -> Scheduler:
        """The scheduler."""
        return make_scheduler(self.scheduler) if self.file is None else load_scheduler(self.file)

    @property
    def key(self) -> tuple[Any, ...]:
        """What its rows are known by."""
        return (self.condition, self.split, self.scheduler, self.digest, self.seed, self.count, self.decisions)

    @property
    def digest(self) -> str | None:
        """The first characters of the file's SHA-256."""
        return None if self.file is None else file_digest(self.file)[:12]


def run_job(job: Job) -> list[dict[str, Any]]:
    """The rows of a job: the work of a worker."""
    tasks = job.tasks()
    seeds = [gan_seed(task, job.seed) for task in tasks]
    runs, trace = drive(job.make(), tasks, seeds, decisions=job.decisions)
    final = evaluate(runs.population, range(len(tasks)), report=True)
    condition, split, scheduler, digest, seed, count, decisions = job.key
    first = {"condition": condition, "split": split, "scheduler": scheduler, "digest": digest, "seed": seed}
    rows = []
    for member, task in enumerate(tasks):
        row = {"task": task.name, "tag": task.tag, "tasks": count, "decisions": decisions}
        row |= {name: six_digits(getattr(final, name)[member]) for name in ("distance", "precision", "coverage")}
        row |= {"diverged": bool(runs.population.diverged[member]), "updates": int(runs.updates[member])}
        row |= {"engine": runs.population.engines[member], "course": _course(trace, member)}
        rows.append(first | row)
    return rows


def _course(trace: Any, member: int) -> dict[str, list[float]]:
    """The factors of both rates and the penalty's weight before every fourth interval and the last."""
    names = ("generator_lr_factor", "discriminator_lr_factor", "penalty_weight")
    places = [*range(0, len(trace.controls), 4), len(trace.controls) - 1]
    return {name: [float(f"{getattr(trace.controls[n], name)[member]:.3g}") for n in places] for name in names}


def study(options: TransferStudy) -> None:
    """Runs what is missing, then prints the table."""
    file = make_directory(options.out) / "rows.jsonl"
    given: list[tuple[str, Path | None]] = [(name, None) for name in options.schedulers]
    given += [(path.parent.name if path.stem == "policy" else path.stem, path) for path in options.policy]
    jobs = [
        Job(
            condition.name,
            options.split,
            options.tasks,
            FIRST_SEED[options.split] + seed,
            name,
            path,
            options.decisions,
        )
        for condition in find_conditions(options.split, options.only)
        for seed in range(options.seeds)
        for name, path in given
    ]
    rows = run_missing(jobs, file, options.workers)
    show_line(table(rows, [name for name, _ in given], options.reference))


def run_missing(jobs: Sequence[Job], file: Path, workers: int | None) -> list[dict[str, Any]]:
    """Runs the jobs whose rows are not in a file yet, and adds them. Returns the rows of all jobs."""
    there = {key_of(row) for row in read_lines(file)}
    missing = [job for job in jobs if job.key not in there]
    with Workers(run_job, workers=workers) as crew:
        for done, (job, rows) in enumerate(crew.run(missing), start=1):
            append_lines(file, rows)
            logs = np.log([row["distance"] for row in rows])
            show_line(f"{done}/{len(missing)} {job}: {np.exp(logs.mean()):.3f}")
    return _those(read_lines(file), jobs)


def key_of(row: dict[str, Any]) -> tuple[Any, ...]:
    """What a row is known by: the key of its job."""
    names = ("condition", "split", "scheduler", "digest", "seed", "tasks", "decisions")
    return tuple(row[name] for name in names)


def _those(rows: Sequence[dict[str, Any]], jobs: Sequence[Job]) -> list[dict[str, Any]]:
    wanted = {job.key for job in jobs}
    return [row for row in rows if key_of(row) in wanted]
