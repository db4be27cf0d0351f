"""The main job in one go: train a scheduler, compare it where it never was, write the report."""

import shutil
from collections.abc import Callable
from pathlib import Path

from metagan_rl.agents.training import PROGRESS, TrainConfig, train
from metagan_rl.experiments.benchmark import BenchmarkConfig, run_benchmark
from metagan_rl.experiments.report import write_report
from metagan_rl.files import make_directory

SCHEDULERS = ("constant", "linear", "cosine", "ttur", "random", "default")


def quickstart(minutes: float, out: Path, seed: int, seeds: int, *, command: str, show: Callable[[str], None]) -> Path:
    """Trains for some minutes and compares on held-out families, real tables and real digits.

    Args:
        minutes: of training.
        out: directory for ``train/`` and ``benchmark/`` and the report.
        seed: of the agent.
        seeds: GAN runs for each planar task and scheduler.
        command: how it was called, kept with the results.
        show: gets lines of progress.

    Returns:
        The report.

    Raises:
        InvalidValueError: the directory holds another quickstart already.
    """
    make_directory(out)
    show(f"training a scheduler for {minutes:g} minutes on suite planar")
    config = TrainConfig(minutes=minutes, seed=seed, members=32, validate_every=5, validation_tasks=12)
    policy = train(config, out / "train", show=show)
    show("comparing it on tasks it never saw")
    policies = (("learned", str(policy)),)
    configs = [
        BenchmarkConfig("planar", "test", SCHEDULERS, policies, seeds=seeds, tasks=2),
        BenchmarkConfig("tabular", "test", SCHEDULERS, policies, seeds=1, tasks=1),
        BenchmarkConfig("digits", "test", SCHEDULERS, policies, seeds=1, tasks=2),
    ]
    benchmark = run_benchmark(configs, out / "benchmark", command=command, show=show)
    shutil.copyfile(out / "train" / PROGRESS, benchmark / "training.jsonl")
    report = write_report(benchmark)
    final = out / "report.html"
    shutil.copyfile(report, final)
    show((benchmark / "summary.md").read_text(encoding="utf-8"))
    return final
