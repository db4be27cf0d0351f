"""Joint pre-training, the baseline: one GAN trained on the data of all tasks at once."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metagan_rl.errors import FileFormatError, InvalidValueError
from metagan_rl.meta_init.batch import MetaBatch, TaskDistribution
from metagan_rl.meta_init.loop import Method, meta_train
from metagan_rl.meta_init.options import RunOptions
from metagan_rl.meta_init.settings import MetaSettings
from metagan_rl.meta_init.weights import MetaDiscriminator, MetaGenerator, MetaInit
from metagan_rl.populations.engines import Engine, EngineName
from metagan_rl.populations.interval import IntervalTrainer, Turn
from metagan_rl.populations.settings import Settings
from metagan_rl.populations.torch_engine import TorchEngine
from metagan_rl.tasks.task import Task

MOMENTS = ("generator_first", "generator_second", "discriminator_first", "discriminator_second")
COUNTS = ("generator_steps", "discriminator_steps")


class AveragingTrainer(IntervalTrainer):
    """Treats all members as one GAN. Each takes the step of their mean gradient, so they stay equal."""

    def _step(self, optimizer: Any, turn: Turn, update: int, gradient: Tensor, rows: Sequence[Tensor]) -> list[Tensor]:
        shared = gradient.mean(dim=0, keepdim=True).expand_as(gradient)
        return super()._step(optimizer, turn, update, shared, rows)


class AveragingEngine(TorchEngine):
    """Trains all members in one chunk."""

    trainer = AveragingTrainer

    def chunks(self, settings: Settings) -> Iterator[np.ndarray]:
        """All members."""
        yield np.arange(len(settings))


class OneGAN(MetaBatch):
    """The tasks of a meta-step as one GAN. Each task draws its own batch, and the mean of their gradients is used."""

    def find_engines(self, name: EngineName) -> list[Engine]:
        """One that averages."""
        return [AveragingEngine(self)]


class Joint(Method):
    """One GAN on the data of all tasks at once.

    Every update takes one batch of each task in the meta-step, and the mean of their gradients:

        φ <- φ - inner_lr mean_i ∇L(φ; batch of task i)

    This is done for D and for G in turn, ``inner_steps`` times. The optimiser's moments are kept from one meta-step to
    the next. With the same settings it costs as many GAN updates as Reptile, each on one batch of one task.
    """

    def __init__(self, settings: MetaSettings) -> None:
        super().__init__(settings)
        self._optimizer: dict[str, Tensor] = {}

    def step(self, meta: MetaInit, tasks: list[Task], seeds: list[int]) -> tuple[Tensor, Tensor] | None:
        """See :class:`Method`."""
        betas = sorted({(task.base.beta1, task.base.beta2) for task in tasks})
        if len(betas) > 1:
            raise InvalidValueError(
                f"tasks have betas of {betas[0]} to {betas[-1]}, and one GAN has one pair; make them equal"
            )
        gan = OneGAN(tasks, seeds, meta)
        for name, value in self._optimizer.items():
            setattr(gan.state, name, value.expand(len(gan), *value.shape).clone())
        if gan.train_steps(self.settings.inner_updates).diverged.any():
            return None
        self._optimizer = {name: getattr(gan.state, name)[0].clone() for name in (*MOMENTS, *COUNTS)}
        return meta.generator.weights - gan.state.generator[0], meta.discriminator.weights - gan.state.discriminator[0]

    def state(self) -> dict[str, Tensor]:
        """See :class:`Method`."""
        return dict(self._optimizer)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """See :class:`Method`."""
        if state and set(state) != {*MOMENTS, *COUNTS}:
            raise FileFormatError("the checkpoint lacks the optimiser of joint training; start again")
        self._optimizer = {name: torch.as_tensor(value).clone() for name, value in state.items()}


def train_joint_gan(
    meta_generator: MetaGenerator,
    meta_discriminator: MetaDiscriminator,
    task_distribution: TaskDistribution,
    *,
    inner_steps: int,
    outer_steps: int,
    inner_lr: float,
    outer_lr: float = 1.0,
    inner_optimizer: str = "adam",
    run: RunOptions | None = None,
    **settings: Any,
) -> MetaInit:
    """Pre-trains one GAN on all tasks. See :func:`.train_reptile_gan` for what the methods have in common.

    Args:
        meta_generator: G's starting weights, which are not changed.
        meta_discriminator: D's starting weights, which are not changed.
        task_distribution: a split of a suite, or any object with ``sample(rng) -> Task``.
        inner_steps: steps between two draws of tasks.
        outer_steps: number of draws of tasks.
        inner_lr: the learning rate.
        outer_lr: 1 is plain training; less goes only part of the way after every draw, as Reptile does.
        inner_optimizer: ``"adam"`` or ``"sgd"``.
        run: options for progress, checkpoints, validation and the like.
        **settings: other settings of :class:`MetaSettings`.

    Raises:
        InvalidValueError: a setting is out of range, or the task distribution runs dry or returns unfit tasks.
        DataError: a task's data are not finite.
    """
    chosen = MetaSettings.of(
        "joint",
        inner_steps=inner_steps,
        outer_steps=outer_steps,
        inner_lr=inner_lr,
        outer_lr=outer_lr,
        inner_optimizer=inner_optimizer,
        **{"outer_optimizer": "sgd", **settings},
    )
    return meta_train(Joint(chosen), MetaInit(meta_generator, meta_discriminator), task_distribution, run)
