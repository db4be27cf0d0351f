"""What goes on beside meta-training, and what it tells of each meta-step."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from metagan_rl.errors import InvalidValueError
from metagan_rl.meta_init.weights import MetaInit
from metagan_rl.populations.settings import CYCLE
from metagan_rl.tasks import Task


@dataclass(frozen=True)
class MetaStep:
    """What a meta-step did.

    Attributes:
        step: its number, from 1; 0 for the state before the first.
        skipped: something diverged or was not finite, and the meta-weights stayed where they were.
        total_skipped: so far.
        gan_updates: so far, skipped steps included.
        generator_move, discriminator_move: how far the meta-weights went, relative to their norm.
        before, after: geometric mean of the distances on validation tasks at the meta-weights and after adaptation;
            ``None`` where nothing was validated.
        meta: the meta-weights after it.
    """

    step: int
    skipped: bool
    total_skipped: int
    gan_updates: int
    generator_move: float
    discriminator_move: float
    before: float | None
    after: float | None
    meta: MetaInit = field(repr=False)


@dataclass(frozen=True)
class RunOptions:
    """What goes on beside meta-training; none of it changes the weights.

    Attributes:
        on_step: gets a :class:`MetaStep` after each, and one before the first where there are validation tasks.
        checkpoint: file to go on from; written every ``checkpoint_every`` meta-steps, at the end, and on errors.
        checkpoint_every: meta-steps.
        resume: go on from the checkpoint; settings have to be the same, but for ``outer_steps``.
        validation: tasks to see the quality on; a few are enough.
        validate_every: meta-steps between two looks at it; the first is before the first step.
        adaptation_updates: that a validation GAN is trained for with its task's own settings, a multiple of 12.
        tensorboard: folder for TensorBoard events.
        progress: show a bar; by default on a terminal.

    Raises:
        InvalidValueError: a value is out of range.
    """

    on_step: Callable[[MetaStep], None] | None = None
    checkpoint: str | os.PathLike[str] | None = None
    checkpoint_every: int = 100
    resume: bool = False
    validation: Sequence[Task] = ()
    validate_every: int = 100
    adaptation_updates: int = 96
    tensorboard: str | os.PathLike[str] | None = None
    progress: bool | None = None

    def __post_init__(self) -> None:
        for name in ("checkpoint_every", "validate_every"):
            if getattr(self, name) < 1:
                raise InvalidValueError(f"{name} is {getattr(self, name)}; it must be at least 1 meta-step")
        if self.adaptation_updates < CYCLE or self.adaptation_updates % CYCLE:
            raise InvalidValueError(
                f"adaptation_updates is {self.adaptation_updates}; it must be a multiple of {CYCLE}"
            )
        if self.resume and self.checkpoint is None:
            raise InvalidValueError("resume needs a checkpoint to go on from; give its file as checkpoint")
