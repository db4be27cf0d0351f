"""GAN losses on logits. Each is a pair of element-wise formulas, averaged over the samples of each member.

Their derivatives are written out beside them. On small networks, automatic differentiation of these few operations
takes longer than a layer's product.

Shapes: logits are ``[B, N]`` (B members, N samples); a loss is ``[B]``. A relativistic loss pairs the n-th real
sample with the n-th generated one. This is fair because both are drawn independently.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from metagan_rl.registry import Registry

LogitLoss = Callable[[Tensor, Tensor], Tensor]
Slopes = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Loss:
    """One GAN loss.

    Attributes:
        discriminator: ``(real_logits, fake_logits) -> [B]``; D minimises it.
        generator: ``(real_logits, fake_logits) -> [B]``; G minimises it.
        ideal: D's loss at equilibrium, when generated and real data are the same; 0 for critics.
        boundary: the logit at which D is undecided.
        penalty: name of the gradient penalty that belongs to the loss.
        relative: whether G's loss needs real logits too.
        generator_ideal: G's loss at equilibrium; 0 if G's loss is a negative logit, which has no equilibrium value.
        source: where the formula comes from.
        discriminator_slopes: ``(real_logits, fake_logits) -> ([B, N], [B, N])``: N times the derivatives of D's loss by
            both; ``None``: automatic differentiation.
        generator_slope: ``(real_logits, fake_logits) -> [B, N]``: N times the derivative of G's loss by fake logits;
            ``None``: automatic differentiation.
    """

    discriminator: LogitLoss
    generator: LogitLoss
    ideal: float
    boundary: float = 0.0
    penalty: str = "zero-centred"
    relative: bool = False
    generator_ideal: float = 0.0
    source: str = ""
    discriminator_slopes: Slopes | None = None
    generator_slope: LogitLoss | None = None

    def of_discriminator(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """D's loss ``[B]``, and its derivative by the real and then the fake logits, ``[B, 2N]``."""
        if self.discriminator_slopes is None:
            count = real.shape[-1]
            both = torch.cat([real, fake], dim=-1)
            return _differentiated(lambda logits: self.discriminator(*logits.split(count, dim=-1)), both)
        slopes = torch.cat(self.discriminator_slopes(real, fake), dim=-1)
        return self.discriminator(real, fake), slopes / real.shape[-1]

    def of_generator(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """G's loss ``[B]``, and its derivative by the fake logits, ``[B, N]``."""
        if self.generator_slope is None:
            return _differentiated(lambda logits: self.generator(real, logits), fake)
        return self.generator(real, fake), self.generator_slope(real, fake) / fake.shape[-1]


def _differentiated(loss: Callable[[Tensor], Tensor], logits: Tensor) -> tuple[Tensor, Tensor]:
    logits = logits.detach().requires_grad_()
    with torch.enable_grad():
        value = loss(logits)
        (slope,) = torch.autograd.grad(value.sum(), logits)
    return value.detach(), slope


def _mean(values: Tensor) -> Tensor:
    return values.mean(dim=-1)


LOSSES: Registry[Loss] = Registry("loss", importable=True)
LOSSES.register(
    "non-saturating",
    Loss(
        discriminator=lambda real, fake: _mean(softplus(-real) + softplus(fake)),  # -log s(real) - log(1 - s(fake))
        generator=lambda real, fake: _mean(softplus(-fake)),  # -log s(fake)
        ideal=math.log(4),
        generator_ideal=math.log(2),
        source="Goodfellow et al. 2014, arXiv:1406.2661, section 3",
        discriminator_slopes=lambda real, fake: (-torch.sigmoid(-real), torch.sigmoid(fake)),
        generator_slope=lambda real, fake: -torch.sigmoid(-fake),
    ),
)
LOSSES.register(
    "hinge",
    Loss(
        discriminator=lambda real, fake: _mean(torch.relu(1 - real) + torch.relu(1 + fake)),
        generator=lambda real, fake: _mean(-fake),
        ideal=2.0,
        source="Lim and Ye 2017, arXiv:1705.02894; Miyato et al. 2018, arXiv:1802.05957",
        discriminator_slopes=lambda real, fake: (-(real < 1).to(real.dtype), (fake > -1).to(fake.dtype)),
        generator_slope=lambda real, fake: torch.full_like(fake, -1),
    ),
)
LOSSES.register(
    "lsgan",
    Loss(
        discriminator=lambda real, fake: _mean((real - 1).square() + fake.square()),
        generator=lambda real, fake: _mean((fake - 1).square()),
        ideal=0.5,
        generator_ideal=0.25,
        boundary=0.5,
        source="Mao et al. 2017, arXiv:1611.04076 (targets 0 and 1, without the factor one half)",
        discriminator_slopes=lambda real, fake: (2 * (real - 1), 2 * fake),
        generator_slope=lambda real, fake: 2 * (fake - 1),
    ),
)
LOSSES.register(
    "wgan",
    Loss(
        discriminator=lambda real, fake: _mean(fake - real),
        generator=lambda real, fake: _mean(-fake),
        ideal=0.0,
        penalty="one-centred",
        source="Arjovsky et al. 2017, arXiv:1701.07875; penalty: Gulrajani et al. 2017, arXiv:1704.00028",
        discriminator_slopes=lambda real, fake: (torch.full_like(real, -1), torch.ones_like(fake)),
        generator_slope=lambda real, fake: torch.full_like(fake, -1),
    ),
)
LOSSES.register(
    "rpgan",
    Loss(
        discriminator=lambda real, fake: _mean(softplus(fake - real)),
        generator=lambda real, fake: _mean(softplus(real - fake)),
        ideal=math.log(2),
        generator_ideal=math.log(2),
        relative=True,
        source="Jolicoeur-Martineau 2018, arXiv:1807.00734; Huang et al. 2024 (R3GAN), arXiv:2501.05441",
        discriminator_slopes=lambda real, fake: (-torch.sigmoid(fake - real), torch.sigmoid(fake - real)),
        generator_slope=lambda real, fake: -torch.sigmoid(real - fake),
    ),
)


def register_loss(name: str, loss: Loss) -> Loss:
    """Adds a loss under a name, for tasks and populations.

    Agents can choose it if it is a level of their knob: ``knobs={"loss": ["hinge", name]}``.

    Raises:
        InvalidValueError: the name is malformed or taken.
    """
    return LOSSES.register(name, loss)
