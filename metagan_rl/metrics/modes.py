"""Modes found and high-quality share, for known mixtures (Srivastava et al. 2017, arXiv:1705.07761)."""

from dataclasses import dataclass

import numpy as np

from metagan_rl.tasks.task import Modes

HIGH_QUALITY_DEVIATIONS = 3.0


@dataclass(frozen=True)
class ModeStatistics:
    """How well samples match known modes.

    Attributes:
        found: number of components that are nearest to at least one high-quality sample.
        share: the same as a share of all components, 0 to 1.
        high_quality: share of samples within 3 deviations (Mahalanobis) of their nearest component; 0.989 for the true
            distribution in 2-D.
        reverse_kl: KL divergence in nats from the histogram of high-quality samples over components to the true
            weights; infinite if no sample is of high quality.
    """

    found: float
    share: float
    high_quality: float
    reverse_kl: float


def mode_statistics(points: np.ndarray, modes: Modes) -> ModeStatistics:
    """Compares samples with known modes.

    Args:
        points: ``[N, D]``; the literature uses 2,500.
        modes: the components, in the same units.
    """
    centred = points[:, None, :] - modes.centres[None]  # [N, K, D]
    precision = np.linalg.inv(modes.covariances)
    squared = np.einsum("nkd,kde,nke->nk", centred, precision, centred)
    nearest = squared.argmin(axis=1)
    good = squared[np.arange(len(points)), nearest] < HIGH_QUALITY_DEVIATIONS**2
    counts = np.bincount(nearest[good], minlength=len(modes.weights))
    share = counts / max(counts.sum(), 1)
    found = share > 0
    reverse_kl = (
        float((share[found] * np.log(share[found] / modes.weights[found])).sum()) if found.any() else float("inf")
    )
    return ModeStatistics(
        found=float((counts > 0).sum()),
        share=float((counts > 0).mean()),
        high_quality=float(good.mean()),
        reverse_kl=reverse_kl,
    )
