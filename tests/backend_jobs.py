"""What test_backends.py has workers do; a module of its own, because workers import it."""

import contextlib
import os
import signal
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metagan_rl.agents import Scheduler, register_scheduler
from metagan_rl.loop.scheduler import SCHEDULERS
from metagan_rl.tasks import SUITES, Base, Suite, register_suite, sample_task

GATE = "GATE_OF_THE_HELD_SCHEDULER"
"""The environment variable that names its folder."""


class Gate:
    """Where one job stops until the test lets it go on: two named pipes, on which both sides wait.

    A gate that was taken away, or was never there, is open.
    """

    def __init__(self, folder: Path) -> None:
        self.arrivals, self.departures = folder / "arrivals", folder / "departures"

    def close(self) -> None:
        """Sets it up."""
        self.arrivals.parent.mkdir(exist_ok=True)
        for pipe in (self.arrivals, self.departures):
            os.mkfifo(pipe)

    def stop(self) -> None:
        """What the job does: tells that it is here, and waits."""
        with contextlib.suppress(FileNotFoundError, BrokenPipeError):
            self.arrivals.write_text(str(os.getpid()))
            self.departures.read_text()

    def arrival(self) -> int:
        """Waits until the job has come; its process. One waits for it, once: a test, or another job."""
        return int(self.arrivals.read_text())

    def open(self) -> None:
        """Lets go whoever waits and whoever comes later."""
        for pipe in (self.arrivals, self.departures):
            with contextlib.suppress(FileNotFoundError):  # it was open
                both_ends = os.open(pipe, os.O_RDWR)
                pipe.unlink()
                os.close(both_ends)


@dataclass(frozen=True)
class Job:
    """``folder`` keeps a file for each time that a job was begun.

    It stops at a ``gate``; it begins, the first time, by waiting until the other job has come to the gate ``beside``.
    """

    name: str
    folder: Path
    deaths: int = 0
    fails: bool = False
    gate: Path | None = None
    beside: Path | None = None
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
    (job.folder / f"{job.name}.{uuid.uuid4().hex}").touch()
    if job.beside is not None and before == 0:
        Gate(job.beside).arrival()
    if job.gate is not None:
        Gate(job.gate).stop()
    if before < job.deaths:
        os.kill(os.getpid(), signal.SIGKILL)
    if job.fails:
        raise StubbornError("broken", " beyond repair")
    return job.name, len(job.load), os.getpid()


class Held(Scheduler):
    """The base all along; it stops at a gate in the middle of its runs."""

    source = "a test"

    def propose(self, situation):
        if GATE in os.environ and (situation.progress > 0).all():
            Gate(Path(os.environ[GATE])).stop()
        return situation.base


def register_brief() -> None:
    """A suite of tiny tasks and the held scheduler, as a user might register them."""
    if "brief" not in SUITES:
        rng = np.random.default_rng(0)
        names = [f"ring/{i}" for i in range(5)]
        tasks = [sample_task("ring", rng, name=name, budget=96, base=Base(batch_size=16)) for name in names]
        register_suite(Suite("brief", 1, "for tests", {"train": tuple(tasks[:1]), "test": tuple(tasks[1:])}))
    if "held" not in SCHEDULERS:
        register_scheduler("held")(Held)
