"""How far generated samples are from a data set's held-out half: the quality distance of this package's own tasks."""

from functools import cache
from pathlib import Path

from torch import Tensor

from metagan_rl.experiments.studies.practice.data import TABLE, WHITE, Halves, halves_of
from metagan_rl.metrics.features import load_features
from metagan_rl.metrics.neighbours import neighbour_radii, precision_and_coverage
from metagan_rl.metrics.quality import WORST_DISTANCE, combined_distance
from metagan_rl.metrics.sliced_wasserstein import projections, sliced_wasserstein_to, sorted_projections

MOST = 1024
"""Samples that are compared, at most."""
LARGEST = 1e6
"""Numbers beyond get the worst distance, as those that are not finite do."""


class Judge:
    """Compares samples with as many held-out ones; the other half of the held-out ones gives the floor.

    Images have one mean and one deviation for all pixels, as many pixels hardly vary; precision and coverage are those
    of the shipped features. Each column of a table has its own mean and deviation.

    Args:
        data: the data set.

    Attributes:
        count: samples that are compared.
        floor: the distance of real samples to other real samples.
    """

    def __init__(self, data: Halves) -> None:
        real = data.held_out.flatten(1)
        self.count = min(MOST, len(real) // 2)
        self._features = None if data.name == TABLE else load_features(data.name)
        self._mean, self._scale = (
            (real.mean(dim=0), real.std(dim=0)) if self._features is None else (real.mean(), real.std())
        )
        self._directions = projections(real.shape[1])
        chosen, others = real[: self.count], real[self.count : 2 * self.count]
        self._in_order = sorted_projections(self._standardised(chosen), self._directions)
        self._reference = self._embedded(chosen)
        self._radii = neighbour_radii(self._reference)
        self.floor = self(others)["distance"]

    def __call__(self, samples: Tensor) -> dict[str, float]:
        """Distance, ``sliced_wasserstein``, ``precision`` and ``coverage`` of ``count`` samples ``[count, ...]``."""
        samples = samples.flatten(1)
        if not (samples.abs() < LARGEST).all():
            bad = {"distance": WORST_DISTANCE, "sliced_wasserstein": WORST_DISTANCE}
            return {**bad, "precision": 0.0, "coverage": 0.0}
        wasserstein = sliced_wasserstein_to(self._standardised(samples), self._in_order, self._directions)
        precision, coverage = precision_and_coverage(self._embedded(samples), self._reference, self._radii)
        return {
            "distance": float(combined_distance(wasserstein, precision, coverage)),
            "sliced_wasserstein": float(wasserstein.clamp_max(WORST_DISTANCE)),
            "precision": float(precision),
            "coverage": float(coverage),
        }

    def _standardised(self, samples: Tensor) -> Tensor:
        return (samples - self._mean) / self._scale

    def _embedded(self, samples: Tensor) -> Tensor:
        return self._standardised(samples) if self._features is None else self._features((samples + 1) / 2 * WHITE)


@cache
def judge_of(name: str, file: Path | None) -> Judge:
    """What samples of a data set are judged by; both arguments as :func:`halves_of` takes them."""
    return Judge(halves_of(name, file))
