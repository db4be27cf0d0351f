"""The options of a :class:`GANScheduler`, checked."""

import math
from dataclasses import dataclass

from metagan_rl.errors import InvalidValueError, UnknownNameError
from metagan_rl.loop.knobs import KNOBS, LR_FACTOR

BOUNDS = (1 / LR_FACTOR, 10.0)
"""Default bounds of the multipliers of a user's rates. The lower one is all that schedulers may use: decays end there,
and a rate that is too low can be repaired. The upper one is a third of that: a rate that is too high cannot be
repaired, and no task that was ever measured here began more than 10 times too low."""
INTERVALS = 64
"""Default number of decisions in a run, the same as policies are trained with."""
MODES = ("both", "discriminator", "log")
RATES = ("generator_lr_factor", "discriminator_lr_factor")
"""Knobs that are written into the user's optimizers."""
LOOP_KNOBS = (*RATES, "ratio", "loss", "penalty_weight")
"""Knobs that a loop can follow."""
MAY_CHANGE = (*LOOP_KNOBS, "adversarial_weight")


@dataclass(frozen=True)
class LoopOptions:
    """Options of a run; :class:`GANScheduler` explains them.

    Raises:
        UnknownNameError: there is no such mode or knob.
        InvalidValueError: a value is out of range.
    """

    total_steps: int
    interval: int
    penalty_weight: float
    knobs: tuple[str, ...]
    mode: str
    bounds: tuple[float, float]
    quality: tuple[str, ...]
    margin: float

    def __post_init__(self) -> None:
        for name in ("total_steps", "interval"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InvalidValueError(f"{name} is {value!r}; it must be a whole number of at least 1")
        if not (isinstance(self.bounds, tuple | list) and len(self.bounds) == 2):
            raise InvalidValueError(f"bounds are {self.bounds!r}; give the least and the most multiplier")
        for name in ("penalty_weight", "margin"):
            if not isinstance(getattr(self, name), int | float):
                raise InvalidValueError(f"{name} is {getattr(self, name)!r}; it must be a number")
        low, high = self.bounds
        if not 1 / LR_FACTOR <= low <= 1 <= high <= LR_FACTOR:
            raise InvalidValueError(f"bounds are {self.bounds}; they must lie in [1/30, 1] and [1, 30]")
        if not 0 <= self.penalty_weight < math.inf:
            raise InvalidValueError(f"penalty_weight is {self.penalty_weight}; it must be 0 or more, and finite")
        if not 1 < self.margin < math.inf:
            raise InvalidValueError(f"margin is {self.margin}; it must be above 1, and finite")
        if self.mode not in MODES:
            raise UnknownNameError("mode", self.mode, MODES)
        for knob in self.knobs:
            if knob not in MAY_CHANGE:
                raise UnknownNameError("knob", knob, MAY_CHANGE)
            if knob == "adversarial_weight" and self.mode == "both":
                raise InvalidValueError(
                    "knob 'adversarial_weight' works in mode \"discriminator\" only; choose that mode or leave it out"
                )

    def may_change(self, knob: str) -> bool:
        """Whether a control, or the adversarial weight, may differ from the user's own."""
        if self.mode == "log" or knob not in self.knobs:
            return False
        if knob == "adversarial_weight":
            return self.mode == "discriminator"
        return self.mode == "both" or KNOBS[knob].side == "discriminator"
