"""Runs jobs in worker processes of this machine, one for each core.

Each worker has its own pipe. So when a worker is killed, its job is known, and the other workers are not affected. When
this process is killed, the workers see their pipes close and end.
"""

import contextlib
import os
import pickle
import signal
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from metagan_rl.errors import WorkerError
from metagan_rl.experiments.benchmark.backends import Outcome, attempt, portable


class ProcessBackend:
    """Runs jobs in processes that are started only when jobs need them.

    Args:
        function: takes one job; importable by name.
        workers: most processes; by default one for each core that this process may use.
    """

    def __init__(self, function: Callable[[Any], Any], workers: int | None) -> None:
        self.capacity: int | None = cores() if workers is None else workers
        self._function = function
        self._idle: list[_Worker] = []
        self._busy: dict[Connection, _Worker] = {}

    def submit(self, job: Any) -> Connection:
        """Gives the job to an idle worker, or to a new one."""
        message = pickle.dumps(job)
        worker = next((worker for worker in self._idle if worker.process.is_alive()), None)
        if worker is None:
            worker = _Worker(self._function)
            worker.waiting = message
        else:
            self._idle.remove(worker)
            worker.send(message)
        self._busy[worker.pipe] = worker
        return worker.pipe

    def next_outcome(self) -> tuple[Connection, Outcome]:
        """Waits until a worker answers or ends.

        Raises:
            WorkerError: a worker ended by itself before it could take a job. Another one would end in the same way.
        """
        while True:
            for pipe in wait(list(self._busy)):
                assert isinstance(pipe, Connection)
                worker = self._busy[pipe]
                try:
                    outcome: Outcome | None = pickle.loads(pipe.recv_bytes())
                except (EOFError, OSError):
                    del self._busy[pipe]
                    how = worker.end(patience=1.0)
                    if not worker.started and (worker.process.exitcode or 0) > 0:
                        raise WorkerError(
                            f"a worker process ended as it started ({how}); what it said is above. Worker processes "
                            "import your script: put the code that begins the work under: if __name__ == '__main__':"
                        ) from None
                    return pipe, Outcome(lost=how)
                if outcome is None:
                    worker.started = True
                    worker.send(worker.waiting)
                else:
                    self._idle.append(self._busy.pop(pipe))
                    return pipe, outcome

    def close(self) -> None:
        """Kills the workers."""
        for worker in (*self._idle, *self._busy.values()):
            worker.end()
        self._idle.clear()
        self._busy.clear()


class _Worker:
    """A process and our end of its pipe. A pipe holds little, so the first job waits until the process has started."""

    waiting = b""
    started = False

    def __init__(self, function: Callable[[Any], Any]) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_work, args=(theirs, function), daemon=True)
        with _without_interrupts():
            self.process.start()
        theirs.close()

    def send(self, message: bytes) -> None:
        with contextlib.suppress(OSError):  # if it is dead, waiting for its answer will show it
            self.pipe.send_bytes(message)

    def end(self, patience: float = 0.0) -> str:
        """Waits ``patience`` seconds, then kills the process; returns how it ended."""
        self.process.join(patience)
        self.process.kill()
        self.process.join()
        self.pipe.close()
        return f"exit code {self.process.exitcode}"


def _work(pipe: Connection, function: Callable[[Any], Any]) -> None:
    """What a worker does: it answers jobs until its pipe is closed."""
    from metagan_rl.runtime import prepare_process

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    prepare_process()
    with contextlib.suppress(EOFError, OSError):  # the parent is gone
        pipe.send_bytes(pickle.dumps(None))
        while True:
            message = pipe.recv_bytes()
            try:
                answer = pickle.dumps(attempt(function, pickle.loads(message)))
            except Exception as error:  # a job that cannot be read here, or a result that cannot be sent
                answer = pickle.dumps(Outcome(error=portable(error)))
            pipe.send_bytes(answer)


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Holds Ctrl-C back; a process started meanwhile ignores it even before it has imported this package."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
