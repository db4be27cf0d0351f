"""Optimisers over stacked weights: one row for each member, with its own rates and step count."""

from typing import Protocol

import torch
from torch import Tensor

from metagan_rl.populations.state import pick

ADAM_EPSILON = 1e-8


class Optimizer(Protocol):
    """Steps one network for some of the B members of a chunk, at one update of an interval."""

    def step(
        self,
        update: int,
        weights: Tensor,
        gradient: Tensor,
        first: Tensor,
        second: Tensor,
        members: Tensor | None = None,
    ) -> None:
        """One step in place.

        Args:
            update: number of the update in the interval.
            weights: weights of the members that step, ``[b, P]``; changed.
            gradient: their gradient, ``[b, P]``.
            first: mean of their gradients (Adam's m), ``[b, P]``; changed.
            second: mean of their squared gradients (Adam's v), ``[b, P]``; changed.
            members: their indices among the B members, ``[b]``; ``None``: all.
        """
        ...


class Adam:
    """Adam (Kingma and Ba 2015, arXiv:1412.6980, algorithm 1).

    Args:
        numbers: how many steps each member will have made after each update of the interval, ``[U, B]``. All bias
            corrections are computed from it at once.
        lr, beta1, beta2: ``[B, 1]``.
    """

    def __init__(self, numbers: Tensor, lr: Tensor, beta1: Tensor, beta2: Tensor) -> None:
        number = numbers.to(lr.dtype).unsqueeze(-1).clamp_min(1)  # entries before the first step are never used
        second_correction = (1 - beta2**number).sqrt()
        # w -= lr m/(1-b1^t) / (sqrt(v/(1-b2^t)) + eps), with the correction moved out of the square root
        self._sizes = (-lr * second_correction / (1 - beta1**number)).unbind()
        self._epsilons = (ADAM_EPSILON * second_correction).unbind()
        self._first_weight, self._second_weight = 1 - beta1, 1 - beta2

    def step(
        self,
        update: int,
        weights: Tensor,
        gradient: Tensor,
        first: Tensor,
        second: Tensor,
        members: Tensor | None = None,
    ) -> None:
        """See :class:`Optimizer`."""
        first.lerp_(gradient, pick(self._first_weight, members))
        second.lerp_(gradient.square(), pick(self._second_weight, members))
        denominator = second.sqrt().add_(pick(self._epsilons[update], members))
        weights.addcdiv_(first * pick(self._sizes[update], members), denominator)


class SGD:
    """Plain gradient descent.

    Args:
        lr: ``[B, 1]``.
    """

    def __init__(self, lr: Tensor) -> None:
        self._lr = lr

    def step(
        self,
        update: int,
        weights: Tensor,
        gradient: Tensor,
        first: Tensor,
        second: Tensor,
        members: Tensor | None = None,
    ) -> None:
        """See :class:`Optimizer`."""
        weights.addcmul_(gradient, -pick(self._lr, members))


def per_member_norm(rows: Tensor) -> Tensor:
    """Euclidean norm of each row, ``[B]``."""
    return torch.linalg.vector_norm(rows, dim=1)
