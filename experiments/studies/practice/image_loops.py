"""Six loops that make images from noise, written anew from their papers and from common tutorials.

What each is known for is as published: loss, normalisation, rates, betas, ratio and penalty. Images are 28x28 and
networks small. A round's last generated batch serves D and G alike.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, softplus
from torch.nn.utils.parametrizations import spectral_norm
from torch.optim import Optimizer

from metagan_rl.experiments.studies.practice.data import FASHION, MNIST
from metagan_rl.experiments.studies.practice.loop import Loop
from metagan_rl.experiments.studies.practice.networks import (
    ResidualDiscriminator,
    ResidualGenerator,
    as_dcgan_begins,
    downsampling,
    perceptrons,
    upsampling,
)


class ImageLoop(Loop):
    """One round: D's updates, then one of G on the last generated batch."""

    data_name = MNIST

    def __init__(self, *options: object, **more: object) -> None:
        super().__init__(*options, **more)  # type: ignore[arg-type]
        self.images = self.data.train.to(self.device)

    def real(self) -> Tensor:
        """A batch of real images."""
        rows = torch.randint(len(self.images), (self.batch_size,), generator=self.random, device=self.device)
        return self.images[rows]

    def round(self, g_optimizer: Optimizer, d_optimizer: Optimizer) -> dict[str, Any]:
        """Trains D and G once round."""
        for _ in range(self.critic_steps):
            real, fake = self.real(), self.generator(self.noise())
            real_logits, fake_logits, penalty = self.judged(real, fake.detach())
            d_loss = self.discriminator_loss(real_logits, fake_logits)
            d_optimizer.zero_grad()
            (d_loss + penalty).backward()
            d_optimizer.step()
        g_loss = self.generator_loss(real, self.discriminator(fake))
        g_optimizer.zero_grad()
        g_loss.backward(inputs=list(self.generator.parameters()))
        g_optimizer.step()
        return {
            "real_logits": real_logits.detach(), "fake_logits": fake_logits.detach(),
            "discriminator_loss": d_loss.detach(), "generator_loss": g_loss.detach(),
        }  # fmt: skip

    def judged(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor, "Tensor | float"]:
        """Logits of real and generated images, and the weighted penalty."""
        return self.discriminator(real), self.discriminator(fake), 0.0

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """D's loss, of logits."""
        raise NotImplementedError

    def generator_loss(self, real: Tensor, fake_logits: Tensor) -> Tensor:
        """G's loss, of real images and of logits of generated ones."""
        raise NotImplementedError

    def feed(self, generator: nn.Module) -> Tensor:
        """A generated batch."""
        images: Tensor = generator(self.noise())
        return images

    @torch.no_grad()
    def samples(self, generator: nn.Module, count: int, random: torch.Generator) -> Tensor:
        """Images ``[count, 1, 28, 28]``."""
        noise = torch.randn(count, self.latent, generator=random, device=self.device)
        return torch.cat([generator(part) for part in noise.split(512)])


class NonSaturating(ImageLoop):
    """Goodfellow's loss with logits (arXiv:1406.2661)."""

    loss = "non-saturating"

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """-log s(real) - log(1 - s(fake))."""
        return softplus(-real).mean() + softplus(fake).mean()

    def generator_loss(self, real: Tensor, fake_logits: Tensor) -> Tensor:
        """-log s(fake)."""
        return softplus(-fake_logits).mean()


class MLP(NonSaturating):
    """The GAN of common tutorials: perceptrons with leaky ReLU, binary cross-entropy, Adam 2e-4, (0.5, 0.999)."""

    def networks(self) -> tuple[nn.Module, nn.Module]:
        """Perceptrons."""
        return perceptrons(self.latent)


class DCGAN(NonSaturating):
    """Radford et al. 2016, arXiv:1511.06434: batch norm in both networks, Adam 2e-4, (0.5, 0.999), batches of 128."""

    batch_size = 128

    def networks(self) -> tuple[nn.Module, nn.Module]:
        """Convolutions with batch norm."""
        return as_dcgan_begins(upsampling(self.latent)), as_dcgan_begins(downsampling(nn.BatchNorm2d))


class LSGAN(DCGAN):
    """Mao et al. 2017, arXiv:1611.04076: least squares with targets 0 and 1, Adam 2e-4, (0.5, 0.999), batches of 64.

    Without the factor one half, which Adam does not notice.
    """

    loss = "lsgan"
    batch_size = 64

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """(real - 1)² + fake²."""
        return (real - 1).square().mean() + fake.square().mean()

    def generator_loss(self, real: Tensor, fake_logits: Tensor) -> Tensor:
        """(fake - 1)²."""
        return (fake_logits - 1).square().mean()


class WGANGP(ImageLoop):
    """Gulrajani et al. 2017, arXiv:1704.00028: five critic steps, penalty 10, Adam 1e-4, (0, 0.9)."""

    loss = "wgan"
    learning_rate = 1e-4
    betas = (0.0, 0.9)
    critic_steps = 5
    penalty_weight = 10.0

    def networks(self) -> tuple[nn.Module, nn.Module]:
        """Convolutions; batch norm in G, and layer norm in the critic, whose penalty is of each image by itself."""
        return upsampling(self.latent), downsampling(lambda channels: nn.GroupNorm(1, channels))

    def judged(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor, "Tensor | float"]:
        """Real and generated images go through D together; the penalty is at points between them."""
        real_logits, fake_logits = self.discriminator(torch.cat([real, fake])).chunk(2)
        mix = torch.rand(len(real), 1, 1, 1, generator=self.random, device=self.device)
        between = (mix * real + (1 - mix) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(self.discriminator(between).sum(), between, create_graph=True)
        return real_logits, fake_logits, self.penalty_weight * (slope.flatten(1).norm(dim=1) - 1).square().mean()

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """The critic's."""
        return fake.mean() - real.mean()

    def generator_loss(self, real: Tensor, fake_logits: Tensor) -> Tensor:
        """Its opposite."""
        return -fake_logits.mean()


class SNGAN(ImageLoop):
    """Miyato et al. 2018, arXiv:1802.05957: spectral norm, hinge, and setting C: Adam 2e-4, (0.5, 0.999), ratio 1:1."""

    data_name = FASHION
    loss = "hinge"

    def networks(self) -> tuple[nn.Module, nn.Module]:
        """Convolutions; batch norm in G, spectral norm in D."""
        return upsampling(self.latent), downsampling(lambda channels: nn.Identity(), spectral_norm)

    def judged(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor, "Tensor | float"]:
        """Real and generated images go through D together."""
        real_logits, fake_logits = self.discriminator(torch.cat([real, fake])).chunk(2)
        return real_logits, fake_logits, 0.0

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Hinge."""
        return relu(1 - real).mean() + relu(1 + fake).mean()

    def generator_loss(self, real: Tensor, fake_logits: Tensor) -> Tensor:
        """Linear."""
        return -fake_logits.mean()


class R3GAN(ImageLoop):
    """Huang et al. 2024, arXiv:2501.05441: relativistic pairs, R1 and R2, residual networks without normalisation.

    Adam 2e-4, (0, 0.99) and penalties of weight 0.5 throughout; the paper's rates, betas and penalties begin elsewhere
    and move.
    """

    data_name = FASHION
    loss = "rpgan"
    betas = (0.0, 0.99)
    penalty_weight = 0.5
    latent = 64

    def networks(self) -> tuple[nn.Module, nn.Module]:
        """Residual networks."""
        return ResidualGenerator(self.latent), ResidualDiscriminator()

    def judged(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor, "Tensor | float"]:
        """Real and generated images go through D together; R1 and R2 are D's squared slopes at them."""
        both = torch.cat([real, fake]).requires_grad_()
        logits = self.discriminator(both)
        (slope,) = torch.autograd.grad(logits.sum(), both, create_graph=True)
        real_logits, fake_logits = logits.chunk(2)
        return real_logits, fake_logits, self.penalty_weight * slope.square().sum() / len(real) / 2

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """-log s(real - fake)."""
        return softplus(fake - real).mean()

    def generator_loss(self, real: Tensor, fake_logits: Tensor) -> Tensor:
        """-log s(fake - real)."""
        return softplus(self.discriminator(real).detach() - fake_logits).mean()
