"""Controls: what a scheduler sets for the next interval. Environments, agents and users' loops use the same names."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metagan_rl.errors import InvalidValueError, UnknownNameError
from metagan_rl.loop.knobs import KNOBS, turned
from metagan_rl.populations.settings import Settings
from metagan_rl.tasks.task import Base


class Controls:
    """The knobs of B members for the next interval; immutable.

    Each knob is an attribute, an array ``[B]``: ``controls.generator_lr_factor`` (1 is the base rate),
    ``discriminator_lr_factor``, ``ratio`` and ``loss`` (indices into ``RATIOS`` and ``LOSSES``), ``penalty_weight``,
    ``beta1``, ``ema_decay``, and any other knob in ``KNOBS``. A knob that is not given keeps the value of the task's
    base.

    Args:
        **values: the values ``[B]`` of each knob, by the knob's name.

    Raises:
        UnknownNameError: there is no such knob.
        InvalidValueError: a value is out of range, or a knob does not have exactly one value for each member.
    """

    __slots__ = ("_values",)
    _values: dict[str, np.ndarray]

    def __init__(self, **values: Any) -> None:
        for name in values:
            if name not in KNOBS:
                raise UnknownNameError("knob", name, KNOBS)
        checked = {name: KNOBS[name].checked(values[name]) for name in KNOBS if name in values}
        shapes = {name: value.shape for name, value in checked.items()}
        if not checked or len(set(shapes.values())) != 1 or len(next(iter(shapes.values()))) != 1:
            raise InvalidValueError(f"controls must all have one value a member; their shapes are {shapes}")
        object.__setattr__(self, "_values", checked)

    def __getattr__(self, name: str) -> np.ndarray:
        if name.startswith("__") or name == "_values":  # Python asks for these while it makes a copy
            raise AttributeError(name)
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(str(UnknownNameError("knob", name, self._values))) from None

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("controls do not change; use replace()")

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (dict(self._values),)

    def __len__(self) -> int:
        return len(next(iter(self._values.values())))

    def __getitem__(self, members: Any) -> "Controls":
        """The controls of some members, chosen by an index array, a mask or a slice."""
        return Controls(**{name: values[members] for name, values in self._values.items()})

    def __repr__(self) -> str:
        return f"Controls({', '.join(f'{name}={values.tolist()}' for name, values in self._values.items())})"

    @property
    def knobs(self) -> tuple[str, ...]:
        """Names of the knobs that are set."""
        return tuple(self._values)

    def replace(self, **changes: Any) -> "Controls":
        """A copy with new values for some knobs."""
        return Controls(**{**self._values, **changes})

    def put(self, members: np.ndarray, others: "Controls") -> "Controls":
        """A copy in which some members take their controls from ``others``."""
        values = {name: each.copy() for name, each in self._values.items()}
        for name, each in values.items():
            each[members] = getattr(others, name)
        return Controls(**values)

    def settings(self, bases: Sequence[Base]) -> Settings:
        """The settings that members with these bases train with."""
        return turned(Settings.of(bases), self._values)

    def describe(self, member: int) -> dict[str, float | str]:
        """One member's controls as words and plain numbers, for ``info``, result rows, pictures and files."""
        return {name: KNOBS[name].describe(values[member]) for name, values in self._values.items()}

    @classmethod
    def described(cls, *members: Mapping[str, Any]) -> "Controls":
        """Controls from what :meth:`describe` returned for each member.

        Raises:
            UnknownNameError: a knob or a choice does not exist.
            InvalidValueError: a value is out of range.
        """
        return cls(**{name: np.array([KNOBS[name].value(each[name]) for each in members]) for name in members[0]})

    @classmethod
    def base(cls, bases: Sequence[Base]) -> "Controls":
        """The controls of unscheduled runs: factors are 1, all other knobs are as in each base.

        Raises:
            UnknownNameError: a base names a ratio or loss that does not exist.
            InvalidValueError: a base lies outside the range of a knob.
        """
        return cls(**{name: knob.base_values(bases) for name, knob in zip(KNOBS, KNOBS.values(), strict=True)})


def _restored(values: dict[str, np.ndarray]) -> Controls:
    return Controls(**values)
