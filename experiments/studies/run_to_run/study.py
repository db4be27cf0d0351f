"""Runs the methods on tasks, row by row; a study that was stopped goes on."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from metagan_rl.errors import InvalidValueError
from metagan_rl.experiments.benchmark.backends import Workers
from metagan_rl.experiments.benchmark.records import append_lines, read_lines
from metagan_rl.experiments.studies.command import check_names, show_line, until
from metagan_rl.experiments.studies.decays import DECISIONS
from metagan_rl.experiments.studies.run_to_run.methods import METHODS, Place
from metagan_rl.experiments.studies.run_to_run.portfolio import Learning, save_list
from metagan_rl.experiments.studies.run_to_run.table import table
from metagan_rl.experiments.studies.transfer.conditions import KNOWN, Condition, find_condition
from metagan_rl.files import file_digest, make_directory
from metagan_rl.tasks import Task

PLANAR = Condition("planar, rates off", tag=KNOWN, change=lambda task: task)
"""Base rates are off by up to ten times, as in the suite itself; schedules of absolute rates are told the base."""
SHOWN = (PLANAR.name, "G's rate x8, hidden", "wide: known-family")
LEARNING, LIST, ROWS = "learning.jsonl", "list.json", "rows.jsonl"


@dataclass(frozen=True)
class RunToRun:
    """Several runs on each task."""

    split: Literal["val", "test"] = "test"
    """Split of the tasks."""
    only: tuple[str, ...] = SHOWN
    """Conditions, the most telling first."""
    methods: tuple[str, ...] = tuple(METHODS)
    """Who is compared."""
    policy: tuple[Path, ...] = ()
    """Policy files trained with --trial-runs, each named after its file; without one the method trial is left out."""
    tasks: int = 12
    """Tasks of each condition at most."""
    repetitions: int = 2
    """Repetitions, with other GAN seeds."""
    most: int = 64
    """Runs on a task at most."""
    learning_tasks: int = 64
    """Training tasks that the list is learned on."""
    candidates: int = 64
    """Schedules that the list is chosen from."""
    chunk: int = 4
    """Tasks of a job."""
    decisions: int = DECISIONS
    """Intervals of a run."""
    workers: int | None = None
    """Jobs run at once; by default one for each core."""
    minutes: float | None = None
    """No job begins after so many minutes; by default all do."""
    out: Path = Path("runs/run-to-run")
    """Directory for the rows, and for the list."""

    def __post_init__(self) -> None:
        check_names("method", self.methods, METHODS)
        for name in ("tasks", "repetitions", "most", "learning_tasks", "candidates", "chunk"):
            if getattr(self, name) < 1:
                raise InvalidValueError(f"{name} is {getattr(self, name)}; it must be at least 1")

    @property
    def learning(self) -> Learning:
        """How the list is learned."""
        return Learning(tasks=self.learning_tasks, candidates=self.candidates, decisions=self.decisions)


@dataclass(frozen=True)
class LearningJob:
    """All candidates of the list on some training tasks."""

    learning: Learning
    tasks: tuple[str, ...]

    def __str__(self) -> str:
        return f"candidates of the list on {', '.join(self.tasks)}"

    def run(self) -> list[dict[str, Any]]:
        """Its rows."""
        return self.learning.try_all(self.tasks)


@dataclass(frozen=True)
class Job:
    """One method on some tasks of a condition, in one repetition.

    Attributes:
        method, condition, split, tasks, repetition, count, decisions: what is run.
        name: of its rows: the method's, or the policy file's.
        file: of the list or the policy.
        digest: the first characters of the file's SHA-256.
    """

    method: str
    name: str
    condition: str
    split: str
    tasks: tuple[str, ...]
    repetition: int
    count: int
    decisions: int
    file: Path | None = None
    digest: str | None = None

    def __str__(self) -> str:
        return f"{self.name} under {self.condition!r}, repetition {self.repetition}: {', '.join(self.tasks)}"

    def row_keys(self) -> list[tuple[Any, ...]]:
        """What its rows are known by, one for each task."""
        return [
            (self.name, self.digest, self.condition, self.split, task, self.repetition, self.count, self.decisions)
            for task in self.tasks
        ]

    def run(self) -> list[dict[str, Any]]:
        """Its rows: the work of a worker."""
        known = {task.name: task for task in tasks_of(self.condition, self.split, 10**6)}
        tasks = tuple(known[name] for name in self.tasks)
        played = METHODS[self.method].play(Place(tasks, self.repetition, self.count, self.decisions, self.file))
        values = zip(self.row_keys(), played.seen.round(5).tolist(), played.judged.round(5).tolist(), strict=True)
        return [
            {
                **dict(zip(KEY, key, strict=True)),
                "method": self.method,
                "at": played.runs,
                "seen": seen,
                "judged": judged,
            }
            for key, seen, judged in values
        ]


KEY = ("name", "digest", "condition", "split", "task", "repetition", "runs", "decisions")


def tasks_of(condition: str, split: str, count: int) -> list[Task]:
    """The tasks of a condition."""
    return (PLANAR if condition == PLANAR.name else find_condition(condition)).tasks(split, count)


def run_job(job: Job | LearningJob) -> list[dict[str, Any]]:
    """The rows of a job."""
    return job.run()


def chunked(names: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    """The names in groups of at most this size."""
    return (tuple(names[first : first + size]) for first in range(0, len(names), size))


def learning_jobs(options: RunToRun) -> list[LearningJob]:
    """What is missing to learn the list."""
    learning = options.learning
    there = {row["task"] for row in _learned(options)}
    missing = [name for name in learning.names() if name not in there]
    return [LearningJob(learning, names) for names in chunked(missing, options.chunk)]


def _learned(options: RunToRun) -> list[dict[str, Any]]:
    learning, names = options.learning, set(options.learning.names())
    rows = read_lines(options.out / LEARNING)
    return [row for row in rows if row["task"] in names and learning.key().items() <= row.items()]


def all_jobs(options: RunToRun) -> list[Job]:
    """A job for each repetition, condition and method, with all tasks: every condition once before any is repeated."""
    files: dict[str | None, list[Path | None]] = {
        None: [None],
        "list": [path for path in (options.out / LIST,) if path.exists()],
        "policy": list(options.policy),
    }
    digests = {path: file_digest(path)[:12] for each in files.values() for path in each if path is not None}
    jobs = []
    for repetition in range(options.repetitions):
        for condition in options.only:
            names = [task.name for task in tasks_of(condition, options.split, options.tasks)]
            for method in options.methods:
                for path in files[METHODS[method].needs]:
                    name = _named(path) if METHODS[method].needs == "policy" and path is not None else method
                    count = min(options.most, METHODS[method].count)
                    digest = None if path is None else digests[path]
                    where = condition, options.split, tuple(names), repetition
                    jobs.append(Job(method, name, *where, count, options.decisions, path, digest))
    return jobs


def missing(jobs: Sequence[Job], rows: Sequence[dict[str, Any]], size: int) -> list[Job]:
    """The jobs without the tasks that have rows, with at most so many tasks each."""
    there, found = {key_of(row) for row in rows}, []
    for job in jobs:
        left = [task for task, key in zip(job.tasks, job.row_keys(), strict=True) if key not in there]
        found += [replace(job, tasks=some) for some in chunked(left, size)]
    return found


def key_of(row: dict[str, Any]) -> tuple[Any, ...]:
    """What a row is known by."""
    return tuple(row[name] for name in KEY)


def _named(path: Path) -> str:
    return path.parent.name if path.stem == "policy" else path.stem


def study(options: RunToRun) -> None:
    """Runs what is missing, then prints the tables."""
    make_directory(options.out)
    began = time.monotonic()
    with Workers(run_job, workers=options.workers) as crew:
        if "list" in options.methods:
            _do(crew, learning_jobs(options), options.out / LEARNING, options.minutes)
            rows = _learned(options)
            if len(rows) == len(options.learning.names()):
                save_list(options.out / LIST, options.learning, rows)
        left = None if options.minutes is None else options.minutes - (time.monotonic() - began) / 60
        jobs = all_jobs(options)
        _do(crew, missing(jobs, read_lines(options.out / ROWS), options.chunk), options.out / ROWS, left)
    wanted = {key for job in jobs for key in job.row_keys()}
    show_line(table([row for row in read_lines(options.out / ROWS) if key_of(row) in wanted]))


def _do(crew: Workers[Any, Any], jobs: Sequence[Job | LearningJob], file: Path, minutes: float | None) -> None:
    for done, (job, rows) in enumerate(crew.run(until(jobs, minutes)), start=1):
        append_lines(file, rows)
        show_line(f"{done}/{len(jobs)} {job}")
