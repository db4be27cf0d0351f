"""Cells of the benchmark: what one worker runs at a time, and the rows it comes to.

A cell is (task, seed, scheduler). Cells of one scheduler are run together, as one population.
"""

import hashlib
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metagan_rl import __version__
from metagan_rl.agents import load_policy, make_scheduler
from metagan_rl.agents.drive import Trace, drive
from metagan_rl.agents.scheduler import Scheduler
from metagan_rl.agents.tuned import Candidates
from metagan_rl.envs.runs import Runs
from metagan_rl.errors import SchedulerError
from metagan_rl.evaluation import evaluate, floor, generated
from metagan_rl.experiments.references import ORACLE, load_references
from metagan_rl.experiments.samples import SampleKeeper
from metagan_rl.meta_init import MetaInit, load_meta_init
from metagan_rl.metrics import STABILITY_TERMS, mode_statistics
from metagan_rl.tasks import Task, get_suite

Result = tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, np.ndarray]]
"""Rows, curves, and samples by name."""


@dataclass(frozen=True)
class Batch:
    """What one worker runs at a time: cells of one scheduler.

    ``cells`` are name of task and seed of each; of those of the first seed on tasks in ``sampled``, points are kept.
    ``policy`` and ``initial_weights`` are contents of files: these may not be where it is run.
    """

    suite: str
    split: str
    cells: tuple[tuple[str, int], ...]
    scheduler: str
    policy: bytes | None
    interval_updates: int
    sampled: tuple[str, ...]
    initial_weights: bytes | None = None

    @property
    def keys(self) -> set[tuple[Any, ...]]:
        """Of its cells, as :func:`key` gives those of their rows."""
        return {(self.suite, self.split, task, seed, self.scheduler) for task, seed in self.cells}

    @property
    def searched(self) -> int:
        """Runs on each very task that found what is run here."""
        return load_references(self.suite, self.split).runs if self.scheduler == ORACLE else 0

    def __str__(self) -> str:
        tasks, seeds = (", ".join(map(str, dict.fromkeys(names))) for names in zip(*self.cells, strict=True))
        return f"{self.scheduler} on {self.suite}-{self.split}: {tasks}; seeds {seeds}"

    def make_scheduler(self) -> Scheduler:
        """The scheduler; the oracle is as many schedules as there are cells."""
        if self.scheduler == ORACLE:
            schedules = load_references(self.suite, self.split).schedules
            return Candidates([schedules[name] for name, _ in self.cells])
        if self.policy is None:
            return make_scheduler(self.scheduler)
        with _as_file(self.policy) as path:
            return load_policy(path)

    def load_initial_weights(self) -> MetaInit | None:
        """Where the GANs start; ``None``: each from fresh weights."""
        if self.initial_weights is None:
            return None
        with _as_file(self.initial_weights) as path:
            return load_meta_init(path)

    def origin(self) -> dict[str, str]:
        """What a row says of where its GAN started; nothing of fresh weights."""
        if self.initial_weights is None:
            return {}
        return {"initial_weights": hashlib.sha256(self.initial_weights).hexdigest()}


@contextmanager
def _as_file(content: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "content.safetensors"
        path.write_bytes(content)
        yield path


def gan_seed(task: Task, seed: int) -> int:
    """The seed of a GAN run: the same for every scheduler, another for every task."""
    return int.from_bytes(hashlib.sha256(f"{task.name}/{seed}".encode()).digest()[:4], "big")


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    """What tells a row from others."""
    return row["suite"], row["split"], row["task"], row["seed"], row["scheduler"]


def run_batch(batch: Batch) -> Result:
    """Runs the cells of a batch; a scheduler that misbehaves gives rows that say so."""
    split = get_suite(batch.suite).split(batch.split)
    tasks = [split[name] for name, _ in batch.cells]
    seeds = [gan_seed(task, seed) for task, (_, seed) in zip(tasks, batch.cells, strict=True)]
    scheduler = batch.make_scheduler()
    started = time.monotonic()
    keys = [
        {"suite": batch.suite, "split": batch.split, "task": name, "seed": seed, "scheduler": batch.scheduler}
        for name, seed in batch.cells
    ]
    members = scheduler.members
    sampled = {
        name: range(place * members, (place + 1) * members)
        for place, (name, seed) in enumerate(batch.cells)
        if seed == 0 and name in batch.sampled and tasks[place].networks.kind != "dirac"
    }
    keeper = SampleKeeper(batch.suite, batch.split, batch.scheduler, sampled)
    try:
        runs, trace = drive(
            scheduler,
            tasks,
            seeds,
            watch=keeper,
            interval_updates=batch.interval_updates,
            initial_weights=batch.load_initial_weights(),
        )
    except SchedulerError as error:  # a scheduler that misbehaves is a result too
        return (
            [
                {**key, "tag": task.tag, "family": task.family, **batch.origin(), "error": str(error)}
                for key, task in zip(keys, tasks, strict=True)
            ],
            [],
            {},
        )
    seconds = (time.monotonic() - started) / len(tasks)
    rows = [
        {**key, **values, **batch.origin(), "seconds": round(seconds, 4)}
        for key, values in zip(keys, _results(runs, trace, scheduler, batch.searched), strict=True)
    ]
    curves = [{**key, **_curve(trace, member)} for member, key in enumerate(keys)]
    return rows, curves, keeper.samples()


def _results(runs: Runs, trace: Trace, scheduler: Scheduler, searched: int) -> Iterator[dict[str, Any]]:
    members = range(len(runs))
    quality = evaluate(runs.population, members, report=True)
    diverged = runs.population.diverged
    trained = runs.population.trained_intervals
    points = generated(runs.population, members, report=True)
    for member in members:
        task, updates = runs.tasks[member], int(trained[member]) * runs.interval_updates
        known = task.data().modes if task.networks.kind != "dirac" else None
        modes: dict[str, Any] = {}
        if known is not None:
            modes = mode_statistics(points[member].double().numpy(), known)
            if diverged[member]:  # the points are of the weights before the explosion
                modes = {name: 0 if isinstance(value, int) else 0.0 for name, value in modes.items()}
        row: dict[str, Any] = {
            "tag": task.tag,
            "family": task.family,
            "distance": quality.distance[member],
            "floor": floor(task, report=True),
            "start": trace.distance[0][member],
            "sliced_wasserstein": quality.sliced_wasserstein[member],
            "precision": quality.precision[member],
            "coverage": quality.coverage[member],
            "frechet": None if np.isnan(quality.frechet[member]) else quality.frechet[member],
            "modes": modes.get("modes"),
            "modes_share": modes.get("modes_share"),
            "high_quality": modes.get("high_quality"),
            "diverged": bool(diverged[member]),
            **{name: np.mean([values[member] for values in trace.stability[name]]) for name in STABILITY_TERMS},
            "updates": updates,
            "extra_updates": (scheduler.members - 1 + searched) * updates,  # beside the run's own
            "tuning_updates": scheduler.cost,  # spent once, for all runs
            "version": __version__,
            "error": None,
        }
        yield {name: _rounded(value) for name, value in row.items()}


def _curve(trace: Trace, member: int) -> dict[str, Any]:
    controls = [controls.describe(member) for controls in trace.controls]
    return {
        "distance": [_rounded(values[member]) for values in trace.distance],
        **{name: [_rounded(entry[name]) for entry in controls] for name in controls[0]},
    }


def _rounded(value: Any) -> Any:
    return float(f"{float(value):.6g}") if isinstance(value, (float, np.floating)) else value
