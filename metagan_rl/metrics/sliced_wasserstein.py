"""Sliced Wasserstein-2 distance with fixed directions (Bonneel et al. 2015, doi:10.1007/s10851-014-0506-3)."""

import math
from functools import cache

import torch
from torch import Tensor

DIRECTIONS = 24


def projections(dim: int, count: int = DIRECTIONS) -> Tensor:
    """Unit directions ``[D, count]``, always the same: evenly spread in two dimensions, drawn from a seed in more.

    Do not change them; every caller gets the same tensor.
    """
    return _projections(dim, count)


@cache
def _projections(dim: int, count: int) -> Tensor:
    if dim == 1:
        return torch.ones(1, 1, dtype=torch.float32)
    if dim == 2:
        angle = math.pi * (torch.arange(count, dtype=torch.float32) + 0.5) / count
        return torch.stack([angle.cos(), angle.sin()])
    directions = torch.randn(dim, count, generator=torch.Generator("cpu").manual_seed(dim), dtype=torch.float32)
    return directions / directions.norm(dim=0, keepdim=True)


def sorted_projections(points: Tensor, directions: Tensor) -> Tensor:
    """Sorted coordinates along each direction, ``[..., count, N]``, from points ``[..., N, D]``."""
    coordinates = directions.T @ points.transpose(-1, -2)
    if coordinates.device.type == "cpu":  # NumPy sorts several times faster: torch also keeps the indices
        coordinates.numpy().sort(axis=-1)
        return coordinates
    return coordinates.sort(dim=-1).values


def sliced_wasserstein(points: Tensor, reference: Tensor, directions: Tensor) -> Tensor:
    """Root of the mean over directions of the squared 1-D Wasserstein-2 distances, in units of the data.

    Args:
        points: generated points, ``[..., N, D]``.
        reference: equally many real points.
        directions: ``[D, count]``.

    Returns:
        ``[...]``, 0 or more.
    """
    return sliced_wasserstein_to(points, sorted_projections(reference, directions), directions)


def sliced_wasserstein_to(points: Tensor, sorted_reference: Tensor, directions: Tensor) -> Tensor:
    """The same distance, to a reference whose :func:`sorted_projections` are known."""
    gap = sorted_projections(points, directions).sub_(sorted_reference)
    return gap.square_().mean(dim=(-1, -2)).sqrt()
