"""The benchmark: what it compares, how it runs, and the rows, curves and samples that it writes."""

from metagan_rl.experiments.benchmark.config import TIERS, BenchmarkConfig, every_scheduler
from metagan_rl.experiments.benchmark.records import read_curves, read_rows
from metagan_rl.experiments.benchmark.row import Curve, Row, RunKey
from metagan_rl.experiments.benchmark.run import run_benchmark

__all__ = [
    "TIERS",
    "BenchmarkConfig",
    "Curve",
    "Row",
    "RunKey",
    "every_scheduler",
    "read_curves",
    "read_rows",
    "run_benchmark",
]
