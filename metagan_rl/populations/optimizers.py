"""Optimisers over stacked weights: one row a member, every member with its own rates and step count."""

import torch
from torch import Tensor

ADAM_EPSILON = 1e-8


class Adam:
    """Adam (Kingma and Ba 2015, arXiv:1412.6980, algorithm 1) for one network of B members over one interval.

    Args:
        steps: updates of each member before this interval, ``[B]``.
        updates: updates in this interval, for which the bias corrections are worked out at once.
        lr, beta1, beta2: ``[B, 1]``.
    """

    def __init__(self, steps: Tensor, updates: int, lr: Tensor, beta1: Tensor, beta2: Tensor) -> None:
        number = steps.to(lr.dtype)[:, None] + torch.arange(1, updates + 1, dtype=lr.dtype)  # [B, updates]
        second_correction = (1 - beta2**number).sqrt()
        # w -= lr m/(1-b1^t) / (sqrt(v/(1-b2^t)) + eps), with the square root of the correction taken out of the root
        self._sizes = (-lr * second_correction / (1 - beta1**number)).unsqueeze(-1).unbind(dim=1)
        self._epsilons = (ADAM_EPSILON * second_correction).unsqueeze(-1).unbind(dim=1)
        self._first_weight, self._second_weight = 1 - beta1, 1 - beta2
        self._update = 0

    def step(self, weights: Tensor, gradient: Tensor, first: Tensor, second: Tensor) -> None:
        """One step in place; all are ``[B, P]``."""
        first.lerp_(gradient, self._first_weight)
        second.lerp_(gradient.square(), self._second_weight)
        denominator = second.sqrt().add_(self._epsilons[self._update])
        weights.addcdiv_(first * self._sizes[self._update], denominator)
        self._update += 1


def sgd(weights: Tensor, gradient: Tensor, lr: Tensor) -> None:
    """One step of plain gradient descent in place; shapes as in :class:`Adam`."""
    weights.addcmul_(gradient, -lr)


def per_member_norm(rows: Tensor) -> Tensor:
    """Euclidean norm of each row, ``[B]``."""
    return torch.linalg.vector_norm(rows, dim=1)
