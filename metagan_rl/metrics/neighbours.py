"""Precision and coverage: sample quality by nearest neighbours, which notices blur and dropped modes.

Precision: Kynkäänniemi et al. 2019, arXiv:1904.06991. Coverage: Naeem et al. 2020, arXiv:2002.09797.
"""

import torch
from torch import Tensor

from metagan_rl.metrics.balls import Balls, within_balls

NEIGHBOURS = 5
ROWS = 64
"""Rows of a table of distances worked out at a time where it need not be whole."""
FEW = 3
"""Columns up to which distances are computed from differences, column by column."""


def squared_distances(points: Tensor, reference: Tensor) -> Tensor:
    """Squared Euclidean distances ``[..., N, M]``.

    In few dimensions it goes column by column. The faster product form loses the small distances of sharp modes to
    rounding.
    """
    if points.shape[-1] <= FEW:
        total: Tensor | None = None
        for x, y in zip(points.unbind(dim=-1), reference.unbind(dim=-1), strict=True):
            square = (x.unsqueeze(-1) - y.unsqueeze(-2)).square_()
            total = square if total is None else total.add_(square)
        assert total is not None
        return total
    products = points @ (-2 * reference).transpose(-1, -2)
    products.add_(points.square().sum(dim=-1, keepdim=True)).add_(reference.square().sum(dim=-1).unsqueeze(-2))
    return products.clamp_min_(0)


def neighbour_radii(reference: Tensor, neighbours: int = NEIGHBOURS) -> Tensor:
    """Distance of every reference point to its k-th nearest neighbour, ``[..., N]`` from ``[..., N, D]``."""
    count = min(neighbours, reference.shape[-2] - 1)
    # A few rows at a time. Large tables between what is kept would leave gaps in memory: megabytes for each task.
    tables = (squared_distances(rows, reference) for rows in reference.split(ROWS, dim=-2))
    squared = [table.kthvalue(count + 1, dim=-1).values for table in tables]  # + 1: the nearest is the point itself
    return torch.cat(squared, dim=-1).sqrt()


def precision_and_coverage(points: Tensor, reference: Tensor, radii: Tensor) -> tuple[Tensor, Tensor]:
    """Precision and coverage, each ``[...]`` in [0, 1].

    Args:
        points: generated points, ``[..., N, D]``.
        reference: real points, ``[..., M, D]``.
        radii: :func:`neighbour_radii` of the reference, ``[..., M]``.

    Returns:
        The share of generated points within the radius of some real point, and the share of real points that have a
        generated point within their radius.
    """
    if points.shape[-1] <= FEW and points.device.type == "cpu" and points.dim() <= 3:
        if points.dim() == 2:
            precision, coverage = precision_and_coverage(points[None], reference[None], radii[None])
            return precision[0], coverage[0]
        return within_balls(points, [balls_around(*each) for each in zip(reference, radii, strict=True)])
    if points.dim() > 2 and points.device.type == "cpu":  # one by one, as one table of distances fits into the cache
        parts = [precision_and_coverage(*member) for member in zip(points, reference, radii, strict=True)]
        precisions, coverages = zip(*parts, strict=True)
        return torch.stack(precisions), torch.stack(coverages)
    excess = squared_distances(points, reference).sub_(_limits(radii, points.shape[-1]).unsqueeze(-2))
    return (excess.amin(dim=-1) <= 0).float().mean(dim=-1), (excess.amin(dim=-2) <= 0).float().mean(dim=-1)


def balls_around(reference: Tensor, radii: Tensor) -> Balls:
    """What :func:`within_balls` needs to know of real points ``[M, D]``, to be worked out once."""
    return Balls.around(reference, _limits(radii, reference.shape[-1]))


def _limits(radii: Tensor, columns: int) -> Tensor:
    """Squared radii, a little larger. Repeated rows lie at distance 0 from each other, within a radius of 0.

    Rounding must not separate them.
    """
    return radii.square() * (1 + 1e-5) + (0.0 if columns <= FEW else 1e-6 * columns)
