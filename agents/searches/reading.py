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


def fitted(features: np.ndarray, logs: np.ndarray, *, right: float = 0.5, ridge: float = 1e-5) -> tuple[Reading, float]:
    """The reading by least squares, and its error on runs held out (root mean square, in decades).

    Args:
        features: ``[B, F]``; rows with NaN are left out.
        logs: log10 of the factors by which rates are off, ``[B]``.
        right: see :class:`Reading`.
        ridge: of the least squares, for each run.
    """
    known = np.isfinite(features).all(axis=1)
    features, logs = features[known], logs[known]
    terms, fold, errors = terms_of(features), np.arange(len(logs)) % FOLDS, np.zeros(len(logs))

    def solved(kept: np.ndarray) -> np.ndarray:
        x, y = terms[kept], logs[kept]
        return np.asarray(np.linalg.solve(x.T @ x + ridge * len(x) * np.eye(x.shape[1]), x.T @ y))

    for number in range(FOLDS):
        errors[fold == number] = terms[fold == number] @ solved(fold != number) - logs[fold == number]
    errors = np.clip(errors, -MOST, MOST)
    numbers = (solved(fold >= 0), features.min(axis=0), features.max(axis=0))
    coefficients, low, high = (tuple(np.round(each, 5).tolist()) for each in numbers)
    error = round(float(np.sqrt(np.mean(errors[logs == 0] ** 2))), 4)
    return Reading(coefficients, low, high, error, right), float(np.sqrt(np.mean(errors**2)))


FOLDS = 5
"""Every so-manieth run is held out in turn, to say how well a formula does."""


@cache
def _pairs(features: int) -> np.ndarray:
    """Places of the products' factors, ``[2, P]``."""
    return np.array([(i, j) for i in range(1, features) for j in range(i, features)]).T
