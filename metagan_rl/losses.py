"""GAN losses on logits. Each is a pair of element-wise formulas, averaged over the samples of each member.

Shapes: logits are ``[B, N]`` (B members, N samples); a loss is ``[B]``. A relativistic loss pairs the n-th real
sample with the n-th generated one, which is fair because both are drawn independently.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from metagan_rl.registry import Registry

LogitLoss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Loss:
    """One GAN loss.

    Attributes:
        discriminator: ``(real_logits, fake_logits) -> [B]``, to be minimised by D.
        generator: ``(real_logits, fake_logits) -> [B]``, to be minimised by G.
        ideal: D's loss at equilibrium, when generated and real data are the same; 0 for critics.
        boundary: the logit at which D is undecided.
        penalty: name of the gradient penalty that goes with the loss.
        relative: G's loss needs real logits too.
        generator_ideal: G's loss at equilibrium; 0 for losses of G that are negative logits, which have none.
        source: where the formula is from.
    """

    discriminator: LogitLoss
    generator: LogitLoss
    ideal: float
    boundary: float = 0.0
    penalty: str = "zero-centred"
    relative: bool = False
    generator_ideal: float = 0.0
    source: str = ""


def _mean(values: Tensor) -> Tensor:
    return values.mean(dim=-1)


LOSSES: Registry[Loss] = Registry("loss")
LOSSES.register(
    "non-saturating",
    Loss(
        discriminator=lambda real, fake: _mean(softplus(-real) + softplus(fake)),  # -log s(real) - log(1 - s(fake))
        generator=lambda real, fake: _mean(softplus(-fake)),  # -log s(fake)
        ideal=math.log(4),
        generator_ideal=math.log(2),
        source="Goodfellow et al. 2014, arXiv:1406.2661, section 3",
    ),
)
LOSSES.register(
    "hinge",
    Loss(
        discriminator=lambda real, fake: _mean(torch.relu(1 - real) + torch.relu(1 + fake)),
        generator=lambda real, fake: _mean(-fake),
        ideal=2.0,
        source="Lim and Ye 2017, arXiv:1705.02894; Miyato et al. 2018, arXiv:1802.05957",
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
    ),
)


def register_loss(name: str, loss: Loss) -> Loss:
    """Adds a loss under a name; it can then be used in tasks and populations (the agents' loss knob stays as it is)."""
    return LOSSES.register(name, loss)
