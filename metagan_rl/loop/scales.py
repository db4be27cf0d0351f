"""Scales: how the values of a numeric knob are spread between its lowest and its highest.

The scale decides where a value lies in [-1, 1] for continuous actions and signals, which level is nearest, and how a
random value is drawn.
"""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


class Scale(ABC):
    """One way to spread values. Subclasses are frozen dataclasses."""

    low: float
    high: float

    @abstractmethod
    def to_unit(self, values: np.ndarray) -> np.ndarray:
        """Numbers in [-1, 1] for values, ``[B]``."""

    @abstractmethod
    def from_unit(self, numbers: np.ndarray) -> np.ndarray:
        """Values for numbers in [-1, 1], ``[B]``; the inverse of :meth:`to_unit`."""

    @abstractmethod
    def coordinate(self, values: np.ndarray) -> np.ndarray:
        """Places of values on an axis on which equal steps matter equally, ``[B]``."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Random values, ``[count]``."""

    @property
    def farthest(self) -> float:
        """The largest departure from a reference that an action can ask for, either way; see :meth:`shifted`."""
        return 1.0

    def shifted(self, values: np.ndarray, by: np.ndarray) -> np.ndarray:
        """Values that are ``by`` away from others, ``[B]``, within the range. Up is positive.

        Unless a scale says otherwise, ``by`` is counted in halves of the range.
        """
        return self.from_unit(np.clip(self.to_unit(values) + by, -1, 1))

    def signal(self, values: np.ndarray) -> np.ndarray:
        """What a scheduler sees of the values, ``[B]``."""
        return self.to_unit(values)

    @property
    def signal_range(self) -> tuple[float, str]:
        """The lowest value of :meth:`signal` (the highest is 1), and its formula in words."""
        return -1.0, "its place between lowest and highest, on its scale"

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form; two scales are equal if these are."""
        values = asdict(self)  # type: ignore[call-overload]  # subclasses are dataclasses
        return {"kind": type(self).__name__} | {
            name: list(value) if isinstance(value, tuple) else value for name, value in values.items()
        }


@dataclass(frozen=True)
class FactorScale(Scale):
    """Factors from 1/limit to limit; equal ratios matter equally."""

    limit: float

    @property
    def low(self) -> float:  # type: ignore[override]
        """The smallest factor."""
        return 1 / self.limit

    @property
    def high(self) -> float:  # type: ignore[override]
        """The largest factor."""
        return self.limit

    def spaced(self, count: int) -> tuple[float, ...]:
        """``count`` factors from the smallest to the largest, at equal ratios."""
        return tuple(float(factor) for factor in self.limit ** np.linspace(-1, 1, count))

    def to_unit(self, values: np.ndarray) -> np.ndarray:
        """log(factor) / log(limit)."""
        return np.log(values) / np.log(self.limit)

    def from_unit(self, numbers: np.ndarray) -> np.ndarray:
        """Limit ** number."""
        return self.limit**numbers

    def coordinate(self, values: np.ndarray) -> np.ndarray:
        """The logarithm."""
        return np.log(values)

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Log-uniform."""
        return np.exp(rng.uniform(-self.farthest, self.farthest, count))

    @property
    def farthest(self) -> float:
        """log(limit): as far as the range reaches from 1."""
        return float(np.log(self.limit))

    def shifted(self, values: np.ndarray, by: np.ndarray) -> np.ndarray:
        """Values times exp(by)."""
        return np.clip(values * np.exp(by), self.low, self.high)

    @property
    def signal_range(self) -> tuple[float, str]:
        """See :class:`Scale`."""
        return -1.0, f"log(factor) / log {self.limit:g}"


@dataclass(frozen=True)
class WeightScale(Scale):
    """Weights that are 0 or spread over decades.

    Attributes:
        high: the largest weight allowed; the lowest is 0.
        decades: exponents of ten of the smallest and the largest weight that is sought, besides 0.
        unit: weights well below this act like 0.
    """

    high: float
    decades: tuple[float, float]
    unit: float
    low: float = 0.0
    none_below: float = -0.8
    """Numbers below this mean 0."""

    def to_unit(self, values: np.ndarray) -> np.ndarray:
        """-1 for 0; other weights are placed by their exponent between ``none_below`` and 1."""
        exponent = np.log10(np.maximum(values, 1e-30))
        return np.where(values <= 0, -1.0, np.interp(exponent, self.decades, (self.none_below, 1)))

    def from_unit(self, numbers: np.ndarray) -> np.ndarray:
        """0 below ``none_below``; above it ten to the power of the exponent."""
        exponent = np.interp(numbers, (self.none_below, 1), self.decades)
        return np.where(numbers < self.none_below, 0.0, 10.0**exponent)

    def coordinate(self, values: np.ndarray) -> np.ndarray:
        """The logarithm; 0 lies one decade below ``unit``."""
        return np.log(np.maximum(values, self.unit / 10))

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Log-uniform in half of the cases, else 0."""
        lightest, heaviest = np.log([10.0**exponent for exponent in self.decades])
        return np.exp(rng.uniform(lightest, heaviest, count)) * rng.integers(2, size=count)

    @property
    def farthest(self) -> float:
        """1.5 log 30: a factor 164. From 0 it leads to 0.16 with a unit of 0.001."""
        return 1.5 * float(np.log(30.0))

    def shifted(self, values: np.ndarray, by: np.ndarray) -> np.ndarray:
        """(weight + unit) exp(by) - unit: a factor for weights well above the unit, and a way out of 0 and back."""
        return np.clip((values + self.unit) * np.exp(by) - self.unit, self.low, self.high)

    def signal(self, values: np.ndarray) -> np.ndarray:
        """log(1 + weight / unit), scaled to 1 at the largest weight."""
        return np.log1p(values / self.unit) / float(np.log1p(self.high / self.unit))

    @property
    def signal_range(self) -> tuple[float, str]:
        """See :class:`Scale`."""
        return 0.0, f"log(1 + {1 / self.unit:g} weight), 1 at weight {self.high:g}"


@dataclass(frozen=True)
class LinearScale(Scale):
    """Values from low to high; equal differences matter equally."""

    low: float
    high: float

    def to_unit(self, values: np.ndarray) -> np.ndarray:
        """-1 at the lowest, 1 at the highest."""
        return 2 * (values - self.low) / (self.high - self.low) - 1

    def from_unit(self, numbers: np.ndarray) -> np.ndarray:
        """The inverse of :meth:`to_unit`."""
        return self.low + (numbers + 1) / 2 * (self.high - self.low)

    def coordinate(self, values: np.ndarray) -> np.ndarray:
        """The value itself."""
        return values

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Uniform."""
        return rng.uniform(self.low, self.high, count)

    @property
    def farthest(self) -> float:
        """Half of the range."""
        return (self.high - self.low) / 2

    def shifted(self, values: np.ndarray, by: np.ndarray) -> np.ndarray:
        """Values plus by."""
        return np.clip(values + by, self.low, self.high)


@dataclass(frozen=True)
class DecayScale(Scale):
    """Decay rates d; equal ratios of the memory 1 / (1 - d) matter equally.

    Attributes:
        low, high: in [0, 1).
    """

    low: float
    high: float

    def to_unit(self, values: np.ndarray) -> np.ndarray:
        """-1 at the lowest, 1 at the highest, in even steps of log(1 - d)."""
        ends = np.log1p(-np.array([self.low, self.high]))
        return 2 * (np.log1p(-values) - ends[0]) / (ends[1] - ends[0]) - 1

    def from_unit(self, numbers: np.ndarray) -> np.ndarray:
        """The inverse of :meth:`to_unit`."""
        ends = np.log1p(-np.array([self.low, self.high]))
        return -np.expm1(ends[0] + (numbers + 1) / 2 * (ends[1] - ends[0]))

    def coordinate(self, values: np.ndarray) -> np.ndarray:
        """log(1 - d)."""
        return np.log1p(-values)

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Uniform on the scale."""
        return self.from_unit(rng.uniform(-1, 1, count))

    @property
    def farthest(self) -> float:
        """Log 30: a memory 1 / (1 - d) that is 30 times longer or shorter."""
        return float(np.log(30.0))

    def shifted(self, values: np.ndarray, by: np.ndarray) -> np.ndarray:
        """Decays whose memory is exp(by) times as long."""
        return np.clip(1 - (1 - values) * np.exp(-by), self.low, self.high)
