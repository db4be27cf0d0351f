"""Separate GANs as anyone would write them, the other side of every measurement of speed."""

import math
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from metagan_rl.envs.actions import ActionCodec
from metagan_rl.loop.controls import Controls
from metagan_rl.loop.knobs import choose_knobs
from metagan_rl.metrics import Quality, Reference
from metagan_rl.runtime import prepare_process
from metagan_rl.tasks import Task, get_suite

UPDATES = 48
KNOBS = ("generator_lr_factor", "discriminator_lr_factor")
"""What both sides' environments let an agent set in measurements: neither changes the work of an update."""


class SeparateGAN:
    """One GAN: two nn.Modules and two torch.optim.Adams.

    Args:
        task: what to train on, with MLPs or convolutional networks.
        loss: ``"non-saturating"`` or ``"wgan"``.
        penalty_weight: of R1 + R2, or with ``"wgan"`` of the one-centred penalty; 0 for none.
    """

    def __init__(self, task: Task, loss: str = "non-saturating", penalty_weight: float = 0.0) -> None:
        shape, base = task.networks, task.base

        self.latent, self.batch, self.loss, self.penalty_weight = (
            shape.latent_dim,
            base.batch_size,
            loss,
            penalty_weight,
        )
        self.generator, self.discriminator = _convolutional(task) if shape.kind == "conv" else _perceptrons(task)
        moments = (base.beta1, base.beta2)
        self.generator_adam = torch.optim.Adam(self.generator.parameters(), base.generator_lr, moments)
        self.discriminator_adam = torch.optim.Adam(self.discriminator.parameters(), base.discriminator_lr, moments)
        self.data = task.data().train

    def train(self, updates: int, cycle: tuple[int, int]) -> None:
        """D and G in cycles of so many updates each."""
        for _ in range(updates // sum(cycle)):
            for _ in range(cycle[0]):
                self._discriminator_step()
            for _ in range(cycle[1]):
                self._generator_step()

    def _discriminator_step(self) -> None:
        real = self.data[torch.randint(len(self.data), (self.batch,))]
        with torch.no_grad():
            fake = self.generator(torch.randn(self.batch, self.latent))
        real_logits, fake_logits = self.discriminator(torch.cat([real, fake])).split(self.batch)
        if self.loss == "wgan":
            loss = (fake_logits - real_logits).mean()
            points = real.lerp(fake, torch.rand(self.batch, 1))
        else:
            loss = (F.softplus(-real_logits) + F.softplus(fake_logits)).mean()
            points = torch.cat([real, fake])
        if self.penalty_weight:
            points.requires_grad_()
            (gradient,) = torch.autograd.grad(self.discriminator(points).sum(), points, create_graph=True)
            square = gradient.square().sum(dim=1)
            value = ((square + 1e-12).sqrt() - 1).square().mean() if self.loss == "wgan" else square.mean()
            loss = loss + self.penalty_weight * value
        self.discriminator_adam.zero_grad()
        loss.backward()
        self.discriminator_adam.step()

    def _generator_step(self) -> None:
        self.discriminator.requires_grad_(False)
        logits = self.discriminator(self.generator(torch.randn(self.batch, self.latent)))
        loss = -logits.mean() if self.loss == "wgan" else F.softplus(-logits).mean()
        self.generator_adam.zero_grad()
        loss.backward()
        self.generator_adam.step()
        self.discriminator.requires_grad_(True)


def _perceptrons(task: Task) -> tuple[nn.Sequential, nn.Sequential]:
    shape = task.networks

    def network(inputs: int, outputs: int) -> nn.Sequential:
        layers: list[nn.Module] = [nn.Linear(inputs, shape.width), nn.LeakyReLU(0.2)]
        for _ in range(shape.depth - 1):
            layers += [nn.Linear(shape.width, shape.width), nn.LeakyReLU(0.2)]
        return nn.Sequential(*layers, nn.Linear(shape.width, outputs))

    return network(shape.latent_dim, task.dim), network(task.dim, 1)


def _convolutional(task: Task) -> tuple[nn.Sequential, nn.Sequential]:
    side, width = math.isqrt(task.dim), task.networks.width
    quarter = 2 * width, side // 4, side // 4
    generator = nn.Sequential(
        nn.Linear(task.networks.latent_dim, math.prod(quarter)),
        nn.LeakyReLU(0.2),
        nn.Unflatten(1, quarter),
        nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.ConvTranspose2d(width, 1, 4, stride=2, padding=1),
        nn.Flatten(),
    )
    discriminator = nn.Sequential(
        nn.Unflatten(1, (1, side, side)),
        nn.Conv2d(1, width, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(math.prod(quarter), 1),
    )
    return generator, discriminator


class SeparateGANEnv(gym.Env[np.ndarray, np.ndarray]):
    """One :class:`SeparateGAN` on a planar training task as an ordinary environment.

    An action sets both learning rates, a step trains 48 updates and measures the generator's quality distance, the
    reward is the logarithm of its change.
    """

    observation_space = gym.spaces.Box(-np.inf, np.inf, (4,), dtype=np.float32)

    def __init__(self) -> None:
        prepare_process()
        self.codec = ActionCodec(choose_knobs(KNOBS))
        self.action_space = self.codec.space
        self.tasks = get_suite("planar").split("train")

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begins on another task."""
        super().reset(seed=seed)
        self.task = self.tasks.sample(self.np_random)
        self.gan = SeparateGAN(self.task)
        self.reference = Reference.of(self.task)
        self.updates, self.distance = 0, self._measure()
        return self._observation(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Trains one interval."""
        controls = self.codec.decode(np.asarray(action)[None], Controls.base([self.task.base]))
        base = self.task.base
        self.gan.generator_adam.param_groups[0]["lr"] = base.generator_lr * controls.generator_lr_factor[0]
        self.gan.discriminator_adam.param_groups[0]["lr"] = base.discriminator_lr * controls.discriminator_lr_factor[0]
        self.gan.train(UPDATES, (1, 1))
        self.updates += UPDATES
        before, self.distance = self.distance, self._measure()
        over = self.updates >= self.task.budget
        return self._observation(), float(np.log(before / self.distance)), over, False, {}

    def _measure(self) -> float:
        with torch.no_grad():
            points = self.gan.generator(self.reference.noise)
        self.quality = Quality.measure(points[None], [self.reference])
        return float(self.quality.distance[0])

    def _observation(self) -> np.ndarray:
        quality = self.quality
        parts = [quality.distance, quality.precision, quality.coverage]
        return np.array([self.updates / self.task.budget, *(float(part[0]) for part in parts)], dtype=np.float32)
