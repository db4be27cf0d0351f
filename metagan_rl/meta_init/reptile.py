"""Reptile (Nichol et al. 2018, arXiv:1803.02999) for both networks of a GAN."""

from typing import Any

from torch import Tensor

from metagan_rl.meta_init.batch import MetaBatch, TaskDistribution
from metagan_rl.meta_init.loop import Method, meta_train
from metagan_rl.meta_init.options import RunOptions
from metagan_rl.meta_init.settings import MetaSettings
from metagan_rl.meta_init.weights import MetaDiscriminator, MetaGenerator, MetaInit
from metagan_rl.tasks.task import Task


class Reptile(Method):
    """Moves the meta-weights towards where training on each task leads.

    For each task i, the population trains both networks from φ for ``inner_steps`` steps, to φ_i. Then

        g = φ - mean_i φ_i,     φ <- φ - outer_lr g  =  φ + outer_lr mean_i(φ_i - φ)

    for G's φ and for D's. With outer Adam, g takes the place of the gradient (FIGR, Clouâtre and Demers 2019,
    arXiv:1901.02199).
    """

    def step(self, meta: MetaInit, tasks: list[Task], seeds: list[int]) -> tuple[Tensor, Tensor] | None:
        """See :class:`Method`."""
        batch = MetaBatch(tasks, seeds, meta, engine=self.settings.engine)
        if batch.train_steps(self.settings.inner_updates).diverged.any():
            return None
        generator, discriminator = batch.state.generator, batch.state.discriminator
        return meta.generator.weights - generator.mean(dim=0), meta.discriminator.weights - discriminator.mean(dim=0)


def train_reptile_gan(
    meta_generator: MetaGenerator,
    meta_discriminator: MetaDiscriminator,
    task_distribution: TaskDistribution,
    *,
    inner_steps: int,
    outer_steps: int,
    inner_lr: float,
    outer_lr: float,
    outer_optimizer: str = "sgd",
    run: RunOptions | None = None,
    **settings: Any,
) -> MetaInit:
    """Learns starting weights by Reptile.

    Args:
        meta_generator: G's starting weights, which are not changed.
        meta_discriminator: D's starting weights, which are not changed.
        task_distribution: a split of a suite, or any object with ``sample(rng) -> Task``.
        inner_steps: steps of each task between two meta-steps.
        outer_steps: meta-steps.
        inner_lr: learning rate on each task.
        outer_lr: share of the way that the meta-weights go towards the tasks' weights; with ``"adam"`` its learning
            rate.
        outer_optimizer: ``"sgd"`` or ``"adam"``.
        run: options for progress, checkpoints, validation and the like.
        **settings: other settings of :class:`MetaSettings`, for example ``meta_batch`` or ``inner_optimizer``.

    Returns:
        The meta-initialisation; its metadata tell how it was made.

    Raises:
        InvalidValueError: a setting is out of range, or the task distribution runs dry or returns unfit tasks.
        DataError: a task's data are not finite.
    """
    chosen = MetaSettings.of(
        "reptile",
        inner_steps=inner_steps,
        outer_steps=outer_steps,
        inner_lr=inner_lr,
        outer_lr=outer_lr,
        outer_optimizer=outer_optimizer,
        **settings,
    )
    return meta_train(Reptile(chosen), MetaInit(meta_generator, meta_discriminator), task_distribution, run)
