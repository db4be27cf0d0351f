"""Random numbers as a pure function of their purpose: Philox-4x32-10 in tensor arithmetic, on any device.

Four words of 32 bits depend only on a key and a counter (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2,
3", https://doi.org/10.1145/2063384.2063405). The key is a member's seed. The counter holds its interval, the update,
the place in the batch and the purpose. So whole chunks of members are drawn at once where they are trained, and a
member's numbers do not depend on the other members.
"""

import math

import torch
from torch import Tensor

MASK = 0xFFFFFFFF
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
WEYL = 0x9E3779B9, 0xBB67AE85
"""The amounts that the two halves of the key grow by in each round."""
ROUNDS = 10
Words = tuple[Tensor, Tensor, Tensor, Tensor]


def philox(key: Tensor, counter: Words) -> Words:
    """Four words for each counter.

    Args:
        key: any int64; its 64 bits are the two words of the key.
        counter: four int64 tensors with values in [0, 2^32); they and the key broadcast.

    Returns:
        Four int64 tensors, uniform in [0, 2^32).
    """
    low, high = key & MASK, (key >> 32) & MASK
    a, b, c, d = counter
    for turn in range(ROUNDS):
        # int64 products wrap, and the shift repeats the sign. The 64 bits are still right; the mask cuts off the rest.
        first, second = a * MULTIPLIERS[0], c * MULTIPLIERS[1]
        keys = ((low + turn * WEYL[0]) & MASK, (high + turn * WEYL[1]) & MASK)
        a, b = ((second >> 32) & MASK) ^ b ^ keys[0], second & MASK
        c, d = ((first >> 32) & MASK) ^ d ^ keys[1], first & MASK
    return a, b, c, d


def as_uniform(words: Tensor, dtype: torch.dtype) -> Tensor:
    """Uniform numbers in [0, 1] from words; never exactly 0, and 1 only through rounding."""
    return (words.to(dtype) + 0.5) * 2.0**-32


def as_normal(first: Tensor, second: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Two independent standard normal numbers from two words each (Box and Muller 1958); none exceeds 6.8."""
    radius = (as_uniform(first, dtype).log() * -2).clamp_min(0).sqrt()
    angle = as_uniform(second, dtype) * (2 * math.pi)
    return radius * angle.cos(), radius * angle.sin()


def as_index(words: Tensor, count: Tensor) -> Tensor:
    """Whole numbers in [0, count), int64. Their probabilities differ by at most a share of count / 2^32.

    Args:
        words: ``[B, ...]``.
        count: int64, less than 2^31, of a shape that broadcasts.
    """
    return (words * count) >> 32
