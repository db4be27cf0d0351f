"""Runs jobs wherever there are cores: in worker processes of this machine, or as Ray tasks on several machines.

A backend runs one function on many jobs and returns each result as it comes. :class:`Workers` is the loop around every
backend. It runs a job again if its worker is lost. A job that fails does not affect the others.
"""

import pickle
import textwrap
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from metagan_rl.errors import InvalidValueError, MetaGANError, WorkerError
from metagan_rl.registry import Registry

J = TypeVar("J")
R = TypeVar("R")

ATTEMPTS = 3
"""How often a job is started before the job itself is blamed for the loss of its workers."""


@dataclass(frozen=True)
class Outcome:
    """How one attempt at a job ended: with a value, with an error, or with the loss of its worker.

    Attributes:
        value: what the function returned.
        error: what the function raised instead.
        lost: how the worker ended, if it was lost.
    """

    value: Any = None
    error: Exception | None = None
    lost: str | None = None


class Backend(Protocol):
    """A place to run one function on jobs.

    Attributes:
        capacity: how many jobs to submit at once; ``None`` for all.
    """

    capacity: int | None

    def submit(self, job: Any) -> Any:
        """Starts a job; returns a hashable ticket that identifies its outcome."""

    def next_outcome(self) -> tuple[Any, Outcome]:
        """Waits until any submitted job ends; returns its ticket and outcome."""

    def close(self) -> None:
        """Ends the workers at once, even while they work."""


BACKENDS: Registry[Callable[[Callable[[Any], Any], int | None], Backend]] = Registry("backend")
"""Backends by name. An entry is called with the function and the number of workers (``None`` for one per core)."""


class Workers(Generic[J, R]):
    """A context manager of workers, which keep what they imported and computed from one set of jobs to the next.

    Args:
        function: takes one job. It must be importable by name; jobs and results must be picklable.
        backend: ``"process"`` or ``"ray"``.
        workers: jobs run at once; by default one for each core; 0 runs all of them in this process.
        attempts: how often to start a job that keeps losing its worker, 1 or more.

    Raises:
        UnknownNameError: there is no such backend.
        MissingDependencyError: the backend's library is not installed.
        InvalidValueError: ``workers`` is negative, or ``attempts`` less than 1.
    """

    def __init__(
        self,
        function: Callable[[J], R],
        *,
        backend: str = "process",
        workers: int | None = None,
        attempts: int = ATTEMPTS,
    ) -> None:
        if workers is not None and workers < 0:
            raise InvalidValueError(f"workers is {workers}; it must be at least 1, or 0 for this process alone")
        if attempts < 1:
            raise InvalidValueError(f"attempts is {attempts}; it must be at least 1")
        start = BACKENDS[backend]
        self._attempts = attempts
        self._backend = Here(function) if workers == 0 else start(function, workers)

    def __enter__(self) -> "Workers[J, R]":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the workers at once, even while they work."""
        self._backend.close()

    def run(self, jobs: Iterable[J]) -> Iterator[tuple[J, R]]:
        """Runs jobs and yields each with its result as soon as there is one, in any order.

        Jobs are taken when there is a worker for them, so an iterator may end early.

        Raises:
            WorkerError: a job lost its worker too often.
            Exception: what a job raised, with a note that names the job (its ``str``). It is raised after the results
                of all other jobs. If several jobs failed, it is the error of the first job.
        """
        coming = ((place, job, 1) for place, job in enumerate(jobs))
        again: deque[tuple[int, J, int]] = deque()
        running: dict[Any, tuple[int, J, int]] = {}
        failures: dict[int, Exception] = {}
        capacity = self._backend.capacity
        try:
            while True:
                while capacity is None or len(running) < capacity:
                    entry = next(coming, None) or (again.popleft() if again else None)
                    if entry is None:
                        break
                    running[self._backend.submit(entry[1])] = entry
                if not running:
                    break
                ticket, outcome = self._backend.next_outcome()
                place, job, attempt = running.pop(ticket)
                if outcome.lost is not None and attempt < self._attempts:
                    again.append((place, job, attempt + 1))
                elif outcome.lost is not None:
                    failures[place] = _lost_too_often(job, attempt, outcome.lost)
                elif outcome.error is not None:
                    outcome.error.add_note(f"in job: {_name(job)}")
                    failures[place] = outcome.error
                else:
                    yield job, outcome.value
        except BaseException:  # Ctrl-C, or the caller stopped asking
            self.close()
            raise
        if failures:
            first = failures[min(failures)]
            if len(failures) > 1:
                first.add_note(f"other jobs that failed: {len(failures) - 1}")
            raise first


def run_jobs(
    function: Callable[[J], R],
    jobs: Iterable[J],
    *,
    backend: str = "process",
    workers: int | None = None,
    attempts: int = ATTEMPTS,
) -> Iterator[tuple[J, R]]:
    """Starts workers, runs jobs and ends the workers; see :class:`Workers` and :meth:`Workers.run`."""
    crew = Workers(function, backend=backend, workers=workers, attempts=attempts)

    def results() -> Iterator[tuple[J, R]]:
        with closing(crew):
            yield from crew.run(jobs)

    return results()


class Here:
    """Runs each job in this process."""

    capacity = 1

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function, self._job = function, None

    def submit(self, job: Any) -> int:
        """Keeps the job for :meth:`next_outcome`."""
        self._job = job
        return 0

    def next_outcome(self) -> tuple[int, Outcome]:
        """Runs the job."""
        try:
            return 0, Outcome(self._function(self._job))
        except Exception as error:
            return 0, Outcome(error=error)

    def close(self) -> None:
        """Does nothing: there is no worker to end."""


def attempt(function: Callable[[Any], Any], job: Any) -> Outcome:
    """Runs a job in a worker, and makes any error it raises fit to be sent."""
    try:
        return Outcome(function(job))
    except Exception as error:
        return Outcome(error=portable(error))


def portable(error: Exception) -> Exception:
    """Turns an exception into one that can be pickled and read again, with its traceback as a note."""
    if isinstance(error, MetaGANError):  # its message says it all
        return error
    trace = traceback.format_exc()
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # an exception may hold anything, and its constructor may need anything
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.add_note(f"in a worker:\n{trace}")
    return error


def _lost_too_often(job: Any, attempts: int, how: str) -> WorkerError:
    return WorkerError(
        f"a job lost its worker {attempts} times ({how}): {_name(job)}; if memory is short, take fewer workers. "
        "Results of other jobs are kept"
    )


def _name(job: Any) -> str:
    return textwrap.shorten(str(job), 200, placeholder=" ...")


def _process(function: Callable[[Any], Any], workers: int | None) -> Backend:
    from metagan_rl.experiments.benchmark.processes import ProcessBackend

    return ProcessBackend(function, workers)


def _ray(function: Callable[[Any], Any], workers: int | None) -> Backend:
    from metagan_rl.experiments.benchmark.ray_tasks import RayBackend

    return RayBackend(function, workers)


BACKENDS.register("process", _process)
BACKENDS.register("ray", _ray)
