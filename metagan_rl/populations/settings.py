"""Settings: the absolute numbers that members of a population train with in the next interval."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from metagan_rl.errors import InvalidValueError
from metagan_rl.losses import LOSSES
from metagan_rl.registry import Registry
from metagan_rl.tasks.task import Base

RATIOS: Registry[tuple[int, int]] = Registry("ratio")
"""D updates and G updates in one cycle, by name "D:G"."""
for _discriminator, _generator in ((1, 3), (1, 2), (1, 1), (2, 1), (3, 1), (5, 1)):
    RATIOS.register(f"{_discriminator}:{_generator}", (_discriminator, _generator))
CYCLE = 12
"""An interval must be a multiple of this many updates. Then every ratio fits into it a whole number of times."""


@dataclass(frozen=True)
class Settings:
    """What B members train with. Every field is an array ``[B]``.

    Attributes:
        generator_lr, discriminator_lr: learning rates.
        ratio: index into ``RATIOS``.
        loss: index into ``LOSSES``.
        penalty_weight: weight of the loss's gradient penalty, at least 0.
        beta1, beta2: decay rates of the optimizer's two moments, in [0, 1).
        ema_decay: decay per generator update of the averaged generator, in [0, 1).
    """

    generator_lr: np.ndarray
    discriminator_lr: np.ndarray
    ratio: np.ndarray
    loss: np.ndarray
    penalty_weight: np.ndarray
    beta1: np.ndarray
    beta2: np.ndarray
    ema_decay: np.ndarray

    def __post_init__(self) -> None:
        for field in fields(self):
            kind = np.int64 if field.name in ("ratio", "loss") else np.float64
            object.__setattr__(self, field.name, np.atleast_1d(np.asarray(getattr(self, field.name), dtype=kind)))
        shapes = {field.name: getattr(self, field.name).shape for field in fields(self)}
        if len(set(shapes.values())) != 1:
            raise InvalidValueError(f"settings must all have one value a member; their shapes are {shapes}")

    def __len__(self) -> int:
        return len(self.ratio)

    def __getitem__(self, members: Any) -> "Settings":
        """The settings of some members, chosen by an index array, a mask or a slice."""
        return Settings(**{field.name: getattr(self, field.name)[members] for field in fields(self)})

    def replace(self, **changes: np.ndarray) -> "Settings":
        """A copy with some fields changed."""
        return replace(self, **changes)

    @classmethod
    def of(cls, bases: Sequence[Base]) -> "Settings":
        """The settings of unscheduled runs.

        Raises:
            UnknownNameError: a base names a ratio or loss that does not exist.
        """
        numbers = {
            name: np.array([getattr(base, name) for base in bases], dtype=np.float64)
            for name in ("generator_lr", "discriminator_lr", "penalty_weight", "beta1", "beta2", "ema_decay")
        }
        return cls(
            ratio=np.array([RATIOS.index(base.ratio) for base in bases], dtype=np.int64),
            loss=np.array([LOSSES.index(base.loss) for base in bases], dtype=np.int64),
            **numbers,
        )
