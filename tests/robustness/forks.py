"""Runs the command line in processes forked from this one, where everything is imported already."""

import os
import resource
import signal
import sys
import time
import traceback
from pathlib import Path

MEMORY = 6 << 30
"""Bytes of address space that a call may use."""


def import_all() -> None:
    """Imports once, for all children, what takes seconds."""
    import torch

    import metagan_rl.cli
    import metagan_rl.experiments.report.page
    from metagan_rl.agents.learners.catalogue import learner_names

    assert metagan_rl.cli and metagan_rl.experiments.report.page
    torch.set_num_threads(1)
    learner_names()


def start(arguments: tuple[str, ...], folder: Path, told: Path, memory: int = MEMORY) -> int:
    """Starts ``metagan-rl ...`` in a folder, with its output in the file ``told``; returns the process's number."""
    child = os.fork()
    if child == 0:
        _work(arguments, folder, told, memory)
    return child


def wait(child: int, seconds: float, stop: signal.Signals = signal.SIGKILL) -> int:
    """Waits until a child ends, and stops it after so many seconds; its status, or minus the signal that ended it."""
    end = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= end:
            os.killpg(child, stop)
            end, stop = time.monotonic() + 60, signal.SIGKILL
        time.sleep(0.002)


def _work(arguments: tuple[str, ...], folder: Path, told: Path, memory: int) -> None:
    status = 70
    try:
        os.setsid()
        file = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
        os.chdir(folder)
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from metagan_rl.cli import main

        status = main(list(arguments))
    except SystemExit as end:
        status = int(end.code or 0)
    except KeyboardInterrupt:  # before the command line was called, or after it had ended
        status = 130
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
