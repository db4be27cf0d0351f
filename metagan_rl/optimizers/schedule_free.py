"""Schedule-Free AdamW: no decay of rates; an average of all weights so far takes its place."""

from collections.abc import Sequence

from torch import Tensor

from metagan_rl.optimizers.optimizer import EPSILON, Beginning, Optimizer, pick

ROWS, NUMBERS = (1, 1), (0.0, 0.0)
"""What is kept: z, x; the largest rate, the sum of its squares."""


class ScheduleFree(Optimizer):
    """Schedule-Free AdamW without weight decay and warm-up (Defazio et al. 2024, arXiv:2405.15682, algorithm 1).

    Three rows of weights: z takes Adam's steps without momentum, x is the mean of all z, weighted by the square of the
    largest rate so far, and gradients are taken at ``y = (1 - beta1) z + beta1 x``, which are the network's weights.
    x is what is judged; the exponential average is not used.

    Args:
        told: what all optimizers are told. ``told.beta1`` is the share of x, which has nothing to do with momentum.
    """

    def __init__(self, told: Beginning) -> None:
        number = told.numbers.to(told.lr.dtype).unsqueeze(-1).clamp_min(1)
        self._corrections = (1 - told.beta2**number).sqrt().unbind()
        self._lr, self._beta1, self._second_weight = told.lr, told.beta1, 1 - told.beta2

    def step(
        self, update: int, weights: Tensor, gradient: Tensor, kept: Sequence[Tensor], members: Tensor | None = None
    ) -> None:
        """See :class:`Optimizer`."""
        _, second, extra = kept
        size = weights.shape[1]
        z, x, largest, total = extra.split([size, size, 1, 1], dim=1)  # views: they change `extra`
        second.lerp_(gradient.square(), pick(self._second_weight, members))
        lr = pick(self._lr, members)
        z.addcdiv_(gradient * -lr, second.sqrt().div_(pick(self._corrections[update], members)).add_(EPSILON))
        largest.copy_(largest.maximum(lr))
        total.add_(largest.square())
        x.lerp_(z, largest.square() / total)
        weights.copy_(z.lerp(x, pick(self._beta1, members)))

    def judge(self, average: Tensor, weights: Tensor, kept: Sequence[Tensor], share: Tensor) -> None:
        """X is what is judged."""
        size = weights.shape[1]
        average.copy_(kept[2][:, size : 2 * size])
