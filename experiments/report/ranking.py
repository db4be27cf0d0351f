"""One table over all runs: how much of the room each scheduler takes, where, how safely, and at what cost.

The tables of ``summary.py`` compare schedulers within a group of tasks. The ranking puts all groups on one scale: the
share of the room between untuned and the per-task oracle (``references.py``). Columns that a benchmark cannot fill are
NaN (no references, no ``tuned-constant``, rows of an older release).

Like is compared with like: the ranked schedulers all have the same tasks. A scheduler that lacks some, because they
were not run or failed, is listed apart, as its tasks may be the easy ones.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from metagan_rl.experiments.benchmark.references import References, Room, share_of_room
from metagan_rl.experiments.benchmark.row import Cell, Row
from metagan_rl.experiments.report.aggregates import (
    Aggregate,
    aggregates,
    interquartile_mean,
    low_percentile,
    optimality_gap,
    over_seeds,
    over_tasks,
    probability_of_improvement,
)
from metagan_rl.experiments.report.statistics import UNKNOWN, Estimate, fixed_stream, geometric_mean, rate
from metagan_rl.experiments.report.summary import (
    TAGS,
    by_scheduler,
    distances_of,
    end_distance,
    in_order,
    known,
    seeds_of,
)

BASELINE = "tuned-constant"
"""The scheduler over which improvement is measured: what a careful user has after tuning once."""
VANISHED = 0.05
"""A run has a vanishing gradient if the mean of its term is above this. Then G's gradient was gone (a thousandth of its
first value) for a twentieth of the run, or weak for longer."""
MODES_LOST = 0.1
"""If modes are not known, a run counts as having lost modes if its coverage was, on average over the run, more than
this below its own earlier best."""


@dataclass(frozen=True)
class Standing:
    """One scheduler over all tasks of a benchmark.

    Attributes:
        scheduler: its name.
        tasks, seeds, runs: how many; ``seeds`` is the most that any task has.
        failed: runs that ended in an error and count nowhere else.
        apart: whether it is not ranked, because it lacks tasks that the ranked ones have.
        scored: runs on tasks with enough room; the scores are over these.
        score: interquartile mean share of the room, with its interval over other seeds of these tasks.
        score_over_tasks: the same, with its interval over other tasks of the same kind.
        tiers: the same by tag, with intervals over tasks.
        gaps: score on known families minus score on each other tag, with intervals over tasks; positive is a loss.
        improvement: P(better than ``BASELINE``), with its interval over seeds; unknown for the baseline itself.
        optimality_gap: mean shortfall from the oracle, with its interval over seeds.
        low_score: 20th percentile of the score, with its interval over seeds.
        distance: geometric mean over all tasks.
        diverged: share of runs that diverged.
        modes_lost, vanished: shares of the runs that did not diverge; unknown if all did.
        tuning_updates: GAN updates spent once, on tuning or meta-training.
        extra_updates: mean number of GAN updates spent on a run in addition to its own.
        extra_runs: the same, counted in runs.
    """

    scheduler: str
    tasks: int
    seeds: int
    runs: int
    failed: int
    apart: bool = False
    scored: int = 0
    score: Estimate = UNKNOWN
    score_over_tasks: Estimate = UNKNOWN
    tiers: Mapping[str, Estimate] = field(default_factory=dict)
    gaps: Mapping[str, Estimate] = field(default_factory=dict)
    improvement: Estimate = UNKNOWN
    optimality_gap: Estimate = UNKNOWN
    low_score: Estimate = UNKNOWN
    distance: Estimate = UNKNOWN
    diverged: Estimate = UNKNOWN
    modes_lost: Estimate = UNKNOWN
    vanished: Estimate = UNKNOWN
    tuning_updates: float = float("nan")
    extra_updates: float = float("nan")
    extra_runs: float = float("nan")


@dataclass(frozen=True)
class Ranking:
    """All schedulers of a benchmark on one scale.

    Attributes:
        standings: highest score first (lowest distance first without scores), those listed apart after all others,
            schedulers without a sound run last.
        tiers: tags of the tasks, known families first.
        tasks: number of tasks that have a row.
        common: of these, tasks that all ranked schedulers have; the ranked are compared on these alone.
        narrow: of these, tasks left out of the score because tuning wins next to nothing there.
        unreferenced: of these, tasks left out because their room was not measured.
        baseline: whether ``BASELINE`` was run.
        counts: number of tasks that the scores of each tier are over.
    """

    standings: tuple[Standing, ...]
    tiers: tuple[str, ...]
    tasks: int
    common: int
    narrow: int
    unreferenced: int
    baseline: bool
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def scored(self) -> int:
        """The number of tasks that the scores are over."""
        return self.tasks - self.narrow - self.unreferenced


def rank(rows: Iterable[Row], references: Iterable[References] = ()) -> Ranking:
    """Works out the ranking.

    Args:
        rows: as ``read_rows`` gives them, of all suites and splits. If a cell is there twice, the last row counts.
        references: references of the splits that have them.
    """
    rows = list(rows)
    rooms = rooms_of(references)
    sound, failed = by_scheduler(rows)
    tasks = {row.key.whole_task for row in rows}
    tiers = in_order(row.tag for row in rows)
    baseline = distances_of(sound.get(BASELINE, {}))
    ranked, common = _ranked({name: {task for task, _ in cells} for name, cells in sound.items()}, rooms)
    standings = []
    for name, cells in sound.items():
        some = {cell: row for cell, row in cells.items() if cell[0] in common} if name in ranked else cells
        standing = _standing(name, some, len(failed[name]), rooms, baseline)
        standings.append(replace(standing, apart=bool(cells) and name not in ranked))
    standings.sort(key=_place)
    return Ranking(
        tuple(standings),
        tuple(tiers),
        tasks=len(tasks),
        common=len(common),
        narrow=sum(task in rooms and not rooms[task].enough for task in tasks),
        unreferenced=len(tasks - rooms.keys()),
        baseline=bool(baseline),
        counts=_counts(rows, {task for task in common if task in rooms and rooms[task].enough}),
    )


def _counts(rows: Sequence[Row], tasks: set[str]) -> dict[str, int]:
    """The number of these tasks by tag."""
    tags = {row.key.whole_task: row.tag for row in rows if row.key.whole_task in tasks}
    return {tag: list(tags.values()).count(tag) for tag in in_order(tags.values())}


def _ranked(tasks: Mapping[str, set[str]], rooms: Mapping[str, Room]) -> tuple[set[str], set[str]]:
    """The schedulers to rank, and the tasks that all of them have.

    A scheduler is ranked if it has every task with a score that any scheduler has, or every task if none has a score.
    If no scheduler has them all, all are ranked on the tasks that they have in common, if there are any.
    """
    tasks = {name: some for name, some in tasks.items() if some}
    every: set[str] = set().union(*tasks.values())
    counted = {task for task in every if task in rooms and rooms[task].enough} or every
    ranked = {name for name, some in tasks.items() if some >= counted} or set(tasks)
    common = every.intersection(*(tasks[name] for name in ranked))
    return (ranked, common) if common else (set(), set())


def rooms_of(references: Iterable[References]) -> dict[str, Room]:
    """The rooms of all splits, by task as ``RunKey.whole_task`` names it."""
    return {f"{some.suite}/{some.split}/{task}": room for some in references for task, room in some.rooms.items()}


def scores_of(cells: Mapping[Cell, Row], rooms: Mapping[str, Room]) -> dict[Cell, float]:
    """The share of the room by cell, for the sound rows on tasks with enough room."""
    return {
        cell: share_of_room(end_distance(row), rooms[cell[0]])
        for cell, row in cells.items()
        if cell[0] in rooms and rooms[cell[0]].enough
    }


def modes_lost(row: Row) -> bool | None:
    """Whether the run ended without some of the known modes; if modes are not known, see ``MODES_LOST``."""
    share, loss = row.metrics.get("modes_share"), row.stability.get("mode_loss")
    if known(share):
        return share < 1
    return loss > MODES_LOST if known(loss) else None


def gradient_vanished(row: Row) -> bool | None:
    """Whether G's gradient was gone for part of the run; see ``VANISHED``."""
    vanishing = row.stability.get("vanishing")
    return vanishing > VANISHED if known(vanishing) else None


def _standing(
    name: str, cells: Mapping[Cell, Row], failed: int, rooms: Mapping[str, Room], baseline: Mapping[Cell, float]
) -> Standing:
    seeds = seeds_of(cells)
    standing = Standing(name, len(seeds), max(seeds.values(), default=0), len(cells), failed)
    if not cells:
        return standing
    distances = distances_of(cells)
    finished = {cell: row for cell, row in cells.items() if not row.diverged}
    standing = replace(
        standing,
        distance=geometric_mean(distances),
        diverged=rate({cell: row.diverged for cell, row in cells.items()}),
        modes_lost=_rate({cell: modes_lost(row) for cell, row in finished.items()}),
        vanished=_rate({cell: gradient_vanished(row) for cell, row in finished.items()}),
        tuning_updates=max((row.tuning_updates for row in cells.values() if known(row.tuning_updates)), default=np.nan),
        extra_updates=_mean([row.extra_updates for row in cells.values() if known(row.extra_updates)]),
        extra_runs=_mean(
            [row.extra_updates / row.updates for row in finished.values()
             if known(row.extra_updates) and row.updates]
        ),
    )  # fmt: skip
    if name != BASELINE and {task for task, _ in distances} & {task for task, _ in baseline}:
        improvement = probability_of_improvement(distances, baseline, fixed_stream()).estimate()
        standing = replace(standing, improvement=improvement)
    scores = scores_of(cells, rooms)
    return _scored(standing, scores, {cell: cells[cell].tag for cell in scores}) if scores else standing


def _scored(standing: Standing, scores: Mapping[Cell, float], tags: Mapping[Cell, str]) -> Standing:
    by_tag: dict[str, dict[Cell, float]] = {}
    for cell, score in scores.items():
        by_tag.setdefault(tags[cell], {})[cell] = score
    # A stream for each tier: tiers have different tasks, so their differences need independent resamples.
    tiers: dict[str, Aggregate] = {}
    for place, tag in enumerate(sorted(by_tag)):
        [tiers[tag]] = aggregates(by_tag[tag], [interquartile_mean], over_tasks, fixed_stream(place))
    first = TAGS[0]
    gaps = {tag: (tiers[first] - other).estimate() for tag, other in tiers.items() if first in tiers and tag != first}
    wanted = [interquartile_mean, optimality_gap, low_percentile]
    middle, gap, low = (some.estimate() for some in aggregates(scores, wanted, over_seeds, fixed_stream()))
    return replace(
        standing,
        scored=len(scores),
        score=middle,
        score_over_tasks=aggregates(scores, wanted[:1], over_tasks, fixed_stream())[0].estimate(),
        tiers={tag: tier.estimate() for tag, tier in tiers.items()},
        gaps=gaps,
        optimality_gap=gap,
        low_score=low,
    )


def _rate(happened: Mapping[Cell, bool | None]) -> Estimate:
    told = {cell: value for cell, value in happened.items() if value is not None}
    return rate(told) if told else UNKNOWN


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _place(standing: Standing) -> tuple[bool, bool, float, bool, float, str]:
    score, distance = standing.score.value, standing.distance.value
    return (
        standing.apart or not standing.runs,
        bool(np.isnan(score)),
        -score if score == score else 0.0,
        bool(np.isnan(distance)),
        distance,
        standing.scheduler,
    )
