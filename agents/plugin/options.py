"""The options of a :class:`GANScheduler`, checked."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from metagan_rl.errors import InvalidValueError, UnknownNameError
from metagan_rl.loop.knobs import KNOBS, LR_FACTOR
from metagan_rl.losses import LOSSES

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
    change: float
    quality: tuple[str, ...]
    margin: float
    wait: float

    def __post_init__(self) -> None:
        for name in ("total_steps", "interval"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
                raise InvalidValueError(f"{name} is {value!r}; it must be a whole number of at least 1")
            object.__setattr__(self, name, int(value))
        if self.interval > self.total_steps:
            raise InvalidValueError(
                f"interval is {self.interval}, more than total_steps, {self.total_steps}; nothing would be decided"
            )
        if not (
            isinstance(self.bounds, tuple | list)
            and len(self.bounds) == 2
            and all(isinstance(each, Real) for each in self.bounds)
        ):
            raise InvalidValueError(f"bounds are {self.bounds!r}; give the lowest and the highest factor")
        for name in ("penalty_weight", "margin", "change", "wait"):
            if not isinstance(getattr(self, name), Real):
                raise InvalidValueError(f"{name} is {getattr(self, name)!r}; it must be a number")
        low, high = self.bounds
        if not 1 / LR_FACTOR <= low <= 1 <= high <= LR_FACTOR:
            raise InvalidValueError(f"bounds are {self.bounds}; they must lie in [1/30, 1] and [1, 30]")
        if not 0 <= self.penalty_weight < math.inf:
            raise InvalidValueError(f"penalty_weight is {self.penalty_weight}; it must be 0 or more, and finite")
        if not 1 < self.margin < math.inf:
            raise InvalidValueError(f"margin is {self.margin}; it must be above 1, and finite")
        if not self.change > 1:
            raise InvalidValueError(f"change is {self.change}; it must be above 1 (math.inf for no limit)")
        if not self.wait > 0:
            raise InvalidValueError(f"wait is {self.wait}; it must be more than 0 seconds")
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
        """Whether a control, or the adversarial weight, may differ from the user's own; in mode "log", if it acted."""
        if knob not in self.knobs:
            return False
        if knob == "adversarial_weight":
            return self.mode == "discriminator"
        return self.mode != "discriminator" or KNOBS[knob].side == "discriminator"


LOSS_WORDS = {
    "bce": "non-saturating", "bcewithlogits": "non-saturating", "vanilla": "non-saturating", "gan": "non-saturating",
    "logistic": "non-saturating", "softplus": "non-saturating", "ns": "non-saturating", "minimax": "non-saturating",
    "mse": "lsgan", "ls": "lsgan", "least-squares": "lsgan", "wgan-gp": "wgan", "wgangp": "wgan", "wasserstein": "wgan",
    "critic": "wgan", "relativistic": "rpgan", "rsgan": "rpgan", "r3gan": "rpgan",
    "binary-cross-entropy": "non-saturating",
}  # fmt: skip
"""What others call the losses of ``LOSSES``."""


def checked_loss(name: str) -> str:
    """A loss's name.

    Raises:
        UnknownNameError: there is no such loss; the message offers what it is called here.
    """
    word = str(name).lower().replace("_", "-").removesuffix("loss").rstrip("-")
    called = word if word in LOSSES else LOSS_WORDS.get(word)
    if name not in LOSSES and called is not None:
        raise InvalidValueError(f"unknown loss {name!r}; here it is called {called!r}")
    LOSSES.index(name)
    return name


def checked_names(given: Any, option: str) -> tuple[str, ...]:
    """Several names, or a single one.

    Raises:
        InvalidValueError: they are no names.
    """
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, Sequence) or not all(isinstance(each, str) for each in given):
        raise InvalidValueError(f"{option} is {given!r}; give names, as a sequence")
    return tuple(given)
