"""Compares two schedulers: ``python -m metagan_rl.experiments.report.compare DIR default constant``."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from metagan_rl.errors import InvalidValueError, MetaGANError, UnknownNameError
from metagan_rl.experiments.benchmark.records import read_rows
from metagan_rl.experiments.benchmark.row import Row
from metagan_rl.experiments.report.statistics import Estimate, paired_ratio
from metagan_rl.experiments.report.summary import by_scheduler, distances_of


@dataclass
class Compare:
    """The paired ratio of two schedulers' distances, over all tasks and by tier, with 95 % intervals over tasks."""

    directory: tyro.conf.Positional[Path]
    """Directory of a benchmark."""
    scheduler: tyro.conf.Positional[str]
    """The scheduler above the line."""
    against: tyro.conf.Positional[str]
    """The scheduler below the line."""


def compare(rows: Sequence[Row], scheduler: str, against: str) -> dict[str, Estimate]:
    """Ratios of geometric mean distances on the tasks and seeds that both have; below 1 the first is better.

    Returns:
        Ratios over ``"all"``, and by suite and tag, such as ``"planar, known-family"``.

    Raises:
        UnknownNameError: one of the schedulers was not run.
        InvalidValueError: the two have no run in common.
    """
    sound, _ = by_scheduler(rows)
    for name in (scheduler, against):
        if name not in sound:
            raise UnknownNameError("scheduler of this benchmark", name, list(sound))
    own, other = distances_of(sound[scheduler]), distances_of(sound[against])
    both = [cell for cell in own if cell in other]
    if not both:
        raise InvalidValueError(
            f"{scheduler} and {against} have no run in common; run both on the same tasks and seeds"
        )
    groups = {"all": both}
    tier = {row.cell: f"{row.key.suite}, {row.tag}" for row in rows}
    for cell in both:
        groups.setdefault(tier[cell], []).append(cell)
    return {group: paired_ratio({cell: own[cell] for cell in cells}, other) for group, cells in groups.items()}


def main() -> None:
    """Prints a line for each tier."""
    options = tyro.cli(Compare)
    try:
        found = compare(read_rows(options.directory), options.scheduler, options.against)
    except MetaGANError as error:
        sys.exit(f"error: {error}")
    for group, ratio in found.items():
        known = "" if np.isnan(ratio.low) else f" [{ratio.low:.2f}, {ratio.high:.2f}]"
        print(f"{group}: {options.scheduler} / {options.against} {ratio.value:.2f}{known}")


if __name__ == "__main__":
    main()
