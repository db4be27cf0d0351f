"""What an optimizer over stacked weights is: one row for each member, with its own rates, step count and memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metagan_rl.registry import Registry

EPSILON = 1e-8
"""What is added to a denominator, in all optimizers that have one."""


class Optimizer:
    """Steps one network for some of the B members of a chunk, at one update of an interval."""

    def step(
        self, update: int, weights: Tensor, gradient: Tensor, kept: Sequence[Tensor], members: Tensor | None = None
    ) -> None:
        """One step in place.

        Args:
            update: number of the update in the interval.
            weights: weights of the members that step, ``[b, P]``; changed.
            gradient: their gradient, ``[b, P]``.
            kept: what is kept of them from step to step; changed. First the mean of their gradients (Adam's m) and the
                mean of their squares (Adam's v), ``[b, P]`` each. Optimizers that keep more have a third, ``[b, E]``.
            members: their indices among the B members, ``[b]``; ``None``: all.
        """
        raise NotImplementedError

    def judge(self, average: Tensor, weights: Tensor, kept: Sequence[Tensor], share: Tensor) -> None:
        """Moves the averaged generators ``[b, P]``, which are what is judged, after a step; in place.

        Args:
            average: the averages; changed.
            weights: as :meth:`step` left them.
            kept: as :meth:`step` left it.
            share: how far an exponential moving average goes towards the weights, ``[b, 1]``.
        """
        average.lerp_(weights, share)


@dataclass(frozen=True)
class Beginning:
    """What an optimizer is told at the beginning of an interval of U updates.

    Attributes:
        numbers: how many steps each member will have made after each update, ``[U, B]``.
        lr, beta1, beta2: ``[B, 1]``.
        opponent: D's means of squared gradients ``[B, P_D]`` for G's optimizer, followed as D steps; ``None`` for D's.
    """

    numbers: Tensor
    lr: Tensor
    beta1: Tensor
    beta2: Tensor
    opponent: Tensor | None = None


@dataclass(frozen=True)
class OptimizerKind:
    """One entry of the table of optimizers.

    Attributes:
        make: makes the optimizer of one network for an interval.
        rows: one entry for each number that it keeps of a weight, besides the two means: 1 if that begins as the weight
            itself, 0 if as 0.
        numbers: what it keeps of a whole network, as it begins.
    """

    make: Callable[[Beginning], Optimizer]
    rows: tuple[int, ...] = ()
    numbers: tuple[float, ...] = ()

    def extra(self, weights: Tensor) -> Tensor:
        """What it keeps besides the two means before the first step: from weights ``[B, P]`` to ``[B, E]``."""
        numbers = weights.new_tensor(self.numbers).expand(len(weights), -1)
        return torch.cat([*(share * weights for share in self.rows), numbers], dim=1)

    def extra_size(self, weights: int) -> int:
        """E, for a network of so many weights."""
        return len(self.rows) * weights + len(self.numbers)


OPTIMIZERS: Registry[OptimizerKind] = Registry("optimizer")
"""Optimizers by the name that ``Base.optimizer`` gives."""


def pick(rows: Tensor, members: Tensor | None) -> Tensor:
    """A copy of the rows ``[b, ...]`` of some members out of ``[B, ...]``; for ``None`` the tensor itself."""
    return rows if members is None else rows.index_select(0, members)
