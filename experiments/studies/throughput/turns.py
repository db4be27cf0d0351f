"""Sides that take turns, so that all of them meet the same machine."""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

LEAST_SECONDS = 0.1
"""Seconds of each side's turn, at least. A shorter call is repeated."""
Rates = Mapping[str, list[float]]
"""Work per second of each side, turn by turn."""


@dataclass(frozen=True)
class Side:
    """One side of a comparison.

    Attributes:
        name: as rows call it.
        run: does the work and returns how much it was, in updates, steps or operations.
        prepare: called before each ``run``, off the clock.
    """

    name: str
    run: Callable[[], float]
    prepare: Callable[[], object] = lambda: None


def take_turns(sides: Sequence[Side], turns: int, clock: Callable[[], float] = time.process_time) -> Rates:
    """Work per second of each side, turn by turn. A first turn warms up and settles how often each call is repeated.

    Args:
        sides: in the order of a turn.
        turns: turns that are counted.
        clock: tells seconds; the default counts CPU time of this process, in all its threads.
    """

    def once(side: Side) -> tuple[float, float]:
        side.prepare()
        started = clock()
        work = side.run()
        return work, clock() - started

    repeats = [math.ceil(LEAST_SECONDS / max(once(side)[1], 1e-6)) for side in sides]
    rates: dict[str, list[float]] = {side.name: [] for side in sides}
    for _ in range(turns):
        for side, times in zip(sides, repeats, strict=True):
            work, seconds = map(sum, zip(*(once(side) for _ in range(times)), strict=True))
            rates[side.name].append(work / seconds)
    return rates


def median(values: Sequence[float], digits: int = 2) -> float:
    """The median, rounded."""
    return round(statistics.median(values), digits)


def per_second(rates: Rates, digits: int = 0) -> dict[str, float]:
    """The median rate of each side."""
    return {
        name: median(values, digits) if digits else round(statistics.median(values)) for name, values in rates.items()
    }


def ratios(rates: Rates) -> dict[str, float]:
    """How many times as fast each side is as each other, ``"native/torch"`` for example: medians over turns."""
    return {
        f"{one}/{other}": median([a / b for a, b in zip(rates[one], rates[other], strict=True)], 3)
        for one in rates
        for other in rates
        if one != other
    }
