"""Rows of a table as CTGAN reads them: each number as a mode and a place in it (Xu et al. 2019, arXiv:1907.00503)."""

import importlib
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

MOST = 10
"""Modes of a column, at most."""
LEAST_WEIGHT = 0.005
"""Modes of less weight are left out."""
WIDE = 4.0
"""Deviations of a mode that a place of 1 stands for."""


@dataclass(frozen=True)
class Modes:
    """The modes of C continuous columns, and the L classes of the last column.

    Attributes:
        means, deviations: ``[C, K]``; what a column does not have is 0.
        there: whether a column has a mode, ``[C + 1, K]``; the last line is of the classes.
    """

    means: Tensor
    deviations: Tensor
    there: Tensor

    @classmethod
    def of(cls, rows: Tensor) -> "Modes":
        """Fits a variational mixture of Gaussians to each column of rows ``[N, C + 1]``; the last column is a class."""
        mixture: Any = importlib.import_module("sklearn.mixture").BayesianGaussianMixture
        columns, classes = rows.shape[1] - 1, int(rows[:, -1].max()) + 1
        means, deviations = np.zeros((columns, MOST)), np.zeros((columns, MOST))
        there = np.zeros((columns + 1, MOST), dtype=bool)
        there[-1, :classes] = True
        for column in range(columns):
            fitted = mixture(
                n_components=MOST, weight_concentration_prior_type="dirichlet_process",
                weight_concentration_prior=1e-3, n_init=1, random_state=0,
            )  # fmt: skip
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it need not have converged
                fitted.fit(rows[:, column : column + 1].double().numpy())
            there[column] = fitted.weights_ > LEAST_WEIGHT
            means[column] = np.where(there[column], fitted.means_[:, 0], 0.0)
            deviations[column] = np.where(there[column], np.sqrt(fitted.covariances_[:, 0, 0]), 0.0)
        return cls(torch.from_numpy(means).float(), torch.from_numpy(deviations).float(), torch.from_numpy(there))

    def encoded(self, rows: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Places in (-1, 1), ``[N, C]``, and modes and classes as one-hot ``[N, C + 1, K]``; modes are drawn."""
        numbers, there = rows[:, :-1, None], self.there[:-1]
        places = (numbers - self.means) / (WIDE * self.deviations).clamp_min(1e-12)
        logs = -0.5 * (WIDE * places) ** 2 - self.deviations.clamp_min(1e-12).log()
        shares = torch.where(there, logs, -torch.inf).softmax(dim=-1)
        chosen = torch.multinomial(shares.flatten(0, 1), 1, generator=random).reshape(shares.shape[:2])
        places = places.gather(2, chosen[..., None])[..., 0].clamp(-0.99, 0.99)
        ones = torch.cat([chosen, rows[:, -1:].long()], dim=1)
        return places, torch.nn.functional.one_hot(ones, MOST).float()

    def decoded(self, places: Tensor, ones: Tensor) -> Tensor:
        """Rows ``[N, C + 1]`` of what :meth:`encoded` gives, or of something like it."""
        chosen = ones.argmax(dim=-1)
        means, deviations = (
            each.to(places.device).expand(len(places), -1, -1).gather(2, chosen[:, :-1, None])[..., 0]
            for each in (self.means, self.deviations)
        )
        return torch.cat([means + WIDE * deviations * places, chosen[:, -1:].float()], dim=1)
