"""The losses of both networks as plain functions of weights, for methods that differentiate more than once."""

from dataclasses import dataclass

import torch
from torch import Tensor

from metagan_rl.losses import LOSSES
from metagan_rl.networks.base import StackedNetwork, split
from metagan_rl.penalties import PENALTIES
from metagan_rl.populations.interval import IntervalInputs, IntervalPlan, evaluate_by_run


@dataclass(frozen=True)
class Game:
    """The losses of both networks as functions of weights. They can be differentiated any number of times.

    Attributes:
        generator, discriminator: the stacked networks.
        plan: losses, penalties and rates of the B members.
    """

    generator: StackedNetwork
    discriminator: StackedNetwork
    plan: IntervalPlan

    def discriminator_loss(self, theta_d: Tensor, theta_g: Tensor, inputs: IntervalInputs, update: int) -> Tensor:
        """L_D with its penalty, ``[B]``, at weights ``[B, P]``, on the batch of one update."""
        weights = split(self.discriminator, theta_d)
        real, fake = self._real(inputs, update), self._fake(theta_g, inputs, update)
        logits = self.discriminator(weights, torch.cat([real, fake], dim=1)).squeeze(-1)
        formulas = [LOSSES[name].discriminator for name, _, _ in self.plan.losses]
        losses = [evaluate_by_run(formulas, self.plan.losses, *logits.split(real.shape[1], dim=1))]
        for name, a, b in self.plan.penalties:
            penalty, some = PENALTIES[name], [each[a:b] for each in weights]
            at = penalty.points(real[a:b], fake[a:b], inputs.mix[a:b, update])
            at = at if at.requires_grad else at.detach().requires_grad_()  # keeps its link to G's weights
            (gradient,) = torch.autograd.grad(self.discriminator(some, at).sum(), at, create_graph=True)
            value = self.plan.penalty_weight[a:b, 0] * penalty.value(gradient)
            losses.append(torch.nn.functional.pad(value, (a, len(theta_d) - b)))
        return torch.stack(losses).sum(dim=0)

    def generator_loss(self, theta_g: Tensor, theta_d: Tensor, inputs: IntervalInputs, update: int) -> Tensor:
        """L_G, ``[B]``, at weights ``[B, P]``, on the batch of one update."""
        weights = split(self.discriminator, theta_d)
        fake = real = self.discriminator(weights, self._fake(theta_g, inputs, update)).squeeze(-1)
        if any(LOSSES[name].relative for name, _, _ in self.plan.losses):
            real = self.discriminator(weights, self._real(inputs, update)).squeeze(-1)
        formulas = [LOSSES[name].generator for name, _, _ in self.plan.losses]
        return evaluate_by_run(formulas, self.plan.losses, real, fake)

    def _real(self, inputs: IntervalInputs, update: int) -> Tensor:
        return inputs.points[inputs.rows[:, update]]

    def _fake(self, theta_g: Tensor, inputs: IntervalInputs, update: int) -> Tensor:
        return self.generator(split(self.generator, theta_g), inputs.noise[:, update])
