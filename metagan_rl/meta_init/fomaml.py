"""First-order MAML for GANs (Finn et al. 2017, arXiv:1703.03400, section 5.2), at the cost of plain training."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from metagan_rl.meta_init.batch import MetaBatch, TaskDistribution
from metagan_rl.meta_init.loop import MeanGradient, meta_train
from metagan_rl.meta_init.options import RunOptions
from metagan_rl.meta_init.settings import MetaSettings
from metagan_rl.meta_init.weights import MetaDiscriminator, MetaGenerator, MetaInit
from metagan_rl.populations.interval import WEIGHT_LIMIT, IntervalTrainer, Turn
from metagan_rl.populations.settings import CYCLE, RATIOS
from metagan_rl.tasks.task import Task

QUERY_SEED = 2**31
"""Added to a member's seed to draw the noise and data order of its query half."""


class FirstOrderTrainer(IntervalTrainer):
    """Trains a pair on support data and, beside it, a second discriminator on query data, all in place.

    The second discriminator sees the same generator: the two states share its weights.
    """

    def adapt(self, query: "FirstOrderTrainer", updates: int) -> None:
        """Runs the inner loop of U updates; :mod:`.maml` gives the equations."""
        query.state.generator = self.state.generator  # the same tensor, which steps change in place
        everyone = Turn(self.plan, torch.ones(len(self.state), dtype=torch.bool))
        if self.plan.simultaneous:
            for update in range(0, updates, 2):
                of_generator = self._generator_gradient(everyone, update + 1)
                self._step_discriminators(query, everyone, update)
                self._step_generator(everyone, update + 1, of_generator)
            return
        for update in range(updates):
            discriminating, generating = self.turns[update % CYCLE]
            if discriminating is not None:
                self._step_discriminators(query, discriminating, update)
            if generating is not None:
                self._step_generator(generating, update, self._generator_gradient(generating, update))

    def _step_discriminators(self, query: "FirstOrderTrainer", turn: Turn, update: int) -> None:
        for each in (self, query):
            each._step_discriminator(turn, update, each._discriminator_gradient(turn, update))

    def outer_gradients(self, query: "FirstOrderTrainer", updates: int) -> tuple[Tensor, Tensor]:
        """Gradients of the outer losses by the adapted weights, ``[B, P_G]`` and ``[B, P_D]``."""
        everyone = Turn(self.plan, torch.ones(len(self.state), dtype=torch.bool))
        state = replace(query.state, discriminator=self.state.discriminator)
        judged = FirstOrderTrainer(self.generator, self.discriminator, state, query.plan, query.inputs)
        of_discriminator = judged._discriminator_gradient(everyone, updates)
        return query._generator_gradient(everyone, updates + 1), of_discriminator


class FirstOrderMAML(MeanGradient):
    """MAML without the derivatives of the inner loop: dθ/dφ is replaced by the identity.

    With θ_G, θ_D and θ_Q of :mod:`.maml` after the last inner step,

        φ_G <- Adam(φ_G, mean_i ∂L_G(θ_G; θ_Q, query) / ∂θ_G),     φ_D <- Adam(φ_D, mean_i ∂L_D(θ_D; θ_G, query) / ∂θ_D)

    The inner loop is the one of populations, with their closed-form gradients, and works with any penalty.
    """

    def member_gradients(self, meta: MetaInit, tasks: list[Task], seeds: list[int]) -> tuple[Tensor, Tensor] | None:
        """See :class:`MeanGradient`."""
        updates = self.settings.inner_updates
        support, query = split_batches(meta, tasks, seeds)
        trainers = []
        for batch, count in ((support, updates), (query, updates + sum(RATIOS[self.settings.ratio]))):
            plan, inputs = batch.prepared(count)
            trainers.append(FirstOrderTrainer(batch.generator, batch.discriminator, batch.state, plan, inputs))
        trainers[0].adapt(trainers[1], updates)
        adapted = (support.state.generator, support.state.discriminator, query.state.discriminator)
        if not all(bool((rows.abs() < WEIGHT_LIMIT).all()) for rows in adapted):  # NaN counts as diverged
            return None
        return trainers[0].outer_gradients(trainers[1], updates)


def split_batches(meta: MetaInit, tasks: list[Task], seeds: list[int]) -> tuple[MetaBatch, MetaBatch]:
    """Two batches of the tasks: one on the support half of their data, one on the query half."""
    other = [seed + QUERY_SEED for seed in seeds]
    return MetaBatch(tasks, seeds, meta, "support"), MetaBatch(tasks, other, meta, "query")


def train_fomaml_gan(
    meta_generator: MetaGenerator,
    meta_discriminator: MetaDiscriminator,
    task_distribution: TaskDistribution,
    *,
    inner_steps: int,
    outer_steps: int,
    inner_lr: float,
    outer_lr: float,
    run: RunOptions | None = None,
    **settings: Any,
) -> MetaInit:
    """Learns starting weights by first-order MAML. The same as :func:`.train_maml_gan` with ``order=1``."""
    chosen = MetaSettings.of(
        "fomaml",
        inner_steps=inner_steps,
        outer_steps=outer_steps,
        inner_lr=inner_lr,
        outer_lr=outer_lr,
        **settings,
    )
    return meta_train(FirstOrderMAML(chosen), MetaInit(meta_generator, meta_discriminator), task_distribution, run)
