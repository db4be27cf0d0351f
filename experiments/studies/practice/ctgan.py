"""CTGAN's recipe on a real table, written small."""

import importlib
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot
from torch.optim import Optimizer

from metagan_rl.experiments.studies.practice.data import TABLE, halves_of
from metagan_rl.experiments.studies.practice.loop import Loop
from metagan_rl.experiments.studies.practice.modes import MOST, Modes

PACK = 10
"""Rows that D judges together."""
WIDTH = 256
TEMPERATURE = 0.2
"""Of the Gumbel softmax."""


@cache
def _modes(file: Path | None) -> Modes:
    return Modes.of(halves_of(TABLE, file).train)


class Growing(nn.Module):
    """A layer with batch norm and ReLU whose input is appended to its output."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.layer, self.norm = nn.Linear(inputs, WIDTH), nn.BatchNorm1d(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``[N, inputs]`` to ``[N, 256 + inputs]``."""
        return torch.cat([torch.relu(self.norm(self.layer(x))), x], dim=1)


class Dropout(nn.Module):
    """Leaves out half of the units, by randomness of its own."""

    def __init__(self, random: torch.Generator) -> None:
        super().__init__()
        self.random = random

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``[N, D]`` to the same shape."""
        return x * (torch.rand(x.shape, generator=self.random, device=x.device) < 0.5) * 2


class CTGAN(Loop):
    """Xu et al. 2019, arXiv:1907.00503: WGAN-GP on packs of ten rows, conditioned on a class.

    As the package ``ctgan`` has it: mode-specific normalisation, Gumbel softmax at 0.2, residual G with batch norm, D
    with dropout 0.5, two layers of 256 units each, training by sampling with log-frequencies, the condition's
    cross-entropy in G's loss, batches of 500, Adam 2e-4, (0.5, 0.9), decay 1e-6. Not so: the condition is the class
    alone, the table's one discrete column. D decays too, as in the package's default, but the penalty is added to D's
    loss and not run backward by itself, which is the same. Modes stand in a padded grid, so that one softmax does for
    all columns. The table has 284 rows to train on, so an epoch is one batch; 300 epochs would be 300 rounds, and the
    length of the run is the study's instead.
    """

    data_name = TABLE
    loss = "wgan"
    betas = (0.5, 0.9)
    weight_decay = 1e-6
    batch_size = 500
    penalty_weight = 10.0
    latent = 128

    def __init__(self, seed: int, rounds: int, device: torch.device, file: Path | None = None) -> None:
        self.modes = _modes(file)
        self.columns = len(self.modes.means)
        self.classes = int(self.modes.there[-1].sum())
        self.dropout = torch.Generator(device).manual_seed(seed + 1)
        super().__init__(seed, rounds, device, file)
        train = self.data.train
        train = train[train[:, -1].argsort(stable=True)]  # by class, so that a row of a class is drawn by its place
        places, ones = self.modes.encoded(train, torch.Generator().manual_seed(seed))
        self.rows = torch.cat([places, ones.flatten(1)], dim=1).to(device)
        self.there = self.modes.there.to(device)
        counts = torch.bincount(train[:, -1].long(), minlength=self.classes)
        self.counts, self.first = counts.to(device), (counts.cumsum(0) - counts).to(device)
        logs = (counts + 1).log()
        self.often, self.as_data = ((each / each.sum()).cumsum(0).to(device) for each in (logs, counts))

    def networks(self) -> tuple[nn.Module, nn.Module]:
        """G and D; both are given the class."""
        width = self.columns + (self.columns + 1) * MOST
        inputs, seen = self.latent + self.classes, PACK * (width + self.classes)
        generator = nn.Sequential(Growing(inputs), Growing(inputs + WIDTH), nn.Linear(inputs + 2 * WIDTH, width))
        discriminator = nn.Sequential(
            nn.Linear(seen, WIDTH), nn.LeakyReLU(0.2), Dropout(self.dropout),
            nn.Linear(WIDTH, WIDTH), nn.LeakyReLU(0.2), Dropout(self.dropout),
            nn.Linear(WIDTH, 1),
        )  # fmt: skip
        return generator, discriminator

    def round(self, g_optimizer: Optimizer, d_optimizer: Optimizer) -> dict[str, Any]:
        """Trains D and G once round."""
        wanted = self.drawn_classes(self.batch_size, self.random, self.often)
        chance = torch.rand(self.batch_size, generator=self.random, device=self.device)
        counts = self.counts[wanted]
        place = (chance * counts).long().minimum(counts - 1)  # the product may be rounded up to the count
        real = self.rows[self.first[wanted] + place]
        fake, logits = self.made(self.generator, wanted, self.random)
        told = one_hot(wanted, self.classes).float()
        packs = [torch.cat([rows, told], dim=1).reshape(self.batch_size // PACK, -1) for rows in (real, fake.detach())]
        real_logits, fake_logits = self.discriminator(torch.cat(packs)).chunk(2)
        d_loss = fake_logits.mean() - real_logits.mean()
        d_optimizer.zero_grad()
        (d_loss + self.penalty_weight * self.penalty(*packs)).backward()
        d_optimizer.step()
        packed = torch.cat([fake, told], dim=1).reshape(self.batch_size // PACK, -1)
        g_loss = -self.discriminator(packed).mean()
        g_optimizer.zero_grad()
        (g_loss + cross_entropy(logits[:, -1, : self.classes], wanted)).backward(
            inputs=list(self.generator.parameters())
        )
        g_optimizer.step()
        return {
            "real_logits": real_logits.detach(), "fake_logits": fake_logits.detach(),
            "discriminator_loss": d_loss.detach(), "generator_loss": g_loss.detach(),
        }  # fmt: skip

    def penalty(self, real: Tensor, fake: Tensor) -> Tensor:
        """Mean of (‖∇D(x)‖ - 1)² at packs x between real and generated ones."""
        mix = torch.rand(len(real), 1, generator=self.random, device=self.device)
        between = (mix * real + (1 - mix) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(self.discriminator(between).sum(), between, create_graph=True)
        return (slope.norm(dim=1) - 1).square().mean()

    def drawn_classes(self, count: int, random: torch.Generator, cumulative: Tensor) -> Tensor:
        """Classes ``[count]``, drawn by their cumulative shares."""
        chance = torch.rand(count, generator=random, device=self.device)
        return torch.searchsorted(cumulative, chance).clamp(max=self.classes - 1)

    def made(self, generator: nn.Module, wanted: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Encoded rows of the wanted classes, and the logits of their modes ``[N, C + 1, K]``."""
        noise = torch.randn(len(wanted), self.latent, generator=random, device=self.device)
        raw = generator(torch.cat([noise, one_hot(wanted, self.classes).float()], dim=1))
        places, logits = raw[:, : self.columns].tanh(), raw[:, self.columns :].unflatten(1, (-1, MOST))
        gumbel = -torch.empty_like(logits).exponential_(generator=random).log()
        ones = torch.where(self.there, (logits + gumbel) / TEMPERATURE, -torch.inf).softmax(dim=-1)
        return torch.cat([places, ones.flatten(1)], dim=1), logits

    def feed(self, generator: nn.Module) -> Tensor:
        """A generated batch."""
        return self.made(generator, self.drawn_classes(self.batch_size, self.random, self.often), self.random)[0]

    @torch.no_grad()
    def samples(self, generator: nn.Module, count: int, random: torch.Generator) -> Tensor:
        """Rows ``[count, C + 1]`` in the table's units, their classes as often as in the data."""
        made, _ = self.made(generator, self.drawn_classes(count, random, self.as_data), random)
        return self.modes.decoded(made[:, : self.columns], made[:, self.columns :].unflatten(1, (-1, MOST)))

    def scored(self, samples: Tensor) -> dict[str, float]:
        """``accuracy`` on held-out rows of a logistic regression that saw as many generated rows as there are real."""
        rows, held_out = samples[: len(self.data.train)].cpu(), self.data.held_out
        if not rows.isfinite().all():
            return {"accuracy": 0.0}
        labels, truth = rows[:, -1], held_out[:, -1]
        if len(labels.unique()) < 2:
            return {"accuracy": float((truth == labels[0]).float().mean())}
        linear: Any = importlib.import_module("sklearn.linear_model")
        scale, shift = rows[:, :-1].std(dim=0).clamp_min(1e-6), rows[:, :-1].mean(dim=0)
        model = linear.LogisticRegression(max_iter=2000)
        model.fit(((rows[:, :-1] - shift) / scale).numpy(), labels.numpy())
        return {"accuracy": float(model.score(((held_out[:, :-1] - shift) / scale).numpy(), truth.numpy()))}
