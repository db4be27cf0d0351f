"""Puts the cells of a benchmark into batches that workers run.

Cells of one scheduler on tasks of one shape run together as one population: a few tasks with a block of seeds each.
What shares a batch can change the last digits of a row. So batches depend on the chosen tasks alone: rows do not depend
on which other schedulers are compared, nor on how many seeds, and more seeds add batches and change none.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from metagan_rl.agents import make_scheduler
from metagan_rl.experiments.benchmark.cells import Batch
from metagan_rl.experiments.benchmark.config import BenchmarkConfig
from metagan_rl.experiments.benchmark.references import ORACLE, load_references
from metagan_rl.loop.runs import RunOptions
from metagan_rl.metrics import METRICS
from metagan_rl.populations.population import Shape
from metagan_rl.tasks import Task

BATCH = 32
"""Most GANs trained together. That is as many cells, or fewer if a scheduler trains several GANs for each."""
SEEDS_AT_ONCE = 4
"""Most seeds in a batch, which matters if there are few tasks of a shape. A power of two."""
SAMPLED_TASKS = 6
"""Tasks of each tag whose samples (of the first seed) are kept for pictures."""


def batches_of(config: BenchmarkConfig) -> Iterator[Batch]:
    """All batches of one split, scheduler by scheduler."""
    tasks = config.chosen_tasks()
    sampled = _sampled(tasks)
    named: list[tuple[str, bytes | None]] = [(name, None) for name in config.schedulers]
    named += [(name, Path(path).read_bytes()) for name, path in config.policies]
    at_once = {name: BATCH for name, _ in config.policies}
    members = {name: 1 if name == ORACLE else make_scheduler(name).members for name in config.schedulers}
    at_once |= {name: max(1, BATCH // count) for name, count in members.items()}
    found = load_references(config.suite, config.split).schedules
    initial = None if config.initial_weights is None else Path(config.initial_weights).read_bytes()
    options = replace(RunOptions.of(config), initial_weights=None)
    for scheduler, policy in named:
        own = [task for task in tasks if scheduler != ORACLE or task.name in found]
        for cells in _together(own, config.seeds, at_once[scheduler]):
            yield Batch(
                config.suite, config.split, cells, scheduler, policy, options, sampled, initial,
                metrics=tuple(METRICS), seeds=config.seeds,
            )  # fmt: skip


def _together(tasks: Sequence[Task], seeds: int, at_once: int) -> Iterator[tuple[tuple[str, int], ...]]:
    """Groups of at most ``at_once`` cells: tasks of one shape and budget, each with the same block of seeds."""
    groups: dict[tuple[Shape, int], list[str]] = {}
    for task in tasks:
        groups.setdefault((Shape.of(task), task.budget), []).append(task.name)
    for names in groups.values():
        for block in _blocks(seeds, min(SEEDS_AT_ONCE, at_once // len(names))):
            for start in range(0, len(names), at_once):
                some = names[start : start + at_once]
                yield tuple((name, seed) for seed in block for name in some)


def _blocks(seeds: int, most: int) -> Iterator[range]:
    """Blocks that cover the seeds: 0, 1, 2-3, 4-7 and so on, none with more than ``most``.

    The last may go beyond the seeds that are asked for. A block that was cut off would have to grow later.
    """
    first = 0
    while first < seeds:
        size = max(1, first)
        while size > max(1, most):
            size //= 2
        yield range(first, first + size)
        first += size


def _sampled(tasks: Sequence[Task]) -> tuple[str, ...]:
    """One task of each family, so that the pictures show every family."""
    first: dict[tuple[str, str], str] = {}
    for task in tasks:
        first.setdefault((task.tag, task.name.split("/")[0]), task.name)
    kept: list[str] = []
    for tag in dict.fromkeys(tag for tag, _ in first):
        kept += [name for (other, _), name in first.items() if other == tag][:SAMPLED_TASKS]
    return tuple(kept)
