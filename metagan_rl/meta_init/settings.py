"""All settings of a meta-training run, in one frozen dataclass that is written into its files."""

import math
from dataclasses import dataclass, fields, replace
from typing import Any

from metagan_rl.errors import InvalidValueError, UnknownNameError
from metagan_rl.losses import LOSSES
from metagan_rl.populations.engines import checked_engine
from metagan_rl.populations.settings import RATIOS
from metagan_rl.tasks.task import LEARNING_RATE_RANGE, Base

METHODS = ("reptile", "maml", "fomaml", "joint")
OPTIMIZERS = ("sgd", "adam")


@dataclass(frozen=True)
class MetaSettings:
    """All that a meta-training run depends on besides its tasks and its starting weights.

    Attributes:
        method: ``"reptile"``, ``"maml"`` (second order), ``"fomaml"`` (first order) or ``"joint"``.
        inner_steps: steps on each task before the meta-weights move, at least 1. One step is one cycle of the ratio: at
            1:1 one D update and then one G update.
        outer_steps: meta-steps, at least 1.
        inner_lr: learning rate of both networks in the inner loop.
        outer_lr: learning rate of the meta-weights.
        meta_batch: tasks in a meta-step, at least 1.
        ratio: D updates and then G updates in one inner step.
        simultaneous: whether D and G step from the same point (only with ratio 1:1); otherwise D steps first.
        inner_optimizer: ``"sgd"`` or ``"adam"``. MAML differentiates its inner loop and needs ``"sgd"``.
        outer_optimizer: ``"adam"`` or ``"sgd"``.
        loss: name of the GAN loss; ``None``: each task's own.
        penalty_weight: weight of the loss's gradient penalty in the discriminators' losses; ``None``: each task's own.
        batch_size: samples in an update; ``None``: the tasks' own, which must then agree.
        seed: fixes which tasks are drawn, the noise and the order of the data.
        engine: what trains the members: ``"native"``, ``"torch"`` or ``"auto"``. MAML differentiates through torch.

    Raises:
        InvalidValueError: a value is out of range.
        UnknownNameError: a name does not exist.
    """

    method: str
    inner_steps: int
    outer_steps: int
    inner_lr: float
    outer_lr: float
    meta_batch: int = 16
    ratio: str = "1:1"
    simultaneous: bool = False
    inner_optimizer: str = "sgd"
    outer_optimizer: str = "adam"
    loss: str | None = None
    penalty_weight: float | None = None
    batch_size: int | None = None
    seed: int = 0
    engine: str = "auto"

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UnknownNameError("method of meta-initialisation", self.method, METHODS)
        for name in ("inner_steps", "outer_steps", "meta_batch"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise InvalidValueError(f"{name} is {value!r}; it must be a whole number of at least 1")
        low, high = LEARNING_RATE_RANGE
        if not low <= self.inner_lr <= high:
            raise InvalidValueError(f"inner_lr is {self.inner_lr!r}; it must lie between {low:g} and {high:g}")
        if not 0 < self.outer_lr < math.inf:
            raise InvalidValueError(f"outer_lr is {self.outer_lr!r}; it must be more than 0, and finite")
        checked_engine(self.engine)
        for name in ("inner_optimizer", "outer_optimizer"):
            if getattr(self, name) not in OPTIMIZERS:
                raise UnknownNameError(name.replace("_", " "), getattr(self, name), OPTIMIZERS)
        if self.method in ("maml", "fomaml") and self.inner_optimizer != "sgd":
            raise InvalidValueError(
                f"inner_optimizer is {self.inner_optimizer!r}; {self.method} differentiates plain gradient descent: "
                "use 'sgd', or Reptile"
            )
        RATIOS[self.ratio]
        if self.simultaneous and self.ratio != "1:1":
            raise InvalidValueError(f"simultaneous steps have ratio '1:1', not {self.ratio!r}; change one of the two")
        if self.loss is not None:
            LOSSES[self.loss]
        Base(**{name: value for name, value in self._base().items() if name in ("penalty_weight", "batch_size")})
        if not isinstance(self.seed, int) or not 0 <= self.seed < 2**32:
            raise InvalidValueError(f"seed is {self.seed!r}; it must be a whole number from 0 to 2**32 - 1")

    @classmethod
    def of(cls, method: str, **values: Any) -> "MetaSettings":
        """Makes settings from keywords. For a misspelt one, the error offers the nearest names."""
        names = [each.name for each in fields(cls)]
        for name in values:
            if name not in names:
                raise UnknownNameError("setting of meta-training", name, names)
        return cls(method, **values)

    @property
    def inner_updates(self) -> int:
        """Updates of the two networks in one task's inner loop."""
        return self.inner_steps * sum(RATIOS[self.ratio])

    @property
    def updates_per_step(self) -> int:
        """GAN updates of one meta-step. Each network step on a task counts, and each outer gradient."""
        updates = self.inner_updates
        if self.method in ("maml", "fomaml"):
            updates += self.inner_steps * RATIOS[self.ratio][0] + 2  # the query D's steps, and two outer gradients
        return self.meta_batch * updates

    def _base(self) -> dict[str, Any]:
        """The values that replace those of the tasks."""
        chosen = {name: getattr(self, name) for name in ("loss", "penalty_weight", "batch_size")}
        return {
            **{name: value for name, value in chosen.items() if value is not None},
            "generator_lr": self.inner_lr,
            "discriminator_lr": self.inner_lr,
            "ratio": self.ratio,
            "optimizer": self.inner_optimizer,
            "simultaneous": self.simultaneous,
        }

    def applied(self, base: Base) -> Base:
        """A task's base settings, changed for the inner loop."""
        return replace(base, **self._base())
