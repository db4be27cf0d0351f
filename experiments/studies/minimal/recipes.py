"""Three recipes for image GANs, written anew from their papers: DCGAN, WGAN-GP and SNGAN.

The papers train on images of 32 to 128 pixels; here are as many stages as 8x8 and 28x28 leave room for, two, and
fewer channels. What a recipe is known for is as published: losses, normalisation, activations, initialisation, rates,
betas, D's batch size and the number of D updates. Not so: noise is normal in all (DCGAN's is uniform), and SNGAN's
rates, betas and D updates are those of its residual networks, here on convolutions, with batches of 64 for G as well
(the authors' code has 128).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, softplus
from torch.nn.utils.parametrizations import spectral_norm

from metagan_rl.registry import Registry

LATENT = 100
Losses = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Recipe:
    """How to train a GAN.

    Attributes:
        networks: makes G and D for images of a side of 8 or 28 and a number of channels next to the image.
        discriminator_loss: of logits of real and generated images ``[N]``; without penalty.
        generator_loss: of logits of generated images ``[N]``.
        loss: their name in ``metagan_rl.losses``.
        learning_rate: of both networks.
        betas: of Adam.
        batch_size: images in an update.
        discriminator_steps: updates of D for one of G.
        gradient_penalty: weight of WGAN-GP's penalty; 0 for none.
        decays: the rates fall linearly to 0, as published; a scheduler multiplies what is left.
        source: the paper.
    """

    networks: Callable[[int, int], tuple[nn.Module, nn.Module]]
    discriminator_loss: Callable[[Tensor, Tensor], Tensor]
    generator_loss: Callable[[Tensor], Tensor]
    loss: str
    learning_rate: float
    betas: tuple[float, float]
    batch_size: int
    discriminator_steps: int
    gradient_penalty: float
    decays: bool
    source: str


RECIPES: Registry[Recipe] = Registry("recipe")


def upsampling(side: int, channels: int) -> nn.Sequential:
    """Noise ``[N, 100]`` to images ``[N, 1, side, side]`` in (-1, 1): two transposed convolutions, batch norm."""
    small = side // 4
    return nn.Sequential(
        nn.Linear(LATENT, 2 * channels * small * small, bias=False),
        nn.Unflatten(1, (2 * channels, small, small)),
        nn.BatchNorm2d(2 * channels),
        nn.ReLU(),
        nn.ConvTranspose2d(2 * channels, channels, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.ConvTranspose2d(channels, 1, 4, stride=2, padding=1),
        nn.Tanh(),
    )


def downsampling(
    side: int,
    channels: int,
    norm: Callable[[int], nn.Module] = lambda channels: nn.Identity(),
    wrap: Callable[[nn.Module], nn.Module] = lambda layer: layer,
    slope: float = 0.2,
) -> nn.Sequential:
    """Images to one logit each, ``[N]``, by two strided convolutions."""
    small = side // 4
    return nn.Sequential(
        wrap(nn.Conv2d(1, channels, 4, stride=2, padding=1)),
        nn.LeakyReLU(slope),
        wrap(nn.Conv2d(channels, 2 * channels, 4, stride=2, padding=1)),
        norm(2 * channels),
        nn.LeakyReLU(slope),
        nn.Flatten(),
        wrap(nn.Linear(2 * channels * small * small, 1)),
        nn.Flatten(0),
    )


def _dcgan(side: int, channels: int) -> tuple[nn.Module, nn.Module]:
    generator, discriminator = upsampling(side, channels), downsampling(side, channels, nn.BatchNorm2d)
    for module in (*generator.modules(), *discriminator.modules()):
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
    return generator, discriminator


def _wgan_gp(side: int, channels: int) -> tuple[nn.Module, nn.Module]:
    # No batch norm in the critic: the penalty is of each image by itself (section 4 of the paper); layer norm instead.
    return upsampling(side, channels), downsampling(side, channels, lambda width: nn.GroupNorm(1, width))


def _sngan(side: int, channels: int) -> tuple[nn.Module, nn.Module]:
    return upsampling(side, channels), downsampling(side, channels, wrap=spectral_norm, slope=0.1)


RECIPES.register(
    "dcgan",
    Recipe(
        networks=_dcgan,
        discriminator_loss=lambda real, fake: softplus(-real).mean() + softplus(fake).mean(),
        generator_loss=lambda fake: softplus(-fake).mean(),
        loss="non-saturating",
        learning_rate=2e-4,
        betas=(0.5, 0.999),
        batch_size=128,
        discriminator_steps=1,
        gradient_penalty=0.0,
        decays=False,
        source="Radford et al. 2016, arXiv:1511.06434",
    ),
)
RECIPES.register(
    "wgan-gp",
    Recipe(
        networks=_wgan_gp,
        discriminator_loss=lambda real, fake: fake.mean() - real.mean(),
        generator_loss=lambda fake: -fake.mean(),
        loss="wgan",
        learning_rate=1e-4,
        betas=(0.0, 0.9),
        batch_size=64,
        discriminator_steps=5,
        gradient_penalty=10.0,
        decays=False,
        source="Gulrajani et al. 2017, arXiv:1704.00028",
    ),
)
RECIPES.register(
    "sngan",
    Recipe(
        networks=_sngan,
        discriminator_loss=lambda real, fake: relu(1 - real).mean() + relu(1 + fake).mean(),
        generator_loss=lambda fake: -fake.mean(),
        loss="hinge",
        learning_rate=2e-4,
        betas=(0.0, 0.9),
        batch_size=64,
        discriminator_steps=5,
        gradient_penalty=0.0,
        decays=True,
        source="Miyato et al. 2018, arXiv:1802.05957",
    ),
)


def gradient_penalty(discriminator: nn.Module, real: Tensor, fake: Tensor, random: torch.Generator) -> Tensor:
    """Mean of (‖∇D(x)‖ - 1)² at points x between real and generated images (Gulrajani et al. 2017)."""
    mix = torch.rand(len(real), 1, 1, 1, generator=random).to(real.device)
    between = (mix * real + (1 - mix) * fake).requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(between).sum(), between, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()
