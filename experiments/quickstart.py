"""The whole job in one go: train a scheduler, compare it on tasks it never saw, and write the report."""

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from metagan_rl import __version__
from metagan_rl.agents.learners.config import TrainConfig
from metagan_rl.agents.learners.run_folder import CONFIG, PROGRESS
from metagan_rl.agents.learners.training import train
from metagan_rl.errors import InvalidValueError, MissingDependencyError
from metagan_rl.experiments.benchmark import BenchmarkConfig, run_benchmark
from metagan_rl.experiments.benchmark.records import TRAINING
from metagan_rl.experiments.benchmark.run import check_files
from metagan_rl.experiments.report.page import write_report
from metagan_rl.files import exists, write_whole
from metagan_rl.folders import held, refuse_another, refuse_other_kind
from metagan_rl.loop.runs import PlainRunOptions
from metagan_rl.records import read_record, write_record
from metagan_rl.reproducible import mark

KIND, OPTIONS = "metagan-rl quickstart", "quickstart.json"
SCHEDULERS = ("constant", "cosine", "ttur", "random", "tuned-decay", "rule", "default")


def quickstart(
    minutes: float,
    out: Path,
    seed: int,
    seeds: int,
    where: PlainRunOptions | None = None,
    *,
    command: str,
    show: Callable[[str], None],
) -> Path:
    """Trains for some minutes and compares on held-out families, real tables and real digits.

    If it was stopped, call it again with the same directory: it goes on where it stopped. The directory belongs to one
    configuration, and another is refused before any work.

    Args:
        minutes: training time.
        out: directory for ``train/``, ``benchmark/`` and the report.
        seed: seed of the agent.
        seeds: GAN runs for each planar task and scheduler.
        where: their device and engine count.
        command: the command line, kept with the results.
        show: gets lines of progress.

    Returns:
        The path of the report.

    Raises:
        InvalidValueError: ``minutes`` or ``seeds`` is out of range, or the directory holds a run of other options.
        OutputError: the directory cannot be written, or another process writes into it.
        FileFormatError: a file in the directory is damaged.
        MissingDependencyError: a library that the comparison or the report needs is not installed.
    """
    for library, extra in (("sklearn", "data"), ("matplotlib", "report"), ("jinja2", "report")):
        if importlib.util.find_spec(library) is None:  # check now, not after the training
            raise MissingDependencyError(library, extra, "quickstart")
    place = {name: getattr(where or PlainRunOptions(), name) for name in ("device", "engine")}
    config = TrainConfig(minutes=minutes, seed=seed, members=32, validate_every=5, validation_tasks=12, **place)
    configs = [
        BenchmarkConfig("planar", "test", SCHEDULERS, seeds=seeds, tasks=2, **place),
        BenchmarkConfig("tabular", "test", SCHEDULERS, seeds=1, **place),
        BenchmarkConfig("digits", "test", SCHEDULERS, seeds=1, **place),
    ]
    with held(out):
        _claim(out, {"minutes": minutes, "seed": seed, "seeds": seeds, **place, **mark()})
        check_files(out / "benchmark")  # now, not after the training
        show(f"training a scheduler: {minutes:g} minutes on suite planar")
        policy = train(config, out / "train", show=show)
        show("comparing it on tasks it never saw")
        configs = [replace(each, policies=(("learned", str(policy)),)) for each in configs]
        benchmark = run_benchmark(configs, out / "benchmark", command=command, show=show)
        write_whole(benchmark / TRAINING, (out / "train" / PROGRESS).read_bytes())
        report = write_report(benchmark)
        final = out / "report.html"
        write_whole(final, report.read_bytes())
        show((benchmark / "summary.md").read_text(encoding="utf-8"))
        return final


def _claim(out: Path, options: dict[str, Any]) -> None:
    """Makes a directory belong to these options, or checks that it does."""
    refuse_other_kind(out, OPTIONS)
    path = out / OPTIONS
    if exists(path):
        there = read_record(path, "the options of a quickstart", kind=KIND, known=("version", "options"))
        refuse_another(out, there["options"], options, "Choose another --out, or give the same options to go on")
    elif exists(out / "train" / CONFIG):
        raise InvalidValueError(f"{out} holds a training run, but no quickstart ({OPTIONS}); choose another --out")
    else:
        write_record(path, {"kind": KIND, "version": __version__, "options": options})
