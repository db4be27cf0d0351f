"""A loop whose GAN is only one term of a loss: an autoencoder with a patch discriminator, as tokenizers have it."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss, relu
from torch.optim import Optimizer

from metagan_rl.agents import GANScheduler
from metagan_rl.agents.plugin import LoopControls
from metagan_rl.experiments.studies.practice.data import FASHION
from metagan_rl.experiments.studies.practice.image_loops import ImageLoop
from metagan_rl.experiments.studies.practice.networks import Autoencoder, as_dcgan_begins, patches

CODE = 16
"""Numbers that an image is packed into."""
LATER = 0.2
"""The share of the run that goes by before D begins."""
WEIGHT = 0.8
"""Of the adversarial slope, relative to the reconstruction's, at G's last layer."""


class Patch(ImageLoop):
    """Esser et al. 2021 (VQGAN), arXiv:2012.09841, without its codebook and perceptual loss.

    G is an autoencoder with an absolute error. D judges patches by a hinge, and begins when a fifth of the run is over.
    The adversarial term is weighted so that its slope at G's last layer is 0.8 of the reconstruction's. Adam 4.5e-6
    times the batch, (0.5, 0.9). The plug-in works in mode "discriminator", as its manual says of such losses: it sets
    D's rate, and the loop follows the weight that it gives to the adversarial term. Samples are reconstructions of
    images that G is trained on, and are compared with others.
    """

    data_name = FASHION
    loss = "hinge"
    learning_rate = 4.5e-6 * 64
    betas = (0.5, 0.9)
    adversarial_weight = 1.0
    done = 0

    def networks(self) -> tuple[nn.Module, nn.Module]:
        """An autoencoder, and D of patches."""
        return Autoencoder(CODE), as_dcgan_begins(patches())

    @property
    def adversarial_from(self) -> int:
        """The round that D's training begins with."""
        return int(LATER * self.rounds)

    def plug_in(self, scheduler: Any, g_optimizer: Optimizer, d_optimizer: Optimizer, **options: Any) -> GANScheduler:
        """The plug-in sets D's rate and the adversarial weight."""
        usual = {"mode": "discriminator", "knobs": ("discriminator_lr_factor", "adversarial_weight")}
        return super().plug_in(scheduler, g_optimizer, d_optimizer, **{**usual, **options})

    def follow(self, controls: LoopControls) -> None:
        """Takes the adversarial weight."""
        self.adversarial_weight = controls.adversarial_weight

    def round(self, g_optimizer: Optimizer, d_optimizer: Optimizer) -> dict[str, Any]:
        """Trains G, and once its time has come D."""
        images, told = self.real(), {}
        made = self.generator(images)
        loss = l1_loss(made, images)
        if self.done >= self.adversarial_from:
            g_loss = -self.discriminator(made).mean()
            loss = loss + self.adversarial_weight * self.balance(loss, g_loss) * g_loss
            told["generator_loss"] = g_loss.detach()
        g_optimizer.zero_grad()
        loss.backward(inputs=list(self.generator.parameters()))
        g_optimizer.step()
        if self.done >= self.adversarial_from:
            real_logits, fake_logits = self.discriminator(images), self.discriminator(made.detach())
            d_loss = relu(1 - real_logits).mean() + relu(1 + fake_logits).mean()
            d_optimizer.zero_grad()
            d_loss.backward()
            d_optimizer.step()
            told |= {"real_logits": real_logits.detach(), "fake_logits": fake_logits.detach()}
            told["discriminator_loss"] = d_loss.detach()
        self.done += 1
        return told

    def balance(self, reconstruction: Tensor, adversarial: Tensor) -> Tensor:
        """What the adversarial loss is multiplied by: the ratio of both losses' slopes at G's last layer."""
        assert isinstance(self.generator, Autoencoder)
        last = self.generator.last.weight
        slopes = [
            torch.autograd.grad(each, last, retain_graph=True)[0].norm() for each in (reconstruction, adversarial)
        ]
        return (WEIGHT * slopes[0] / (slopes[1] + 1e-4)).clamp(max=1e4).detach()

    def feed(self, generator: nn.Module) -> Tensor:
        """Reconstructions of a batch."""
        images: Tensor = generator(self.real())
        return images

    @torch.no_grad()
    def samples(self, generator: nn.Module, count: int, random: torch.Generator) -> Tensor:
        """Reconstructions of training images drawn at random, each once."""
        order = torch.randperm(len(self.images), generator=random, device=self.device)
        return torch.cat([generator(self.images[part]) for part in order[:count].split(512)])
