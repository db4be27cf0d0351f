"""The benchmark: every scheduler on the same tasks with the same GAN seeds, one row for each run.

A cell is (task, seed, scheduler). Its row does not depend on which other schedulers are compared, so rows can be added
later.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from metagan_rl import __version__
from metagan_rl.agents.learners.shipped import shipped_policies, shipped_policy
from metagan_rl.agents.searches.tuned import FOLDER as SCHEDULES
from metagan_rl.errors import FileFormatError
from metagan_rl.experiments.benchmark.backends import Workers
from metagan_rl.experiments.benchmark.cells import run_batch
from metagan_rl.experiments.benchmark.config import BenchmarkConfig
from metagan_rl.experiments.benchmark.planning import batches_of
from metagan_rl.experiments.benchmark.records import (
    BENCHMARK_KIND,
    CONFIG,
    CURVES,
    ROWS,
    TRAINING,
    append_lines,
    read_config,
    read_curves,
    read_lines,
    read_rows,
)
from metagan_rl.experiments.benchmark.references import ORACLE, references_file
from metagan_rl.experiments.benchmark.row import RunKey
from metagan_rl.experiments.benchmark.samples import SAMPLES, SampleFile, add_samples
from metagan_rl.files import exists, file_digest
from metagan_rl.folders import held, refuse_another, refuse_other_kind
from metagan_rl.loop.runs import RunOptions
from metagan_rl.populations.engines import say_what_trains
from metagan_rl.records import write_record
from metagan_rl.reproducible import mark
from metagan_rl.tasks import get_suite


def run_benchmark(
    configs: BenchmarkConfig | Sequence[BenchmarkConfig],
    out: str | Path,
    *,
    backend: str = "process",
    workers: int | None = None,
    command: str = "",
    show: Callable[[str], None] = lambda line: None,
) -> Path:
    """Runs every cell whose result ``out`` does not hold yet.

    Args:
        configs: one for each split to compare on.
        out: directory for ``rows.jsonl``, ``curves.jsonl`` and ``samples.npz``; a benchmark already there is extended.
        backend: ``"process"``, or ``"ray"`` for several machines; rows are the same.
        workers: batches run at once; by default one for each core; 0 runs everything in this process.
        command: the command line, kept with the results.
        show: gets a line of progress now and then.

    Returns:
        The directory.

    Raises:
        OutputError: the directory cannot be written, or another process writes into it.
        FileFormatError: a file in the directory is damaged.
        InvalidValueError: the directory holds results of other tasks or settings; the message names the difference.
        UnknownNameError: there is no such backend.
        MissingDependencyError: Ray is not installed.
        InvalidValueError: a metric failed on a GAN that did not diverge.
        WorkerError: a batch lost its worker again and again. The rows of the other batches are kept.
    """
    configs = [configs] if isinstance(configs, BenchmarkConfig) else list(configs)
    say_what_trains("auto" if any(config.engine == "auto" for config in configs) else "torch")
    out = Path(out)
    with ExitStack() as stack:
        crew = Workers(run_batch, backend=backend, workers=workers)
        stack.enter_context(crew)
        lock = stack.enter_context(held(out))
        refuse_other_kind(out, CONFIG)
        check_files(out)
        done = _done(out) if exists(out / CONFIG) else set()
        batches = [batch for config in configs for batch in batches_of(config) if not done.issuperset(batch.wanted)]
        batches.sort(key=lambda batch: batch.cells[0][1])  # early seeds first: a stopped benchmark has all tasks
        missing = {key for batch in batches for key in batch.wanted} - done
        _write_config(configs, out, command, {"there": len(done), "missing": len(missing)})
        total = sum(len(batch.wanted) for batch in batches)
        finished, started = 0, time.monotonic()
        for _, result in crew.run(batches):
            lock.check()
            append_lines(out / CURVES, (curve.to_dict() for curve in result.curves if curve.key not in done))
            add_samples(out / SAMPLES, result.samples)
            append_lines(out / ROWS, (row.to_dict() for row in result.rows if row.key not in done))
            finished += len(result.rows)
            show(f"{finished}/{total} runs in {time.monotonic() - started:.0f} s")
    return out


def check_files(out: Path) -> None:
    """Checks that all files of a directory can be read, before work is done that would add to them.

    Raises:
        FileFormatError: one is damaged.
    """
    if exists(out / CONFIG):
        read_rows(out)
        read_curves(out)
        read_lines(out / TRAINING)
        SampleFile(out / SAMPLES)


def _done(directory: Path) -> set[RunKey]:
    """Cells that need not run again; failed ones are tried again."""
    return {row.key for row in read_rows(directory) if row.error is None}


def _files_behind(config: BenchmarkConfig) -> list[tuple[str, Path]]:
    """The files behind schedulers, by name: policies, tuned schedules, and the oracle's references."""
    shipped = [(name, shipped_policy(name)) for name in config.schedulers if name in shipped_policies()]
    tuned = [(name, SCHEDULES / f"{name}.json") for name in config.schedulers if (SCHEDULES / f"{name}.json").exists()]
    found = [(ORACLE, references_file(config.suite, config.split))] if ORACLE in config.schedulers else []
    return [*shipped, *tuned, *found, *((name, Path(path)) for name, path in config.policies)]


RUN_OPTIONS = tuple(each.name for each in fields(RunOptions) if each.name != "initial_weights")
"""Options of runs that all results must share. Initial weights are compared by the content of their file."""
USUAL = {"only": "", **{each.name: each.default for each in fields(BenchmarkConfig)}}
"""Values that held if an earlier version wrote none."""


def _check_same(where: str, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Checks that two entries are of one suite, one set of options and the same files, as far as both name them."""
    fixed = ("sha256", "tasks", "version", "initial_weights", "only", "reproducible", *RUN_OPTIONS)
    files = {f"file of {name}": digest for name, digest in there["policies"].items()}
    same = {f"file of {name}": here["policies"].get(name, digest) for name, digest in there["policies"].items()}
    refuse_another(
        where,
        {**{name: there.get(name, USUAL.get(name)) for name in fixed}, **files},
        {**{name: here.get(name) for name in fixed}, **same},
        "Results are never mixed: use another --out",
    )


def _write_config(configs: Sequence[BenchmarkConfig], out: Path, command: str, runs: Mapping[str, int]) -> None:
    suites: list[dict[str, Any]] = [
        {
            "suite": config.suite,
            "split": config.split,
            "sha256": get_suite(config.suite).sha256,
            **{name: getattr(config, name) for name in RUN_OPTIONS},
            "tasks": config.tasks,
            "only": config.only,
            "version": __version__,
            **mark(),
            "policies": {name: file_digest(path) for name, path in _files_behind(config)},
            "initial_weights": file_digest(config.initial_weights) if config.initial_weights else None,
        }
        for config in configs
    ]
    path, commands = out / CONFIG, [command]
    if exists(path):
        try:
            earlier = read_config(out)
            before = {(entry["suite"], entry["split"]): entry for entry in earlier["suites"]}
            for entry in suites:
                where = entry["suite"], entry["split"]
                old = before.get(where, entry)
                _check_same(f"{out} ({'-'.join(where)})", old, entry)
                before[where] = {**entry, "policies": {**old["policies"], **entry["policies"]}}
        except (KeyError, TypeError, AttributeError) as error:
            raise FileFormatError(f"{path} is damaged ({error}); use another --out") from None
        suites = list(before.values())
        commands = [*earlier.get("commands", []), command]
    record: dict[str, Any] = {
        "kind": BENCHMARK_KIND,
        "version": __version__,
        "commands": [line for line in dict.fromkeys(commands) if line],
        "suites": suites,
        "schedulers": list(dict.fromkeys(n for c in configs for n in (*c.schedulers, *(p for p, _ in c.policies)))),
        "seeds": max(config.seeds for config in configs),
        "configs": [asdict(config) for config in configs],
        "runs": dict(runs),
    }
    for config in record["configs"]:
        config["policies"] = [[name, Path(path).name] for name, path in config["policies"]]
        if config["initial_weights"]:
            config["initial_weights"] = Path(config["initial_weights"]).name
    write_record(path, record)
