"""Runs what is missing in a pool of processes, and prints the table; a study that was stopped goes on."""

import time
from pathlib import Path
from typing import Any

import torch

from metagan_rl.errors import InvalidValueError, WorkerError
from metagan_rl.experiments.benchmark.backends import BACKENDS, Here
from metagan_rl.experiments.benchmark.records import append_lines, read_lines
from metagan_rl.experiments.studies.command import show_line
from metagan_rl.experiments.studies.practice.arms import ARMS, OFF, check_arms, optimizers_of
from metagan_rl.experiments.studies.practice.loops import LOOPS
from metagan_rl.experiments.studies.practice.options import PracticeStudy
from metagan_rl.experiments.studies.practice.plan import jobs_of, named
from metagan_rl.experiments.studies.practice.running import BETA1_0, KEY, Job, run_job
from metagan_rl.experiments.studies.practice.table import tables
from metagan_rl.files import make_directory
from metagan_rl.runtime import find_device


def study(options: PracticeStudy) -> None:
    """Runs what is missing, then prints the table.

    Raises:
        MissingDependencyError: a library of an arm is not installed.
        UnknownNameError: there is no such scheduler, loop or arm.
        InvalidValueError: a scheduler cannot work with what a loop measures, or the device is not there.
        FileFormatError: a file is damaged.
    """
    options.check()
    file = make_directory(options.out) / "rows.jsonl"
    if options.steps:
        _check(options)
        run(options, file)
    show_line("\n\n".join(tables(read_lines(file, KEY))))


def run(options: PracticeStudy, file: Path) -> None:
    """Runs what is missing, in the order of the plan; rows are written as they come."""
    started, rows = time.monotonic(), read_lines(file, KEY)
    taken = {tuple(row[name] for name in KEY) for row in rows}
    pool = Here(run_job) if options.workers == 0 else BACKENDS["process"](run_job, options.workers)
    running: dict[Any, Job] = {}
    failed: list[tuple[Job, Exception]] = []
    try:
        while True:
            late = options.minutes is not None and time.monotonic() - started > 60 * options.minutes
            while not late and (pool.capacity is None or len(running) < pool.capacity):
                job = next((each for each in jobs_of(options, rows) if each.key not in taken), None)
                if job is None:
                    break
                taken.add(job.key)
                running[pool.submit(job)] = job
            if not running:
                break
            ticket, outcome = pool.next_outcome()
            job = running.pop(ticket)
            if outcome.value is None:
                error = outcome.error or WorkerError(f"{job} lost its worker ({outcome.lost})")
                failed.append((job, error))
                continue
            rows.append(outcome.value)
            append_lines(file, [outcome.value])
            show_line(f"{len(rows)} in {time.monotonic() - started:.0f} s: {told(job, outcome.value)}")
    finally:
        pool.close()
    if failed:
        job, error = failed[0]
        error.add_note(f"in {job}; {len(failed)} runs failed in all, and all others are kept")
        raise error


def told(job: Job, row: dict[str, Any]) -> str:
    """A run in a line."""
    return f"{job}: {row['average']['distance']:.3f} ({row['last']['distance']:.3f}), {row['seconds']:.0f} s"


def _check(options: PracticeStudy) -> None:
    """Tells what cannot be run before it would have run for hours."""
    find_device(options.device)
    check_arms(options.arms)
    for name, path in map(named, options.schedulers):
        if name in (OFF, *ARMS):
            raise InvalidValueError(
                f"scheduler {name!r} has the name of an arm; name arms in --arms, and files otherwise"
            )
        loop = LOOPS["mlp"](0, 1, torch.device("cpu"), options.data)
        made = optimizers_of(loop, OFF, 1.0)
        loop.plug_in(path or name.removesuffix(BETA1_0), made.generator, made.discriminator)
