"""Comparisons: the benchmark runner, its statistics and report, named studies."""

from importlib import import_module
from typing import Any

_HOMES = {
    "BenchmarkConfig": "benchmark",
    "run_benchmark": "benchmark",
    "read_rows": "report",
    "write_report": "report",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"metagan_rl.experiments.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
