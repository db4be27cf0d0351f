"""The benchmark: every scheduler on the same tasks with the same GAN seeds, one row for each run.

A cell is (task, seed, scheduler). Cells of one scheduler and one seed are run together, as one population, in batches
that depend on the chosen tasks alone; so rows are the same whoever else is compared, and rows can be added later.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from metagan_rl import __version__
from metagan_rl.agents import load_policy, make_scheduler
from metagan_rl.agents.drive import Trace, drive
from metagan_rl.agents.policy import shipped_policies, shipped_policy
from metagan_rl.agents.scheduler import Scheduler, scheduler_names
from metagan_rl.envs.runs import Runs
from metagan_rl.errors import FileFormatError, InvalidValueError, OutputError, SchedulerError, UnknownNameError
from metagan_rl.evaluation import evaluate, floor, generated
from metagan_rl.experiments.records import read_rows
from metagan_rl.experiments.samples import RESERVED, SAMPLES, SampleKeeper, add_samples
from metagan_rl.files import make_directory, write_whole
from metagan_rl.metrics import STABILITY_TERMS, mode_statistics
from metagan_rl.tasks import Task, get_suite

CONFIG, ROWS, CURVES = "benchmark.json", "rows.jsonl", "curves.jsonl"
BATCH = 32
"""Tasks run together."""
SAMPLED_TASKS = 6
"""Tasks of each tag whose samples are kept for pictures, of the first seed."""


@dataclass(frozen=True)
class BenchmarkConfig:
    """What is compared on one split of one suite.

    Attributes:
        suite, split: the tasks.
        schedulers: names.
        policies: policy files by the name they get in the table, which no scheduler may have already.
        seeds: GAN runs for each task and scheduler.
        tasks: how many tasks of each family at most; ``None`` for all.
        interval_updates: updates in an interval.
    """

    suite: str = "planar"
    split: str = "test"
    schedulers: tuple[str, ...] = ("constant", "linear", "cosine", "ttur", "random")
    policies: tuple[tuple[str, str], ...] = ()
    seeds: int = 4
    tasks: int | None = None
    interval_updates: int = 48

    def __post_init__(self) -> None:
        known = scheduler_names()
        for name in self.schedulers:
            if name not in known:
                raise UnknownNameError("scheduler", name, known)
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
        get_suite(self.suite).split(self.split)

    def chosen_tasks(self) -> list[Task]:
        """The tasks, in the split's order; the first of each family if fewer are asked for."""
        split = get_suite(self.suite).split(self.split)
        if self.tasks is None:
            return list(split)
        groups: dict[str, list[Task]] = {}
        for task in split:
            groups.setdefault(f"{task.family}/{task.name.split('/')[0]}", []).append(task)
        return [task for group in groups.values() for task in group[: self.tasks]]


@dataclass(frozen=True)
class _Batch:
    suite: str
    split: str
    tasks: tuple[str, ...]
    seed: int
    scheduler: str
    policy: str | None
    interval_updates: int
    sampled: tuple[str, ...]


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
        backend: ``"process"``.
        workers: processes; by default one for each core; 0 runs everything in this one.
        command: how the benchmark was called, kept with the results.
        show: gets a line now and then.

    Returns:
        The directory.

    Raises:
        OutputError: the directory cannot be written.
        FileFormatError: the directory holds results of other tasks or settings.
        UnknownNameError: no such backend.
    """
    if backend != "process":
        raise UnknownNameError("backend", backend, ["process"])
    configs = [configs] if isinstance(configs, BenchmarkConfig) else list(configs)
    out = make_directory(out)
    _write_config(configs, out, command)
    done = _done(out / ROWS)
    batches = [batch for config in configs for batch in _batches(config) if not _keys(batch) <= done]
    total = sum(len(batch.tasks) for batch in batches)
    finished, started = 0, time.monotonic()
    count = min(os.cpu_count() or 1, max(1, len(batches))) if workers is None else workers
    for rows, curves, samples in _results_of(batches, count):
        _append(out / CURVES, (curve for curve in curves if _key(curve) not in done))
        add_samples(out / SAMPLES, samples)
        _append(out / ROWS, (row for row in rows if _key(row) not in done))
        finished += len(rows)
        show(f"{finished}/{total} runs in {time.monotonic() - started:.0f} s")
    return out


def gan_seed(task: Task, seed: int) -> int:
    """The seed of a GAN run: the same for every scheduler, another for every task."""
    return int.from_bytes(hashlib.sha256(f"{task.name}/{seed}".encode()).digest()[:4], "big")


_Result = tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, np.ndarray]]


def _results_of(batches: Sequence[_Batch], workers: int) -> Iterator[_Result]:
    """Results as they come, from this process or from others."""
    if workers == 0:
        yield from map(_run, batches)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_prepare) as pool:
        futures = [pool.submit(_run, batch) for batch in batches]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            for future in futures:
                future.cancel()
            raise


def _prepare() -> None:
    import signal

    from metagan_rl.runtime import prepare_process

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    prepare_process()


def _batches(config: BenchmarkConfig) -> Iterator[_Batch]:
    tasks = config.chosen_tasks()
    sampled = _sampled(tasks)
    named: list[tuple[str, str | None]] = [(name, None) for name in config.schedulers]
    named += [(name, os.fspath(path)) for name, path in config.policies]
    for seed in range(config.seeds):
        for scheduler, policy in named:
            for budget in dict.fromkeys(task.budget for task in tasks):
                for some in _parts([task.name for task in tasks if task.budget == budget]):
                    wanted = sampled if seed == 0 else ()
                    yield _Batch(
                        config.suite, config.split, some, seed, scheduler, policy, config.interval_updates, wanted
                    )


def _parts(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Names in batches of 32 at most."""
    for start in range(0, len(names), BATCH):
        yield tuple(names[start : start + BATCH])


def _sampled(tasks: Sequence[Task]) -> tuple[str, ...]:
    """One task of each family, so that pictures show them all."""
    first: dict[tuple[str, str], str] = {}
    for task in tasks:
        first.setdefault((task.tag, task.name.split("/")[0]), task.name)
    kept: list[str] = []
    for tag in dict.fromkeys(tag for tag, _ in first):
        kept += [name for (other, _), name in first.items() if other == tag][:SAMPLED_TASKS]
    return tuple(kept)


def _run(batch: _Batch) -> _Result:
    split = get_suite(batch.suite).split(batch.split)
    tasks = [split[name] for name in batch.tasks]
    scheduler: Scheduler = load_policy(batch.policy) if batch.policy else make_scheduler(batch.scheduler)
    seeds = [gan_seed(task, batch.seed) for task in tasks]
    started = time.monotonic()
    keys = [
        {
            "suite": batch.suite,
            "split": batch.split,
            "task": task.name,
            "seed": batch.seed,
            "scheduler": batch.scheduler,
        }
        for task in tasks
    ]
    keeper = SampleKeeper(batch.suite, batch.split, batch.scheduler, batch.sampled)
    try:
        runs, trace = drive(scheduler, tasks, seeds, watch=keeper, interval_updates=batch.interval_updates)
    except SchedulerError as error:  # a scheduler that misbehaves is a result too
        return (
            [
                {**key, "tag": task.tag, "family": task.family, "error": str(error)}
                for key, task in zip(keys, tasks, strict=True)
            ],
            [],
            {},
        )
    seconds = (time.monotonic() - started) / len(tasks)
    rows = [
        {**key, **values, "seconds": round(seconds, 4)} for key, values in zip(keys, _results(runs, trace), strict=True)
    ]
    curves = [{**key, **_curve(trace, member)} for member, key in enumerate(keys)]
    return rows, curves, keeper.samples()


def _results(runs: Runs, trace: Trace) -> Iterator[dict[str, Any]]:
    members = range(len(runs))
    quality = evaluate(runs.population, members, report=True)
    diverged = runs.population.diverged
    trained = runs.population.trained_intervals
    points = generated(runs.population, members, report=True)
    for member in members:
        task = runs.tasks[member]
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
            "updates": int(trained[member]) * runs.interval_updates,
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


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["suite"], row["split"], row["task"], row["seed"], row["scheduler"]


def _keys(batch: _Batch) -> set[tuple[Any, ...]]:
    return {(batch.suite, batch.split, task, batch.seed, batch.scheduler) for task in batch.tasks}


def _done(path: Path) -> set[tuple[Any, ...]]:
    if not path.exists():
        return set()
    rows = read_rows(path.parent)
    for file in (path, path.with_name(CURVES)):
        content = file.read_bytes() if file.exists() else b""
        if content and not content.endswith(b"\n"):  # a run was stopped in the middle of a line
            write_whole(file, content[: content.rfind(b"\n") + 1])
    return {_key(row) for row in rows if row.get("error") is None}  # what failed is tried again


def _append(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; what is there stays usable") from error


def _policy_files(config: BenchmarkConfig) -> list[tuple[str, Path]]:
    """All policies that take part: those given as files and those that come with the package."""
    shipped = [(name, shipped_policy(name)) for name in config.schedulers if name in shipped_policies()]
    return [*shipped, *((name, Path(path)) for name, path in config.policies)]


def _write_config(configs: Sequence[BenchmarkConfig], out: Path, command: str) -> None:
    suites: list[dict[str, Any]] = [
        {
            "suite": config.suite,
            "split": config.split,
            "sha256": get_suite(config.suite).sha256,
            "interval_updates": config.interval_updates,
            "tasks": config.tasks,
            "version": __version__,
            "policies": {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in _policy_files(config)},
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
            same = all(old.get(name) == entry[name] for name in ("sha256", "interval_updates", "tasks", "version"))
            policies = {**old["policies"], **entry["policies"]}
            if not same or any(policies[name] != digest for name, digest in old["policies"].items()):
                raise FileFormatError(
                    f"{out} holds results of other tasks, intervals, policies or another version for "
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
    write_whole(path, json.dumps(record, indent=2) + "\n")
