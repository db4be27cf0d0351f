"""The Dirac-GAN of Mescheder et al. 2018 (arXiv:1801.04406): G(z) = theta, D(x) = psi x.

Two numbers show every instability of GAN training and can be solved by hand: an exact test of losses, penalties and
updates.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from metagan_rl.networks.base import Judge, NetworkKind, register_networks

FLOOR = 1e-12
"""Smallest distance, so that logarithms exist."""
TOLERANCE = 0.1


class DiracGenerator:
    """Puts all its mass at theta, for any noise."""

    shapes: tuple[tuple[int, ...], ...] = ((1, 1),)
    has_backward = False
    has_penalty_backward = False

    def initial(self, rng: torch.Generator) -> Tensor:
        """A start ``[1]``, uniform in +-1."""
        return torch.rand(1, generator=rng, dtype=torch.float64) * 2 - 1

    def __call__(self, weights: list[Tensor], inputs: Tensor) -> Tensor:
        """Theta for each of the noise inputs ``[B, N, 1]``."""
        return weights[0].expand(-1, inputs.shape[1], 1)


class DiracDiscriminator:
    """A linear function through the origin."""

    shapes: tuple[tuple[int, ...], ...] = ((1, 1),)
    has_backward = False
    has_penalty_backward = False

    def initial(self, rng: torch.Generator) -> Tensor:
        """A start ``[1]``, uniform in +-1."""
        return torch.rand(1, generator=rng, dtype=torch.float64) * 2 - 1

    def __call__(self, weights: list[Tensor], inputs: Tensor) -> Tensor:
        """Maps ``[B, N, 1]`` to psi times itself."""
        return inputs * weights[0]


def _start(parameters: Mapping[str, Any]) -> tuple[Tensor, Tensor] | None:
    if "start" not in parameters:
        return None
    start = torch.tensor(parameters["start"], dtype=torch.float64)
    return start[:1], start[1:]


def _measure(generator: Tensor, discriminator: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Distance to the equilibrium (0, 0). Precision and coverage count points within 0.1 of the data."""
    theta, psi = generator[:, 0], discriminator[:, 0]
    near = (theta.abs() <= TOLERANCE).double()
    return torch.hypot(theta, psi).clamp_min(FLOOR), theta.abs(), near, near


register_networks(
    "dirac",
    NetworkKind(
        lambda networks, dim: (DiracGenerator(), DiracDiscriminator()),
        double=True,
        start=_start,
        judge=Judge(_measure, FLOOR),
    ),
)
