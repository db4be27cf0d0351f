"""Options that accompany meta-training, and the report of each meta-step."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from metagan_rl.errors import InvalidValueError
from metagan_rl.meta_init.weights import MetaInit
from metagan_rl.populations.settings import CYCLE
from metagan_rl.tasks import Task


@dataclass(frozen=True)
class MetaStep:
    """The report of one meta-step.

    Attributes:
        step: its number, from 1; 0 for the state before the first.
        skipped: something diverged or was not finite, so the meta-weights did not move.
        total_skipped: steps skipped so far.
        gan_updates: GAN updates so far, including those of skipped steps.
        generator_move, discriminator_move: how far the meta-weights moved, relative to their norm.
        before, after: geometric mean of the distances on the validation tasks, at the meta-weights and after
            adaptation; ``None`` if nothing was validated.
        meta: the meta-weights after the step.
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
    """Options that accompany meta-training. None of them changes the weights.

    Attributes:
        on_step: called with a :class:`MetaStep` after each step, and once before the first if there are validation
            tasks.
        checkpoint: file to continue from. It is written every ``checkpoint_every`` meta-steps, at the end, and on
            errors.
        checkpoint_every: meta-steps between two checkpoints.
        resume: whether to continue from the checkpoint. All settings except ``outer_steps`` must be the same.
        validation: tasks that show the quality; a few are enough.
        validate_every: meta-steps between two validations; the first is before the first step.
        adaptation_updates: updates of a validation GAN with its task's own settings, a multiple of 12.
        tensorboard: folder for TensorBoard events.
        progress: whether to show a progress bar; by default only on a terminal.
        record: further facts for the checkpoint and the weights' metadata; a resumed run must have the same.

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
    record: Mapping[str, Any] = field(default_factory=dict)

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
