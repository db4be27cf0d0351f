"""TiAda: Adam whose generator is slowed down while D's gradients are the larger ones."""

from collections.abc import Sequence

from torch import Tensor

from metagan_rl.optimizers.optimizer import EPSILON, Beginning, Optimizer, pick

POWERS = 0.6, 0.4
"""The powers that G's and D's squared gradients are raised to where Adam takes the root. The paper's, for its GANs."""


class TiAda(Optimizer):
    """TiAda with Adam's moments (Li, Yang and He 2023, arXiv:2210.17478, the variant of its experiments on GANs).

    With V the sum of a network's second moment, G's step is multiplied by V_G^a / max(V_G, V_D)^a. D's is not.

    Args:
        told: what all optimizers are told. ``told.opponent`` is read at every step of G.
    """

    def __init__(self, told: Beginning) -> None:
        number = told.numbers.to(told.lr.dtype).unsqueeze(-1).clamp_min(1)
        self._sizes = (-told.lr / (1 - told.beta1**number)).unbind()
        self._corrections = (1 - told.beta2**number).sqrt().unbind()
        self._first_weight, self._second_weight = 1 - told.beta1, 1 - told.beta2
        self._opponent, self._power = told.opponent, POWERS[told.opponent is None]

    def step(
        self, update: int, weights: Tensor, gradient: Tensor, kept: Sequence[Tensor], members: Tensor | None = None
    ) -> None:
        """See :class:`Optimizer`."""
        first, second = kept
        first.lerp_(gradient, pick(self._first_weight, members))
        second.lerp_(gradient.square(), pick(self._second_weight, members))
        size = pick(self._sizes[update], members)
        if self._opponent is not None:
            own = second.sum(dim=1, keepdim=True).clamp_min(1e-30)  # of a gradient of 0: no step, whatever the ratio
            both = own.maximum(pick(self._opponent, members).sum(dim=1, keepdim=True))
            size = size * (own / both).pow(self._power)
        denominator = second.pow(self._power).div_(pick(self._corrections[update], members)).add_(EPSILON)
        weights.addcdiv_(first * size, denominator)
