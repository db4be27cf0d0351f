"""Actions: levels of the agent's knobs, numbers in a box, or moves. Translates them to controls and back."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from metagan_rl.errors import InvalidValueError, UnknownNameError
from metagan_rl.loop.controls import Controls
from metagan_rl.loop.knobs import ChoiceKnob, Knob, choose_knobs

if TYPE_CHECKING:
    import gymnasium as gym

AROUND = ("joint-moves", "continuous-moves")
"""Kinds of actions that need a reference."""
KINDS = ("discrete", "continuous", "moves", *AROUND)
MOVING = ("moves", *AROUND)
"""Kinds of actions that change a departure instead of choosing it."""
PACE = 1 / 16
"""Share of the farthest departure that one move covers: a factor 1.24 for a learning rate."""
AS_REFERENCE = 1 / 3
"""Numbers smaller than this leave a choice without an order as the reference has it."""


class ActionCodec:
    """Translates between actions and controls of B members, for K knobs.

    ======================  ===========================  =========================  ===========================
    kind                    one member's action          without a reference        around a reference
    ======================  ===========================  =========================  ===========================
    ``"discrete"``          ``MultiDiscrete``, ``[K]``   a level of each knob       a departure of each knob
    ``"continuous"``        ``Box`` in [-1, 1], ``[K]``  a number for each knob     a departure of each knob
    ``"moves"``             ``Discrete(1 + 2K)``         moves one knob by a level  moves one knob's departure
    ``"joint-moves"``       ``MultiDiscrete``, ``[K]``   not possible               moves each knob's departure
    ``"continuous-moves"``  ``Box`` in [-1, 1], ``[K]``  not possible               moves each knob's departure
    ======================  ===========================  =========================  ===========================

    **Without a reference.** In ``"moves"``, 0 keeps all, 1 + 2k and 2 + 2k move knob k one level down and up. A move
    starts at the level nearest to the controls in force. It stops at the ends, but goes round for a knob whose levels
    have no order.

    **Around a reference.** Action zero is the reference, or keeps the departure if actions are moves. A departure is
    counted on the knob's scale: in the logarithm for rates and weights. The farthest is a factor of 30 for a rate, and
    log(1 + weight / 0.001) changes by 5.1 at most for a penalty. A ratio departs by up to three steps of its order. A
    loss is "as the reference", or one of its levels.

    * ``"discrete"``: level 0 is the reference, level 2j - 1 is j steps below it, level 2j is j steps above it. For a
      knob without an order, level 1 + l is its level l.
    * ``"continuous"``: from -1, farthest down, to 1, farthest up. For a knob without an order, the middle third is the
      reference, and its levels share the rest.
    * ``"moves"``: 0 keeps all, 1 + 2k and 2 + 2k move knob k down and up: a number by ``pace`` of its farthest, a ratio
      by a step, a loss to the previous or next of "as the reference" and its levels.
    * ``"joint-moves"``: the same for every knob at once: 0 keeps it, 1 moves it down, 2 up.
    * ``"continuous-moves"``: a departure changes by ``pace`` times the number. A knob without an order is chosen as in
      ``"continuous"``.

    Args:
        knobs: the agent's knobs; all others stay at the base or the reference.
        actions: one of ``KINDS``.
        around: whether actions depart from a reference.
        pace: share of the farthest departure that a move covers, in (0, 1].

    Raises:
        UnknownNameError: there is no such kind of action.
        InvalidValueError: the kind needs a reference, or the pace is out of range.
    """

    def __init__(
        self, knobs: Sequence[Knob] | None = None, actions: str = "discrete", around: bool = False, pace: float = PACE
    ) -> None:
        check_kind(actions, around, pace)
        self.knobs = choose_knobs(knobs)
        self.kind, self.around, self.pace = actions, around, pace
        if actions == "joint-moves":
            levels = [3] * len(self.knobs)
        elif around:
            levels = [1 + (len(knob.levels) if knob.cyclic else 2 * knob.steps) for knob in self.knobs]
        else:
            levels = [len(knob.levels) for knob in self.knobs]
        self.levels = np.array(levels)
        self._cyclic = np.array([knob.cyclic for knob in self.knobs])
        self._options = np.array([1 + len(knob.levels) for knob in self.knobs])
        self._steps = np.array([knob.steps for knob in self.knobs])
        self._moves = np.array([1 / knob.steps if isinstance(knob, ChoiceKnob) else pace for knob in self.knobs])

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the knobs."""
        return tuple(knob.name for knob in self.knobs)

    @property
    def space(self) -> "gym.Space[Any]":
        """The space of one member's actions."""
        import gymnasium as gym  # imported here: a policy in a user's own loop needs the codec, but no spaces

        if self.kind == "moves":
            return gym.spaces.Discrete(self.choices[0])
        if self.kind in ("discrete", "joint-moves"):
            return gym.spaces.MultiDiscrete(self.levels)
        return gym.spaces.Box(-1.0, 1.0, (len(self.knobs),), dtype=np.float32)

    @property
    def choices(self) -> list[int]:
        """Number of options in each choice of a discrete policy: the levels of each knob, or all moves."""
        return [1 + 2 * len(self.knobs)] if self.kind == "moves" else self.levels.tolist()

    def decode(self, actions: np.ndarray, base: Controls, in_force: Controls | None = None) -> Controls:
        """The controls that actions without a reference stand for.

        Args:
            actions: ``[B, K]``; moves are ``[B]``.
            base: the values of controls that the agent does not have.
            in_force: where moves start; by default the base, which runs begin with.

        Raises:
            InvalidValueError: the shape does not fit, or a value lies outside the space.
        """
        actions = self.checked(actions, len(base))
        if self.kind == "moves":
            start, directions = base if in_force is None else in_force, self._directions(actions)
            columns = [knob.moved(getattr(start, knob.name), directions[:, k]) for k, knob in enumerate(self.knobs)]
        elif self.kind == "discrete":
            columns = [knob.at_level(actions[:, k]) for k, knob in enumerate(self.knobs)]
        else:
            columns = [knob.from_unit(actions[:, k]) for k, knob in enumerate(self.knobs)]
        return base.replace(**dict(zip(self.names, columns, strict=True)))

    def places(self, actions: np.ndarray, before: np.ndarray) -> np.ndarray:
        """Where actions around a reference lead, float64 ``[B, K]``: see :meth:`metagan_rl.loop.Knob.departed`.

        Args:
            actions: ``[B, K]``; moves are ``[B]``.
            before: places before, ``[B, K]``.

        Raises:
            InvalidValueError: the shape does not fit, or a value lies outside the space.
        """
        actions = self.checked(actions, len(before))
        if self.kind == "discrete":
            return np.where(self._cyclic, actions, self._signed(actions))
        if self.kind in ("moves", "joint-moves"):
            directions = self._directions(actions)
            round_ = (before + directions) % self._options
            moved = before + directions * self._moves
            moved = np.where(np.abs(moved) < 1e-9, 0.0, moved)  # a way there and back ends exactly at the reference
            return np.where(self._cyclic, round_, np.clip(moved, -1, 1))
        numbers = np.clip(actions.astype(np.float64), -1, 1)
        start = before if self.kind == "continuous-moves" else np.zeros_like(before)
        pace = self.pace if self.kind == "continuous-moves" else 1.0
        return np.where(self._cyclic, self._chosen(numbers), np.clip(start + pace * numbers, -1, 1))

    def depart(self, places: np.ndarray, reference: Controls) -> Controls:
        """The controls at these places ``[B, K]`` around a reference."""
        columns = [knob.departed(getattr(reference, knob.name), places[:, k]) for k, knob in enumerate(self.knobs)]
        return reference.replace(**dict(zip(self.names, columns, strict=True)))

    def masks(self, places: np.ndarray | None, in_force: Controls) -> np.ndarray:
        """Which choices of a discrete action change something, or keep all: bool ``[B, sum of choices]``.

        A move is masked out where its number is at the end already; levels and choices without an order are all open.

        Args:
            places: places around the reference, ``[B, K]``; ``None`` without a reference.
            in_force: the controls in force.

        Raises:
            InvalidValueError: actions are continuous.
        """
        if "continuous" in self.kind:
            raise InvalidValueError(f"actions are {self.kind!r}, which have no masks; only discrete actions have them")
        open_ = np.ones((len(in_force), sum(self.choices)), dtype=bool)
        if self.kind == "discrete":
            return open_
        if places is not None:
            low, high = places <= -1, places >= 1
        else:
            level = [knob.nearest_level(getattr(in_force, knob.name)) for knob in self.knobs]
            low = np.stack([each == 0 for each in level], axis=1)
            high = np.stack([each == len(k.levels) - 1 for each, k in zip(level, self.knobs, strict=True)], axis=1)
        down = 1 + (3 if self.kind == "joint-moves" else 2) * np.arange(len(self.knobs))
        open_[:, down], open_[:, down + 1] = self._cyclic | ~low, self._cyclic | ~high
        return open_

    def encode(self, controls: Controls) -> np.ndarray:
        """The actions ``[B, K]`` nearest to the controls.

        Raises:
            InvalidValueError: actions are moves or departures, which do not depend on the controls alone.
        """
        if self.kind in MOVING or self.around:
            raise InvalidValueError(
                "a move or departure stands for no controls by itself; encode discrete or continuous actions"
            )
        values = [getattr(controls, knob.name) for knob in self.knobs]
        if self.kind == "discrete":
            levels = [knob.nearest_level(each) for knob, each in zip(self.knobs, values, strict=True)]
            return np.stack(levels, axis=1).astype(np.int64)
        numbers = [knob.to_unit(each) for knob, each in zip(self.knobs, values, strict=True)]
        return np.stack(numbers, axis=1).astype(np.float32)

    def normalised(self, actions: np.ndarray) -> np.ndarray:
        """Actions scaled to [-1, 1] for an agent's memory, float32 ``[B, K]``. For moves, -1 is down and 1 is up."""
        if self.kind in ("continuous", "continuous-moves"):
            return np.clip(np.array(actions, dtype=np.float32), -1, 1)  # a copy: memories write into theirs
        if self.kind in ("moves", "joint-moves"):
            return self._directions(np.asarray(actions)).astype(np.float32)
        if self.around:
            levels = np.asarray(actions)
            return np.where(self._cyclic, levels / (self.levels - 1), self._signed(levels)).astype(np.float32)
        return (2 * np.asarray(actions) / (self.levels - 1) - 1).astype(np.float32)

    def checked(self, actions: Any, members: int) -> np.ndarray:
        """The actions of so many members. A finite number outside a box is clipped later.

        Raises:
            InvalidValueError: the shape does not fit, a level lies outside the space, or a number is not finite.
        """
        actions = np.asarray(actions)
        expected = [members] if self.kind == "moves" else [members, len(self.knobs)]
        if list(actions.shape) != expected:
            raise InvalidValueError(
                f"actions of shape {list(actions.shape)}; expected {expected}, {self.kind} for {self.names}"
            )
        if actions.dtype.kind not in "iuf":
            raise InvalidValueError(f"actions are {actions.dtype}; they must be numbers")
        columns, names = actions.reshape(len(actions), -1), self.names
        if self.kind in ("continuous", "continuous-moves"):
            bad = ~np.isfinite(columns)
            wanted = ["a finite number, best from -1 to 1"] * len(names)
        else:
            names, noun = (("the move",), "number") if self.kind == "moves" else (names, "level")
            high = np.array(self.choices) - 1
            bad = ~((columns >= 0) & (columns <= high) & (columns == np.floor(columns)))
            wanted = [f"a whole {noun} from 0 to {each}" for each in high]
        if bad.any():
            member, place = np.argwhere(bad)[0]
            raise InvalidValueError(
                f"action {columns[member, place]!r} for {names[place]} of member {member} is outside the space; "
                f"it must be {wanted[place]}"
            )
        return actions

    def _directions(self, moves: np.ndarray) -> np.ndarray:
        """-1, 0 or 1 for each knob, int64 ``[B, K]``, from moves ``[B]`` or joint moves ``[B, K]``."""
        if self.kind == "joint-moves":
            return np.array([0, -1, 1])[moves.astype(np.int64)]
        down = 1 + 2 * np.arange(len(self.knobs))
        moves = np.asarray(moves)[:, None]
        return (moves == down + 1).astype(np.int64) - (moves == down)

    def _signed(self, levels: np.ndarray) -> np.ndarray:
        """Places of levels that alternate below and above the reference."""
        return np.where(levels % 2 == 1, -1.0, 1.0) * ((levels + 1) // 2) / self._steps

    def _chosen(self, numbers: np.ndarray) -> np.ndarray:
        """0 in the middle of [-1, 1], and 1 + a level outside of it."""
        outside = (np.abs(numbers) - AS_REFERENCE) / (1 - AS_REFERENCE)
        along = (1 + np.sign(numbers) * outside) / 2
        levels = self._options - 1
        return np.where(outside < 0, 0.0, 1 + np.minimum(np.floor(along * levels), levels - 1))


def check_kind(actions: str, around: bool, pace: float = PACE) -> None:
    """Checks a kind of actions.

    Raises:
        UnknownNameError: there is no such kind.
        InvalidValueError: it needs a reference, or the pace is out of range.
    """
    if actions not in KINDS:
        raise UnknownNameError("kind of actions", actions, KINDS)
    if actions in AROUND and not around:
        raise InvalidValueError(f"actions are {actions!r} without a reference; add reference='constant' or another")
    if not (isinstance(pace, (int, float)) and 0 < pace <= 1):
        raise InvalidValueError(f"pace is {pace!r}; it must be above 0 and at most 1")
