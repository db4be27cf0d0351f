"""Adam, and the two that it came from."""

from collections.abc import Sequence

from torch import Tensor

from metagan_rl.optimizers.optimizer import EPSILON, Optimizer, pick


class Adam(Optimizer):
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
        self._epsilons = (EPSILON * second_correction).unbind()
        self._first_weight, self._second_weight = 1 - beta1, 1 - beta2

    def step(
        self, update: int, weights: Tensor, gradient: Tensor, kept: Sequence[Tensor], members: Tensor | None = None
    ) -> None:
        """See :class:`Optimizer`."""
        first, second = kept
        first.lerp_(gradient, pick(self._first_weight, members))
        second.lerp_(gradient.square(), pick(self._second_weight, members))
        denominator = second.sqrt().add_(pick(self._epsilons[update], members))
        weights.addcdiv_(first * pick(self._sizes[update], members), denominator)


class SGD(Optimizer):
    """Plain gradient descent.

    Args:
        lr: ``[B, 1]``.
    """

    def __init__(self, lr: Tensor) -> None:
        self._lr = lr

    def step(
        self, update: int, weights: Tensor, gradient: Tensor, kept: Sequence[Tensor], members: Tensor | None = None
    ) -> None:
        """See :class:`Optimizer`."""
        weights.addcmul_(gradient, -pick(self._lr, members))


class RMSprop(Optimizer):
    """RMSprop (Tieleman and Hinton 2012) as torch has it: no momentum, no bias correction, so first steps are long.

    Args:
        lr, beta2: ``[B, 1]``; beta2 is what torch calls alpha.
    """

    def __init__(self, lr: Tensor, beta2: Tensor) -> None:
        self._lr, self._second_weight = lr, 1 - beta2

    def step(
        self, update: int, weights: Tensor, gradient: Tensor, kept: Sequence[Tensor], members: Tensor | None = None
    ) -> None:
        """See :class:`Optimizer`."""
        second = kept[1]
        second.lerp_(gradient.square(), pick(self._second_weight, members))
        weights.addcdiv_(gradient * -pick(self._lr, members), second.sqrt().add_(EPSILON))
