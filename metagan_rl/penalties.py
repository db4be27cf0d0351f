"""Gradient penalties on D, per member: where the gradient is taken, and what of it is penalised.

A penalty is multiplied by a per-member weight. D must treat each sample independently. Then one backward pass through
the sum of all logits gives every sample's own gradient.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from metagan_rl.registry import Registry


@dataclass(frozen=True)
class Penalty:
    """One gradient penalty.

    Attributes:
        points: ``(real, fake, mix) -> [B, M, D]``: where D's gradient is taken; real and fake are ``[B, N, D]``, mix is
            ``[B, N, 1]`` in [0, 1].
        value: ``[B, M, D] -> [B]``: the penalty, computed from the gradients there.
        uses_batch: the points are the real and then the generated samples, so D's forward pass serves for both.
        uses_mix: the points depend on ``mix``. If no penalty of a population uses it, none is drawn and it is 0.
        source: where it comes from.
    """

    points: Callable[[Tensor, Tensor, Tensor], Tensor]
    value: Callable[[Tensor], Tensor]
    uses_batch: bool = False
    uses_mix: bool = True
    source: str = ""


def half_square(gradient: Tensor) -> Tensor:
    """Half the mean squared norm, ``[B]``."""
    return gradient.square().sum(dim=-1).mean(dim=-1) / 2


def distance_to_one(gradient: Tensor) -> Tensor:
    """Mean squared difference between the norm and 1, ``[B]``."""
    norm = (gradient.square().sum(dim=-1) + 1e-12).sqrt()  # the square root has no derivative at 0
    return (norm - 1).square().mean(dim=-1)


def input_gradient(critic: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    """Gradient of each logit by its own input, ``[B, M, D]``; it can be differentiated once more."""
    points = inputs.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return gradient


PENALTIES: Registry[Penalty] = Registry("penalty")
PENALTIES.register(
    "r1",
    Penalty(
        lambda real, fake, mix: real,
        half_square,
        uses_mix=False,
        source="E|grad D(x)|^2 / 2, Mescheder et al. 2018, arXiv:1801.04406",
    ),
)
PENALTIES.register(
    "r2",
    Penalty(lambda real, fake, mix: fake, half_square, source="E|grad D(G(z))|^2 / 2, Mescheder et al. 2018"),
)
PENALTIES.register(
    "zero-centred",
    Penalty(
        points=lambda real, fake, mix: torch.cat([real, fake], dim=1),
        value=lambda gradient: 2 * half_square(gradient),  # the mean runs over 2N samples instead of N
        uses_batch=True,
        uses_mix=False,
        source="R1 + R2 as in R3GAN, Huang et al. 2024, arXiv:2501.05441",
    ),
)
PENALTIES.register(
    "one-centred",
    Penalty(
        points=lambda real, fake, mix: real.lerp(fake, mix),
        value=distance_to_one,
        source="E(|grad D(x)| - 1)^2 between real and generated data, Gulrajani et al. 2017, arXiv:1704.00028",
    ),
)
