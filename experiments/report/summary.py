"""From rows to tables: one group for each suite, split and tag; in it one entry for each scheduler."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from metagan_rl.experiments.report.statistics import (
    Cell,
    Estimate,
    by_task,
    divergence_rate,
    geometric_mean,
    paired_ratio,
    win_rate,
)
from metagan_rl.metrics.quality import WORST_DISTANCE

REFERENCE = "constant"
"""Everything is held against the unscheduled run, where there is one."""
TAGS = ("known-family", "held-out-family", "other-network", "other-budget", "real")
SMALLEST = 1e-12
"""Distances are cut off here before their logarithm is taken."""
MEANS = (
    "precision", "coverage", "sliced_wasserstein", "vanishing", "saturation", "oscillation", "mode_loss", "modes_share",
    "high_quality", "seconds",
)  # fmt: skip
"""Columns that are averaged, where a row has them."""
UNKNOWN = Estimate(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True)
class Entry:
    """One scheduler on one group of tasks.

    Attributes:
        scheduler: its name.
        tasks, seeds, runs: how many; ``seeds`` is the most that a task has.
        failed: runs that ended in an error and count nowhere else.
        distance: geometric mean at the end.
        ratio: to the reference, paired; unknown for the reference itself.
        wins: share of runs won against the reference.
        diverged: share of runs.
        means: of the columns in ``MEANS`` that the rows have.
        families: geometric mean distance by family.
        best: the lowest distance, and surely lower than the next.
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
        reference: the scheduler that the others are held against.
        entries: lowest distance first, those without a sound run last.
        runs: cells that any scheduler has, each of which a complete comparison has for all.
        tasks: how many.
        floor: geometric mean distance of real points to real points.
        start: the same of the untrained GANs.
        lead: of the first entry over the second, paired; unknown if there is no second.
        families: number of tasks by family.
    """

    suite: str
    split: str
    tag: str
    reference: str
    entries: tuple[Entry, ...]
    runs: int
    tasks: int
    floor: float
    start: float
    lead: Estimate
    families: Mapping[str, int]

    @property
    def name(self) -> str:
        """Readable: "planar, test split: held-out-family"."""
        return f"{self.suite}, {self.split} split: {self.tag}"


def reference_of(schedulers: Sequence[str]) -> str:
    """The scheduler that the others are held against: ``constant``, else the first."""
    return REFERENCE if REFERENCE in schedulers or not schedulers else schedulers[0]


def group_rows(rows: Iterable[dict[str, Any]]) -> dict[tuple[str, str, str], list[dict[str, Any]]]:
    """Rows by suite, split and tag; known families first, then held-out ones, then real data."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["suite"], row["split"], row["tag"]), []).append(row)

    def place(key: tuple[str, str, str]) -> tuple[int, str]:
        return (TAGS.index(key[2]) if key[2] in TAGS else len(TAGS), key[2])

    return {key: groups[key] for key in sorted(groups, key=place)}


def summarise(rows: Iterable[dict[str, Any]], schedulers: Sequence[str]) -> list[Group]:
    """Works out every table of a benchmark.

    Args:
        rows: as ``read_rows`` gives them; of a cell that is there twice the last one counts.
        schedulers: in the order of the benchmark.
    """
    reference = reference_of(schedulers)
    return [_group(key, rows, reference) for key, rows in group_rows(rows).items()]


def end_distance(row: Mapping[str, Any]) -> float:
    """The row's distance, the worst there is where the run has none, cut off where its logarithm would not exist."""
    distance = row.get("distance")
    value = WORST_DISTANCE if distance is None else float(distance)
    return float(np.clip(WORST_DISTANCE if np.isnan(value) else value, SMALLEST, WORST_DISTANCE))


def by_scheduler(
    rows: Iterable[dict[str, Any]], cell_of: Callable[[Mapping[str, Any]], Cell]
) -> tuple[dict[str, dict[Cell, dict[str, Any]]], dict[str, set[Cell]]]:
    """The sound rows of each scheduler by cell, and the cells that ended in an error; the last row of a cell counts.

    Args:
        rows: as ``read_rows`` gives them.
        cell_of: names the cell of a row; the task's own name is unique in its suite and split only.
    """
    sound: dict[str, dict[Cell, dict[str, Any]]] = {}
    failed: dict[str, set[Cell]] = {}
    for row in rows:
        cell = cell_of(row)
        own = sound.setdefault(row["scheduler"], {})
        errors = failed.setdefault(row["scheduler"], set())
        if row.get("error"):
            errors.add(cell)
            own.pop(cell, None)
        else:
            errors.discard(cell)
            own[cell] = row
    return sound, failed


def _group(key: tuple[str, str, str], rows: Sequence[dict[str, Any]], reference: str) -> Group:
    sound, failed = by_scheduler(rows, lambda row: (row["task"], row["seed"]))
    distances = {name: {cell: end_distance(row) for cell, row in cells.items()} for name, cells in sound.items()}
    entries = [_entry(name, cells, len(failed[name]), distances, reference) for name, cells in sound.items()]
    entries.sort(key=lambda entry: (np.isnan(entry.distance.value), entry.distance.value, entry.scheduler))
    lead = _lead([distances[entry.scheduler] for entry in entries])
    if entries and lead.excludes(1.0):
        entries[0] = replace(entries[0], best=True)
    any_row = {cell: row for cells in sound.values() for cell, row in cells.items()}
    family = {row["task"]: row["family"] for row in rows}
    return Group(
        *key,
        reference=reference,
        entries=tuple(entries),
        runs=len(any_row.keys() | set().union(*failed.values())),
        tasks=len(family),
        floor=_geometric(any_row, "floor"),
        start=_geometric(any_row, "start"),
        lead=lead,
        families={name: list(family.values()).count(name) for name in sorted(set(family.values()))},
    )


def _entry(
    name: str,
    cells: Mapping[Cell, dict[str, Any]],
    failed: int,
    distances: Mapping[str, Mapping[Cell, float]],
    reference: str,
) -> Entry:
    tasks = [task for task, _ in cells]
    seeds = max((tasks.count(task) for task in set(tasks)), default=0)
    entry = Entry(name, tasks=len(set(tasks)), seeds=seeds, runs=len(cells), failed=failed)
    if not cells:
        return entry
    own, other = distances[name], distances.get(reference, {})
    if name != reference and own.keys() & other.keys():
        entry = replace(entry, ratio=paired_ratio(own, other, _rng()), wins=win_rate(own, other))
    by_family: dict[str, dict[Cell, float]] = {}
    for cell, row in cells.items():
        by_family.setdefault(row["family"], {})[cell] = np.log(own[cell])
    return replace(
        entry,
        distance=geometric_mean(own, _rng()),
        diverged=divergence_rate({cell: bool(row.get("diverged")) for cell, row in cells.items()}),
        means={column: _mean(cells, column) for column in MEANS},
        families={family: float(np.exp(by_task(logs).mean())) for family, logs in by_family.items()},
    )


def _lead(distances: Sequence[Mapping[Cell, float]]) -> Estimate:
    if len(distances) < 2 or not distances[0].keys() & distances[1].keys():
        return UNKNOWN
    return paired_ratio(distances[0], distances[1], _rng())


def _mean(cells: Mapping[Cell, Mapping[str, Any]], column: str) -> float:
    values = {cell: float(row[column]) for cell, row in cells.items() if known(row.get(column))}
    return float(by_task(values).mean()) if values else float("nan")


def _geometric(cells: Mapping[Cell, Mapping[str, Any]], column: str) -> float:
    values = {cell: np.log(max(row[column], SMALLEST)) for cell, row in cells.items() if known(row.get(column))}
    return float(np.exp(by_task(values).mean())) if values else float("nan")


def known(value: Any) -> bool:
    """A row's value is a finite number."""
    return value is not None and bool(np.isfinite(value))


def _rng() -> np.random.Generator:
    """Each interval starts the same stream, so that a report made again is the same report."""
    return np.random.default_rng(0)
