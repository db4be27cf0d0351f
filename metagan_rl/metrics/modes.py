"""Modes found and high-quality share, where the mixture is known (Srivastava et al. 2017, arXiv:1705.07761)."""

import numpy as np

from metagan_rl.tasks.task import Modes

HIGH_QUALITY_DEVIATIONS = 3.0


def mode_statistics(points: np.ndarray, modes: Modes) -> dict[str, float]:
    """How well samples sit on known modes.

    Args:
        points: ``[N, D]``; 2,500 in the literature.
        modes: the components, in the same units.

    Returns:
        ``modes``: components that are nearest to at least one high-quality sample; ``modes_share``: the same as a
        share of all components; ``high_quality``: share of samples within 3 deviations (Mahalanobis) of their nearest
        component (0.989 for the true distribution in 2-D); ``reverse_kl``: KL of the histogram of high-quality
        samples over components against the true weights, in nats.
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
    return {
        "modes": float((counts > 0).sum()),
        "modes_share": float((counts > 0).mean()),
        "high_quality": float(good.mean()),
        "reverse_kl": reverse_kl,
    }
