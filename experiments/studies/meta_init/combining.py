"""Starting weights and schedules together: {fresh, learned weights} x {tuned constant, learned schedule}, and more.

The schedule is learned by recurrent PPO, with as many updates as tuning ``tuned-constant`` took: once over GANs that
start fresh (the shipped ``recurrent-ppo``), once over GANs that start at the learned weights. Besides, the first of
these schedules on the learned weights, which it never saw, and the tuned decay on both. All are of one meta-training
and one training of each policy: intervals are over tasks and GAN seeds alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metagan_rl.agents.learners.config import TrainConfig
from metagan_rl.agents.learners.training import train
from metagan_rl.agents.searches.tuned import tuned_constant
from metagan_rl.experiments.benchmark import BenchmarkConfig, read_rows, run_benchmark
from metagan_rl.experiments.benchmark.records import CONFIG
from metagan_rl.experiments.benchmark.row import Cell
from metagan_rl.experiments.report.statistics import Estimate, geometric_mean, paired_ratio
from metagan_rl.experiments.report.summary import end_distance
from metagan_rl.experiments.studies.meta_init.study import CHOICES, FRESH, WEIGHTS, StudyRun, chosen_distance, read

KIND = "planar"
FROM_FRESH, FROM_LEARNED, POLICY = "from-fresh", "from-learned", "policy"
"""Directories of the two benchmarks, and of the training on learned weights."""
LEARNED_ON_FRESH, LEARNED_ON_LEARNED = "recurrent-ppo", "learned-on-learned"
TASKS = 2
"""Test tasks of each family."""
COMBINATIONS = (
    (FROM_FRESH, "tuned-constant", "fresh weights, tuned constant"),
    (FROM_FRESH, "tuned-decay", "fresh weights, tuned decay"),
    (FROM_FRESH, LEARNED_ON_FRESH, "fresh weights, learned schedule"),
    (FROM_LEARNED, "tuned-constant", "learned weights, tuned constant"),
    (FROM_LEARNED, "tuned-decay", "learned weights, tuned decay"),
    (FROM_LEARNED, LEARNED_ON_LEARNED, "learned weights, schedule learned on them"),
    (FROM_LEARNED, LEARNED_ON_FRESH, "learned weights, schedule learned on fresh weights"),
)
"""Directory, scheduler, and what it is; the first is what the others are held against."""


@dataclass(frozen=True)
class Combination:
    """One combination on tasks of one tag.

    Attributes:
        name: readable.
        distance: geometric mean at the end of the budget.
        ratio: to the first combination, the same tasks and seeds.
    """

    name: str
    distance: Estimate
    ratio: Estimate | None


def best_start(rows: list[dict[str, Any]]) -> str:
    """The method whose chosen settings had the lowest distance on the tasks that rates are chosen on."""
    distances = {start: value for (kind, start), value in chosen_distance(rows).items() if kind == KIND}
    return min((start for start in distances if start != FRESH), key=lambda start: distances[start])


def run_combinations(
    out: Path, *, seeds: int, workers: int | None, scale: float = 1.0, show: Callable[[str], None] = print
) -> None:
    """Trains the schedule on learned weights, and runs both benchmarks; what is there already is not run again.

    Args:
        out: the study's directory, whose weights of the first seed are used.
        seeds: GAN runs of each task and combination.
        workers: as in :func:`.run_study`.
        scale: factor of the updates of training.
        show: gets a line now and then.
    """
    start = best_start(read(out / CHOICES))
    weights = out / WEIGHTS / f"{StudyRun(KIND, start, 0).name()}.safetensors"
    updates = max(1, round(scale * tuned_constant().cost))
    config = TrainConfig(suite=KIND, updates=updates, shards=1, initial_weights=str(weights))  # as recurrent-ppo
    policy = train(config, out / POLICY, show=show)
    common = ("constant", "tuned-constant", "tuned-decay", LEARNED_ON_FRESH)
    fresh = BenchmarkConfig(KIND, "test", common, seeds=seeds, tasks=TASKS)
    learned = BenchmarkConfig(
        KIND,
        "test",
        common,
        ((LEARNED_ON_LEARNED, str(policy)),),
        seeds=seeds,
        tasks=TASKS,
        initial_weights=str(weights),
    )
    for where, benchmark in ((FROM_FRESH, fresh), (FROM_LEARNED, learned)):
        show(
            f"{where}: GANs that start at " + (f"the weights of {start}" if where == FROM_LEARNED else "fresh weights")
        )
        run_benchmark(benchmark, out / where, workers=workers, show=show)


def combinations(out: Path) -> dict[str, list[Combination]]:
    """What the two benchmarks came to, by tag of the tasks; nothing if they were not run."""
    if not all((out / where / CONFIG).exists() for where in (FROM_FRESH, FROM_LEARNED)):
        return {}
    rows = {where: read_rows(out / where) for where in (FROM_FRESH, FROM_LEARNED)}
    found: dict[str, list[Combination]] = {}
    for tag in dict.fromkeys(row.tag for row in rows[FROM_FRESH]):
        first: Mapping[Cell, float] = {}
        for where, scheduler, name in COMBINATIONS:
            own = {
                row.cell: end_distance(row)
                for row in rows[where]
                if (row.tag, row.key.scheduler) == (tag, scheduler) and not row.error
            }
            first = first or own
            ratio = None if first is own else paired_ratio(own, first)
            found.setdefault(tag, []).append(Combination(name, geometric_mean(own), ratio))
    return found
