"""Loops of a user's own, and what they tell a scheduler."""

import numpy as np
import torch
from torch import nn

from metagan_rl import GANScheduler
from metagan_rl.agents import PolicyScheduler, Scheduler
from metagan_rl.agents.learners.policy import PolicyConfig, PolicyNetwork
from metagan_rl.loop import choose_knobs, choose_signals
from metagan_rl.losses import LOSSES

RATES = ("generator_lr_factor", "discriminator_lr_factor")


class Loop:
    """A tiny GAN with real optimizers, and what its loop hands to a scheduler."""

    def __init__(self, optimizer=torch.optim.Adam, seed=0, **options):
        torch.manual_seed(seed)
        self.generator = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2))
        self.discriminator = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
        self.g = optimizer(self.generator.parameters(), lr=1e-2, **options)
        self.d = optimizer(self.discriminator.parameters(), lr=2e-2, **options)
        self.random = torch.Generator().manual_seed(seed)
        self.loss = LOSSES["non-saturating"]

    def round(self):
        real = torch.randn(16, 2, generator=self.random) + 1
        noise = torch.randn(16, 2, generator=self.random)
        real_logits, fake_logits = self.discriminator(real), self.discriminator(self.generator(noise).detach())
        discriminator_loss = self.loss.discriminator(real_logits.T, fake_logits.T).mean()
        self.d.zero_grad()
        discriminator_loss.backward()
        self.d.step()
        generator_loss = self.loss.generator(None, self.discriminator(self.generator(noise)).T).mean()
        self.g.zero_grad()
        generator_loss.backward()
        self.g.step()
        return {
            "real_logits": real_logits,
            "fake_logits": fake_logits,
            "discriminator_loss": discriminator_loss,
            "generator_loss": generator_loss,
        }

    def scheduler(self, name="gap-aware", **options):
        return GANScheduler(name, self.g, self.d, **{"total_steps": 12, "interval": 2, **options})


class Twofold(Scheduler):
    """Always halves G's rate and doubles D's."""

    def propose(self, situation):
        return situation.base.replace(
            generator_lr_factor=np.array([0.5]), discriminator_lr_factor=np.array([2.0]), ratio=np.array([0])
        )


def logits(mean, spread=1.0, count=32):
    return mean + spread * torch.linspace(-1, 1, count)


def policy(signals="loop", seed=0, **options):
    knobs = choose_knobs((*RATES, "penalty_weight"))
    config = PolicyConfig(**{
        "knobs": knobs, "signals": choose_signals(signals), "trial_memory": True, "hidden": 8, "layers": (8,),
        **options,
    })  # fmt: skip
    torch.manual_seed(seed)
    inputs = len(config.signals) + (len(knobs) + 2 if config.trial_memory else 0)
    return PolicyScheduler(
        config, PolicyNetwork(inputs, config, config.codec().choices).state_dict(), {"made": "by a test"}
    )


def feed(scheduler, intervals, **given):
    for _ in range(intervals * scheduler.options.interval):
        controls = scheduler.step(**given)
    return controls


def healthy(scheduler, intervals=12):
    return feed(scheduler, intervals, real_logits=logits(0.1), fake_logits=logits(0.0).flip(0), discriminator_loss=1.3)
