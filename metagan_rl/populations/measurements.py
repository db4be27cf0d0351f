"""Raw measurements of each member in one interval of training."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass
class Measurements:
    """Averages over the updates of one interval. Every field is float64 ``[B]``, NaN where nothing was measured.

    Attributes:
        discriminator_loss, generator_loss: without the penalty.
        real_logit, fake_logit: means over D's batches.
        logit_deviation: pooled standard deviation of the logits within real and within generated batches.
        real_accuracy, fake_accuracy: share of logits on the right side of the loss's boundary.
        pair_accuracy: share of pairs of a real and a generated sample that D orders correctly.
        generator_gradient, discriminator_gradient: gradient norms.
        generator_move, discriminator_move: how far the weights moved in the interval, relative to their norm.
        diverged: 1 if the member blew up in this interval, else 0.
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
        """Measurements that are all NaN, with nobody diverged."""
        values = {field.name: np.full(members, np.nan) for field in fields(cls)}
        return cls(**{**values, "diverged": np.zeros(members)})

    def put(self, members: Any, other: "Measurements", which: Any = slice(None)) -> None:
        """Writes members of another object (all or those of ``which``) into places of this one."""
        for field in fields(self):
            getattr(self, field.name)[members] = getattr(other, field.name)[which]


class Recorder:
    """Collects the results of the U updates of one interval, and averages them once at the end.

    Args:
        boundary: logit at which each member's discriminator is undecided, ``[B, 1]``. It also gives the dtype of all
            collected values.
        discriminates: whether each update is D's, ``[U, B]``.
        batch: N, samples per update.
    """

    def __init__(self, boundary: Tensor, discriminates: Tensor, batch: int) -> None:
        self.boundary, self.discriminates = boundary, discriminates
        empty = boundary.new_zeros(*discriminates.shape, batch)
        self._real, self._fake = empty, empty.clone()
        self._loss, self._gradient = empty[..., 0].clone(), empty[..., 0].clone()

    @torch.no_grad()
    def discriminator(
        self, update: int, members: Tensor | None, real: Tensor, fake: Tensor, loss: Tensor, gradient: Tensor
    ) -> None:
        """Records a D update of some members (``None``: all): logits ``[b, N]``, loss ``[b]``, gradient ``[b, P]``."""
        where = slice(None) if members is None else members
        self._real[update, where] = real
        self._fake[update, where] = fake
        self._note(update, where, loss, gradient)

    @torch.no_grad()
    def generator(self, update: int, members: Tensor | None, loss: Tensor, gradient: Tensor) -> None:
        """Records a G update of some members (``None``: all): loss ``[b]``, gradient ``[b, P]``."""
        self._note(update, slice(None) if members is None else members, loss, gradient)

    def _note(self, update: int, where: Any, loss: Tensor, gradient: Tensor) -> None:
        self._loss[update, where] = loss
        self._gradient[update, where] = torch.linalg.vector_norm(gradient, dim=1)

    def measurements(self, generator_move: Tensor, discriminator_move: Tensor, diverged: Tensor) -> Measurements:
        """The averages of the interval."""
        # In double precision: the squares of an exploding critic's logits overflow single precision.
        real, fake, boundary = self._real.double(), self._fake.double(), self.boundary  # [U, B, N]
        variance = (real.var(dim=-1) + fake.var(dim=-1)) / 2

        def ready(values: Tensor) -> np.ndarray:
            return values.double().numpy(force=True)

        def average(values: Tensor, which: Tensor = self.discriminates) -> np.ndarray:
            """Mean over the updates that are D's (or those of ``which``): ``[U, B]`` to ``[B]``."""
            return ready(torch.where(which, values.double(), 0.0).sum(dim=0) / which.sum(dim=0))

        def share(condition: Tensor) -> np.ndarray:
            return average(condition.double().mean(dim=-1))

        return Measurements(
            discriminator_loss=average(self._loss),
            generator_loss=average(self._loss, ~self.discriminates),
            real_logit=average(real.mean(dim=-1)),
            fake_logit=average(fake.mean(dim=-1)),
            logit_deviation=np.sqrt(average(variance)),
            real_accuracy=share(real > boundary),
            fake_accuracy=share(fake < boundary),
            pair_accuracy=share(real > fake),
            generator_gradient=average(self._gradient, ~self.discriminates),
            discriminator_gradient=average(self._gradient),
            generator_move=ready(generator_move),
            discriminator_move=ready(discriminator_move),
            diverged=ready(diverged),
        )
