"""All that is random in an interval of a chunk of members: noise, rows of the data, places between real and generated.

Either stream is fixed by a member's seed and the number of its interval alone. ``"host"``: one of torch's generators a
member, on the CPU, the numbers this library has always drawn. ``"device"``: counters (:mod:`.philox`), for the whole
chunk at once where it is trained; a GPU would otherwise wait for the CPU to draw for thousands of members in turn.
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
"""Counters that are turned into numbers at a time, to bound the memory of what lies between (about 0.5 GB)."""
NOISE, ROWS, MIX = 0, 1, 2
"""What numbers are for, as the counter tells it."""


def find_noise(noise: str | None, device: torch.device) -> Noise:
    """The stream of that name; for ``None`` the one that suits the device.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if noise is None:
        return "host" if device.type == "cpu" else "device"
    for name in get_args(Noise):
        if noise == name:
            return name
    raise UnknownNameError("noise", noise, get_args(Noise))


@dataclass(frozen=True)
class Drawn:
    """How much is random in an interval.

    Attributes:
        updates: U.
        batch: N.
        latent: Z.
        dtype: of noise and mix.
        mix: whether penalties need one; otherwise it is 0.
    """

    updates: int
    batch: int
    latent: int
    dtype: torch.dtype
    mix: bool


class Pool:
    """The training data of all members, the same data only once.

    Args:
        data: of each member, ``[N, D]``.
        device, dtype: of the population.

    Attributes:
        points: ``[R, D]``.
        first, count: int64 ``[B]``, first row and number of rows of each member's data.
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
        members: which of the pool's members, int64 ``[B]``.
        seeds: of theirs, int64 ``[B]``.
        intervals: that they have trained before, int64 ``[B]``.
        drawn: how much.
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
        if drawn.mix:  # drawn last, so that the rest does not depend on the penalty
            torch.rand(mix.shape[1:], generator=rng, out=mix[place])
        rows[place] += first
    noise, rows, mix = (each.to(seeds.device, non_blocking=True) for each in (noise, rows, mix))
    return IntervalInputs(noise, pool.points, rows, mix)


def draw_on_device(pool: Pool, members: Tensor, seeds: Tensor, intervals: Tensor, drawn: Drawn) -> IntervalInputs:
    """Draws for all members at once, without waiting for the device; arguments as :func:`draw_on_host`."""
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
    """Four words ``[B, U, count / 4]``, rounded up, for each of a few updates."""
    place = torch.arange(-(-count // 4), device=seeds.device)
    update = torch.arange(updates.start, updates.stop, device=seeds.device)[:, None]
    return philox(seeds[:, None, None], (place, update, intervals[:, None, None], torch.full_like(place, purpose)))


def _row(parts: Sequence[Tensor], count: int) -> Tensor:
    """Four tensors ``[B, U, M]`` as one, ``[B, U, count]``."""
    return torch.cat(tuple(parts), dim=-1)[..., :count]


def stream(seed: int, interval: int) -> torch.Generator:
    """The host's random stream of one member in one interval (0: its starting weights)."""
    mixed = np.random.SeedSequence([seed, interval]).generate_state(1)[0]
    return torch.Generator().manual_seed(int(mixed))
