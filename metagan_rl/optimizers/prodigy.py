"""Prodigy: Adam that estimates its own learning rate from how far the weights have gone."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from metagan_rl.optimizers.optimizer import EPSILON, Beginning, Optimizer, pick

FIRST_DISTANCE = 1e-6
"""d0: the estimate to begin with."""
ROWS, NUMBERS = (0, 1), (FIRST_DISTANCE, FIRST_DISTANCE, 0.0)
"""What is kept: s, the starting weights; d, the largest d, the numerator of d."""


class Prodigy(Optimizer):
    """Prodigy in Adam's form (Mishchenko and Defazio 2024, arXiv:2306.06101, algorithm 4).

    The rate of a step is d times ``told.lr``, which is meant to be 1. d estimates how far the solution is from the
    starting weights. It never falls.

    Args:
        told: what all optimizers are told.
        bias_correction: correct both moments for their start at 0, as Adam does.
        safeguard_warmup: leave the learning rate out of d's denominator, so that a rate that rises does not inflate d.
        growth: how many times larger d may become in one step, once it has left ``FIRST_DISTANCE``.

    Both networks of a GAN estimate a d of their own. The other network moves the solution all the time, so d may grow
    for as long as a run lasts.
    """

    def __init__(
        self,
        told: Beginning,
        *,
        bias_correction: bool = False,
        safeguard_warmup: bool = False,
        growth: float = math.inf,
    ) -> None:
        rates = told.lr.expand(len(told.numbers), *told.lr.shape)
        if bias_correction:
            number = told.numbers.to(told.lr.dtype).unsqueeze(-1).clamp_min(1)
            rates = rates * (1 - told.beta2**number).sqrt() / (1 - told.beta1**number)
        self._rates = rates.unbind()
        self._betas = told.beta1, told.beta2, told.beta2.sqrt()
        self._safeguard, self._growth = safeguard_warmup, growth

    def step(
        self, update: int, weights: Tensor, gradient: Tensor, kept: Sequence[Tensor], members: Tensor | None = None
    ) -> None:
        """See :class:`Optimizer`."""
        first, second, extra = kept
        size = weights.shape[1]
        s, start, d, d_max, numerator = extra.split([size, size, 1, 1, 1], dim=1)  # views: they change `extra`
        beta1, beta2, beta3 = (pick(beta, members) for beta in self._betas)
        rate = d * pick(self._rates[update], members)
        scaled = d / FIRST_DISTANCE  # all of d's fraction is scaled, for numbers that are not too small
        numerator.mul_(beta3).add_(scaled * rate * (gradient * (start - weights)).sum(dim=1, keepdim=True))
        first.mul_(beta1).add_(gradient * (d * (1 - beta1)))
        second.mul_(beta2).add_(gradient.square() * (d.square() * (1 - beta2)))
        s.mul_(beta3).add_(gradient * (scaled * (d if self._safeguard else rate)))
        denominator = s.abs().sum(dim=1, keepdim=True)
        estimate = torch.where(denominator > 0, numerator / denominator, 0.0)
        d_max.copy_(d_max.maximum(estimate))
        left = torch.where(d <= FIRST_DISTANCE, d.maximum(estimate), d)
        d.copy_(d_max.minimum(left * self._growth))
        weights.addcdiv_(first * -rate, second.sqrt().add_(d * EPSILON))
