"""Cells of the benchmark: runs a batch of them in one worker, and makes their rows.

A cell is (task, seed, scheduler). Cells of one scheduler run together as one population.
"""

import hashlib
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from metagan_rl import __version__
from metagan_rl.agents.catalogue import load_scheduler, make_scheduler
from metagan_rl.agents.searches.tuned import Candidates
from metagan_rl.errors import SchedulerError
from metagan_rl.evaluation import floor, measure_all
from metagan_rl.experiments.benchmark.references import ORACLE, load_references
from metagan_rl.experiments.benchmark.row import Curve, Row, RunKey, six_digits
from metagan_rl.experiments.benchmark.samples import SampleKeeper, moments_of
from metagan_rl.loop.drive import Trace, drive
from metagan_rl.loop.knobs import default_knobs
from metagan_rl.loop.runs import RunOptions, Runs
from metagan_rl.loop.scheduler import Scheduler
from metagan_rl.meta_init import MetaInit, load_meta_init
from metagan_rl.metrics import METRICS, STABILITY_TERMS
from metagan_rl.networks.base import find_networks
from metagan_rl.tasks import Task, get_suite


@dataclass(frozen=True)
class BatchResult:
    """The results of a batch: rows, curves, and kept samples by their name in the file."""

    rows: list[Row]
    curves: list[Curve] = field(default_factory=list)
    samples: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """What one worker runs at a time: cells of one scheduler.

    ``cells`` holds each cell's task name and seed. Points are kept for cells of the first seed on tasks in ``sampled``.
    ``policy`` and ``initial_weights`` are contents of files, because the files may not exist where the batch runs.
    ``metrics`` are names. A worker that does not know one raises an error rather than leave out its column. Cells of
    seed ``seeds`` and above are run for company only, and give no rows.
    """

    suite: str
    split: str
    cells: tuple[tuple[str, int], ...]
    scheduler: str
    policy: bytes | None
    options: RunOptions
    sampled: tuple[str, ...]
    initial_weights: bytes | None = None
    metrics: tuple[str, ...] = ()
    seeds: int | None = None

    @property
    def keys(self) -> list[RunKey]:
        """The keys of its cells, in order."""
        return [RunKey(self.suite, self.split, task, seed, self.scheduler) for task, seed in self.cells]

    @property
    def wanted(self) -> list[RunKey]:
        """The keys of the cells that give rows."""
        return [key for key in self.keys if self.seeds is None or key.seed < self.seeds]

    @property
    def searched(self) -> int:
        """Runs that were spent on each task to find its schedule; 0 for all schedulers but the oracle."""
        return load_references(self.suite, self.split).runs if self.scheduler == ORACLE else 0

    def __str__(self) -> str:
        tasks, seeds = (", ".join(map(str, dict.fromkeys(names))) for names in zip(*self.cells, strict=True))
        return f"{self.scheduler} on {self.suite}-{self.split}: {tasks}; seeds {seeds}"

    def make_scheduler(self) -> Scheduler:
        """Makes the scheduler; the oracle has one schedule for each cell."""
        if self.scheduler == ORACLE:
            schedules = load_references(self.suite, self.split).schedules
            return Candidates([schedules[name] for name, _ in self.cells])
        if self.policy is None:
            return make_scheduler(self.scheduler)
        with _as_file(self.policy) as path:
            return load_scheduler(path)

    def options_for(self, scheduler: Scheduler) -> RunOptions:
        """Options of its runs. A scheduler that was made for some number of decisions gets so many."""
        decisions = scheduler.decisions or self.options.decisions
        return replace(self.options, initial_weights=self.load_initial_weights(), decisions=decisions)

    def load_initial_weights(self) -> MetaInit | None:
        """Loads the weights that the GANs start from; ``None`` for fresh weights."""
        if self.initial_weights is None:
            return None
        with _as_file(self.initial_weights) as path:
            return load_meta_init(path)

    @property
    def origin(self) -> str | None:
        """SHA-256 of the initial weights, as rows record it; ``None`` for fresh weights."""
        return None if self.initial_weights is None else hashlib.sha256(self.initial_weights).hexdigest()


@contextmanager
def _as_file(content: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("content.json" if content.startswith(b"{") else "content.safetensors")
        path.write_bytes(content)
        yield path


def gan_seed(task: Task, seed: int) -> int:
    """The seed of a GAN run: the same for every scheduler, different for every task."""
    return int.from_bytes(hashlib.sha256(f"{task.name}/{seed}".encode()).digest()[:4], "big")


def run_batch(batch: Batch) -> BatchResult:
    """Runs the cells of a batch; if the scheduler fails, the rows hold its error."""
    result, wanted = _run_all(batch), set(batch.wanted)
    return replace(
        result,
        rows=[row for row in result.rows if row.key in wanted],
        curves=[curve for curve in result.curves if curve.key in wanted],
    )


def _run_all(batch: Batch) -> BatchResult:
    split = get_suite(batch.suite).split(batch.split)
    tasks = [split[name] for name, _ in batch.cells]
    seeds = [gan_seed(task, seed) for task, (_, seed) in zip(tasks, batch.cells, strict=True)]
    metrics = [METRICS[name] for name in batch.metrics]
    scheduler = batch.make_scheduler()
    started = time.monotonic()
    members = scheduler.members
    sampled = {
        name: range(place * members, (place + 1) * members)
        for place, (name, seed) in enumerate(batch.cells)
        if seed == 0 and name in batch.sampled and find_networks(tasks[place].networks.kind).judge is None
    }
    moments = moments_of(batch.options.intervals(tasks[0]), batch.options.interval(tasks[0]))
    keeper = SampleKeeper(batch.suite, batch.split, batch.scheduler, sampled, moments)
    try:
        runs, trace = drive(
            scheduler,
            tasks,
            seeds,
            batch.options_for(scheduler),
            watch=keeper,
        )
    except SchedulerError as error:  # a scheduler that fails is a result too
        return BatchResult(
            [
                Row(key, task.tag, task.family, version=__version__, initial_weights=batch.origin, error=str(error))
                for key, task in zip(batch.keys, tasks, strict=True)
            ]
        )
    seconds = (time.monotonic() - started) / len(tasks)
    rows = [_row(batch, member, runs, trace, scheduler) for member in range(len(runs))]
    for member, measured in enumerate(measure_all(runs.population, range(len(runs)), metrics)):
        values = {name: _rounded(value) for name, value in measured.items()}
        rows[member] = replace(rows[member], metrics=values, seconds=round(seconds, 4))
    return BatchResult(rows, [_curve(trace, member, key) for member, key in enumerate(batch.keys)], keeper.samples())


def _row(batch: Batch, member: int, runs: Runs, trace: Trace, scheduler: Scheduler) -> Row:
    """A row without its metrics and its time."""
    task = runs.tasks[member]
    updates = int(runs.population.trained_intervals[member]) * runs.options.interval(task)
    return Row(
        batch.keys[member],
        task.tag,
        task.family,
        diverged=bool(runs.population.diverged[member]),
        floor=six_digits(floor(task, report=True)),
        start=six_digits(trace.distance[0][member]),
        stability={
            name: six_digits(np.mean([values[member] for values in trace.stability[name]])) for name in STABILITY_TERMS
        },
        updates=updates,
        extra_updates=(scheduler.members - 1 + batch.searched) * updates,
        tuning_updates=scheduler.cost,
        engine=runs.population.engines[member],
        version=__version__,
        initial_weights=batch.origin,
    )


def _curve(trace: Trace, member: int, key: RunKey) -> Curve:
    controls = [controls.describe(member) for controls in trace.controls]
    columns = {name: [_rounded(entry[name]) for entry in controls] for name in controls[0]}
    usual = default_knobs()
    return Curve(
        key,
        [six_digits(values[member]) for values in trace.distance],
        {name: values for name, values in columns.items() if name in usual or len(set(values)) > 1},
    )


def _rounded(value: Any) -> Any:
    """Rounds a float to six digits; leaves everything else as it is."""
    return six_digits(value) if isinstance(value, (float, np.floating)) else value
