"""What one interval of training tells about each member, before anything is made of it."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass
class Measurements:
    """Averages over the updates of one interval; every field is float64 ``[B]``, NaN where nothing was measured.

    Attributes:
        discriminator_loss, generator_loss: without penalty.
        real_logit, fake_logit: means over D's batches.
        logit_deviation: pooled standard deviation of the logits within real and within generated batches.
        real_accuracy, fake_accuracy: share of logits on the right side of the loss's boundary.
        pair_accuracy: share of real and generated pairs that D orders rightly.
        generator_gradient, discriminator_gradient: gradient norms.
        generator_move, discriminator_move: how far the weights went in the interval, relative to their norm.
        diverged: 1 where this interval blew the member up, else 0.
    """

    discriminator_loss: np.ndarray
    generator_loss: np.ndarray
    real_logit: np.ndarray
    fake_logit: np.ndarray
    logit_deviation: np.ndarray
    real_accuracy: np.ndarray
    fake_accuracy: np.ndarray
    pair_accuracy: np.ndarray
    generator_gradient: np.ndarray
    discriminator_gradient: np.ndarray
    generator_move: np.ndarray
    discriminator_move: np.ndarray
    diverged: np.ndarray

    @classmethod
    def empty(cls, members: int) -> "Measurements":
        """All NaN, and nobody diverged."""
        values = {field.name: np.full(members, np.nan) for field in fields(cls)}
        return cls(**{**values, "diverged": np.zeros(members)})

    def put(self, members: Any, other: "Measurements", which: Any = slice(None)) -> None:
        """Writes (some of) another's members into places of this one."""
        for field in fields(self):
            getattr(self, field.name)[members] = getattr(other, field.name)[which]


class Recorder:
    """Collects what the updates of one interval produce, and reduces it once at the end.

    Args:
        boundary: ``[B, 1]`` logit at which each member's discriminator is undecided.
    """

    def __init__(self, boundary: Tensor) -> None:
        self.boundary = boundary
        self._real: list[Tensor] = []
        self._fake: list[Tensor] = []
        self._losses: tuple[list[Tensor], list[Tensor]] = ([], [])
        self._gradients: tuple[list[Tensor], list[Tensor]] = ([], [])

    def discriminator(self, real: Tensor, fake: Tensor, loss: Tensor, gradient: Tensor) -> None:
        """Notes one D update: logits ``[B, N]`` each, loss ``[B]``, gradient ``[B, P]``."""
        self._real.append(real.detach())
        self._fake.append(fake.detach())
        self._losses[0].append(loss.detach())
        self._gradients[0].append(torch.linalg.vector_norm(gradient, dim=1))

    def generator(self, loss: Tensor, gradient: Tensor) -> None:
        """Notes one G update: loss ``[B]``, gradient ``[B, P]``."""
        self._losses[1].append(loss.detach())
        self._gradients[1].append(torch.linalg.vector_norm(gradient, dim=1))

    def measurements(self, generator_move: Tensor, discriminator_move: Tensor, diverged: Tensor) -> Measurements:
        """The averages of the interval."""
        # [U, B, N]; in double precision, because the squares of an exploding critic's logits overflow single
        real, fake = torch.stack(self._real).double(), torch.stack(self._fake).double()
        variance = (real.var(dim=-1) + fake.var(dim=-1)) / 2

        def ready(values: Tensor) -> np.ndarray:
            return values.double().numpy(force=True)

        def average(values: list[Tensor]) -> np.ndarray:
            return ready(torch.stack(values).mean(dim=0))

        def share(condition: Tensor) -> np.ndarray:
            return ready(condition.float().mean(dim=(0, 2)))

        return Measurements(
            discriminator_loss=average(self._losses[0]),
            generator_loss=average(self._losses[1]),
            real_logit=ready(real.mean(dim=(0, 2))),
            fake_logit=ready(fake.mean(dim=(0, 2))),
            logit_deviation=ready(variance.mean(dim=0).sqrt()),
            real_accuracy=share(real > self.boundary),
            fake_accuracy=share(fake < self.boundary),
            pair_accuracy=share(real > fake),
            generator_gradient=average(self._gradients[1]),
            discriminator_gradient=average(self._gradients[0]),
            generator_move=ready(generator_move),
            discriminator_move=ready(discriminator_move),
            diverged=ready(diverged),
        )
