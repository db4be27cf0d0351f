"""``GANScheduler`` as a callback of Lightning, for modules that optimise manually, as GANs do there."""

import os
from collections.abc import Mapping
from inspect import signature
from typing import Any

from metagan_rl.agents.plugin import GANScheduler, LoopControls
from metagan_rl.errors import InvalidValueError, MissingDependencyError
from metagan_rl.loop.scheduler import Scheduler

try:
    from lightning.pytorch import Callback
except ImportError:
    raise MissingDependencyError("lightning", "lightning", "the callback for Lightning") from None

GIVEN = tuple(name for name in signature(GANScheduler.step).parameters if name != "self")
"""What the dictionary that ``training_step`` returns may tell."""


class GANSchedulerCallback(Callback):  # type: ignore[misc, unused-ignore]  # of no known type if it is not installed
    """Steps a :class:`GANScheduler` after every batch with what ``training_step`` returns.

    ``training_step`` returns a dictionary with any of ``GIVEN`` (``real_logits``, ``fake_logits``, ...); all else in it
    is left alone. What the loop is to follow beyond the learning rates is in :attr:`controls`. State goes into
    Lightning's checkpoints. Without ``writer`` a TensorBoard logger of the trainer is written to.

    Args:
        scheduler: as for :class:`GANScheduler`.
        total_steps: batches of the whole run. (Lightning's own ``max_steps`` counts steps of both optimizers.)
        generator, discriminator: which of the module's optimizers are whose.
        **options: of :class:`GANScheduler`.
    """

    def __init__(
        self,
        scheduler: "str | os.PathLike[str] | Scheduler",
        *,
        total_steps: int,
        generator: int = 0,
        discriminator: int = 1,
        **options: Any,
    ) -> None:
        super().__init__()
        self._named, self._options = scheduler, {**options, "total_steps": total_steps}
        self._places = (generator, discriminator)
        self._waiting: dict[str, Any] | None = None
        self.scheduler: GANScheduler | None = None
        """Made when training starts."""

    @property
    def controls(self) -> LoopControls:
        """What holds now.

        Raises:
            InvalidValueError: training has not started.
        """
        if self.scheduler is None:
            raise InvalidValueError("there are no controls before training starts")
        return self.scheduler.controls

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Makes the scheduler, or goes on from the checkpoint's."""
        if max(self._places) >= len(trainer.optimizers):
            raise InvalidValueError(
                f"the module has {len(trainer.optimizers)} optimizers; {self._places} are asked for"
            )
        writer = getattr(trainer.logger, "experiment", None)
        options = {"writer": writer if hasattr(writer, "add_scalar") else None, **self._options}
        self.scheduler = GANScheduler(self._named, *(trainer.optimizers[place] for place in self._places), **options)
        if self._waiting is not None:
            self.scheduler.load_state_dict(self._waiting)
            self._waiting = None

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Steps it."""
        told = outputs if isinstance(outputs, Mapping) else {}
        if self.scheduler is not None:
            self.scheduler.step(**{name: told[name] for name in GIVEN if name in told})

    def state_dict(self) -> dict[str, Any]:
        """The scheduler's."""
        return self._waiting or {} if self.scheduler is None else self.scheduler.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Kept until the optimizers are there."""
        self._waiting = state_dict or None
