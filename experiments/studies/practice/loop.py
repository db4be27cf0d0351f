"""What all loops have: data, two networks, randomness of their own, and one round of training."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from metagan_rl.agents import GANScheduler
from metagan_rl.agents.plugin import LoopControls
from metagan_rl.experiments.studies.practice.data import Halves, halves_of


class Loop(ABC):
    """A plain training loop.

    Attributes:
        data_name: what it trains on.
        loss: name of its loss in ``metagan_rl.losses``.
        learning_rate: published, of both networks.
        betas: of Adam.
        weight_decay: of Adam.
        batch_size: real samples in an update.
        critic_steps: updates of D in a round.
        penalty_weight: of its gradient penalty.
        latent: columns of the noise.
        scores: names of further numbers that :meth:`scored` gives.

    Args:
        seed: of weights, batches and noise.
        rounds: of the whole run.
        device: where it trains.
        file: data, see :func:`halves_of`.
    """

    data_name: ClassVar[str]
    loss: ClassVar[str]
    learning_rate: ClassVar[float] = 2e-4
    betas: ClassVar[tuple[float, float]] = (0.5, 0.999)
    weight_decay: ClassVar[float] = 0.0
    batch_size: ClassVar[int] = 64
    critic_steps: ClassVar[int] = 1
    penalty_weight: ClassVar[float] = 0.0
    latent: ClassVar[int] = 100

    def __init__(self, seed: int, rounds: int, device: torch.device, file: Path | None = None) -> None:
        self.data: Halves = halves_of(self.data_name, file)
        self.rounds, self.device = rounds, device
        self.random = torch.Generator(device).manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            networks = self.networks()
        self.generator, self.discriminator = (network.to(device) for network in networks)

    @abstractmethod
    def networks(self) -> tuple[nn.Module, nn.Module]:
        """G and D with fresh weights from torch's global randomness."""

    @abstractmethod
    def round(self, g_optimizer: Optimizer, d_optimizer: Optimizer) -> dict[str, Any]:
        """Trains D and G once round; returns what :meth:`GANScheduler.step` is told."""

    @abstractmethod
    def samples(self, generator: nn.Module, count: int, random: torch.Generator) -> Tensor:
        """Generated samples in the form of the data, from a generator that is ready."""

    @abstractmethod
    def feed(self, generator: nn.Module) -> Tensor:
        """A batch as in training, for a generator's batch statistics."""

    def scored(self, samples: Tensor) -> dict[str, float]:
        """Further numbers about generated samples, by name."""
        return {}

    @property
    def adversarial_from(self) -> int:
        """The round that D's training begins with."""
        return 0

    def plug_in(self, scheduler: Any, g_optimizer: Optimizer, d_optimizer: Optimizer, **options: Any) -> GANScheduler:
        """The plug-in in this loop, as its manual says."""
        return GANScheduler(
            scheduler,
            g_optimizer,
            d_optimizer,
            **{
                "total_steps": self.rounds - self.adversarial_from,
                "loss": self.loss,
                "ratio": f"{self.critic_steps}:1",
                "penalty_weight": self.penalty_weight,
                "batch_size": self.batch_size,
                **options,
            },
        )

    def follow(self, controls: LoopControls) -> None:
        """Does what the plug-in asks for besides rates, which is nothing in most loops."""
        return

    def noise(self) -> Tensor:
        """Latent inputs ``[N, Z]`` for a batch."""
        return torch.randn(self.batch_size, self.latent, generator=self.random, device=self.device)
