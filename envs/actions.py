"""Actions: levels of the agent's knobs, numbers in a box, or single moves. Translates them to controls and back."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from metagan_rl.errors import InvalidValueError, UnknownNameError
from metagan_rl.loop.controls import Controls
from metagan_rl.loop.knobs import Knob, choose_knobs

if TYPE_CHECKING:
    import gymnasium as gym

KINDS = ("discrete", "continuous", "moves")


class ActionCodec:
    """Translates between actions and controls of B members, for K knobs.

    | kind | one member's action | means |
    |---|---|---|
    | ``"discrete"`` | ``MultiDiscrete``, ``[K]`` | a level of each knob |
    | ``"continuous"`` | ``Box`` in [-1, 1], ``[K]`` | a number for each knob |
    | ``"moves"`` | ``Discrete(1 + 2K)`` | 0 keeps all, 1 + 2k and 2 + 2k move knob k one level down and up |

    A move starts at the level nearest to the controls in force. It stops at the ends, but goes round for a knob whose
    levels have no order.

    Args:
        knobs: the agent's knobs; all others stay at the base.
        actions: one of ``KINDS``.

    Raises:
        UnknownNameError: there is no such kind of action.
    """

    def __init__(self, knobs: Sequence[Knob] | None = None, actions: str = "discrete") -> None:
        if actions not in KINDS:
            raise UnknownNameError("kind of actions", actions, KINDS)
        self.knobs = choose_knobs(knobs)
        self.kind = actions
        self.levels = np.array([len(knob.levels) for knob in self.knobs])

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the knobs."""
        return tuple(knob.name for knob in self.knobs)

    @property
    def space(self) -> "gym.Space[Any]":
        """The space of one member's actions."""
        import gymnasium as gym  # imported here: a policy in a user's own loop needs the codec, but no spaces

        if self.kind == "discrete":
            return gym.spaces.MultiDiscrete(self.levels)
        if self.kind == "moves":
            return gym.spaces.Discrete(self.choices[0])
        return gym.spaces.Box(-1.0, 1.0, (len(self.knobs),), dtype=np.float32)

    @property
    def choices(self) -> list[int]:
        """Number of options in each choice of a discrete policy: the levels of each knob, or all moves."""
        return [1 + 2 * len(self.knobs)] if self.kind == "moves" else self.levels.tolist()

    def decode(self, actions: np.ndarray, base: Controls, in_force: Controls | None = None) -> Controls:
        """The controls that actions stand for.

        Args:
            actions: ``[B, K]``; moves are ``[B]``.
            base: the values of controls that the agent does not have.
            in_force: where moves start; by default the base, which runs begin with.

        Raises:
            InvalidValueError: the shape does not fit, or a value lies outside the space.
        """
        actions = np.asarray(actions)
        expected = [len(base)] if self.kind == "moves" else [len(base), len(self.knobs)]
        if list(actions.shape) != expected:
            raise InvalidValueError(
                f"actions of shape {list(actions.shape)}; expected {expected}, {self.kind} for {self.names}"
            )
        self._check(actions)
        if self.kind == "moves":
            start, directions = base if in_force is None else in_force, self._directions(actions)
            columns = [knob.moved(getattr(start, knob.name), directions[:, k]) for k, knob in enumerate(self.knobs)]
        elif self.kind == "discrete":
            columns = [knob.at_level(actions[:, k]) for k, knob in enumerate(self.knobs)]
        else:
            columns = [knob.from_unit(actions[:, k]) for k, knob in enumerate(self.knobs)]
        return base.replace(**dict(zip(self.names, columns, strict=True)))

    def encode(self, controls: Controls) -> np.ndarray:
        """The actions ``[B, K]`` nearest to the controls.

        Raises:
            InvalidValueError: the actions are moves, which depend on two sets of controls.
        """
        if self.kind == "moves":
            raise InvalidValueError("a move stands for no controls by itself; encode discrete or continuous actions")
        values = [getattr(controls, knob.name) for knob in self.knobs]
        if self.kind == "discrete":
            levels = [knob.nearest_level(each) for knob, each in zip(self.knobs, values, strict=True)]
            return np.stack(levels, axis=1).astype(np.int64)
        numbers = [knob.to_unit(each) for knob, each in zip(self.knobs, values, strict=True)]
        return np.stack(numbers, axis=1).astype(np.float32)

    def normalised(self, actions: np.ndarray) -> np.ndarray:
        """Actions scaled to [-1, 1] for an agent's memory, float32 ``[B, K]``. For moves, -1 is down and 1 is up."""
        if self.kind == "continuous":
            return np.clip(np.array(actions, dtype=np.float32), -1, 1)  # a copy: memories write into theirs
        if self.kind == "moves":
            return self._directions(actions).astype(np.float32)
        return (2 * np.asarray(actions) / (self.levels - 1) - 1).astype(np.float32)

    def _check(self, actions: np.ndarray) -> None:
        columns, names = actions.reshape(len(actions), -1), self.names
        if self.kind == "continuous":
            low, high, wanted = -1, np.ones(len(self.knobs)), "a number from -1 to"
            bad = ~((columns >= low - 1e-6) & (columns <= high + 1e-6))  # NaN counts as bad
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
