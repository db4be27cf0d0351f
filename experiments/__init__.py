"""Comparisons: the benchmark and its report, tuning, and the main job in one go."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metagan_rl.experiments.benchmark import BenchmarkConfig, Row, read_rows, run_benchmark
    from metagan_rl.experiments.report.page import write_report

__all__ = ["BenchmarkConfig", "Row", "read_rows", "run_benchmark", "write_report"]


def __getattr__(name: str) -> Any:
    """Each name is imported when it is asked for: drawing needs libraries that running does not."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "report.page" if name == "write_report" else "benchmark"
    return getattr(import_module(f"{__name__}.{home}"), name)
