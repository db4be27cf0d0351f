"""``QualityMeter``: the quality distance and its parts for samples of your own, tables or images."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metagan_rl.errors import DataError, InvalidValueError
from metagan_rl.metrics.features import SIDE, WHITE, load_features
from metagan_rl.metrics.neighbours import neighbour_radii, precision_and_coverage
from metagan_rl.metrics.quality import WORST_DISTANCE, combined_distance
from metagan_rl.metrics.sliced_wasserstein import projections, sliced_wasserstein_to, sorted_projections

AT_ONCE = 256
"""Samples that go through the features together, to limit memory."""
LEAST = 32


class QualityMeter:
    """Compares generated samples with real ones, as the quality metric of this package's own tasks does.

    The distance is ``SW + 1 - F``. SW is the sliced Wasserstein distance in deviations of the real data: of each column
    of a table ``[N, D]``, or one of all pixels of images ``[N, ...]``. F is the harmonic mean of precision and coverage
    (see ``metagan_rl.metrics.quality``). What it returns is what :meth:`GANScheduler.step` takes as ``quality=``.
    Distances can be compared only if measured on equally many samples, which the meter therefore fixes.

    Args:
        real_samples: real data ``[N, ...]``, an array or a tensor, in the form that G gives samples in.
        features: a function from samples ``[n, ...]`` to features ``[n, F]`` that precision and coverage are measured
            on, such as a network of yours without gradients; or ``"mnist"`` or ``"fashion-mnist"`` for grey images
            of 28x28, whose darkest real value counts as black. By default the samples' own numbers.
        count: samples that are compared; by default half of the real ones, at most 512. The other half of the real
            ones gives the floor.
        seed: of the choice of real samples.

    Raises:
        DataError: there are fewer than 64 real samples, or they are not finite, or all alike.
        InvalidValueError: ``count`` does not fit, or the features are not ``[n, F]``.
        UnknownNameError: there are no features of that name.
    """

    def __init__(
        self,
        real_samples: Any,
        features: Callable[[Tensor], Tensor] | str | None = None,
        *,
        count: int | None = None,
        seed: int = 0,
    ) -> None:
        real = _as_tensor(real_samples)
        if real.ndim < 2 or len(real) < 2 * LEAST:
            raise DataError(
                f"real_samples are of shape {tuple(real.shape)}; give at least {2 * LEAST} samples [N, ...]"
            )
        if not real.isfinite().all():
            raise DataError("real_samples are not all finite")
        self.count = min(512, len(real) // 2) if count is None else count
        if not LEAST <= self.count <= len(real) // 2:
            raise InvalidValueError(
                f"count is {count}; it must lie between {LEAST} and {len(real) // 2}, half of the real"
            )
        self._shape = real.shape[1:]
        columns = real.reshape(len(real), -1).double()
        self._mean, deviation = columns.mean(dim=0).float(), columns.std(dim=0).float()
        if not deviation.max() > 0:
            raise DataError("all real_samples are alike")
        if real.ndim > 2:  # pixels at the border hardly vary: by their own deviation a speck there would count alone
            deviation = deviation.square().mean().sqrt().expand_as(deviation)
        self._scale = torch.where(deviation > 0, deviation, 1.0)
        low, high = float(real.min()), float(real.max())
        self._features = _grey_features(features, low, high) if isinstance(features, str) else features
        order = torch.randperm(len(real), generator=torch.Generator("cpu").manual_seed(seed), device="cpu")
        chosen, others = real[order[: self.count]], real[order[self.count : 2 * self.count]]
        self._directions = projections(columns.shape[1])
        self._in_order = sorted_projections(self._standardised(chosen), self._directions)
        self._reference = self._embedded(chosen)
        self._radii = neighbour_radii(self._reference)
        self.floor = self._parts(others)["distance"]
        """The distance of real samples to other real samples: what a perfect generator would score."""

    def __call__(self, samples: Any) -> dict[str, float]:
        """The parts of quality of at least ``count`` generated samples ``[n, ...]``; more are left out.

        Returns:
            ``distance``, ``floor``, ``sliced_wasserstein``, ``precision`` and ``coverage``. Samples that are not finite
            get the worst distance, 20.

        Raises:
            InvalidValueError: there are too few, or they are of another shape than the real ones.
        """
        given = _as_tensor(samples)
        if given.shape[1:] != self._shape and given[0].numel() == self._mean.numel():
            given = given.reshape(len(given), *self._shape)
        if given.shape[1:] != self._shape or len(given) < self.count:
            raise InvalidValueError(
                f"samples are of shape {tuple(given.shape)}; give at least {self.count} of shape {tuple(self._shape)}"
            )
        return {"floor": self.floor, **self._parts(given[: self.count])}

    def _parts(self, samples: Tensor) -> dict[str, float]:
        if not samples.isfinite().all():
            return {
                "distance": WORST_DISTANCE, "sliced_wasserstein": WORST_DISTANCE, "precision": 0.0, "coverage": 0.0
            }  # fmt: skip
        wasserstein = sliced_wasserstein_to(self._standardised(samples), self._in_order, self._directions)
        wasserstein = wasserstein.clamp_max(WORST_DISTANCE)
        precision, coverage = precision_and_coverage(self._embedded(samples), self._reference, self._radii)
        return {
            "distance": float(combined_distance(wasserstein, precision, coverage)),
            "sliced_wasserstein": float(wasserstein.clamp_min(1e-12)),
            "precision": float(precision),
            "coverage": float(coverage),
        }

    def _standardised(self, samples: Tensor) -> Tensor:
        return (samples.reshape(len(samples), -1) - self._mean) / self._scale

    @torch.no_grad()
    def _embedded(self, samples: Tensor) -> Tensor:
        if self._features is None:
            return self._standardised(samples)
        parts = [self._features(part) for part in samples.split(AT_ONCE)]
        found = [torch.as_tensor(part).detach().cpu().float() for part in parts]
        if any(each.ndim != 2 for each in found) or sum(map(len, found)) != len(samples):
            raise InvalidValueError(
                f"features of {len(samples)} samples are of shape {tuple(found[0].shape)}, not [n, F]"
            )
        return torch.cat(found)


def _as_tensor(samples: Any) -> Tensor:
    if isinstance(samples, Tensor):
        return samples.detach().cpu().float()
    try:
        return torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))
    except (TypeError, ValueError) as error:
        raise InvalidValueError(f"samples cannot be read as numbers: {error}") from None


def _grey_features(name: str, low: float, high: float) -> Callable[[Tensor], Tensor]:
    shipped = load_features(name)

    def features(samples: Tensor) -> Tensor:
        if samples[0].numel() != SIDE**2:
            raise InvalidValueError(
                f"features {name!r} are of grey images of 28x28; samples are {tuple(samples.shape)}"
            )
        return shipped((samples.reshape(len(samples), -1) - low) / (high - low) * WHITE)

    return features
