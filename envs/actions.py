"""Actions and what they mean: levels of the agent's knobs, numbers in a box, or single moves, to controls and back."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from metagan_rl.controls import KNOBS, LR_FACTOR, RATIOS, Controls
from metagan_rl.errors import InvalidValueError, UnknownNameError
from metagan_rl.losses import LOSSES
from metagan_rl.signals import KNOWN_LOSSES

if TYPE_CHECKING:
    import gymnasium as gym

LR_LEVELS = LR_FACTOR ** np.linspace(-1, 1, 9)
"""Multipliers of the base learning rate: 1/30, 1/12.8, 1/5.5, 1/2.3, 1, 2.3, 5.5, 12.8, 30."""
PENALTY_LEVELS = np.array([0.0, 0.01, 0.1, 1.0, 10.0])
CONTINUOUS_PENALTY = (-3.0, 1.0)
"""Exponents of ten of the penalty weight between -0.8 and 1 of a continuous action; below -0.8 there is none."""
NO_PENALTY_BELOW = -0.8
KINDS = ("discrete", "continuous", "moves")

SIDES = {
    "both": KNOBS,
    "discriminator": ("discriminator_lr", "penalty_weight"),
    "generator": ("generator_lr",),
}
"""What ``control=`` leaves to the agent. With one side, the other and all they share stay at the task's base."""


class ActionCodec:
    """Translates between actions and controls of B members, for K knobs.

    | kind | one member's action | means |
    |---|---|---|
    | ``"discrete"`` | ``MultiDiscrete``, ``[K]`` | a level of each knob |
    | ``"continuous"`` | ``Box`` in [-1, 1], ``[K]`` | a number for each knob |
    | ``"moves"`` | ``Discrete(1 + 2K)`` | 0 keeps all, 1 + 2k and 2 + 2k move knob k one level down and up |

    A move starts at the level nearest to the controls in force and stops at the ends, but losses, which have no order,
    go round.

    Args:
        knobs: which controls the agent has, out of ``KNOBS``; the rest stay at the base.
        actions: one of ``KINDS``.
        control: ``"both"``, ``"discriminator"`` or ``"generator"``.

    Raises:
        UnknownNameError: no such knob, kind of action, or side.
        InvalidValueError: no knob is left.
    """

    def __init__(self, knobs: Sequence[str] = KNOBS, actions: str = "discrete", control: str = "both") -> None:
        for knob in knobs:
            if knob not in KNOBS:
                raise UnknownNameError("knob", knob, KNOBS)
        if actions not in KINDS:
            raise UnknownNameError("kind of actions", actions, KINDS)
        if control not in SIDES:
            raise UnknownNameError("control", control, SIDES)
        self.knobs = tuple(knob for knob in KNOBS if knob in knobs and knob in SIDES[control])
        if not self.knobs:
            raise InvalidValueError(f"knobs {tuple(knobs)} leave nothing to control with control={control!r}")
        self.kind = actions
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
    def space(self) -> "gym.Space[Any]":
        """The space of one member's actions."""
        import gymnasium as gym  # here, because a policy in a user's own loop needs codec but no spaces

        if self.kind == "discrete":
            return gym.spaces.MultiDiscrete(self.levels)
        if self.kind == "moves":
            return gym.spaces.Discrete(self.choices[0])
        return gym.spaces.Box(-1.0, 1.0, (len(self.knobs),), dtype=np.float32)

    @property
    def choices(self) -> list[int]:
        """How many there are of each thing that a policy over discrete actions chooses: levels a knob, or moves."""
        return [1 + 2 * len(self.knobs)] if self.kind == "moves" else self.levels.tolist()

    def decode(self, actions: np.ndarray, base: Controls, in_force: Controls | None = None) -> Controls:
        """Controls that actions stand for.

        Args:
            actions: ``[B, K]``, or ``[B]`` of moves.
            base: where controls stay that the agent has not.
            in_force: where moves start; the base, which runs begin with, if not given.

        Raises:
            InvalidValueError: the shape does not fit, or a value is outside the space.
        """
        actions = np.asarray(actions)
        expected = [len(base)] if self.kind == "moves" else [len(base), len(self.knobs)]
        if list(actions.shape) != expected:
            raise InvalidValueError(
                f"actions of shape {list(actions.shape)}; expected {expected}, {self.kind} for {self.knobs}"
            )
        self._check(actions)
        if self.kind == "moves":
            return base.replace(**self._moved(actions, base if in_force is None else in_force))
        value = self._at_level if self.kind == "discrete" else self._at_number
        return base.replace(**{knob: value(knob, actions[:, k]) for k, knob in enumerate(self.knobs)})

    def encode(self, controls: Controls) -> np.ndarray:
        """The actions ``[B, K]`` that come nearest to controls.

        Raises:
            InvalidValueError: for moves, which only lead from controls to others.
        """
        if self.kind == "moves":
            raise InvalidValueError("a move stands for no controls by itself; encode discrete or continuous actions")
        action, kind = (self._level, np.int64) if self.kind == "discrete" else (self._number, np.float32)
        return np.stack([action(knob, getattr(controls, knob)) for knob in self.knobs], axis=1).astype(kind)

    def normalised(self, actions: np.ndarray) -> np.ndarray:
        """Actions spread over [-1, 1], for an agent's memory, float32 ``[B, K]``; of moves, -1 is down and 1 is up."""
        if self.kind == "continuous":
            return np.clip(np.array(actions, dtype=np.float32), -1, 1)  # a copy: memories write into theirs
        if self.kind == "moves":
            return self._directions(actions).astype(np.float32)
        return (2 * np.asarray(actions) / (self.levels - 1) - 1).astype(np.float32)

    def _check(self, actions: np.ndarray) -> None:
        columns, names = actions.reshape(len(actions), -1), self.knobs
        if self.kind == "continuous":
            low, high, wanted = -1, np.ones(len(self.knobs)), "a number from -1 to"
            bad = ~((columns >= low - 1e-6) & (columns <= high + 1e-6))  # NaN is bad too
        else:
            names, noun = (("the move",), "number") if self.kind == "moves" else (names, "level")
            low, high, wanted = 0, np.array(self.choices) - 1, f"a whole {noun} from 0 to"
            whole = np.issubdtype(columns.dtype, np.integer) or np.array_equal(columns, np.floor(columns))
            bad = ~((columns >= low) & (columns <= high)) if whole else columns != np.floor(columns)
        if bad.any():
            member, place = np.argwhere(bad)[0]
            raise InvalidValueError(
                f"action {columns[member, place]!r} for {names[place]} of member {member} is outside the space; "
                f"it must be {wanted} {high[place]:g}"
            )

    def _directions(self, moves: np.ndarray) -> np.ndarray:
        """-1, 0 or 1 for each knob, ``[B, K]``, from moves ``[B]``."""
        down = 1 + 2 * np.arange(len(self.knobs))
        moves = np.asarray(moves)[:, None]
        return (moves == down + 1).astype(np.int64) - (moves == down)

    def _moved(self, moves: np.ndarray, in_force: Controls) -> dict[str, np.ndarray]:
        directions, changes = self._directions(moves), {}
        for k, knob in enumerate(self.knobs):
            now, count = getattr(in_force, knob), self.levels[k]
            level = self._level(knob, now) + directions[:, k]
            level = level % count if knob == "loss" else np.clip(level, 0, count - 1)
            changes[knob] = np.where(directions[:, k] == 0, now, self._at_level(knob, level))
        return changes

    def _at_level(self, knob: str, levels: np.ndarray) -> np.ndarray:
        levels = levels.astype(np.int64)
        if knob in ("generator_lr", "discriminator_lr"):
            return LR_LEVELS[levels]
        if knob == "penalty_weight":
            return PENALTY_LEVELS[levels]
        return levels if knob == "ratio" else self._losses[levels]

    def _at_number(self, knob: str, numbers: np.ndarray) -> np.ndarray:
        numbers = np.clip(numbers.astype(np.float64), -1, 1)
        if knob in ("generator_lr", "discriminator_lr"):
            return LR_FACTOR**numbers
        if knob == "penalty_weight":
            exponent = np.interp(numbers, (NO_PENALTY_BELOW, 1), CONTINUOUS_PENALTY)
            return np.where(numbers < NO_PENALTY_BELOW, 0.0, 10.0**exponent)
        bins = self._bins(knob)
        return self._at_level(knob, np.minimum((numbers + 1) / 2 * bins, bins - 1))

    def _level(self, knob: str, values: np.ndarray) -> np.ndarray:
        """The level nearest to each value of a control."""
        if knob in ("generator_lr", "discriminator_lr"):
            return np.abs(np.log(values)[:, None] - np.log(LR_LEVELS)).argmin(axis=1)
        if knob == "penalty_weight":
            spread = np.log(np.maximum(PENALTY_LEVELS, 1e-4))
            return np.abs(np.log(np.maximum(values, 1e-4))[:, None] - spread).argmin(axis=1)
        return values if knob == "ratio" else np.abs(values[:, None] - self._losses).argmin(axis=1)

    def _number(self, knob: str, values: np.ndarray) -> np.ndarray:
        if knob in ("generator_lr", "discriminator_lr"):
            return np.log(values) / np.log(LR_FACTOR)
        if knob == "penalty_weight":
            exponent = np.log10(np.maximum(values, 1e-30))
            return np.where(values <= 0, -1.0, np.interp(exponent, CONTINUOUS_PENALTY, (NO_PENALTY_BELOW, 1)))
        return (self._level(knob, values) + 0.5) / self._bins(knob) * 2 - 1

    def _bins(self, knob: str) -> int:
        return int(self.levels[self.knobs.index(knob)])
