"""Comparisons: the benchmark and its report, the evaluation of agents, tuning, and the main job in one go."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metagan_rl.experiments.benchmark import BenchmarkConfig, Row, read_rows, run_benchmark
    from metagan_rl.experiments.evaluation import AgentTest, evaluate_agent, sb3_agent
    from metagan_rl.experiments.report.page import write_report

__all__ = [
    "AgentTest",
    "BenchmarkConfig",
    "Row",
    "evaluate_agent",
    "read_rows",
    "run_benchmark",
    "sb3_agent",
    "write_report",
]
HOMES = {
    "AgentTest": "evaluation",
    "evaluate_agent": "evaluation",
    "sb3_agent": "evaluation",
    "write_report": "report.page",
}
"""Where names are that are not in ``benchmark``."""


def __getattr__(name: str) -> Any:
    """Each name is imported when it is asked for: drawing needs libraries that running does not."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOMES.get(name, 'benchmark')}"), name)
