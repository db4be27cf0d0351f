"""Controls: what a scheduler sets for the next interval. The same words for environments, agents and users' loops."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from metagan_rl.errors import InvalidValueError
from metagan_rl.losses import LOSSES
from metagan_rl.registry import Registry

KNOBS = ("generator_lr", "discriminator_lr", "ratio", "loss", "penalty_weight")
"""The five controls, in the order actions list them."""
LR_FACTOR = 30.0
"""Learning rates may be multiplied by anything from 1/30 to 30."""
MAX_PENALTY_WEIGHT = 100.0

RATIOS: Registry[tuple[int, int]] = Registry("ratio")
"""Updates of D and of G in one cycle, by name "D:G"."""
for _discriminator, _generator in ((1, 3), (1, 2), (1, 1), (2, 1), (3, 1), (5, 1)):
    RATIOS.register(f"{_discriminator}:{_generator}", (_discriminator, _generator))
CYCLE = 12
"""An interval must be a multiple of this many updates, so that every ratio fits into it a whole number of times."""


@dataclass(frozen=True)
class Controls:
    """Settings of the next interval for B members; every field is an array ``[B]``.

    Attributes:
        generator_lr: multiplier of the base learning rate of G, in [1/30, 30].
        discriminator_lr: multiplier of the base learning rate of D, in [1/30, 30].
        ratio: index into ``RATIOS``.
        loss: index into ``LOSSES``.
        penalty_weight: weight of the loss's gradient penalty, in [0, 100].
    """

    generator_lr: np.ndarray
    discriminator_lr: np.ndarray
    ratio: np.ndarray
    loss: np.ndarray
    penalty_weight: np.ndarray

    def __post_init__(self) -> None:
        for field in fields(self):
            kind = np.int64 if field.name in ("ratio", "loss") else np.float64
            value = np.asarray(getattr(self, field.name))
            if kind is np.int64 and not np.issubdtype(value.dtype, np.integer):
                raise InvalidValueError(f"controls: {field.name} is {value.dtype}; it must be whole-number indices")
            if value.dtype.kind not in "iuf":
                raise InvalidValueError(f"controls: {field.name} is {value.dtype}; it must be real numbers")
            object.__setattr__(self, field.name, np.atleast_1d(value.astype(kind)))
        counts = {field.name: getattr(self, field.name).shape for field in fields(self)}
        if len(set(counts.values())) != 1 or len(self.ratio.shape) != 1:
            raise InvalidValueError(f"controls must all have one value a member; their shapes are {counts}")
        low = 1 / LR_FACTOR
        _within("generator_lr", self.generator_lr, low, LR_FACTOR)
        _within("discriminator_lr", self.discriminator_lr, low, LR_FACTOR)
        _within("ratio", self.ratio, 0, len(RATIOS) - 1)
        _within("loss", self.loss, 0, len(LOSSES) - 1)
        _within("penalty_weight", self.penalty_weight, 0, MAX_PENALTY_WEIGHT)

    def __len__(self) -> int:
        return len(self.ratio)

    def __getitem__(self, members: Any) -> "Controls":
        """The controls of some members (an index array, a mask or a slice)."""
        return Controls(**{field.name: getattr(self, field.name)[members] for field in fields(self)})

    def replace(self, **changes: np.ndarray) -> "Controls":
        """A copy with some fields changed."""
        return replace(self, **changes)

    def describe(self, member: int) -> dict[str, Any]:
        """One member's controls in words and plain numbers, for ``info``, rows and pictures."""
        return {
            "generator_lr": float(self.generator_lr[member]),
            "discriminator_lr": float(self.discriminator_lr[member]),
            "ratio": list(RATIOS)[self.ratio[member]],
            "loss": list(LOSSES)[self.loss[member]],
            "penalty_weight": float(self.penalty_weight[member]),
        }

    @classmethod
    def base(cls, bases: Sequence[Any]) -> "Controls":
        """What unscheduled runs use: multipliers 1, and ratio, loss and penalty weight of each task's ``Base``.

        Raises:
            UnknownNameError: a base names a ratio or loss that does not exist.
        """
        one = np.ones(len(bases))
        return cls(
            generator_lr=one,
            discriminator_lr=one,
            ratio=np.array([RATIOS.index(base.ratio) for base in bases], dtype=np.int64),
            loss=np.array([LOSSES.index(base.loss) for base in bases], dtype=np.int64),
            penalty_weight=np.array([base.penalty_weight for base in bases], dtype=np.float64),
        )


def _within(name: str, values: np.ndarray, low: float, high: float) -> None:
    bad = ~((values >= low * (1 - 1e-9)) & (values <= high * (1 + 1e-9)))  # NaN is bad too
    if bad.any():
        member = int(np.argmax(bad))
        raise InvalidValueError(
            f"controls: {name} of member {member} is {values[member]!r}; it must lie between {low:g} and {high:g}"
        )
