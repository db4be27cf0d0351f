"""Runs jobs as Ray tasks, on this machine or a cluster. Needs the extra ``ray``; see docs/more-machines.md."""

import os
import socket
from collections.abc import Callable
from functools import cache
from typing import Any

from metagan_rl import __version__
from metagan_rl.errors import MissingDependencyError, WorkerError
from metagan_rl.experiments.benchmark.backends import Outcome, attempt
from metagan_rl.experiments.benchmark.processes import cores
from metagan_rl.reproducible import VARIABLE, reproducible, variables


class RayBackend:
    """Runs each job as a task that takes one CPU.

    It uses the Ray that this process is connected to, or else the cluster that ``RAY_ADDRESS`` names. Without either,
    it starts Ray on this machine and ends it afterwards. Ray listens on all network interfaces of a machine.

    Args:
        function: takes one job; importable by name on every machine.
        workers: most tasks at once; by default one for each of Ray's CPUs.

    Raises:
        MissingDependencyError: Ray is not installed.
    """

    def __init__(self, function: Callable[[Any], Any], workers: int | None) -> None:
        try:
            import ray  # noqa: F401
        except ImportError as error:
            raise MissingDependencyError("ray", "ray", "the backend ray") from error
        self.capacity: int | None = workers
        self._function = function
        self._begin: Callable[[Any], Any] | None = None
        self._connected = False
        self._running: list[Any] = []

    def submit(self, job: Any) -> Any:
        """Queues the job; the first one connects to Ray."""
        if self._begin is None:
            self._begin = self._connect()
        self._running.append(self._begin(job))
        return self._running[-1]

    def next_outcome(self) -> tuple[Any, Outcome]:
        """Waits until a task ends."""
        import ray
        from ray import exceptions

        (ticket,), self._running = ray.wait(self._running, num_returns=1)
        try:
            return ticket, ray.get(ticket)
        except (
            exceptions.WorkerCrashedError,
            exceptions.NodeDiedError,
            exceptions.LocalRayletDiedError,
            exceptions.OutOfMemoryError,
            exceptions.ObjectLostError,
        ) as error:
            return ticket, Outcome(lost=_first_line(error))
        except exceptions.RayError as error:  # an unreadable job or result, a package that is missing there
            return ticket, Outcome(error=error)

    def close(self) -> None:
        """Cancels running tasks; ends Ray if this backend started it or connected to it."""
        import ray

        if self._running and ray.is_initialized():
            for ticket in self._running:
                ray.cancel(ticket, force=True)
        if self._connected:
            ray.shutdown()
        self._running, self._begin, self._connected = [], None, False

    def _connect(self) -> Callable[[Any], Any]:
        import ray

        if not ray.is_initialized():
            address = os.environ.get("RAY_ADDRESS")
            if address:
                ray.init(address, logging_level="WARNING")
            else:
                os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # report nothing to anyone unasked
                ray.init("local", num_cpus=self.capacity or cores(), include_dashboard=False, logging_level="WARNING")
            self._connected = True
        # Workers decides whether to retry a lost task, for all backends alike, so Ray itself never retries.
        elsewhere = {"runtime_env": {"env_vars": {VARIABLE: "1", **variables()}}} if reproducible() else {}
        task = ray.remote(num_cpus=1, max_retries=0, **elsewhere)(_attempt)
        function = ray.put(self._function)
        return lambda job: task.remote(__version__, function, job)


def _attempt(version: str, function: Callable[[Any], Any], job: Any) -> Outcome:
    if version != __version__:
        here = f"{socket.gethostname()} has metagan_rl {__version__}"
        return Outcome(error=WorkerError(f"{here}, but the jobs come from {version}; install the same everywhere"))
    _prepare_once()
    return attempt(function, job)


@cache
def _prepare_once() -> None:
    from metagan_rl.runtime import prepare_process

    prepare_process()


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}" if str(error) else type(error).__name__
