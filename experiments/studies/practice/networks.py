"""Networks for grey images of 28x28: plain stacks, small residual ones, and patches."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, leaky_relu

Wrap = Callable[[nn.Module], nn.Module]


def plain(module: nn.Module) -> nn.Module:
    """The layer as it is."""
    return module


def perceptrons(latent: int) -> tuple[nn.Module, nn.Module]:
    """The pair of common tutorials: G of 256, 512 and 784 units, D of 512, 256 and one."""
    generator = nn.Sequential(
        nn.Linear(latent, 256), nn.LeakyReLU(0.2),
        nn.Linear(256, 512), nn.LeakyReLU(0.2),
        nn.Linear(512, 784), nn.Tanh(), nn.Unflatten(1, (1, 28, 28)),
    )  # fmt: skip
    discriminator = nn.Sequential(
        nn.Flatten(), nn.Linear(784, 512), nn.LeakyReLU(0.2), nn.Linear(512, 256), nn.LeakyReLU(0.2), nn.Linear(256, 1)
    )
    return generator, discriminator


def upsampling(latent: int, channels: int = 32) -> nn.Sequential:
    """Noise to images by a layer and two transposed convolutions with batch norm (DCGAN)."""
    return nn.Sequential(
        nn.Linear(latent, 2 * channels * 49, bias=False), nn.Unflatten(1, (2 * channels, 7, 7)),
        nn.BatchNorm2d(2 * channels), nn.ReLU(),
        nn.ConvTranspose2d(2 * channels, channels, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(channels), nn.ReLU(),
        nn.ConvTranspose2d(channels, 1, 4, stride=2, padding=1), nn.Tanh(),
    )  # fmt: skip


def downsampling(norm: Callable[[int], nn.Module], wrap: Wrap = plain, channels: int = 32) -> nn.Sequential:
    """Images to a logit each by two strided convolutions; ``norm`` follows the second."""
    return nn.Sequential(
        wrap(nn.Conv2d(1, channels, 4, stride=2, padding=1)), nn.LeakyReLU(0.2),
        wrap(nn.Conv2d(channels, 2 * channels, 4, stride=2, padding=1)), norm(2 * channels), nn.LeakyReLU(0.2),
        nn.Flatten(), wrap(nn.Linear(2 * channels * 49, 1)),
    )  # fmt: skip


def as_dcgan_begins(network: nn.Module) -> nn.Module:
    """Sets weights as DCGAN does: normal, of deviation 0.02."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
    return network


class Residual(nn.Module):
    """x + f(x) without normalisation: 1x1, grouped 3x3 and 1x1 convolutions, the last of them 0 at first (R3GAN)."""

    def __init__(self, channels: int, groups: int = 4) -> None:
        super().__init__()
        wide = 2 * channels
        self.first = nn.Conv2d(channels, wide, 1)
        self.second = nn.Conv2d(wide, wide, 3, padding=1, groups=groups, bias=False)
        self.third = nn.Conv2d(wide, channels, 1, bias=False)
        nn.init.zeros_(self.third.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``[N, C, H, W]`` to the same shape."""
        return x + self.third(leaky_relu(self.second(leaky_relu(self.first(x), 0.2)), 0.2))


class ResidualGenerator(nn.Module):
    """Noise to images over 7x7, 14x14 and 28x28, one residual block at each, of 64, 32 and 16 channels."""

    def __init__(self, latent: int, channels: int = 16) -> None:
        super().__init__()
        self.begin = nn.Linear(latent, 4 * channels * 49)
        self.blocks = nn.ModuleList([Residual(4 * channels), Residual(2 * channels), Residual(channels)])
        self.narrow = nn.ModuleList([nn.Conv2d(4 * channels, 2 * channels, 1), nn.Conv2d(2 * channels, channels, 1)])
        self.image = nn.Conv2d(channels, 1, 1)

    def forward(self, noise: Tensor) -> Tensor:
        """Images ``[N, 1, 28, 28]``."""
        x = self.blocks[0](self.begin(noise).unflatten(1, (-1, 7, 7)))
        for narrow, block in zip(self.narrow, list(self.blocks)[1:], strict=True):
            x = block(interpolate(narrow(x), scale_factor=2.0, mode="bilinear"))
        images: Tensor = self.image(x)
        return images


class ResidualDiscriminator(nn.Module):
    """The mirror of :class:`ResidualGenerator`."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.begin = nn.Conv2d(1, channels, 1)
        self.blocks = nn.ModuleList([Residual(channels), Residual(2 * channels), Residual(4 * channels)])
        self.widen = nn.ModuleList([nn.Conv2d(channels, 2 * channels, 1), nn.Conv2d(2 * channels, 4 * channels, 1)])
        self.logit = nn.Linear(4 * channels * 49, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[N, 1]``."""
        x = self.blocks[0](self.begin(images))
        for widen, block in zip(self.widen, list(self.blocks)[1:], strict=True):
            x = block(avg_pool2d(widen(x), 2))
        logits: Tensor = self.logit(x.flatten(1))
        return logits


class Autoencoder(nn.Module):
    """Images to a few numbers and back, by convolutions."""

    def __init__(self, code: int, channels: int = 32) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, channels, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
            nn.Conv2d(channels, 2 * channels, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
            nn.Flatten(), nn.Linear(2 * channels * 49, code),
        )  # fmt: skip
        self.body = nn.Sequential(
            nn.Linear(code, 2 * channels * 49), nn.LeakyReLU(0.2), nn.Unflatten(1, (2 * channels, 7, 7)),
            nn.ConvTranspose2d(2 * channels, channels, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
        )  # fmt: skip
        self.last = nn.ConvTranspose2d(channels, 1, 4, stride=2, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Reconstructions ``[N, 1, 28, 28]`` in (-1, 1)."""
        made: Tensor = torch.tanh(self.last(self.body(self.encoder(images))))
        return made


def patches(channels: int = 32) -> nn.Sequential:
    """Images to logits of 7x7 overlapping patches (pix2pix), with batch norm, ``[N, 1, 7, 7]``."""
    return nn.Sequential(
        nn.Conv2d(1, channels, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
        nn.Conv2d(channels, 2 * channels, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(2 * channels), nn.LeakyReLU(0.2),
        nn.Conv2d(2 * channels, 1, 3, padding=1),
    )  # fmt: skip
