"""Kills commands at random moments, and calls them again: each must end as if it had never been killed.

    python -m tests.robustness.kills [--kills 300] [--seed 0] [--only train,tune]

Half of the kills are SIGKILL, which no process can answer, and half Ctrl-C, which must be one line and status 130.
Trainings and comparisons are tiny. Those inside ``quickstart`` are made so in here, as it has no options for it.
"""

import functools
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .forks import import_all, start, wait

RESULTS = Path(__file__).parent.parent.parent / "experiments" / "results"
IN_A_ROW = 3
"""Kills of one run before it may end."""
LONG = 600.0
"""Seconds after which a call that is not killed counts as hanging."""


@dataclass(frozen=True)
class Job:
    """A command that writes into ``out`` or beside it.

    Attributes:
        arguments: the command line.
        result: what must be the same however often it was killed, from the folder that it ran in.
        again: what is added to the arguments once some file is there.
        given: a folder that is copied to ``out`` before the first call.
    """

    arguments: tuple[str, ...]
    result: Callable[[Path], Any]
    again: tuple[str, tuple[str, ...]] = ("", ())
    given: Path | None = None

    def prepare(self, folder: Path) -> None:
        """Puts into a new folder what the command needs."""
        if self.given is not None:
            shutil.copytree(self.given, folder / "out")

    def call(self, folder: Path) -> tuple[str, ...]:
        """The command line for what the folder holds now."""
        there, more = self.again
        return (*self.arguments, *(more if there and (folder / there).exists() else ()))


def _lines(path: Path, without: tuple[str, ...]) -> list[str]:
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return sorted(json.dumps({name: each[name] for name in each if name not in without}) for each in records)


def _trained(folder: Path) -> Any:
    times = ("time/minutes", "time/updates_per_second", "time/agent_share")
    lines = _lines(folder / "out" / "progress.jsonl", ("check", *times))
    return (folder / "out" / "policy.safetensors").read_bytes(), lines


def _benchmark(folder: Path) -> Any:
    rows = _lines(folder / "out" / "rows.jsonl", ("check", "seconds"))
    return rows, sorted(set(_lines(folder / "out" / "curves.jsonl", ("check",))))


def _tuned(folder: Path) -> Any:
    return [(folder / "out" / name).read_bytes() for name in ("tuned-constant.json", "trials.jsonl")]


def _starting_weights(folder: Path) -> Any:
    from metagan_rl.meta_init import load_meta_init

    read = load_meta_init(folder / "out.safetensors")
    return read.generator.weights.tolist(), read.discriminator.weights.tolist(), read.metadata["validations"]


def _quickstart(folder: Path) -> Any:
    out = folder / "out"
    training = [(out / "train" / name).read_bytes() for name in ("policy.safetensors",)]
    rows = _lines(out / "benchmark" / "rows.jsonl", ("check", "seconds"))
    return training, rows, (out / "report.html").exists()


def _reported(folder: Path) -> Any:
    names = ("summary.md", "summary.csv")
    return [(folder / "out" / name).read_bytes() for name in names], (folder / "out" / "report.html").exists()


def make_quickstart_tiny() -> None:
    """Lets ``quickstart`` train for a few updates, and compare on rings in its own process."""
    from metagan_rl.agents import TrainConfig
    from metagan_rl.experiments import quickstart
    from metagan_rl.experiments.benchmark import BenchmarkConfig, run_benchmark

    def tiny(**given: Any) -> TrainConfig:
        place = {name: given[name] for name in ("seed", "device", "engine")}
        return TrainConfig.named(**place, **TINY)

    def on_rings(suite: str, split: str, schedulers: tuple[str, ...], **given: Any) -> BenchmarkConfig:
        place = {name: given[name] for name in ("device", "engine")}
        own = {"planar": "train", "tabular": "val", "digits": "test"}[suite]
        return BenchmarkConfig("ring8", own, ("constant", "cosine"), seeds=1, tasks=1, horizon=3, **place)

    quickstart.TrainConfig = tiny  # type: ignore[assignment,misc]
    quickstart.BenchmarkConfig = on_rings  # type: ignore[assignment,misc]
    quickstart.run_benchmark = functools.partial(run_benchmark, workers=0)  # type: ignore[assignment]


TINY = {
    "updates": 432, "members": 2, "shards": 1, "horizon": 3, "interval_updates": 12, "validate_every": 2,
    "validation_tasks": 1, "hidden": 8, "epochs": 1, "minibatches": 2,
}  # fmt: skip
"""Options of a training of a second."""
JOBS = {
    "train": Job(
        ("train", "--out=out", *(f"--{name.replace('_', '-')}={value}" for name, value in TINY.items())),
        _trained,
    ),
    "benchmark": Job(
        (
            "benchmark", "--out=out", "--suite=ring8", "--split=val", "--schedulers=constant,cosine,default",
            "--seeds=4", "--tasks=2", "--horizon=3", "--workers=0",
        ),
        _benchmark,
    ),
    "tune": Job(
        (
            "tune", "--out=out", "--suite=ring8", "--trials=6", "--tasks=2", "--finalists=2", "--batch=2",
            "--horizon=3", "--workers=0",
        ),
        _tuned,
    ),
    "meta-init": Job(
        (
            "meta-init", "--out=out.safetensors", "--method=reptile", "--suite=ring8", "--updates=6000",
            "--inner-steps=3", "--validate-every=10", "--validation-tasks=1",
        ),
        _starting_weights,
        ("out.checkpoint.safetensors", ("--resume",)),
    ),
    "quickstart": Job(("quickstart", "--out=out"), _quickstart),
    "report": Job(("report", "out"), _reported, given=RESULTS / "engines" / "native"),
}  # fmt: skip


def unbroken(job: Job) -> tuple[Any, float]:
    """The result of a run that nobody kills, and how long it took."""
    with tempfile.TemporaryDirectory() as name:
        folder, told, started = Path(name), Path(name) / "told", time.monotonic()
        job.prepare(folder)
        status = wait(start(job.call(folder), folder, told), LONG)
        if status != 0:
            raise RuntimeError(told.read_text(encoding="utf-8"))
        return job.result(folder), time.monotonic() - started


def broken(job: Job, expected: Any, seconds: float, kills: int, rng: random.Random) -> tuple[int, str]:
    """Kills a run that usually takes so many seconds, and lets it end; how often it was killed, and what went wrong."""
    with tempfile.TemporaryDirectory() as name:
        folder, told, killed = Path(name), Path(name) / "told", 0
        job.prepare(folder)
        for _ in range(kills):
            how = rng.choice((signal.SIGKILL, signal.SIGINT))
            status = wait(start(job.call(folder), folder, told), rng.uniform(0, seconds), how)
            text = told.read_text(encoding="utf-8") if told.exists() else ""
            if status == 0:
                break
            killed += 1
            if status not in (-signal.SIGKILL, 130) or "Traceback" in text:
                return killed, f"status {status} after {how.name}: {text[-500:]}"
        status = wait(start(job.call(folder), folder, told), LONG)
        text = told.read_text(encoding="utf-8")
        if status != 0:
            return killed, f"status {status} when called again: {text[-500:]}"
        return killed, "" if job.result(folder) == expected else "another result"


def main(arguments: list[str]) -> int:
    """Kills all jobs in turn; prints what went wrong, and how many kills there were."""
    given = dict(zip(arguments[::2], arguments[1::2], strict=True))
    import_all()
    make_quickstart_tiny()
    names = given.get("--only", ",".join(JOBS)).split(",")
    each = -(-int(given.get("--kills", 300)) // len(names))
    rng, faults = random.Random(int(given.get("--seed", 0))), 0
    for name in names:
        expected, seconds = unbroken(JOBS[name])
        killed = 0
        while killed < each:
            count, wrong = broken(JOBS[name], expected, seconds, min(IN_A_ROW, each - killed), rng)
            killed += count
            if wrong:
                faults += 1
                print(f"FAULT {name}: {wrong}", flush=True)
        print(f"{name}: {killed} kills of a run of {seconds:.1f} s", flush=True)
    print(f"{each * len(names)} kills, {faults} faults", flush=True)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
