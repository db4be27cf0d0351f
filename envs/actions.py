"""Actions and what they mean: the agent's knobs, discrete levels or a continuous box, to controls and back."""

from collections.abc import Sequence

import gymnasium as gym
import numpy as np

from metagan_rl.controls import KNOBS, LR_FACTOR, RATIOS, Controls
from metagan_rl.errors import InvalidValueError, UnknownNameError
from metagan_rl.losses import LOSSES
from metagan_rl.signals import KNOWN_LOSSES

LR_LEVELS = LR_FACTOR ** np.linspace(-1, 1, 9)
"""Multipliers of the base learning rate: 1/30, 1/12.8, 1/5.5, 1/2.3, 1, 2.3, 5.5, 12.8, 30."""
PENALTY_LEVELS = np.array([0.0, 0.01, 0.1, 1.0, 10.0])
CONTINUOUS_PENALTY = (-3.0, 1.0)
"""Exponents of ten of the penalty weight between -0.8 and 1 of a continuous action; below -0.8 there is none."""
NO_PENALTY_BELOW = -0.8

SIDES = {
    "both": KNOBS,
    "discriminator": ("discriminator_lr", "penalty_weight"),
    "generator": ("generator_lr",),
}
"""What ``control=`` leaves to the agent. With one side, the other and all they share stay at the task's base."""


class ActionCodec:
    """Translates between actions ``[B, K]`` and controls of B members, for K knobs.

    Args:
        knobs: which controls the agent has, out of ``KNOBS``; the rest stay at the base.
        actions: ``"discrete"`` or ``"continuous"``.
        control: ``"both"``, ``"discriminator"`` or ``"generator"``.

    Raises:
        UnknownNameError: no such knob, kind of action, or side.
        InvalidValueError: no knob is left.
    """

    def __init__(self, knobs: Sequence[str] = KNOBS, actions: str = "discrete", control: str = "both") -> None:
        for knob in knobs:
            if knob not in KNOBS:
                raise UnknownNameError("knob", knob, KNOBS)
        if actions not in ("discrete", "continuous"):
            raise UnknownNameError("kind of actions", actions, ("discrete", "continuous"))
        if control not in SIDES:
            raise UnknownNameError("control", control, SIDES)
        self.knobs = tuple(knob for knob in KNOBS if knob in knobs and knob in SIDES[control])
        if not self.knobs:
            raise InvalidValueError(f"knobs {tuple(knobs)} leave nothing to control with control={control!r}")
        self.discrete = actions == "discrete"
        self._losses = np.array([LOSSES.index(name) for name in KNOWN_LOSSES])
        sizes = {
            "generator_lr": len(LR_LEVELS),
            "discriminator_lr": len(LR_LEVELS),
            "ratio": len(RATIOS),
            "loss": len(KNOWN_LOSSES),
            "penalty_weight": len(PENALTY_LEVELS),
        }
        self.levels = np.array([sizes[knob] for knob in self.knobs])

    @property
    def space(self) -> gym.Space[np.ndarray]:
        """The space of one member's actions: ``MultiDiscrete``, or a ``Box`` in [-1, 1]."""
        if self.discrete:
            return gym.spaces.MultiDiscrete(self.levels)
        return gym.spaces.Box(-1.0, 1.0, (len(self.knobs),), dtype=np.float32)

    def decode(self, actions: np.ndarray, base: Controls) -> Controls:
        """Controls that actions ``[B, K]`` stand for.

        Raises:
            InvalidValueError: the shape does not fit, or a value is outside the space.
        """
        actions = np.asarray(actions)
        if actions.shape != (len(base), len(self.knobs)):
            raise InvalidValueError(
                f"actions of shape {list(actions.shape)}; expected [{len(base)}, {len(self.knobs)}] for {self.knobs}"
            )
        self._check(actions)
        return base.replace(**{knob: self._value(knob, actions[:, k]) for k, knob in enumerate(self.knobs)})

    def encode(self, controls: Controls) -> np.ndarray:
        """The actions ``[B, K]`` that come nearest to controls."""
        columns = [self._action(knob, getattr(controls, knob)) for knob in self.knobs]
        return np.stack(columns, axis=1).astype(np.int64 if self.discrete else np.float32)

    def normalised(self, actions: np.ndarray) -> np.ndarray:
        """Actions spread over [-1, 1], for an agent's memory, float32 ``[B, K]``."""
        if not self.discrete:
            return np.clip(np.array(actions, dtype=np.float32), -1, 1)  # a copy: memories write into theirs
        return (2 * np.asarray(actions) / (self.levels - 1) - 1).astype(np.float32)

    def _check(self, actions: np.ndarray) -> None:
        if self.discrete:
            whole = np.issubdtype(actions.dtype, np.integer) or np.array_equal(actions, np.floor(actions))
            low, high, wanted = 0, self.levels - 1, "a whole level from 0 to"
            bad = ~((actions >= low) & (actions <= high)) if whole else actions != np.floor(actions)
        else:
            low, high, wanted = -1, np.ones(len(self.knobs)), "a number from -1 to"
            bad = ~((actions >= low - 1e-6) & (actions <= high + 1e-6))  # NaN is bad too
        if bad.any():
            member, knob = np.argwhere(bad)[0]
            raise InvalidValueError(
                f"action {actions[member, knob]!r} for {self.knobs[knob]} of member {member} is outside the space; "
                f"it must be {wanted} {high[knob]:g}"
            )

    def _value(self, knob: str, column: np.ndarray) -> np.ndarray:
        if self.discrete:
            column = column.astype(np.int64)
            if knob in ("generator_lr", "discriminator_lr"):
                return LR_LEVELS[column]
            if knob == "penalty_weight":
                return PENALTY_LEVELS[column]
            return column if knob == "ratio" else self._losses[column]
        column = np.clip(column.astype(np.float64), -1, 1)
        if knob in ("generator_lr", "discriminator_lr"):
            return LR_FACTOR**column
        if knob == "penalty_weight":
            exponent = np.interp(column, (NO_PENALTY_BELOW, 1), CONTINUOUS_PENALTY)
            return np.where(column < NO_PENALTY_BELOW, 0.0, 10.0**exponent)
        bins = len(RATIOS) if knob == "ratio" else len(self._losses)
        index = np.minimum(((column + 1) / 2 * bins).astype(np.int64), bins - 1)
        return index if knob == "ratio" else self._losses[index]

    def _action(self, knob: str, values: np.ndarray) -> np.ndarray:
        if knob in ("generator_lr", "discriminator_lr"):
            if self.discrete:
                return np.abs(np.log(values)[:, None] - np.log(LR_LEVELS)).argmin(axis=1)
            return np.log(values) / np.log(LR_FACTOR)
        if knob == "penalty_weight":
            if self.discrete:
                spread = np.log(np.maximum(PENALTY_LEVELS, 1e-4))
                return np.abs(np.log(np.maximum(values, 1e-4))[:, None] - spread).argmin(axis=1)
            exponent = np.log10(np.maximum(values, 1e-30))
            return np.where(values <= 0, -1.0, np.interp(exponent, CONTINUOUS_PENALTY, (NO_PENALTY_BELOW, 1)))
        index = values if knob == "ratio" else np.abs(values[:, None] - self._losses).argmin(axis=1)
        bins = len(RATIOS) if knob == "ratio" else len(self._losses)
        return index if self.discrete else (index + 0.5) / bins * 2 - 1
