"""Turns rows into tables: one group for each suite, split and tag, with one entry for each scheduler."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeGuard

import numpy as np

from metagan_rl.experiments.benchmark.row import Cell, Row
from metagan_rl.experiments.report.statistics import (
    UNKNOWN,
    Estimate,
    by_task,
    divergence_rate,
    geometric,
    geometric_mean,
    paired_ratio,
    win_rate,
)
from metagan_rl.metrics import METRICS, STABILITY_TERMS
from metagan_rl.metrics.quality import WORST_DISTANCE

YARDSTICK = "constant"
"""Everything is compared with the unscheduled run, if there is one."""
TAGS = ("known-family", "held-out-family", "other-network", "other-budget", "real")
"""Tags of the package's own tasks, in the order of the tables. A user's tasks may have any others."""
SMALLEST = 1e-12
"""Distances are raised to at least this before their logarithm is taken."""


@dataclass(frozen=True)
class Entry:
    """One scheduler on one group of tasks.

    Attributes:
        scheduler: its name.
        tasks, seeds, runs: how many; ``seeds`` is the most that any task has.
        failed: runs that ended in an error and count nowhere else.
        distance: geometric mean distance at the end.
        ratio: paired ratio to the yardstick; unknown for the yardstick itself.
        wins: share of runs won against the yardstick.
        diverged: share of runs that diverged.
        means: means of the columns that :func:`averaged` names; NaN if no row has a value.
        families: geometric mean distance by family.
        best: whether it has the lowest distance, and surely lower than the next.
    """

    scheduler: str
    tasks: int
    seeds: int
    runs: int
    failed: int
    distance: Estimate = UNKNOWN
    ratio: Estimate = UNKNOWN
    wins: Estimate = UNKNOWN
    diverged: float = float("nan")
    means: Mapping[str, float] = field(default_factory=dict)
    families: Mapping[str, float] = field(default_factory=dict)
    best: bool = False


@dataclass(frozen=True)
class Group:
    """All schedulers on the tasks of one suite, split and tag.

    Attributes:
        suite, split, tag: which tasks.
        yardstick: the scheduler that the others are compared with.
        entries: lowest distance first, schedulers without a sound run last.
        runs: number of cells that any scheduler has. In a complete comparison, every scheduler has them all.
        tasks: number of tasks.
        floor: geometric mean distance of real points to real points.
        start: geometric mean distance of the untrained GANs.
        lead: paired ratio of the first entry to the second; unknown if there is no second.
        families: number of tasks by family.
    """

    suite: str
    split: str
    tag: str
    yardstick: str
    entries: tuple[Entry, ...]
    runs: int
    tasks: int
    floor: float
    start: float
    lead: Estimate
    families: Mapping[str, int]

    @property
    def name(self) -> str:
        """A readable name, such as "planar, test split: held-out-family"."""
        return f"{self.suite}, {self.split} split: {self.tag}"

    @property
    def ratios(self) -> dict[str, Estimate]:
        """The ratio to the yardstick by scheduler."""
        return {entry.scheduler: entry.ratio for entry in self.entries}


def yardstick_of(schedulers: Sequence[str]) -> str:
    """The scheduler that the others are compared with: ``constant``, or else the first."""
    return YARDSTICK if YARDSTICK in schedulers or not schedulers else schedulers[0]


def in_order(tags: Iterable[str]) -> list[str]:
    """Each tag once: the package's own in their order, then all others by name."""
    return sorted(set(tags), key=lambda tag: (TAGS.index(tag) if tag in TAGS else len(TAGS), tag))


def group_rows(rows: Iterable[Row]) -> dict[tuple[str, str, str], list[Row]]:
    """Groups rows by suite, split and tag: known families, then held-out ones, real data and a user's own."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.key.suite, row.key.split, row.tag), []).append(row)
    places = in_order(tag for _, _, tag in groups)
    return {key: groups[key] for key in sorted(groups, key=lambda key: places.index(key[2]))}


def metrics_in(rows: Iterable[Row]) -> list[str]:
    """Names of all metrics: the registered ones, then any others that the rows have."""
    return list(dict.fromkeys([*METRICS, *(name for row in rows for name in row.metrics)]))


def averaged(rows: Iterable[Row]) -> list[str]:
    """Columns to average: stability, time, and every metric except the distance, which has its own mean."""
    return [*(name for name in metrics_in(rows) if name != "distance"), *STABILITY_TERMS, "seconds"]


def summarise(rows: Iterable[Row], schedulers: Sequence[str]) -> list[Group]:
    """Works out every table of a benchmark.

    Args:
        rows: as ``read_rows`` gives them. If a cell is there twice, the last row counts.
        schedulers: schedulers in the order of the benchmark.
    """
    rows = list(rows)
    yardstick, columns = yardstick_of(schedulers), averaged(rows)
    return [_group(key, some, yardstick, columns) for key, some in group_rows(rows).items()]


def end_distance(row: Row) -> float:
    """The row's distance, or the worst possible if it has none; kept large enough to have a logarithm."""
    value = WORST_DISTANCE if row.distance is None or np.isnan(row.distance) else row.distance
    return float(np.clip(value, SMALLEST, WORST_DISTANCE))


def by_scheduler(rows: Iterable[Row]) -> tuple[dict[str, dict[Cell, Row]], dict[str, set[Cell]]]:
    """Each scheduler's sound rows by cell, and its cells that ended in an error; the last row of a cell counts."""
    sound: dict[str, dict[Cell, Row]] = {}
    failed: dict[str, set[Cell]] = {}
    for row in rows:
        own = sound.setdefault(row.key.scheduler, {})
        errors = failed.setdefault(row.key.scheduler, set())
        if row.error:
            errors.add(row.cell)
            own.pop(row.cell, None)
        else:
            errors.discard(row.cell)
            own[row.cell] = row
    return sound, failed


def distances_of(cells: Mapping[Cell, Row]) -> dict[Cell, float]:
    """:func:`end_distance` by cell."""
    return {cell: end_distance(row) for cell, row in cells.items()}


def seeds_of(cells: Iterable[Cell]) -> dict[str, int]:
    """The number of runs of each task."""
    counts: dict[str, int] = {}
    for task, _ in cells:
        counts[task] = counts.get(task, 0) + 1
    return counts


def known(value: float | None) -> TypeGuard[float]:
    """Whether a row's value is a finite number."""
    return value is not None and bool(np.isfinite(value))


def _group(key: tuple[str, str, str], rows: Sequence[Row], yardstick: str, columns: Sequence[str]) -> Group:
    sound, failed = by_scheduler(rows)
    distances = {name: distances_of(cells) for name, cells in sound.items()}
    entries = [_entry(name, cells, len(failed[name]), distances, yardstick, columns) for name, cells in sound.items()]
    entries.sort(key=lambda entry: (np.isnan(entry.distance.value), entry.distance.value, entry.scheduler))
    lead = _lead([distances[entry.scheduler] for entry in entries])
    if entries and lead.excludes(1.0):
        entries[0] = replace(entries[0], best=True)
    any_row = {cell: row for cells in sound.values() for cell, row in cells.items()}
    family = {row.key.task: row.family for row in rows}
    return Group(
        *key,
        yardstick=yardstick,
        entries=tuple(entries),
        runs=len(any_row.keys() | set().union(*failed.values())),
        tasks=len(family),
        floor=_geometric({cell: row.floor for cell, row in any_row.items()}),
        start=_geometric({cell: row.start for cell, row in any_row.items()}),
        lead=lead,
        families={name: list(family.values()).count(name) for name in sorted(set(family.values()))},
    )


def _entry(
    name: str,
    cells: Mapping[Cell, Row],
    failed: int,
    distances: Mapping[str, Mapping[Cell, float]],
    yardstick: str,
    columns: Sequence[str],
) -> Entry:
    seeds = seeds_of(cells)
    entry = Entry(name, tasks=len(seeds), seeds=max(seeds.values(), default=0), runs=len(cells), failed=failed)
    if not cells:
        return entry
    own, other = distances[name], distances.get(yardstick, {})
    if name != yardstick and own.keys() & other.keys():
        entry = replace(entry, ratio=paired_ratio(own, other), wins=win_rate(own, other))
    families: dict[str, dict[Cell, float]] = {}
    for cell, row in cells.items():
        families.setdefault(row.family, {})[cell] = own[cell]
    numbers = {cell: {**row.metrics, **row.stability, "seconds": row.seconds} for cell, row in cells.items()}
    return replace(
        entry,
        distance=geometric_mean(own),
        diverged=divergence_rate({cell: row.diverged for cell, row in cells.items()}),
        means={column: _mean({cell: each.get(column) for cell, each in numbers.items()}) for column in columns},
        families={family: geometric(own_family) for family, own_family in families.items()},
    )


def _lead(distances: Sequence[Mapping[Cell, float]]) -> Estimate:
    if len(distances) < 2 or not distances[0].keys() & distances[1].keys():
        return UNKNOWN
    return paired_ratio(distances[0], distances[1])


def _mean(values: Mapping[Cell, float | None]) -> float:
    told = {cell: float(value) for cell, value in values.items() if known(value)}
    return float(by_task(told).mean()) if told else float("nan")


def _geometric(values: Mapping[Cell, float | None]) -> float:
    return geometric({cell: max(value, SMALLEST) for cell, value in values.items() if known(value)})
