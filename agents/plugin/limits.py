"""How far and how fast a scheduler may take the factors of a loop's rates."""

import math
from dataclasses import dataclass

from metagan_rl.agents.plugin.options import INTERVALS
from metagan_rl.loop.knobs import LR_FACTOR
from metagan_rl.loop.scheduler import Scheduler

BOUNDS = (1 / 3, 3.0)
"""Default bounds of the factors of whatever reacts to the run. Runs at good rates were hurt by more."""
CLOCK_BOUNDS = (1 / LR_FACTOR, 3.0)
"""Default bounds of schedules that follow the clock alone: decays end at 1/30."""
CHANGE = 1.1
"""Default limit of how much a factor changes at one decision, if a run has the default number of them."""
CHECKED_BOUNDS = (1 / LR_FACTOR, 10.0)
"""Default bounds of what corrects rates that it has read."""
CHECKED_CHANGE = 10**0.5
"""Its default limit of change: a rate that is ten times too low is mended at two decisions."""
DECAY_FROM, DECAY_TO = 2 / 3, 0.1
"""What a learned policy sets is multiplied, over the last third of the run, by a factor that falls from 1 to this."""
FIXED = tuple(
    f"metagan_rl.agents.{each}" for each in ("rules.clock", "rules.recipes", "searches.rule", "searches.tuned")
)


def follows_the_clock(scheduler: Scheduler) -> bool:
    """Whether it is one of the package's schedules that look at nothing but the clock, and draw nothing at random."""
    kinds = {kind.__module__ for kind in type(scheduler).__mro__}
    return bool(kinds & set(FIXED)) and not scheduler.remembers


def usual_limits(decisions: int, *, by_clock: bool, on_top: bool, checks: bool) -> tuple[tuple[float, float], float]:
    """Default bounds, and the default limit of change at one of so many decisions.

    Args:
        decisions: in a run.
        by_clock: whether the scheduler follows the clock alone.
        on_top: whether it was trained on top of users' schedules.
        checks: whether it reads the loop's rates and corrects them.
    """
    if checks:
        return CHECKED_BOUNDS, CHECKED_CHANGE
    return CLOCK_BOUNDS if by_clock or on_top else BOUNDS, CHANGE ** (INTERVALS / decisions)


@dataclass(frozen=True)
class Limits:
    """Limits of one rate's factor.

    Attributes:
        bounds: its lowest and highest value.
        change: the most that it is multiplied or divided by at one decision.
        decays: whether it falls over the last third of the run.
    """

    bounds: tuple[float, float]
    change: float = math.inf
    decays: bool = False

    def limited(self, wanted: float, before: float, progress: float) -> float:
        """The factor that comes nearest to the wanted one, after one that held before, at a progress in [0, 1]."""
        low, high = self.bounds
        target = min(max(wanted, low), high)
        if self.decays and progress > DECAY_FROM:
            target *= DECAY_TO ** ((progress - DECAY_FROM) / (1 - DECAY_FROM))
            target = max(target, 1 / LR_FACTOR)
        return min(max(target, before / self.change), before * self.change)
