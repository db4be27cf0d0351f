"""The benchmark: every scheduler on the same tasks with the same GAN seeds, one row for each run.

A cell is (task, seed, scheduler). Cells of one scheduler on tasks of one shape are run together, as one population: a
few tasks with a block of seeds each. Batches depend on the chosen tasks and seeds alone; so rows are the same whoever
else is compared, and rows can be added later.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from metagan_rl import __version__
from metagan_rl.agents import load_policy, make_scheduler
from metagan_rl.agents.policy import shipped_policies, shipped_policy
from metagan_rl.agents.scheduler import scheduler_names
from metagan_rl.agents.tuned import FOLDER as SCHEDULES
from metagan_rl.errors import FileFormatError, InvalidValueError, UnknownNameError
from metagan_rl.experiments.backends import Workers
from metagan_rl.experiments.cells import Batch, key, run_batch
from metagan_rl.experiments.records import append_lines, read_rows
from metagan_rl.experiments.references import ORACLE, load_references, references_file
from metagan_rl.experiments.samples import RESERVED, SAMPLES, add_samples
from metagan_rl.files import make_directory, write_whole
from metagan_rl.meta_init import load_meta_init
from metagan_rl.populations.population import Shape
from metagan_rl.tasks import Task, get_suite

CONFIG, ROWS, CURVES = "benchmark.json", "rows.jsonl", "curves.jsonl"
BATCH = 32
"""GANs trained together at most: as many cells, or fewer of a scheduler that has several GANs for each."""
SEEDS_AT_ONCE = 16
"""Seeds of a batch at most, where there are few tasks of a shape."""
TIERS = ("planar", "planar-mixed", "tabular", "digits")
"""Suites whose test splits make up a whole comparison: new parameters and held-out families, shifted conditions, real
tables, real images."""
SAMPLED_TASKS = 6
"""Tasks of each tag whose samples are kept for pictures, of the first seed."""


@dataclass(frozen=True)
class BenchmarkConfig:
    """What is compared on one split of one suite.

    Attributes:
        suite, split: the tasks.
        schedulers: names; ``"oracle"`` is the best schedule that was found for each very task, and is run on those
            that have references.
        policies: policy files by the name they get in the table, which no scheduler may have already.
        seeds: GAN runs for each task and scheduler.
        tasks: how many tasks of each family and tag at most; ``None`` for all.
        interval_updates: updates in an interval.
        initial_weights: file of a meta-initialisation that all GANs start from; ``None``: each from fresh weights.
        only: pattern of the names of tasks, such as ``"*/budget-12288/*"``; ``""`` for all.

    Raises:
        UnknownNameError: a name is of nothing there is.
        InvalidValueError: a value is out of range, or the initial weights do not fit a task.
        FileFormatError: a policy file or that of the initial weights is damaged.
    """

    suite: str = "planar"
    split: str = "test"
    schedulers: tuple[str, ...] = ("constant", "linear", "cosine", "ttur", "random")
    policies: tuple[tuple[str, str], ...] = ()
    seeds: int = 4
    tasks: int | None = None
    interval_updates: int = 48
    initial_weights: str | None = None
    only: str = ""

    def __post_init__(self) -> None:
        get_suite(self.suite).split(self.split)
        known = [*scheduler_names(), ORACLE]
        for name in self.schedulers:
            if name not in known:
                raise UnknownNameError("scheduler", name, known)
        if ORACLE in self.schedulers and not load_references(self.suite, self.split).schedules:
            raise InvalidValueError(
                f"{self.suite}-{self.split} has no references, so it has no {ORACLE}; leave it out, or search its "
                "tasks: python -m metagan_rl.experiments.oracle"
            )
        names = [*self.schedulers, *(name for name, _ in self.policies)]
        if not names or len(set(names)) != len(names):
            raise InvalidValueError(f"schedulers {names}; name at least one, and each once")
        for name in names:
            if name in RESERVED or "|" in name:
                raise InvalidValueError(
                    f"a scheduler is named {name!r}, which the file of samples cannot hold; rename it"
                )
        for name, path in self.policies:
            load_policy(path)
            if name in known:
                raise InvalidValueError(
                    f"policy file {path} would be compared as {name!r}, a scheduler's name; rename it"
                )
        if self.seeds < 1:
            raise InvalidValueError(f"seeds is {self.seeds}; it must be at least 1")
        if self.tasks is not None and self.tasks < 1:
            raise InvalidValueError(f"tasks is {self.tasks}; it must be at least 1")
        if not self.chosen_tasks():
            some = get_suite(self.suite).split(self.split)[0].name
            raise InvalidValueError(f"no task of {self.suite}-{self.split} is named {self.only!r}; one is {some!r}")
        if self.initial_weights is not None:
            initial = load_meta_init(self.initial_weights)
            for task in self.chosen_tasks():
                initial.check(task)

    def chosen_tasks(self) -> list[Task]:
        """The tasks, in the split's order; the first of each family and tag if fewer are asked for."""
        split = [task for task in get_suite(self.suite).split(self.split) if fnmatchcase(task.name, self.only or "*")]
        if self.tasks is None:
            return split
        groups: dict[tuple[str, str, str], list[Task]] = {}
        for task in split:
            groups.setdefault((task.tag, task.family, task.name.split("/")[0]), []).append(task)
        return [task for group in groups.values() for task in group[: self.tasks]]


def every_scheduler(suite: str, split: str) -> tuple[str, ...]:
    """All schedulers there are, and the oracle where there are references."""
    return (*scheduler_names(), *([ORACLE] if load_references(suite, split).schedules else []))


def run_benchmark(
    configs: BenchmarkConfig | Sequence[BenchmarkConfig],
    out: str | Path,
    *,
    backend: str = "process",
    workers: int | None = None,
    command: str = "",
    show: Callable[[str], None] = lambda line: None,
) -> Path:
    """Runs every cell that ``out`` does not hold yet.

    Args:
        configs: one for each split to compare on.
        out: directory for ``rows.jsonl``, ``curves.jsonl`` and ``samples.npz``; extended if it holds a benchmark.
        backend: ``"process"``, or ``"ray"`` for more machines; rows are the same.
        workers: batches run at once; by default one for each core; 0 runs everything in this process.
        command: how the benchmark was called, kept with the results.
        show: gets a line now and then.

    Returns:
        The directory.

    Raises:
        OutputError: the directory cannot be written.
        FileFormatError: the directory holds results of other tasks or settings.
        UnknownNameError: no such backend.
        MissingDependencyError: Ray is not installed.
        WorkerError: a batch lost its worker again and again; the rows of the others are there.
    """
    configs = [configs] if isinstance(configs, BenchmarkConfig) else list(configs)
    with Workers(run_batch, backend=backend, workers=workers) as crew:
        out = make_directory(out)
        _write_config(configs, out, command)
        done = _done(out)
        batches = [batch for config in configs for batch in _batches(config) if not batch.keys <= done]
        batches.sort(key=lambda batch: batch.cells[0][1])  # early seeds first, lest a benchmark cut short lack tasks
        total = sum(len(batch.cells) for batch in batches)
        finished, started = 0, time.monotonic()
        for _, (rows, curves, samples) in crew.run(batches):
            append_lines(out / CURVES, (curve for curve in curves if key(curve) not in done))
            add_samples(out / SAMPLES, samples)
            append_lines(out / ROWS, (row for row in rows if key(row) not in done))
            finished += len(rows)
            show(f"{finished}/{total} runs in {time.monotonic() - started:.0f} s")
    return out


def _batches(config: BenchmarkConfig) -> Iterator[Batch]:
    tasks = config.chosen_tasks()
    sampled = _sampled(tasks)
    named: list[tuple[str, bytes | None]] = [(name, None) for name in config.schedulers]
    named += [(name, Path(path).read_bytes()) for name, path in config.policies]
    at_once = {name: BATCH for name, _ in config.policies}
    members = {name: 1 if name == ORACLE else make_scheduler(name).members for name in config.schedulers}
    at_once |= {name: max(1, BATCH // count) for name, count in members.items()}
    found = load_references(config.suite, config.split).schedules
    initial = None if config.initial_weights is None else Path(config.initial_weights).read_bytes()
    for scheduler, policy in named:
        own = [task for task in tasks if scheduler != ORACLE or task.name in found]
        for cells in _together(own, config.seeds, at_once[scheduler]):
            yield Batch(config.suite, config.split, cells, scheduler, policy, config.interval_updates, sampled, initial)


def _together(tasks: Sequence[Task], seeds: int, at_once: int) -> Iterator[tuple[tuple[str, int], ...]]:
    """Cells in groups of so many at most: tasks of one shape and budget, each with the same block of seeds.

    Blocks are powers of two and start at their multiples, so that more seeds are more blocks.
    """
    groups: dict[tuple[Shape, int], list[str]] = {}
    for task in tasks:
        groups.setdefault((Shape.of(task), task.budget), []).append(task.name)
    for names in groups.values():
        room = min(SEEDS_AT_ONCE, max(1, at_once // len(names)))
        block = 1 << (room.bit_length() - 1)
        for first in range(0, seeds, block):
            for start in range(0, len(names), at_once):
                some = names[start : start + at_once]
                yield tuple((name, seed) for seed in range(first, min(first + block, seeds)) for name in some)


def _sampled(tasks: Sequence[Task]) -> tuple[str, ...]:
    """One task of each family, so that pictures show them all."""
    first: dict[tuple[str, str], str] = {}
    for task in tasks:
        first.setdefault((task.tag, task.name.split("/")[0]), task.name)
    kept: list[str] = []
    for tag in dict.fromkeys(tag for tag, _ in first):
        kept += [name for (other, _), name in first.items() if other == tag][:SAMPLED_TASKS]
    return tuple(kept)


def _done(directory: Path) -> set[tuple[Any, ...]]:
    """Cells that need not be run; what failed is tried again."""
    return {key(row) for row in read_rows(directory) if row.get("error") is None}


def _files_behind(config: BenchmarkConfig) -> list[tuple[str, Path]]:
    """Files that schedulers are made of, by name: policies, tuned schedules, the oracle's references."""
    shipped = [(name, shipped_policy(name)) for name in config.schedulers if name in shipped_policies()]
    tuned = [(name, SCHEDULES / f"{name}.json") for name in config.schedulers if (SCHEDULES / f"{name}.json").exists()]
    found = [(ORACLE, references_file(config.suite, config.split))] if ORACLE in config.schedulers else []
    return [*shipped, *tuned, *found, *((name, Path(path)) for name, path in config.policies)]


def _file_digest(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _write_config(configs: Sequence[BenchmarkConfig], out: Path, command: str) -> None:
    suites: list[dict[str, Any]] = [
        {
            "suite": config.suite,
            "split": config.split,
            "sha256": get_suite(config.suite).sha256,
            "interval_updates": config.interval_updates,
            "tasks": config.tasks,
            "only": config.only,
            "version": __version__,
            "policies": {name: _file_digest(path) for name, path in _files_behind(config)},
            "initial_weights": _file_digest(config.initial_weights) if config.initial_weights else None,
        }
        for config in configs
    ]
    path, commands = out / CONFIG, [command]
    if path.exists():
        try:
            earlier = json.loads(path.read_text(encoding="utf-8"))
            before = {(entry["suite"], entry["split"]): entry for entry in earlier["suites"]}
        except (ValueError, KeyError, TypeError) as error:
            raise FileFormatError(f"{path} is damaged ({error}); use another --out") from None
        for entry in suites:
            old = before.get((entry["suite"], entry["split"]), entry)
            fixed = ("sha256", "interval_updates", "tasks", "version", "initial_weights")
            same = all(old.get(name) == entry[name] for name in fixed) and old.get("only", "") == entry["only"]
            policies = {**old["policies"], **entry["policies"]}
            if not same or any(policies[name] != digest for name, digest in old["policies"].items()):
                raise FileFormatError(
                    f"{out} holds results of other tasks, intervals, policies, initial weights or another version for "
                    f"{entry['suite']}-{entry['split']}; results are never mixed: use another --out"
                )
            before[entry["suite"], entry["split"]] = {**entry, "policies": policies}
        suites = list(before.values())
        commands = [*earlier.get("commands", []), command]
    record: dict[str, Any] = {
        "kind": "metagan-rl benchmark",
        "version": __version__,
        "commands": [line for line in dict.fromkeys(commands) if line],
        "suites": suites,
        "schedulers": list(dict.fromkeys(n for c in configs for n in (*c.schedulers, *(p for p, _ in c.policies)))),
        "seeds": max(config.seeds for config in configs),
        "configs": [asdict(config) for config in configs],
    }
    for config in record["configs"]:
        config["policies"] = [[name, Path(path).name] for name, path in config["policies"]]
        if config["initial_weights"]:
            config["initial_weights"] = Path(config["initial_weights"]).name
    write_whole(path, json.dumps(record, indent=2) + "\n")
