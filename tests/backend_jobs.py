"""What test_backends.py has workers do; a module of its own, because workers import it."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metagan_rl.tasks import SUITES, Base, Suite, register_suite, sample_task


@dataclass(frozen=True)
class Job:
    """``folder`` keeps a file for each time that a job was begun."""

    name: str
    folder: Path
    deaths: int = 0
    fails: bool = False
    seconds: float = 0.0
    load: bytes = b""

    def __str__(self) -> str:
        return f"the job {self.name}"

    @property
    def begun(self) -> int:
        return len(list(self.folder.glob(f"{self.name}.*")))


class StubbornError(Exception):
    """Cannot be read again: its constructor asks for more than it hands on."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one + two)


def work(job: Job) -> tuple[str, int, int]:
    before = job.begun
    (job.folder / f"{job.name}.{time.monotonic_ns()}").touch()
    time.sleep(job.seconds)
    if before < job.deaths:
        os.kill(os.getpid(), signal.SIGKILL)
    if job.fails:
        raise StubbornError("broken", " beyond repair")
    return job.name, len(job.load), os.getpid()


def register_brief() -> None:
    """A suite of tiny tasks, as a user might register it."""
    if "brief" not in SUITES:
        rng = np.random.default_rng(0)
        names = [f"ring/{i}" for i in range(5)]
        tasks = [sample_task("ring", rng, name=name, budget=96, base=Base(batch_size=16)) for name in names]
        register_suite(Suite("brief", 1, "for tests", {"train": tuple(tasks[:1]), "test": tuple(tasks[1:])}))
