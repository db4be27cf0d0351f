"""Gradient penalties on D, per member. All are ``[B]``, and are multiplied by a per-member weight.

``critic`` maps inputs ``[B, N, D]`` to logits ``[B, N]`` and must act on each sample alone, so that one backward pass
through the sum of all logits gives every sample's own gradient.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from metagan_rl.registry import Registry

Critic = Callable[[Tensor], Tensor]
Penalty = Callable[[Critic, Tensor, Tensor, Tensor], Tensor]

PENALTIES: Registry[Penalty] = Registry("penalty")


def input_gradient(critic: Critic, inputs: Tensor) -> Tensor:
    """Gradient of each logit by its own input, ``[B, N, D]``, differentiable once more."""
    points = inputs.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return gradient


def _half_square(gradient: Tensor) -> Tensor:
    return gradient.square().sum(dim=-1).mean(dim=-1) / 2


@PENALTIES("r1")
def r1(critic: Critic, real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """Half the squared gradient norm at real data: E|grad D(x)|^2 / 2 (Mescheder et al. 2018, arXiv:1801.04406)."""
    return _half_square(input_gradient(critic, real))


@PENALTIES("r2")
def r2(critic: Critic, real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """Half the squared gradient norm at generated data: E|grad D(G(z))|^2 / 2 (Mescheder et al. 2018)."""
    return _half_square(input_gradient(critic, fake))


@PENALTIES("zero-centred")
def zero_centred(critic: Critic, real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """R1 + R2 in one pass, as R3GAN uses them (Huang et al. 2024, arXiv:2501.05441)."""
    gradient = input_gradient(critic, torch.cat([real, fake], dim=1))
    return 2 * _half_square(gradient)  # the mean runs over twice the samples


@PENALTIES("one-centred")
def one_centred(critic: Critic, real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """E(|grad D(x)| - 1)^2 on lines between real and generated data (Gulrajani et al. 2017, arXiv:1704.00028).

    ``mix`` ``[B, N, 1]`` in [0, 1] says where on each line.
    """
    gradient = input_gradient(critic, real.lerp(fake, mix))
    norm = (gradient.square().sum(dim=-1) + 1e-12).sqrt()  # the root has no derivative at 0
    return (norm - 1).square().mean(dim=-1)
