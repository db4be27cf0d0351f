"""Optimisers over stacked weights: one row a member, every member with its own rates and step count."""

import torch
from torch import Tensor

ADAM_EPSILON = 1e-8


def adam(
    weights: Tensor, gradient: Tensor, first: Tensor, second: Tensor, steps: Tensor, lr: Tensor, beta1: Tensor, beta2: Tensor
) -> None:
    """One Adam step in place (Kingma and Ba 2015, arXiv:1412.6980, algorithm 1).

    Args:
        weights, gradient, first, second: ``[B, P]``.
        steps: ``[B, 1]``, this step's number, from 1.
        lr, beta1, beta2: ``[B, 1]``.
    """
    first.lerp_(gradient, 1 - beta1)
    second.lerp_(gradient.square(), 1 - beta2)
    denominator = (second / (1 - beta2**steps)).sqrt_().add_(ADAM_EPSILON)
    weights.addcdiv_(first * (-lr / (1 - beta1**steps)), denominator)


def sgd(weights: Tensor, gradient: Tensor, lr: Tensor) -> None:
    """One step of plain gradient descent in place; shapes as in :func:`adam`."""
    weights.addcmul_(gradient, -lr)


def per_member_norm(rows: Tensor) -> Tensor:
    """Euclidean norm of each row, ``[B]``."""
    return torch.linalg.vector_norm(rows, dim=1)
