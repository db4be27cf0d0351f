"""Readings: a formula that tells from what a run showed by how much a rate seems to be off.

The formula is quadratic in its features. It was fitted by least squares on runs whose rates were right, or off by a
known factor. It knows how far it errs, and a factor that may be an error alone is taken for none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from metagan_rl.errors import InvalidValueError, brief

MOST = 1.5
"""Decades by which rates may seem to be off."""
MOVES = ("generator_move", "discriminator_move")
"""Signals of how far both networks' weights moved in an interval."""
OUTPUTS = (
    "discriminator_loss", "generator_loss", "real_accuracy", "fake_accuracy", "pair_accuracy", "logit_gap",
    "logit_centre",
)  # fmt: skip
"""Signals of D's answers in it."""
DRAWN = 15.0
"""Rates that are off are off by up to this factor, evenly in the logarithm."""


@dataclass(frozen=True)
class Reading:
    """How one network's rate is read.

    Attributes:
        coefficients: one for each term: every feature, then every product of two but for the first feature, which is
            always 1.
        low, high: ranges of the F features in the runs it was fitted on; features are clipped to them.
        error: standard deviation of what is read where rates are right, in decades.
        right: share of runs whose rate is taken to be right before anything is seen, in (0, 1).

    Raises:
        InvalidValueError: the numbers are not finite, too few or too many, or out of range.
    """

    coefficients: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    error: float
    right: float = 0.5

    def __post_init__(self) -> None:
        features = len(self.low)
        terms = features + len(_pairs(features)[0])
        for name, count in (("coefficients", terms), ("low", features), ("high", features)):
            given = getattr(self, name)
            if len(given) != count or not np.isfinite(given).all():
                raise InvalidValueError(f"{name} of a reading are {brief(given)}; they must be {count} finite numbers")
        if not 0 < self.error < np.inf:
            raise InvalidValueError(f"error of a reading is {self.error}; it must be more than 0")
        if not 0 < self.right < 1:
            raise InvalidValueError(f"right of a reading is {self.right}; it must lie between 0 and 1")

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Log10 of the factors ``[B]`` by which rates seem to be off, from features ``[B, F]``; 0 where one is NaN.

        It is the mean of what the factor may be, given what was read: either 1, or one of those drawn.
        """
        found = np.clip(terms_of(np.clip(features, self.low, self.high)) @ np.array(self.coefficients), -MOST, MOST)
        odds = self.right / (1 - self.right) * 2 * np.log10(DRAWN)
        by_chance = odds * np.exp(-((found / self.error) ** 2) / 2) / (self.error * np.sqrt(2 * np.pi))
        return np.asarray(np.nan_to_num(found / (1 + by_chance), nan=0.0))

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Reading":
        """Reads it from a file's record. Other errors than InvalidValueError mean that the record is damaged."""
        numbers = {name: tuple(map(float, record[name])) for name in ("coefficients", "low", "high")}
        return cls(**numbers, error=float(record["error"]), right=float(record["right"]))


def terms_of(features: np.ndarray) -> np.ndarray:
    """The terms of a formula, ``[B, T]``, from features ``[B, F]``."""
    first, second = _pairs(features.shape[1])
    return np.concatenate([features, features[:, first] * features[:, second]], axis=1)


@cache
def _pairs(features: int) -> np.ndarray:
    """Places of the products' factors, ``[2, P]``."""
    return np.array([(i, j) for i in range(1, features) for j in range(i, features)]).T
