"""A user's folder, and the command line as a user calls it there."""

import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["metagan_rl.cli", "metagan_rl.experiments.report.page"])
"""Every call runs in a process of its own, as a user's does; imports of torch are paid once."""


class Desk:
    """A user's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, text: str) -> None:
        """A file of the user's."""
        (self.folder / name).write_text(text, encoding="utf-8")

    def run(self, *arguments: str, status: int = 0) -> str:
        """``metagan-rl ...`` in that folder, without workers; what it printed."""
        told = self.folder / "told.txt"
        process = FORKS.Process(target=_called, args=(self.folder, arguments, told))
        process.start()
        process.join()
        text = told.read_text(encoding="utf-8")
        assert process.exitcode == status, text
        return text

    def run_with_workers(self, *arguments: str) -> str:
        """The same as a command of the system's, with worker processes where it starts some."""
        command = [sys.executable, "-W", "ignore", "-m", "metagan_rl", *arguments]
        alone = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=self.folder, env=alone, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def rows(self, out: str = "runs/benchmark") -> list[dict]:
        """The rows of a benchmark."""
        path = self.folder / out / "rows.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    def report(self, out: str = "runs/benchmark") -> str:
        """The text of its report."""
        return (self.folder / out / "report.html").read_text(encoding="utf-8")


def _called(folder: Path, arguments: tuple[str, ...], told: Path) -> None:
    from metagan_rl.cli import main

    os.chdir(folder)
    sys.path.insert(0, str(folder))
    with told.open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        workers = {"benchmark": ("--workers", "0"), "train": ("--shards", "1")}
        command = next((each for each in arguments if each in workers), "")
        if "--help" in arguments or "--resume" in arguments:
            command = ""
        try:
            status = main([*arguments, *workers.get(command, ())])
        except SystemExit as stop:
            status = int(stop.code or 0)
        sys.stdout.flush()
        sys.stderr.flush()
    sys.exit(status)
