"""Precision and coverage in few dimensions on a CPU, without computing most of the distances.

Each real point has a ball: all places within its radius. Generated and real points are sorted into blocks of
neighbours. Most generated blocks lie apart from the balls of most real blocks, and are not compared with them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

BLOCK = 32
"""Points in a block, roughly: a multiple of ``LANES``."""
LANES = 16
"""Numbers that a processor works on at once. Blocks of other sizes are slower."""
PAIRS = 512
"""Pairs of blocks compared at a time, to stay in the cache."""


@dataclass(frozen=True)
class Balls:
    """Balls around M real points, in K blocks of S.

    Attributes:
        centres: ``[D, K, S]``.
        limits: their squared radii, ``[K, S]``.
        counts: 1 for each ball, 0 for copies that fill up blocks, ``[K, S]``.
        low, high: corners of the boxes that hold each block's balls, ``[D, K]``.
    """

    centres: Tensor
    limits: Tensor
    counts: Tensor
    low: Tensor
    high: Tensor

    @classmethod
    def around(cls, points: Tensor, limits: Tensor) -> "Balls":
        """Balls around points ``[M, D]`` with squared radii ``[M]``."""
        places, counts = _blocks(points.unsqueeze(0))
        centres, limits = points.T[:, places[0]], limits[places[0]]
        reach = limits.sqrt()
        return cls(centres, limits, counts[0], (centres - reach).amin(dim=-1), (centres + reach).amax(dim=-1))


def within_balls(points: Tensor, balls: Sequence[Balls]) -> tuple[Tensor, Tensor]:
    """How many points lie within a ball, and how many balls hold a point.

    Args:
        points: float32 or float64, ``[B, N, D]``.
        balls: those of each of the B members, equally many.

    Returns:
        The share of each member's points that lie within one of its balls or more, ``[B]``; and the share of its balls
        that hold one of its points or more, ``[B]``.
    """
    places, counts = _blocks(points)
    columns = torch.stack([column.gather(1, places.flatten(1)) for column in points.unbind(dim=-1)])
    columns = columns.view(-1, *places.shape)  # [D, B, K, S]
    centres = torch.stack([each.centres for each in balls], dim=1)
    limits, of_balls = (torch.stack([getattr(each, name) for each in balls]) for name in ("limits", "counts"))
    low, high = (torch.stack([getattr(each, name) for each in balls], dim=1).unsqueeze(2) for name in ("low", "high"))
    near = (columns.amin(dim=-1).unsqueeze(-1) <= high) & (columns.amax(dim=-1).unsqueeze(-1) >= low)
    member, mine, theirs = near.all(dim=0).nonzero().unbind(dim=1)  # pairs of blocks whose boxes meet

    columns, centres = columns.flatten(1, 2), centres.flatten(1, 2)
    opposite = -limits.flatten(0, 1)
    found, held = torch.zeros_like(columns[0]), torch.zeros_like(opposite)
    pairs = (member * places.shape[1] + mine).split(PAIRS), (member * limits.shape[1] + theirs).split(PAIRS)
    for here, there in zip(*pairs, strict=True):
        excess = opposite[there].unsqueeze(1)  # squared distances less squared radii, [pairs, S, S]
        for x, y in zip(columns, centres, strict=True):
            gap = x[here].unsqueeze(2) - y[there].unsqueeze(1)
            excess = torch.addcmul(excess, gap, gap)
        found.index_add_(0, here, (excess.amin(dim=2) <= 0).to(found.dtype))
        held.index_add_(0, there, (excess.amin(dim=1) <= 0).to(held.dtype))
    return _share(found.view_as(counts), counts), _share(held.view_as(of_balls), of_balls)


def _share(hits: Tensor, counts: Tensor) -> Tensor:
    return ((hits > 0) * counts).sum(dim=(1, 2)) / counts.sum(dim=(1, 2))


def _blocks(points: Tensor) -> tuple[Tensor, Tensor]:
    """Places of points ``[B, N, D]`` in K blocks of S: strips along the first column, cut along the second.

    Returns:
        The places ``[B, K, S]``; and 1 for each point and 0 for the copies of a point that fill up blocks, of the same
        shape.
    """
    members, count, columns = points.shape
    side = max(1, round(math.sqrt(count / BLOCK)))
    size = LANES * -(-count // (LANES * side**2))
    values = points.numpy()
    order = np.ascontiguousarray(values[..., 0]).argsort(axis=-1)
    order = np.pad(order, ((0, 0), (0, side**2 * size - count)), mode="edge")  # [B, K S], along the first column
    counts = np.tile(np.arange(side**2 * size) < count, (members, 1))
    if columns > 1:
        strips = np.take_along_axis(values[..., 1], order, axis=1).reshape(members, side, -1)
        within = strips.argsort(axis=-1) + strips.shape[-1] * np.arange(side)[:, None]
        places = within.reshape(members, -1)
        order, counts = np.take_along_axis(order, places, axis=1), np.take_along_axis(counts, places, axis=1)
    shape = members, side**2, size
    return torch.from_numpy(order.reshape(shape)), torch.from_numpy(counts.reshape(shape)).to(points.dtype)
