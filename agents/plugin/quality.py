"""Sample quality as a user's loop may report it: one distance, or several parts."""

import math
from collections.abc import Mapping

import numpy as np

from metagan_rl.evaluation import Evaluation

QUALITY_PARTS = {
    "distance": ("distance_from_start", "distance_change", "distance_from_best", "oscillation"),
    "floor": ("distance_to_floor",),
    "sliced_wasserstein": ("sliced_wasserstein",),
    "precision": ("precision",),
    "coverage": ("coverage", "mode_loss"),
}
"""The parts of ``quality=``, each with the signals that need it. A floor is of use only with a distance."""


def quality_parts(quality: float | Mapping[str, float]) -> dict[str, float]:
    """The parts that ``quality=`` gives; a plain number is the distance.

    Raises:
        ValueError: there is no such part, or its value is out of range.
    """
    given = quality if isinstance(quality, Mapping) else {"distance": quality}
    parts = {name: float(value) for name, value in given.items()}
    for name, value in parts.items():
        least = 0.0 if name in ("precision", "coverage") else 1e-30
        if name not in QUALITY_PARTS or not least <= value < math.inf:
            raise ValueError(f"quality {name}={value}; distances must be finite and above 0, shares at least 0")
    return parts


def evaluation_of(parts: Mapping[str, float]) -> tuple[Evaluation, np.ndarray]:
    """The quality of one GAN and its floor, as the ledger takes them; missing parts are NaN."""

    def part(name: str) -> np.ndarray:
        return np.array([parts.get(name, math.nan)])

    quality = Evaluation(
        distance=part("distance"),
        sliced_wasserstein=part("sliced_wasserstein"),
        precision=part("precision"),
        coverage=part("coverage"),
        frechet=np.full(1, np.nan),
    )
    return quality, part("floor")
