"""The inner loop: one interval of adversarial training for members that share a step ratio."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from metagan_rl.losses import LOSSES, LogitLoss
from metagan_rl.networks.base import ClosedForm, StackedNetwork, split
from metagan_rl.penalties import PENALTIES, Penalty, input_gradient
from metagan_rl.populations.measurements import Measurements, Recorder
from metagan_rl.populations.optimizers import Adam, per_member_norm, sgd
from metagan_rl.populations.state import PopulationState

WEIGHT_LIMIT = 1e4
"""A weight beyond this counts as exploded: no healthy network on standardised data comes near."""


@dataclass(frozen=True)
class IntervalPlan:
    """What a chunk of members does for one interval.

    Attributes:
        cycle: D updates and G updates in each cycle.
        cycles: how many cycles.
        losses: ``(name, first member, last member + 1)``, covering the chunk in order.
        penalty: name of the gradient penalty all of them use, or ``None``.
        penalty_weight, generator_lr, discriminator_lr, beta1, beta2, ema_decay: ``[B, 1]``.
        optimizer: ``"adam"`` or ``"sgd"``.
        simultaneous: step both networks from the same point (only in 1:1 cycles).
    """

    cycle: tuple[int, int]
    cycles: int
    losses: list[tuple[str, int, int]]
    penalty: str | None
    penalty_weight: Tensor
    generator_lr: Tensor
    discriminator_lr: Tensor
    beta1: Tensor
    beta2: Tensor
    ema_decay: Tensor
    optimizer: str
    simultaneous: bool


@dataclass(frozen=True)
class IntervalInputs:
    """All that is random in an interval, drawn beforehand; U updates.

    Attributes:
        noise: ``[B, U, N, Z]``.
        points: rows of the chunk's members' training data, one after the other, ``[R, D]``.
        rows: which of them each update sees, ``[B, U, N]``.
        mix: ``[B, U, N, 1]`` in [0, 1] for penalties between real and generated data.
    """

    noise: Tensor
    points: Tensor
    rows: Tensor
    mix: Tensor


class IntervalTrainer:
    """Trains the members of one chunk in place, update by update."""

    def __init__(
        self,
        generator: StackedNetwork,
        discriminator: StackedNetwork,
        state: PopulationState,
        plan: IntervalPlan,
        inputs: IntervalInputs,
        *,
        closed_form: bool = True,
    ) -> None:
        """Prepares one interval.

        Args:
            generator: latent to data.
            discriminator: data to one logit.
            state: of the chunk's members; changed in place.
            plan: what they do.
            inputs: all that is random.
            closed_form: take gradients in closed form where the networks have one; else by automatic differentiation.
        """
        # The closed forms of networks that have none are never called.
        self.generator, self.discriminator = cast(ClosedForm, generator), cast(ClosedForm, discriminator)
        self.state, self.plan, self.inputs = state, plan, inputs
        self.closed_form = closed_form and generator.has_backward and discriminator.has_backward
        self.generator_weights = split(generator, state.generator)
        self.discriminator_weights = split(discriminator, state.discriminator)
        if not self.closed_form:
            for weight in [*self.generator_weights, *self.discriminator_weights]:
                weight.requires_grad_()
        self.adams: tuple[Adam, Adam] | None = None
        if plan.optimizer == "adam":
            moments, cycles = (plan.beta1, plan.beta2), plan.cycles
            self.adams = (
                Adam(state.generator_steps, cycles * plan.cycle[1], plan.generator_lr, *moments),
                Adam(state.discriminator_steps, cycles * plan.cycle[0], plan.discriminator_lr, *moments),
            )
        boundary = torch.zeros(len(state), 1)
        for name, first, last in plan.losses:
            boundary[first:last] = LOSSES[name].boundary
        self.recorder = Recorder(boundary)
        self.relative = any(LOSSES[name].relative for name, _, _ in plan.losses)

    def run(self) -> Measurements:
        """Trains the interval; members that blew up are flagged and put back to where they began it."""
        start = self.state.clone()
        discriminator_updates, generator_updates = self.plan.cycle
        update = 0
        for _ in range(self.plan.cycles):
            if self.plan.simultaneous and self.plan.cycle == (1, 1):
                gradients = self._discriminator_gradient(update), self._generator_gradient(update + 1)
                self._step_discriminator(gradients[0])
                self._step_generator(gradients[1])
                update += 2
                continue
            for _ in range(discriminator_updates):
                self._step_discriminator(self._discriminator_gradient(update))
                update += 1
            for _ in range(generator_updates):
                self._step_generator(self._generator_gradient(update))
                update += 1
        return self._finish(start)

    def _finish(self, start: PopulationState) -> Measurements:
        state, cycles = self.state, self.plan.cycles
        state.discriminator_steps += cycles * self.plan.cycle[0]
        state.generator_steps += cycles * self.plan.cycle[1]
        state.intervals += 1
        largest = torch.maximum(state.generator.abs().amax(dim=1), state.discriminator.abs().amax(dim=1))
        diverged = ~(largest < WEIGHT_LIMIT)  # NaN is not below the limit either
        measured = self.recorder.measurements(
            per_member_norm(state.generator - start.generator) / per_member_norm(start.generator).clamp_min(1e-12),
            per_member_norm(state.discriminator - start.discriminator)
            / per_member_norm(start.discriminator).clamp_min(1e-12),
            diverged,
        )
        if diverged.any():
            intervals = state.intervals.clone()
            state.put(diverged, start[diverged])
            state.intervals.copy_(intervals)
            state.diverged |= diverged
        return measured

    def _real(self, update: int) -> Tensor:
        rows = self.inputs.rows[:, update]
        return self.inputs.points.index_select(0, rows.reshape(-1)).view(*rows.shape, -1)

    def _critic(self, points: Tensor) -> Tensor:
        return self.discriminator(self.discriminator_weights, points).squeeze(-1)

    def _discriminator_gradient(self, update: int) -> Tensor:
        real = self._real(update)
        with torch.no_grad():
            fake = self.generator(self.generator_weights, self.inputs.noise[:, update])
        points, names = torch.cat([real, fake], dim=1), [name for name, _, _ in self.plan.losses]
        if self.closed_form:
            values = self.discriminator.forward(self.discriminator_weights, points)
            logits = values[-1].requires_grad_()
        else:
            logits = self.discriminator(self.discriminator_weights, points)
        real_logits, fake_logits = logits.squeeze(-1).split(real.shape[1], dim=1)
        loss = self._loss([LOSSES[name].discriminator for name in names], real_logits, fake_logits)
        if self.closed_form:
            (by_logits,) = torch.autograd.grad(loss.sum(), logits)
            gradients, _ = self.discriminator.backward(
                self.discriminator_weights, values, by_logits, by_weights=True, by_inputs=False
            )
            gradient = self._flat(gradients)
        else:
            gradient = self._differentiate(loss.sum(), self.discriminator_weights)
        self.recorder.discriminator(real_logits, fake_logits, loss, gradient)
        if self.plan.penalty is None:
            return gradient
        penalty = PENALTIES[self.plan.penalty]
        if not (self.closed_form and self.discriminator.has_penalty_backward):
            return gradient + self._penalty_gradient(penalty, penalty.points(real, fake, self.inputs.mix[:, update]))
        if not penalty.uses_batch:
            points = penalty.points(real, fake, self.inputs.mix[:, update])
            values = self.discriminator.forward(self.discriminator_weights, points)
        return gradient.add_(self._penalty_closed_form(penalty, values))

    def _generator_gradient(self, update: int) -> Tensor:
        noise, names = self.inputs.noise[:, update], [name for name, _, _ in self.plan.losses]
        if self.closed_form:
            through_generator = self.generator.forward(self.generator_weights, noise)
            through_both = self.discriminator.forward(self.discriminator_weights, through_generator[-1])
            logits = through_both[-1].requires_grad_()
        else:
            logits = self.discriminator(self.discriminator_weights, self.generator(self.generator_weights, noise))
        fake_logits = real_logits = logits.squeeze(-1)
        if self.relative:
            with torch.no_grad():
                real_logits = self._critic(self._real(update))
        loss = self._loss([LOSSES[name].generator for name in names], real_logits, fake_logits)
        if self.closed_form:
            (by_logits,) = torch.autograd.grad(loss.sum(), logits)
            _, by_fake = self.discriminator.backward(
                self.discriminator_weights, through_both, by_logits, by_weights=False, by_inputs=True
            )
            gradients, _ = self.generator.backward(
                self.generator_weights, through_generator, by_fake, by_weights=True, by_inputs=False
            )
            gradient = self._flat(gradients)
        else:
            gradient = self._differentiate(loss.sum(), self.generator_weights)
        self.recorder.generator(loss, gradient)
        return gradient

    def _penalty_gradient(self, penalty: Penalty, points: Tensor) -> Tensor:
        weights = [weight.detach().requires_grad_() for weight in self.discriminator_weights]
        gradient = input_gradient(lambda at: self.discriminator(weights, at).squeeze(-1), points)
        return self._differentiate((self.plan.penalty_weight.squeeze(1) * penalty.value(gradient)).sum(), weights)

    def _penalty_closed_form(self, penalty: Penalty, values: list[Tensor]) -> Tensor:
        weights = self.discriminator_weights
        gradient, chain = self.discriminator.input_gradient(weights, values)
        total = (self.plan.penalty_weight.squeeze(1) * penalty.value(gradient.requires_grad_())).sum()
        (cotangent,) = torch.autograd.grad(total, gradient)
        gradients = self.discriminator.penalty_backward(weights, values, chain, cotangent)
        parts = [torch.zeros_like(w) if g is None else g for w, g in zip(weights, gradients, strict=True)]
        return self._flat(parts)

    def _loss(self, formulas: list[LogitLoss], real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        runs = zip(formulas, self.plan.losses, strict=True)
        return torch.cat([formula(real_logits[a:b], fake_logits[a:b]) for formula, (_, a, b) in runs])

    def _differentiate(self, total: Tensor, weights: list[Tensor]) -> Tensor:
        # A weight may not matter at all: D's last bias, for one, under a relative loss or a penalty.
        return self._flat(torch.autograd.grad(total, weights, allow_unused=True, materialize_grads=True))

    def _flat(self, gradients: Sequence[Tensor]) -> Tensor:
        return torch.cat([gradient.reshape(len(self.state), -1) for gradient in gradients], dim=1)

    @torch.no_grad()
    def _step_discriminator(self, gradient: Tensor) -> None:
        state = self.state
        if self.adams is None:
            sgd(state.discriminator, gradient, self.plan.discriminator_lr)
        else:
            self.adams[1].step(state.discriminator, gradient, state.discriminator_first, state.discriminator_second)

    @torch.no_grad()
    def _step_generator(self, gradient: Tensor) -> None:
        state = self.state
        if self.adams is None:
            sgd(state.generator, gradient, self.plan.generator_lr)
        else:
            self.adams[0].step(state.generator, gradient, state.generator_first, state.generator_second)
        state.average.lerp_(state.generator, 1 - self.plan.ema_decay)
