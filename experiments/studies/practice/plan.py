"""Which runs there are, the most telling first; those whose rate is chosen by other runs come once these are there."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metagan_rl.experiments.studies.practice.arms import FINDS_RATES, OFF, SWEEP
from metagan_rl.experiments.studies.practice.options import PracticeStudy
from metagan_rl.experiments.studies.practice.running import BETA1_0, Job

FACTORS = (1.0, 0.1, 10.0)
"""What both rates of a loop are multiplied by."""
SEARCHED = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Factors that the best is chosen from."""
BEST = "best"
TUNING = 100
"""Seeds from here on choose rates, and are in no table."""
AROUND = (0.1, 1.0, 10.0)
"""Factors that a sweep tries, on top of the loop's own."""
SHARE = 3
"""A sweep's trials are a third of a run long each, so that all of them take as long as one run."""
Rows = Sequence[Mapping[str, Any]]


def times(one: float, other: float) -> float:
    """A product of factors, rounded, so that it is found again."""
    return float(f"{one * other:.3g}")


def jobs_of(asked: PracticeStudy, rows: Rows) -> Iterator[Job]:
    """All runs that can be named by now, the most telling first.

    The order: every scheduler and *off* at each rate; what finds the best rates; the same arms there; decays; rivals;
    sweeps; and then the same with the next seed.

    Args:
        asked: options of the study.
        rows: those that are there.
    """
    acting = [(OFF, None), *map(named, asked.schedulers)]
    rates_alone = [arm for arm in asked.arms if arm not in FINDS_RATES and arm != SWEEP]
    for seed in range(asked.seeds):
        yield from _runs(asked, FACTORS, acting, seed)
        if not seed:
            for tuning in range(TUNING, TUNING + asked.tuning_seeds):
                yield from _runs(asked, SEARCHED, [(OFF, None)], tuning, asked.steps // asked.tuning_share)
        yield from _at_best(asked, rows, acting, seed)
        for arm in rates_alone:
            yield from _at_best(asked, rows, [(arm, None)], seed)
            yield from _runs(asked, FACTORS, [(arm, None)], seed)
        for arm in asked.arms:
            if arm in FINDS_RATES:
                yield from _runs(asked, (1.0,), [(arm, None)], seed)
        if SWEEP in asked.arms:
            yield from _sweeps(asked, rows, seed)


def named(scheduler: str) -> tuple[str, Path | None]:
    """The arm's name, and the file if there is one."""
    path = Path(scheduler.removesuffix(BETA1_0))
    if path.suffix not in (".json", ".safetensors"):
        return scheduler, None
    name = path.parent.name if path.stem == "policy" else path.stem
    return name + (BETA1_0 if scheduler.endswith(BETA1_0) else ""), path


def best_factors(rows: Rows, steps: int) -> dict[str, float]:
    """The best factor of each loop: that of the least distance of the averaged generator, over tuning seeds.

    The longest runs tell, of at most so many steps. Loops of which not all factors have run are left out.
    """
    found: dict[str, float] = {}
    lengths = sorted({row["steps"] for row in rows if row["seed"] >= TUNING and row["steps"] <= steps}, reverse=True)
    for loop in dict.fromkeys(row["loop"] for row in rows):
        for length in lengths:
            distances = _tuned(rows, loop, length)
            if loop not in found and all(factor in distances for factor in SEARCHED):
                found[loop] = min(SEARCHED, key=lambda factor: distances[factor])
    return found


def swept(rows: Rows, loop: str, factor: float, steps: int) -> float | None:
    """The factor that a sweep around a factor chooses; ``None`` if its trials have not all run."""
    distances, tried = _tuned(rows, loop, steps // SHARE), [times(factor, each) for each in AROUND]
    return min(tried, key=lambda each: distances[each]) if all(each in distances for each in tried) else None


def _tuned(rows: Rows, loop: str, steps: int) -> dict[float, float]:
    """The distance of *off* by factor, the geometric mean over tuning seeds."""
    logs: dict[float, list[float]] = {}
    for row in rows:
        if (row["loop"], row["arm"], row["steps"]) == (loop, OFF, steps) and row["seed"] >= TUNING:
            logs.setdefault(row["factor"], []).append(float(np.log(row["average"]["distance"])))
    return {factor: float(np.exp(np.mean(each))) for factor, each in logs.items()}


def _runs(
    asked: PracticeStudy,
    factors: Iterable[float],
    arms: Sequence[tuple[str, Path | None]],
    seed: int,
    steps: int | None = None,
) -> Iterator[Job]:
    for factor in factors:
        for loop in asked.loops:
            for arm, policy in arms:
                yield Job(loop, factor, arm, seed, steps or asked.steps, asked.device, policy, asked.data)


def _at_best(asked: PracticeStudy, rows: Rows, arms: Sequence[tuple[str, Path | None]], seed: int) -> Iterator[Job]:
    for loop, factor in best_factors(rows, asked.steps).items():
        if loop in asked.loops:
            for arm, policy in arms:
                yield Job(loop, factor, arm, seed, asked.steps, asked.device, policy, asked.data)


def _sweeps(asked: PracticeStudy, rows: Rows, seed: int) -> Iterator[Job]:
    tried = dict.fromkeys(times(factor, each) for factor in FACTORS for each in AROUND)
    yield from _runs(asked, tried, [(OFF, None)], TUNING, asked.steps // SHARE)
    for factor in FACTORS:
        for loop in asked.loops:
            chosen = swept(rows, loop, factor, asked.steps)
            if chosen is not None:
                yield Job(loop, chosen, OFF, seed, asked.steps, asked.device, None, asked.data)
