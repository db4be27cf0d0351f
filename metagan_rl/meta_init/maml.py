"""Second-order MAML for GANs: Finn et al. 2017, arXiv:1703.03400, with DAWSON's discriminator on query data.

Half of each task i's training rows are support data S, the other half is query data Q. The inner loop adapts three
networks from the meta-weights by plain gradient descent with rate α, on a fresh batch each time:

    θ_D = φ_D,  θ_Q = φ_D,  θ_G = φ_G
    repeated inner_steps times, at ratio d:g first d times the D update, then g times the G update:
        D:  θ_D <- θ_D - α ∂L_D(θ_D; θ_G, S) / ∂θ_D        and, with the same generator,
            θ_Q <- θ_Q - α ∂L_D(θ_Q; θ_G, Q) / ∂θ_Q
        G:  θ_G <- θ_G - α ∂L_G(θ_G; θ_D, S) / ∂θ_G

(with ``simultaneous`` all three step from the same point). In these steps the generator never sees θ_Q, but it is
scored by it. So it cannot score well just by deceiving the discriminator that it was trained against (DAWSON, Liang et
al. 2020, arXiv:2001.00576). The outer losses use a further batch of query data each. They and the meta-update are:

    J_G = mean_i L_G(θ_G; θ_Q, Q),    φ_G <- Adam(φ_G, dJ_G / dφ_G)
    J_D = mean_i L_D(θ_D; θ_G, Q),    φ_D <- Adam(φ_D, dJ_D / dφ_D)

Inner derivatives are partial: the opponent's weights are held fixed, whatever they depend on. Outer derivatives are
total, through all inner updates of all three networks, with the other network's meta-weights held fixed. For example,
θ_D depends on φ_G too, through the generated points that it was trained on. L_D includes the gradient penalty. Order 1
is in :mod:`.fomaml`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from metagan_rl.errors import InvalidValueError
from metagan_rl.meta_init.batch import TaskDistribution
from metagan_rl.meta_init.differentiable import check_differentiable
from metagan_rl.meta_init.fomaml import split_batches, train_fomaml_gan
from metagan_rl.meta_init.game import Game
from metagan_rl.meta_init.loop import MeanGradient, meta_train
from metagan_rl.meta_init.options import RunOptions
from metagan_rl.meta_init.settings import MetaSettings
from metagan_rl.meta_init.weights import MetaDiscriminator, MetaGenerator, MetaInit
from metagan_rl.populations.interval import WEIGHT_LIMIT, IntervalInputs
from metagan_rl.populations.settings import RATIOS
from metagan_rl.tasks.task import Task


@dataclass(frozen=True)
class Adapted:
    """Weights after the inner loop, ``[B, P]`` each, as functions of the meta-weights."""

    theta_g: Tensor
    theta_d: Tensor
    theta_q: Tensor


def adapt(
    game: Game, phi_g: Tensor, phi_d: Tensor, support: IntervalInputs, query: IntervalInputs, updates: int
) -> Adapted:
    """Runs the inner loop; the module gives the equations.

    Args:
        game: the losses; its plan gives the turns and the rates α.
        phi_g: meta-weights of G, one row for each of the B tasks.
        phi_d: meta-weights of D, likewise.
        support: batches for each update.
        query: other batches, from the other half of the data.
        updates: U, the number of D's and G's updates on support data together.
    """
    theta_g, theta_d, theta_q, opponent = phi_g, phi_d, phi_d, phi_d
    plan = game.plan
    first_of_cycle, cycle = plan.cycles[0][0], sum(plan.cycles[0])  # the same for all members
    for update in range(updates):
        if update % cycle < first_of_cycle:
            of_d = partial(game.discriminator_loss, theta_g=theta_g, update=update)
            next_d = theta_d - plan.discriminator_lr * _slope(partial(of_d, inputs=support), theta_d)
            theta_q = theta_q - plan.discriminator_lr * _slope(partial(of_d, inputs=query), theta_q)
            opponent, theta_d = (theta_d if plan.simultaneous else next_d), next_d
        else:
            of_g = partial(game.generator_loss, theta_d=opponent, inputs=support, update=update)
            theta_g = theta_g - plan.generator_lr * _slope(of_g, theta_g)
    return Adapted(theta_g, theta_d, theta_q)


def outer_losses(game: Game, adapted: Adapted, query: IntervalInputs, updates: int) -> tuple[Tensor, Tensor]:
    """J_G and J_D of each task, ``[B]`` each, on the batches after the last update's."""
    return (
        game.generator_loss(adapted.theta_g, adapted.theta_q, query, updates + 1),
        game.discriminator_loss(adapted.theta_d, adapted.theta_g, query, updates),
    )


class SecondOrderMAML(MeanGradient):
    """MAML with all derivatives of the inner loop; the module gives the equations."""

    def __init__(self, settings: MetaSettings) -> None:
        super().__init__(settings)
        self._checked: set[tuple[str, bool]] = set()

    def check(self, meta: MetaInit, tasks: list[Task]) -> None:
        """See :class:`Method`. Each loss, with and without a penalty, is checked when it first occurs."""
        kinds = [(task.base.loss, task.base.penalty_weight > 0) for task in tasks]
        check_differentiable(meta, [task for task, kind in zip(tasks, kinds, strict=True) if kind not in self._checked])
        self._checked.update(kinds)

    def member_gradients(self, meta: MetaInit, tasks: list[Task], seeds: list[int]) -> tuple[Tensor, Tensor] | None:
        """See :class:`MeanGradient`."""
        updates = self.settings.inner_updates
        support, query = split_batches(meta, tasks, seeds)
        plan, support_inputs = support.prepared(updates)
        _, query_inputs = query.prepared(updates + sum(RATIOS[self.settings.ratio]))
        game = Game(support.generator, support.discriminator, plan)
        phi_g = support.state.generator.requires_grad_()
        phi_d = support.state.discriminator.requires_grad_()
        adapted = adapt(game, phi_g, phi_d, support_inputs, query_inputs, updates)
        rows = (adapted.theta_g, adapted.theta_d, adapted.theta_q)
        if not all(bool((each.detach().abs() < WEIGHT_LIMIT).all()) for each in rows):  # NaN counts as diverged
            return None
        of_generator, of_discriminator = outer_losses(game, adapted, query_inputs, updates)
        (by_phi_g,) = torch.autograd.grad(of_generator.sum(), phi_g, retain_graph=True)
        (by_phi_d,) = torch.autograd.grad(of_discriminator.sum(), phi_d)
        return by_phi_g, by_phi_d


def train_maml_gan(
    meta_generator: MetaGenerator,
    meta_discriminator: MetaDiscriminator,
    task_distribution: TaskDistribution,
    *,
    inner_steps: int,
    outer_steps: int,
    inner_lr: float,
    outer_lr: float,
    order: int = 2,
    run: RunOptions | None = None,
    **settings: Any,
) -> MetaInit:
    """Learns starting weights by model-agnostic meta-learning.

    Args:
        meta_generator: G's starting weights, which are not changed.
        meta_discriminator: D's starting weights, which are not changed.
        task_distribution: a split of a suite, or any object with ``sample(rng) -> Task``.
        inner_steps: steps of each task in the inner loop. In second order, memory grows with them.
        outer_steps: meta-steps.
        inner_lr: learning rate of the inner loop, which is plain gradient descent.
        outer_lr: learning rate of the meta-weights, for Adam unless ``outer_optimizer`` says otherwise.
        order: 2, or 1 for first-order MAML, which leaves out the derivatives of the inner loop.
        run: options for progress, checkpoints, validation and the like.
        **settings: other settings of :class:`MetaSettings`, for example ``meta_batch``, ``ratio`` or ``loss``.

    Returns:
        The meta-initialisation; its metadata tell how it was made.

    Raises:
        InvalidValueError: a setting is out of range, a penalty or network cannot be differentiated often enough, or the
            task distribution runs dry or returns tasks that do not fit.
        DataError: a task's data are not finite.
    """
    if order not in (1, 2):
        raise InvalidValueError(f"order is {order!r}; it must be 1 or 2")
    values = {
        "inner_steps": inner_steps,
        "outer_steps": outer_steps,
        "inner_lr": inner_lr,
        "outer_lr": outer_lr,
        **settings,
    }
    if order == 1:
        return train_fomaml_gan(meta_generator, meta_discriminator, task_distribution, run=run, **values)
    method = SecondOrderMAML(MetaSettings.of("maml", **values))
    return meta_train(method, MetaInit(meta_generator, meta_discriminator), task_distribution, run)


def _slope(loss: Callable[[Tensor], Tensor], theta: Tensor) -> Tensor:
    """Partial derivative of the sum of losses at ``[B, P]``. It can be differentiated again.

    It is taken by a view of theta. The opponent's weights may depend on theta through earlier updates, and are so held
    fixed.
    """
    at = theta.view_as(theta)
    (slope,) = torch.autograd.grad(loss(at).sum(), at, create_graph=True)
    return slope
