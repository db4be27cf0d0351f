"""``GANScheduler`` as a Lightning callback, for modules with manual optimisation, which GANs need there."""

import os
from collections.abc import Mapping, Sequence
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
"""Keys of ``training_step``'s dictionary that the scheduler reads."""


class GANSchedulerCallback(Callback):  # type: ignore[misc, unused-ignore]  # of no known type if it is not installed
    """Steps a :class:`GANScheduler` after every batch with what ``training_step`` returns.

    ``training_step`` returns a dictionary with any of the keys in ``GIVEN`` (``real_logits``, ``fake_logits``, ...).
    Other keys are ignored. The learning rates are set for you; everything else the loop should follow is in
    :attr:`controls`. The state goes into Lightning's checkpoints. Without ``writer``, values go to the trainer's
    TensorBoard logger if it has one.

    Args:
        scheduler: as for :class:`GANScheduler`.
        total_steps: batches of the whole run. (Lightning's own ``max_steps`` counts steps of both optimizers.)
        generator, discriminator: places of G's and of D's optimizer among the module's optimizers; a sequence of
            places for several.
        networks: names of G and of D among the module's networks (``"net.generator"``), to read logits by hooks
            (:meth:`GANScheduler.watch`). ``training_step`` then need not return anything.
        **options: other options of :class:`GANScheduler`.
    """

    def __init__(
        self,
        scheduler: "str | os.PathLike[str] | Scheduler",
        *,
        total_steps: int,
        generator: int | Sequence[int] = 0,
        discriminator: int | Sequence[int] = 1,
        networks: tuple[str, str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self._named, self._options = scheduler, {**options, "total_steps": total_steps}
        self._places = [[each] if isinstance(each, int) else list(each) for each in (generator, discriminator)]
        self._networks = networks
        self._waiting: dict[str, Any] | None = None
        self.scheduler: GANScheduler | None = None
        """``None`` until training starts."""

    @property
    def controls(self) -> LoopControls:
        """The controls that hold now.

        Raises:
            InvalidValueError: training has not started.
        """
        if self.scheduler is None:
            raise InvalidValueError("there are no controls before training starts")
        return self.scheduler.controls

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Makes the scheduler, and loads its state if a checkpoint had one."""
        if max(place for side in self._places for place in side) >= len(trainer.optimizers):
            raise InvalidValueError(f"the module has {len(trainer.optimizers)} optimizers; {self._places} are expected")
        writer = getattr(trainer.logger, "experiment", None)
        options = {"writer": writer if hasattr(writer, "add_scalar") else None, **self._options}
        sides = ([trainer.optimizers[place] for place in side] for side in self._places)
        self.scheduler = GANScheduler(self._named, *sides, **options)
        if self._networks is not None:
            generator, discriminator = (_network(pl_module, name) for name in self._networks)
            self.scheduler.watch(generator=generator, discriminator=discriminator)
        if self._waiting is not None:
            self.scheduler.load_state_dict(self._waiting)
            self._waiting = None

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Steps the scheduler."""
        told = outputs if isinstance(outputs, Mapping) else {}
        if self.scheduler is not None:
            self.scheduler.step(**{name: told[name] for name in GIVEN if name in told})

    def state_dict(self) -> dict[str, Any]:
        """The scheduler's state."""
        return self._waiting or {} if self.scheduler is None else self.scheduler.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keeps the state until the optimizers exist."""
        self._waiting = state_dict or None


def _network(module: Any, name: str) -> Any:
    """A network of a module by its name; dots lead into parts of it."""
    try:
        return module.get_submodule(name)
    except AttributeError:
        raise InvalidValueError(f"networks has {name!r}, which the module has not; name two of its networks") from None
