"""What a person picks before two GANs begin. It is flat, so that an address can hold it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from metagan_rl.errors import InvalidValueError, UnknownNameError
from metagan_rl.experiments.watch.drawing import unpack
from metagan_rl.tasks import FAMILIES, Family, Hidden, Task, sample_task

DRAWING = "drawing"
UPDATES = (3072, 6144, 12288, 24576, 49152)
"""Updates of a run, of D and of G together."""
DECISIONS = (16, 64, 128)
"""How often schedulers decide in a run. ``default``, ``without-quality`` and ``on-top`` learned with 16, others 64."""
TROUBLES: dict[str, tuple[str, Hidden | None]] = {
    "none": ("nothing is wrong", None),
    "generator-high": ("G's rate is 8 times too high", Hidden(generator_lr=8.0)),
    "discriminator-high": ("D's rate is 8 times too high", Hidden(discriminator_lr=8.0)),
    "both-low": ("both rates are 8 times too low", Hidden(generator_lr=1 / 8, discriminator_lr=1 / 8)),
    "drift": ("the data turn by a quarter", Hidden(turn=0.25)),
}
"""What may be wrong with a run without any scheduler being told, by name: words, and what is hidden."""


@dataclass(frozen=True)
class Setting:
    """All that decides a match, apart from a person's hand.

    Attributes:
        family: name of a family of two columns, or ``"drawing"``.
        seed: fixes the distribution's parameters, both GANs' starting weights, and what schedulers draw.
        left, right: names of schedulers.
        updates: budget of each GAN, one of ``UPDATES``.
        decisions: how often schedulers decide, one of ``DECISIONS``.
        trouble: what is wrong, a name in ``TROUBLES``.
        drawing: the packed drawing, if the family is ``"drawing"``.

    Raises:
        UnknownNameError: there is no such family or trouble.
        InvalidValueError: another value is not one of those offered.
        DataError: the drawing has too few points, or is none.
    """

    family: str = "ring"
    seed: int = 1
    left: str = "default"
    right: str = "tuned-decay"
    updates: int = 12288
    decisions: int = 16
    trouble: str = "generator-high"
    drawing: str = ""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is not type(field.default):
                kind = "a whole number" if isinstance(field.default, int) else "text"
                raise InvalidValueError(f"{field.name} is {value!r}; it must be {kind}")
        if self.family not in (*family_names(), DRAWING):
            raise UnknownNameError("family", self.family, (*family_names(), DRAWING))
        if self.trouble not in TROUBLES:
            raise UnknownNameError("trouble", self.trouble, TROUBLES)
        for name, value, offered in (
            ("updates", self.updates, UPDATES),
            ("decisions", self.decisions, DECISIONS),
        ):
            if value not in offered:
                raise InvalidValueError(f"{name} is {value}; take one of {', '.join(map(str, offered))}")
        if not 0 <= self.seed < 2**31:
            raise InvalidValueError(f"seed is {self.seed}; it must lie between 0 and {2**31 - 1}")
        if self.family == DRAWING:
            unpack(self.drawing)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """The setting that a page asks for.

        Raises:
            InvalidValueError: it has a part that no setting has; or see the class.
        """
        names = [field.name for field in fields(cls)]
        for name in record:
            if name not in names:
                raise UnknownNameError("part of a setting", name, names)
        return cls(**record)

    def task(self) -> Task:
        """The task of both GANs."""
        hidden = TROUBLES[self.trouble][1]
        if self.family == DRAWING:
            drawn = {"packed": self.drawing}
            return Task("drawing", DRAWING, 2, drawn, budget=self.updates, seed=self.seed, hidden=hidden)
        rng = np.random.default_rng(self.seed)
        name = f"{self.family}/{self.seed}"
        return sample_task(self.family, rng, name=name, budget=self.updates, hidden=hidden)


def family_names() -> list[str]:
    """Families of two columns that can be picked, the package's own and users'."""
    fixed = [name for name in FAMILIES if type(FAMILIES[name]).dimension is Family.dimension and ":" not in name]
    return [name for name in fixed if FAMILIES[name].dim == 2 and name != DRAWING]
