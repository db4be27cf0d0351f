"""Knobs: what a scheduler may turn. One entry of ``KNOBS`` holds all that the rest of the package needs to know.

Controls, actions, signals, schedules, searches, charts and pages read this table. A new knob is one more entry,
whether it comes from this package or from outside: see ``tests/extending/test_a_knob.py``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from metagan_rl.errors import InvalidValueError, UnknownNameError
from metagan_rl.loop.scales import DecayScale, FactorScale, LinearScale, Scale, WeightScale
from metagan_rl.losses import LOSSES
from metagan_rl.populations.settings import RATIOS, Settings
from metagan_rl.registry import Registry
from metagan_rl.tasks.task import Base

Side = Literal["generator", "discriminator", "shared"]
Apply = Callable[[Settings, np.ndarray], Settings]
"""Puts a knob's values ``[B]`` into the settings that members train with."""

LR_FACTOR = 30.0
"""Learning rates may be multiplied by factors from 1/30 to 30."""
MAX_PENALTY_WEIGHT = 100.0
LR_LEVELS = FactorScale(LR_FACTOR).spaced(33)
"""Levels of the learning-rate factors for discrete actions: steps of 1.24."""
PENALTY_LEVELS = (0.0, 0.01, 0.1, 1.0, 10.0)
KNOWN_LOSSES = ("non-saturating", "hinge", "lsgan", "wgan", "rpgan")
"""The losses that agents choose from by default."""


@dataclass(frozen=True)
class KnobSignal:
    """What a scheduler sees of a knob: a number in [low, 1].

    Attributes:
        name: name of the signal.
        low: the lowest value.
        meaning: the formula in words.
        tell: computes the signal ``[B]`` from the knob's values ``[B]``.
    """

    name: str
    low: float
    meaning: str
    tell: Callable[[np.ndarray], np.ndarray] = field(compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class Knob(ABC):
    """Something that a scheduler may turn.

    The values of a knob are an array ``[B]``, one for each member. They are numbers, or indices into a registry.

    Attributes:
        name: in lower case, usable as a keyword; also the attribute's name in :class:`Controls`.
        meaning: one line for listings and pages.
        side: the network it belongs to. ``control="generator"`` gives an agent only the knobs of that side.
        default: whether agents have it when no knobs are named.
        levels: levels of discrete actions, in order: numbers or names.
        steps: levels to each side of a reference, when actions depart from one. Choices without an order depart to
            their levels instead.
        apply: puts values into the settings that members train with.
        base: the value in an unscheduled run, a number or a name.
    """

    name: str
    meaning: str
    side: Side
    levels: tuple[Any, ...]
    apply: Apply = field(repr=False)
    base: Callable[[Base], Any] = field(repr=False)
    default: bool = True
    steps: int = 8

    def __reduce__(self) -> Any:
        """Copies and pickles a registered knob by its name, levels and steps, as its functions have no names."""
        if self.name in KNOBS and KNOBS[self.name].apply is self.apply:
            return _again, (self.name, self.levels, self.steps)
        return super().__reduce__()

    @abstractmethod
    def checked(self, values: Any) -> np.ndarray:
        """The values ``[B]`` in this knob's type.

        Raises:
            InvalidValueError: they have another type, or one is out of range.
        """

    @abstractmethod
    def value(self, described: Any) -> float | int:
        """The value that :meth:`describe` described: a number, or the index of a name.

        Raises:
            UnknownNameError: the name does not exist.
            InvalidValueError: it is not a number.
        """

    @abstractmethod
    def describe(self, value: Any) -> float | str:
        """A value as a plain number or a word, for ``info``, result rows and files."""

    @abstractmethod
    def nearest_level(self, values: np.ndarray) -> np.ndarray:
        """The level nearest to each value, int64 ``[B]``."""

    @abstractmethod
    def from_unit(self, numbers: np.ndarray) -> np.ndarray:
        """Values for numbers in [-1, 1], ``[B]``; numbers outside are clipped."""

    @abstractmethod
    def to_unit(self, values: np.ndarray) -> np.ndarray:
        """Numbers in [-1, 1] for values, ``[B]``."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Random values, ``[count]``."""

    @abstractmethod
    def departed(self, values: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Values that depart from a reference's, ``[B]``.

        Args:
            values: the reference's values.
            places: how far to depart, ``[B]``: from -1, farthest down, to 1, farthest up. For a knob without an order:
                1 + the level to take. 0 is the reference's value, to the bit.
        """

    @property
    @abstractmethod
    def signals(self) -> tuple[KnobSignal, ...]:
        """The signals that tell a scheduler this knob's value."""

    @property
    @abstractmethod
    def cyclic(self) -> bool:
        """Whether its levels have no order. A move beyond the last level then leads to the first."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """What its values mean, as JSON-able data that a policy file keeps."""

    def at_level(self, levels: np.ndarray) -> np.ndarray:
        """The values at these levels, ``[B]``."""
        return np.array([self.value(level) for level in self.levels])[levels.astype(np.int64)]

    def with_levels(self, levels: Sequence[Any]) -> "Knob":
        """The same knob with other levels.

        Raises:
            InvalidValueError: there are fewer than two levels, two are equal, or one is out of range.
            UnknownNameError: a level names something that does not exist.
        """
        if (
            isinstance(levels, str)
            or len(levels) < 2
            or any(each in levels[:place] for place, each in enumerate(levels))
        ):
            raise InvalidValueError(f"levels of {self.name} are {levels!r}; give two or more, each once")
        self.checked(np.array([self.value(level) for level in levels]))
        return replace(self, levels=tuple(levels))

    def with_all_levels(self) -> "Knob":
        """The same knob with a level for every possible choice. A knob of numbers keeps its levels."""
        return self

    def base_values(self, bases: Iterable[Base]) -> np.ndarray:
        """The values in unscheduled runs, ``[B]``."""
        return self.checked(np.array([self.value(self.base(base)) for base in bases]))

    def moved(self, values: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """Values moved by one level, ``[B]``: down (-1), up (1) or not at all (0). Moves start at the nearest level."""
        level, count = self.nearest_level(values) + directions, len(self.levels)
        level = level % count if self.cyclic else np.clip(level, 0, count - 1)
        return np.where(directions == 0, values, self.at_level(level))


@dataclass(frozen=True, kw_only=True)
class NumberKnob(Knob):
    """A knob whose values are numbers.

    Attributes:
        scale: how the values are spread.
        factor: whether it multiplies something. A search then changes it by factors.
    """

    scale: Scale
    factor: bool = False

    def checked(self, values: Any) -> np.ndarray:
        """See :class:`Knob`; float64."""
        values = np.asarray(values)
        if values.dtype.kind not in "iuf":
            raise InvalidValueError(f"controls: {self.name} is {values.dtype}; it must be real numbers")
        return _within(self.name, np.atleast_1d(values.astype(np.float64)), self.scale.low, self.scale.high)

    def value(self, described: Any) -> float:
        """See :class:`Knob`."""
        try:
            return float(described)
        except (TypeError, ValueError):
            raise InvalidValueError(f"{self.name} is {described!r}; it must be a number") from None

    def describe(self, value: Any) -> float:
        """The number."""
        return float(value)

    def nearest_level(self, values: np.ndarray) -> np.ndarray:
        """See :class:`Knob`; nearest as measured on the scale."""
        levels = self.scale.coordinate(np.array(self.levels))
        return np.abs(self.scale.coordinate(values)[:, None] - levels).argmin(axis=1)

    def from_unit(self, numbers: np.ndarray) -> np.ndarray:
        """See :class:`Knob`."""
        return self.scale.from_unit(np.clip(numbers.astype(np.float64), -1, 1))

    def to_unit(self, values: np.ndarray) -> np.ndarray:
        """See :class:`Knob`."""
        return self.scale.to_unit(values)

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """See :class:`Knob`; the scale decides the distribution."""
        return self.scale.draw(rng, count)

    def departed(self, values: np.ndarray, places: np.ndarray) -> np.ndarray:
        """See :class:`Knob`; the scale says how far the farthest is."""
        return np.where(places == 0, values, self.scale.shifted(values, places * self.scale.farthest))

    @property
    def signals(self) -> tuple[KnobSignal, ...]:
        """One signal, with the knob's name."""
        low, meaning = self.scale.signal_range
        return (KnobSignal(self.name, low, meaning, self.scale.signal),)

    @property
    def cyclic(self) -> bool:
        """Numbers have an order."""
        return False

    def to_dict(self) -> dict[str, Any]:
        """Name, levels and scale."""
        return {"name": self.name, "levels": list(self.levels), "scale": self.scale.to_dict()}


@dataclass(frozen=True, kw_only=True)
class ChoiceKnob(Knob):
    """A knob whose values are indices into a registry. Its levels are some or all of the names there.

    Attributes:
        registry: the registry that is chosen from.
        order: the entries' places on an axis in [-1, 1], and that formula in words; ``None`` if they have no order.
    """

    registry: Registry[Any] = field(repr=False)
    steps: int = 3
    order: tuple[Callable[[list[Any]], np.ndarray], str] | None = field(default=None, repr=False)

    def checked(self, values: Any) -> np.ndarray:
        """See :class:`Knob`; int64."""
        values = np.asarray(values)
        if not np.issubdtype(values.dtype, np.integer):
            raise InvalidValueError(f"controls: {self.name} is {values.dtype}; it must be whole-number indices")
        return _within(self.name, np.atleast_1d(values.astype(np.int64)), 0, len(self.registry) - 1)

    def value(self, described: Any) -> int:
        """See :class:`Knob`."""
        return self.registry.index(described)

    def describe(self, value: Any) -> str:
        """The name."""
        return list(self.registry)[int(value)]

    def nearest_level(self, values: np.ndarray) -> np.ndarray:
        """See :class:`Knob`; a choice that is not a level gets the level nearest to it in the registry's order."""
        places = np.array([self.registry.index(name) for name in self.levels])
        return np.abs(values[:, None] - places).argmin(axis=1)

    def from_unit(self, numbers: np.ndarray) -> np.ndarray:
        """See :class:`Knob`; each level has an equal part of [-1, 1]."""
        numbers, count = np.clip(numbers.astype(np.float64), -1, 1), len(self.levels)
        return self.at_level(np.minimum((numbers + 1) / 2 * count, count - 1))

    def to_unit(self, values: np.ndarray) -> np.ndarray:
        """See :class:`Knob`; the middle of the level's part of [-1, 1]."""
        return (self.nearest_level(values) + 0.5) / len(self.levels) * 2 - 1

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """See :class:`Knob`; all levels are equally likely."""
        return self.at_level(rng.integers(len(self.levels), size=count))

    def departed(self, values: np.ndarray, places: np.ndarray) -> np.ndarray:
        """See :class:`Knob`; an ordered choice goes up or down its levels, one without an order takes another level."""
        if self.cyclic:
            return np.where(places == 0, values, self.at_level(np.maximum(places - 1, 0)))
        by = np.round(places * self.steps).astype(np.int64)
        level = np.clip(self.nearest_level(values) + by, 0, len(self.levels) - 1)
        return np.where(by == 0, values, self.at_level(level))

    @property
    def signals(self) -> tuple[KnobSignal, ...]:
        """One signal if the choices have an order, else one for each level."""
        if self.order is not None:
            formula, meaning = self.order
            return (KnobSignal(self.name, -1.0, meaning, lambda values: formula(self.registry.values())[values]),)
        return tuple(
            KnobSignal(f"{self.name}_{name.replace('-', '_')}", 0.0, f"1 if the {self.name} is {name}", self._is(name))
            for name in self.levels
        )

    def _is(self, name: str) -> Callable[[np.ndarray], np.ndarray]:
        place = self.registry.index(name)
        return lambda values: (values == place).astype(float)

    @property
    def cyclic(self) -> bool:
        """Choices without an order are cyclic."""
        return self.order is None

    def with_all_levels(self) -> "Knob":
        """See :class:`Knob`."""
        return replace(self, levels=tuple(self.registry))

    def to_dict(self) -> dict[str, Any]:
        """Name and levels."""
        return {"name": self.name, "levels": list(self.levels)}


def _within(name: str, values: np.ndarray, low: float, high: float) -> np.ndarray:
    bad = ~((values >= low * (1 - 1e-9)) & (values <= high * (1 + 1e-9)))  # NaN counts as bad
    if bad.any():
        member = int(np.argmax(bad))
        raise InvalidValueError(
            f"controls: {name} of member {member} is {values[member].item()!r}; it must lie between {low:g} and "
            f"{high:g}"
        )
    return values


def _log_ratio(cycles: list[tuple[int, int]]) -> np.ndarray:
    both = np.array(cycles, dtype=float)
    return np.log(both[:, 0] / both[:, 1]) / float(np.log(5))


KNOBS: Registry[Knob] = Registry("knob", words="_")
"""All knobs, in the order in which actions list them."""


def register_knob(knob: Knob) -> Knob:
    """Adds a knob under its name.

    Raises:
        InvalidValueError: the name is taken or malformed.
    """
    return KNOBS.register(knob.name, knob)


register_knob(
    NumberKnob(
        name="generator_lr_factor",
        meaning="what G's base learning rate is multiplied by",
        side="generator",
        levels=LR_LEVELS,
        steps=16,
        scale=FactorScale(LR_FACTOR),
        factor=True,
        base=lambda base: 1.0,
        apply=lambda settings, values: settings.replace(generator_lr=settings.generator_lr * values),
    )
)
register_knob(
    NumberKnob(
        name="discriminator_lr_factor",
        meaning="what D's base learning rate is multiplied by",
        side="discriminator",
        levels=LR_LEVELS,
        steps=16,
        scale=FactorScale(LR_FACTOR),
        factor=True,
        base=lambda base: 1.0,
        apply=lambda settings, values: settings.replace(discriminator_lr=settings.discriminator_lr * values),
    )
)
register_knob(
    ChoiceKnob(
        name="ratio",
        meaning="updates of D and of G in a cycle, at an equal number of both together",
        side="shared",
        registry=RATIOS,
        levels=tuple(RATIOS),
        order=(_log_ratio, "log(D updates / G updates) / log 5"),
        base=lambda base: base.ratio,
        apply=lambda settings, values: settings.replace(ratio=values),
    )
)
register_knob(
    ChoiceKnob(
        name="loss",
        meaning="the GAN loss",
        side="shared",
        registry=LOSSES,
        levels=KNOWN_LOSSES,
        base=lambda base: base.loss,
        apply=lambda settings, values: settings.replace(loss=values),
    )
)
register_knob(
    NumberKnob(
        name="penalty_weight",
        meaning="weight of the loss's gradient penalty on D",
        side="discriminator",
        levels=PENALTY_LEVELS,
        scale=WeightScale(high=MAX_PENALTY_WEIGHT, decades=(-3.0, 1.0), unit=1e-3),
        base=lambda base: base.penalty_weight,
        apply=lambda settings, values: settings.replace(penalty_weight=values),
    )
)
register_knob(
    NumberKnob(
        name="beta1",
        meaning="decay rate of Adam's first moment, of both networks",
        side="shared",
        default=False,
        levels=(0.0, 0.25, 0.5, 0.75, 0.9),
        scale=LinearScale(0.0, 0.9999),
        base=lambda base: base.beta1,
        apply=lambda settings, values: settings.replace(beta1=values),
    )
)
register_knob(
    NumberKnob(
        name="ema_decay",
        meaning="decay per generator update of the averaged generator",
        side="generator",
        default=False,
        levels=(0.0, 0.9, 0.97, 0.99, 0.997, 0.999),
        scale=DecayScale(0.0, 0.99999),
        base=lambda base: base.ema_decay,
        apply=lambda settings, values: settings.replace(ema_decay=values),
    )
)

Knobs = Sequence["str | Knob"] | Mapping[str, Sequence[Any] | None]
"""How knobs are chosen: a sequence of names, of ``"name=level,level"`` or of knobs; or a mapping from names to levels,
where ``None`` means the usual levels."""


def default_knobs() -> tuple[str, ...]:
    """Names of the knobs that agents have when no knobs are named."""
    return tuple(knob.name for knob in KNOBS.values() if knob.default)


def turned(settings: Settings, values: Mapping[str, np.ndarray]) -> Settings:
    """The settings with some knobs turned to the given values ``[B]``, by name."""
    for name, each in values.items():
        settings = KNOBS[name].apply(settings, each)
    return settings


def choose_knobs(knobs: Knobs | None = None, control: str = "both") -> tuple[Knob, ...]:
    """The chosen knobs, in the order of ``KNOBS``.

    Args:
        knobs: the choice; ``None`` means the knobs that agents have by default.
        control: ``"both"``, or one side (``"generator"``, ``"discriminator"``) to keep only that side's own knobs.

    Raises:
        UnknownNameError: there is no such knob, level or side.
        InvalidValueError: a level is out of range, or no knob is left.
    """
    if control not in ("both", "generator", "discriminator"):
        raise UnknownNameError("control", control, ("both", "generator", "discriminator"))
    if knobs is None:
        knobs = default_knobs()
    if isinstance(knobs, str):
        knobs = (knobs,)
    if isinstance(knobs, Mapping):
        found = [KNOBS[name] if levels is None else KNOBS[name].with_levels(levels) for name, levels in knobs.items()]
    else:
        found = [_found(each) for each in knobs]
    by_name = {knob.name: knob for knob in found}
    chosen = tuple(by_name[name] for name in KNOBS if name in by_name and control in ("both", KNOBS[name].side))
    if not chosen:
        raise InvalidValueError(f"knobs {tuple(by_name)} leave nothing to control with control={control!r}")
    return chosen


def _again(name: str, levels: tuple[Any, ...], steps: int) -> Knob:
    return replace(KNOBS[name], levels=levels, steps=steps)


def _found(each: "str | Knob") -> Knob:
    if isinstance(each, Knob):
        return each
    name, given, levels = str(each).partition("=")
    knob = KNOBS[name]
    if not given:
        return knob
    try:
        numbers = isinstance(knob, NumberKnob)
        return knob.with_levels([float(level) if numbers else level.strip() for level in levels.split(",")])
    except ValueError as error:
        raise InvalidValueError(f"levels of {name} are {levels!r}; {error}") from None
