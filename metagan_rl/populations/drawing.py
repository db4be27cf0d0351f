"""Draws all that is random in an interval for a chunk of members: noise, rows of the data, mixing shares.

There are two streams. Each depends only on a member's seed and the number of its interval. ``"device"`` uses counters
(:mod:`.philox`), so that numbers are drawn where and when they are needed: for a whole chunk at once on a GPU, for one
batch in the native engine. ``"host"`` uses one torch generator for each member on the CPU.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from metagan_rl.errors import UnknownNameError
from metagan_rl.populations.interval import IntervalInputs
from metagan_rl.populations.philox import Words, as_index, as_normal, as_uniform, philox

Noise = Literal["host", "device"]
AT_ONCE = 1 << 22
"""Counters turned into numbers at a time. It bounds the memory of intermediate results (about 0.5 GB)."""
NOISE, ROWS, MIX = 0, 1, 2
"""Purposes of the numbers, as the counter holds them."""


def find_noise(noise: str | None) -> Noise:
    """The stream of that name; ``None`` gives ``"device"``, which is the same on every engine and device.

    Raises:
        UnknownNameError: there is no such stream.
    """
    if noise is None:
        return "device"
    for name in get_args(Noise):
        if noise == name:
            return name
    raise UnknownNameError("noise", noise, get_args(Noise))


@dataclass(frozen=True)
class Drawn:
    """How much must be drawn for an interval.

    Attributes:
        updates: U.
        batch: N.
        latent: Z.
        dtype: type of noise and mix.
        mix: whether penalties need a mix; otherwise it is 0.
    """

    updates: int
    batch: int
    latent: int
    dtype: torch.dtype
    mix: bool


class Pool:
    """The training data of all members. Data that members share are stored once.

    Args:
        data: data ``[N, D]`` of each member.
        device, dtype: those of the population.

    Attributes:
        points: all rows, ``[R, D]``.
        first, count: first row and number of rows of each member's data, int64 ``[B]``.
    """

    def __init__(self, data: Sequence[Tensor], device: torch.device, dtype: torch.dtype) -> None:
        unique = {id(points): points for points in data}
        first = dict(zip(unique, accumulate((len(p) for p in unique.values()), initial=0), strict=False))
        self.points = torch.cat(list(unique.values())).to(device, dtype)
        self.first = torch.tensor([first[id(points)] for points in data], device=device)
        self.count = torch.tensor([len(points) for points in data], device=device)


def draw_on_host(pool: Pool, members: Tensor, seeds: Tensor, intervals: Tensor, drawn: Drawn) -> IntervalInputs:
    """Draws member by member.

    Args:
        pool: the data.
        members: indices into the pool's members, int64 ``[B]``.
        seeds: their seeds, int64 ``[B]``.
        intervals: intervals that they have trained so far, int64 ``[B]``.
        drawn: how much to draw.
    """
    batches = len(members), drawn.updates, drawn.batch
    noise = torch.empty(*batches, drawn.latent, dtype=drawn.dtype)
    rows = torch.empty(*batches, dtype=torch.int64)
    mix = torch.zeros(*batches, 1, dtype=drawn.dtype)
    numbers = (each.tolist() for each in (seeds, intervals, pool.first[members], pool.count[members]))
    for place, (seed, interval, first, count) in enumerate(zip(*numbers, strict=True)):
        rng = stream(seed, 1 + interval)
        torch.randn(noise.shape[1:], generator=rng, out=noise[place])
        torch.randint(count, rows.shape[1:], generator=rng, out=rows[place])
        if drawn.mix:  # drawn last, so that all other numbers do not depend on the penalty
            torch.rand(mix.shape[1:], generator=rng, out=mix[place])
        rows[place] += first
    noise, rows, mix = (each.to(seeds.device, non_blocking=True) for each in (noise, rows, mix))
    return IntervalInputs(noise, pool.points, rows, mix)


def draw_on_device(pool: Pool, members: Tensor, seeds: Tensor, intervals: Tensor, drawn: Drawn) -> IntervalInputs:
    """Draws for all members at once, without waiting for the device. Arguments as in :func:`draw_on_host`."""
    first, count = pool.first[members, None, None], pool.count[members, None, None]
    shape = len(members), drawn.updates, drawn.batch
    noise = torch.empty(*shape, drawn.latent, dtype=drawn.dtype, device=seeds.device)
    rows = torch.empty(*shape, dtype=torch.int64, device=seeds.device)
    mix = torch.zeros(*shape, 1, dtype=drawn.dtype, device=seeds.device)
    step = max(1, AT_ONCE // (len(members) * -(-drawn.batch * drawn.latent // 4)))
    for start in range(0, drawn.updates, step):
        updates = range(start, min(start + step, drawn.updates))
        some = slice(updates.start, updates.stop)
        a, b, c, d = _words(seeds, intervals, updates, NOISE, drawn.batch * drawn.latent)
        normal = (*as_normal(a, b, drawn.dtype), *as_normal(c, d, drawn.dtype))
        noise[:, some] = _row(normal, drawn.batch * drawn.latent).unflatten(-1, noise.shape[2:])
        rows[:, some] = first + as_index(_row(_words(seeds, intervals, updates, ROWS, drawn.batch), drawn.batch), count)
        if drawn.mix:
            words = _row(_words(seeds, intervals, updates, MIX, drawn.batch), drawn.batch)
            mix[:, some, :, 0] = as_uniform(words, drawn.dtype)
    return IntervalInputs(noise, pool.points, rows, mix)


def _words(seeds: Tensor, intervals: Tensor, updates: range, purpose: int, count: int) -> Words:
    """Four words for each counter, ``[B, U, count / 4]`` (rounded up), for a range of U updates."""
    place = torch.arange(-(-count // 4), device=seeds.device)
    update = torch.arange(updates.start, updates.stop, device=seeds.device)[:, None]
    return philox(seeds[:, None, None], (place, update, intervals[:, None, None], torch.full_like(place, purpose)))


def _row(parts: Sequence[Tensor], count: int) -> Tensor:
    """Joins four tensors ``[B, U, M]`` into one, ``[B, U, count]``."""
    return torch.cat(tuple(parts), dim=-1)[..., :count]


def stream(seed: int, interval: int) -> torch.Generator:
    """The host's random stream of one member in one interval. Interval 0 is for its starting weights."""
    mixed = np.random.SeedSequence([seed, interval]).generate_state(1)[0]
    return torch.Generator().manual_seed(int(mixed))
