"""The table of the study: ratios to a reference, paired by task and seed, with 95 % intervals over tasks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metagan_rl.experiments.report.statistics import Estimate, bootstrap, fixed_stream, geometric_mean, paired_ratio

REFERENCE = "tuned-decay"


def ratios(rows: Sequence[Mapping[str, Any]], scheduler: str, reference: str, condition: str) -> Any:
    """The geometric mean of distances relative to the reference's on the same tasks and seeds (``paired_ratio``)."""
    return paired_ratio(_distances(rows, scheduler, condition), _distances(rows, reference, condition), fixed_stream())


def cell(estimate: Estimate) -> str:
    """A ratio with its interval, as tables show it."""
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def ratio_of_logs(logs: np.ndarray) -> Estimate:
    """The geometric mean of ratios, from their logarithms ``[tasks]``, with its interval."""
    return Estimate(*(float(np.exp(each)) for each in bootstrap(logs)))


def table(rows: Sequence[Mapping[str, Any]], schedulers: Sequence[str], reference: str = REFERENCE) -> str:
    """The rows as Markdown: the reference's distance, and the ratio of each other scheduler to it."""
    others = [name for name in schedulers if name != reference]
    lines = [f"| condition | tasks x seeds | `{reference}` | " + " | ".join(f"`{name}`" for name in others) + " |"]
    lines.append("|---|--:|--:|" + "--:|" * len(others))
    for condition in dict.fromkeys(row["condition"] for row in rows):
        base = _distances(rows, reference, condition)
        if not base:
            continue
        cells = [f"{len({task for task, _ in base})} x {len({seed for _, seed in base})}"]
        cells.append(f"{geometric_mean(base).value:.3f}")
        for name in others:
            if not _distances(rows, name, condition):
                cells.append("")
                continue
            cells.append(cell(ratios(rows, name, reference, condition)))
        lines.append(f"| {condition} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def courses(rows: Sequence[Mapping[str, Any]], scheduler: str, reference: str, conditions: Sequence[str]) -> str:
    """How far a scheduler departs from another on average, as Markdown: differences of logarithms in a run's course."""
    knobs = {"generator_lr_factor": "G's rate", "discriminator_lr_factor": "D's rate", "penalty_weight": "penalty"}
    lines = ["| condition | control | begin | 1/4 | 1/2 | 3/4 | end |", "|---|---|--:|--:|--:|--:|--:|"]
    for condition in conditions:
        for knob, words in knobs.items():
            means = [_mean_course(rows, name, condition, knob) for name in (scheduler, reference)]
            numbers = " | ".join(f"{each:+.1f}" for each in means[0] - means[1])
            lines.append(f"| {condition} | {words} | {numbers} |")
    return "\n".join(lines)


def _mean_course(rows: Sequence[Mapping[str, Any]], scheduler: str, condition: str, knob: str) -> np.ndarray:
    found = [row["course"][knob] for row in rows if (row["scheduler"], row["condition"]) == (scheduler, condition)]
    mean: np.ndarray = np.log(np.maximum(found, 1e-6)).mean(axis=0)
    return mean


def _distances(rows: Sequence[Mapping[str, Any]], scheduler: str, condition: str) -> dict[Any, float]:
    return {
        (row["task"], row["seed"]): row["distance"]
        for row in rows
        if row["scheduler"] == scheduler and row["condition"] == condition
    }
