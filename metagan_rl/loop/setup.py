"""What a training loop knows of itself before it begins: its optimizer, its networks' size, its data's shape.

A schedule can take these facts into account by a formula. What a loop cannot know, it has to find out by feedback.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Self

import numpy as np

from metagan_rl.networks.base import build_networks, size
from metagan_rl.tasks.task import Networks, Task


@dataclass(frozen=True)
class Setup:
    """Facts of B loops, float64 ``[B]`` each; NaN where a fact is not known.

    Attributes:
        beta1: decay rate of Adam's first moment, in [0, 1).
        batch_size: real samples in an update.
        weights: number of weights of both networks together.
        columns: columns of the data.
        rows: rows that the GAN trains on.
    """

    beta1: np.ndarray
    batch_size: np.ndarray
    weights: np.ndarray
    columns: np.ndarray
    rows: np.ndarray

    @classmethod
    def unknown(cls, count: int) -> Self:
        """Nothing is known of ``count`` loops."""
        return cls(*(np.full(count, np.nan) for _ in fields(cls)))

    @classmethod
    def of(cls, tasks: Sequence[Task]) -> Self:
        """The facts of tasks."""
        known = [
            (task.base.beta1, task.base.batch_size, _weights(task.networks, task.dim), task.dim, len(task.data().train))
            for task in tasks
        ]
        return cls(*np.array(known, dtype=np.float64).T)

    def put(self, members: np.ndarray, others: "Setup") -> None:
        """Replaces the facts of some loops."""
        for name, values in vars(self).items():
            values[members] = getattr(others, name)

    def take(self, sources: np.ndarray) -> "Setup":
        """The facts of these loops, in this order."""
        return Setup(**{name: values[sources] for name, values in vars(self).items()})


@lru_cache(maxsize=1024)
def _weights(networks: Networks, columns: int) -> int:
    return sum(size(network) for network in build_networks(networks, columns))
