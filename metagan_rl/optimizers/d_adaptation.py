"""D-Adaptation: Adam that bounds the distance to the solution from below, and takes the bound as its rate."""

from collections.abc import Sequence

import torch
from torch import Tensor

from metagan_rl.optimizers.optimizer import EPSILON, Beginning, Optimizer, pick

FIRST_DISTANCE = 1e-6
"""d0: the estimate to begin with."""
ROWS, NUMBERS = (0,), (FIRST_DISTANCE, 0.0)
"""What is kept: s; d, the numerator of d."""


class DAdaptation(Optimizer):
    """D-Adaptation in Adam's form (Defazio and Mishchenko 2023, arXiv:2301.07733, algorithm 5).

    The rate of a step is d times ``told.lr``, which is meant to be 1. d is a lower bound of the distance between the
    starting weights and the solution. It never falls. Both networks of a GAN have a d of their own. Moments are not
    corrected for their start at 0, as is usual in the authors' code.

    Args:
        told: what all optimizers are told.
    """

    def __init__(self, told: Beginning) -> None:
        self._lr = told.lr
        self._betas = told.beta1, told.beta2, told.beta2.sqrt()

    def step(
        self, update: int, weights: Tensor, gradient: Tensor, kept: Sequence[Tensor], members: Tensor | None = None
    ) -> None:
        """See :class:`Optimizer`."""
        first, second, extra = kept
        s, d, numerator = extra.split([weights.shape[1], 1, 1], dim=1)  # views: they change `extra`
        beta1, beta2, beta3 = (pick(beta, members) for beta in self._betas)
        rate = d * pick(self._lr, members)
        along = (gradient * s / second.sqrt().add_(EPSILON)).sum(dim=1, keepdim=True)
        numerator.mul_(beta3).add_(along * rate * (1 - beta3))
        first.mul_(beta1).add_(gradient * (rate * (1 - beta1)))
        second.mul_(beta2).add_(gradient.square() * (1 - beta2))
        s.mul_(beta3).add_(gradient * (rate * (1 - beta3)))
        denominator = (1 - beta3) * s.abs().sum(dim=1, keepdim=True)
        d.copy_(d.maximum(torch.where(denominator > 0, numerator / denominator, 0.0)))
        weights.addcdiv_(-first, second.sqrt().add_(EPSILON))
