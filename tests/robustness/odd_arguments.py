"""Gives every option of every command odd values. Whatever happens, it must be no traceback.

    python -m tests.robustness.odd_arguments [--seconds 8] [--only train,tune] [--values 5]

Every call is a process of its own with little memory, in an empty folder, and is ended after some seconds.
"""

import re
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .forks import start, wait

VALUES = (
    "", "a" * 300, "10000000", "1" * 30, "\udcff", "-1", "nan", "/dev/null", "0", " ", ".", "/", "..", "a" * 255,
    "b/" * 3000, "/dev/full", "/proc/self/mem", "²", "[", "{}", "None", "inf", "-inf", "1e309", "0.5", "1e-320",
    "1" * 5000, ",", "constant,constant", "all", "a:b", "a.b:c", "os:getcwd", "x=1", "lr=", "ratio=1:1", "--", "-",
    "\n", "a|b",
)  # fmt: skip
"""The worst first."""
BASES = {
    "quickstart": ("--minutes", "0.01"),
    "train": (
        "--updates", "1", "--members", "2", "--shards", "1", "--horizon", "1", "--validate-every", "0", "--epochs", "1",
    ),
    "benchmark": (
        "--suite", "dirac", "--split", "val", "--schedulers", "constant", "--seeds", "1", "--tasks", "1",
        "--workers", "0",
    ),
    "tune": ("--suite", "dirac", "--trials", "1", "--tasks", "1", "--finalists", "1", "--workers", "0"),
    "meta-init": ("--method", "reptile", "--suite", "dirac", "--out", "w.safetensors", "--updates", "1"),
    "report": (),
    "watch": ("--no-browser",),
    "list": (),
}  # fmt: skip
"""Arguments with which each command does next to nothing."""


@dataclass(frozen=True)
class Call:
    """A call of the command line and how it ended: its exit status, or minus the signal that ended it."""

    arguments: tuple[str, ...]
    status: int
    output: str

    @property
    def bad(self) -> bool:
        """Whether a user would see a traceback, or a process that died of itself."""
        died = self.status < 0 and self.status != -signal.SIGKILL
        lines = self.output.strip().splitlines()
        return died or "Traceback (most recent" in self.output or (self.status == 2 and not lines)


def options_of(command: str) -> list[str]:
    """The names of a command's options."""
    text = called((command, "--help"), seconds=60).output
    return sorted(set(re.findall(r"--[a-z][a-z-]+", text)) - {"--help"})


def cases(command: str, values: Sequence[str] = VALUES) -> Iterator[tuple[str, ...]]:
    """Every option with every odd value, and each odd value alone."""
    base = BASES[command]
    for option in [*options_of(command), "--import"]:
        at = base.index(option) if option in base else len(base)
        kept = base[:at] + base[at + 2 :]
        for value in values:
            yield command, *kept, f"{option}={value}"
    for value in values:
        yield command, *base, value


def called(arguments: tuple[str, ...], seconds: float) -> Call:
    """Runs the command line in an empty folder; a call that takes longer is ended and counts as one that works."""
    with tempfile.TemporaryDirectory() as folder:
        told, work = Path(folder) / "told", Path(folder) / "work"
        work.mkdir()
        status = wait(start(arguments, work, told), seconds)
        text = told.read_text(encoding="utf-8", errors="replace") if told.exists() else ""
        return Call(arguments, status, text)


def main(arguments: list[str]) -> int:
    """Runs all cases; prints those that went wrong, and how many there were."""
    import metagan_rl.cli
    import metagan_rl.experiments.report.page  # noqa: F401
    from metagan_rl.agents.learners.catalogue import learner_names

    learner_names()
    given = dict(zip(arguments[::2], arguments[1::2], strict=True))
    seconds, values = float(given.get("--seconds", 8)), VALUES[: int(given.get("--values", len(VALUES)))]
    only = given.get("--only", ",".join(BASES)).split(",")
    count = bad = long = 0
    for command in only:
        for case in cases(command, values):
            call = called(case, seconds)
            count += 1
            long += call.status == -signal.SIGKILL
            if call.bad:
                bad += 1
                shown = [each if len(each) < 80 else f"{each[:60]}... ({len(each)})" for each in case]
                last = (call.output.strip().splitlines() or ["nothing"])[-1][:200]
                print(f"BAD {shown}: {call.status}, {last}", flush=True)
    print(f"{count} calls, {bad} bad, {long} ended after {seconds:g} s", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
