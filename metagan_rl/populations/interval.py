"""The inner loop: one interval of adversarial training for members that share a step ratio."""

from dataclasses import dataclass

import torch
from torch import Tensor

from metagan_rl.losses import LOSSES
from metagan_rl.networks.base import StackedNetwork, split
from metagan_rl.penalties import PENALTIES
from metagan_rl.populations.measurements import Measurements, Recorder
from metagan_rl.populations.optimizers import adam, per_member_norm, sgd
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
    ) -> None:
        """Args: generator, discriminator: the networks. state: of the chunk; changed in place."""
        self.generator, self.discriminator = generator, discriminator
        self.state, self.plan, self.inputs = state, plan, inputs
        self.generator_weights = [w.requires_grad_() for w in split(generator, state.generator)]
        self.discriminator_weights = [w.requires_grad_() for w in split(discriminator, state.discriminator)]
        self.generator_step = state.generator_steps.to(state.generator.dtype)[:, None]
        self.discriminator_step = state.discriminator_steps.to(state.generator.dtype)[:, None]
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
        logits = self._critic(torch.cat([real, fake], dim=1))
        real_logits, fake_logits = logits.split(real.shape[1], dim=1)
        loss = torch.cat(
            [LOSSES[name].discriminator(real_logits[a:b], fake_logits[a:b]) for name, a, b in self.plan.losses]
        )
        total = loss.sum()
        if self.plan.penalty is not None:
            penalty = PENALTIES[self.plan.penalty](self._critic, real, fake, self.inputs.mix[:, update])
            total = total + (self.plan.penalty_weight.squeeze(1) * penalty).sum()
        gradient = self._flat_gradient(total, self.discriminator_weights)
        self.recorder.discriminator(real_logits, fake_logits, loss, gradient)
        return gradient

    def _generator_gradient(self, update: int) -> Tensor:
        fake = self.generator(self.generator_weights, self.inputs.noise[:, update])
        fake_logits = self._critic(fake)
        real_logits = fake_logits
        if self.relative:
            with torch.no_grad():
                real_logits = self._critic(self._real(update))
        loss = torch.cat([LOSSES[name].generator(real_logits[a:b], fake_logits[a:b]) for name, a, b in self.plan.losses])
        gradient = self._flat_gradient(loss.sum(), self.generator_weights)
        self.recorder.generator(loss, gradient)
        return gradient

    def _flat_gradient(self, total: Tensor, weights: list[Tensor]) -> Tensor:
        # A weight may not matter at all: D's last bias under a relative loss, or under a critic's difference.
        gradients = torch.autograd.grad(total, weights, allow_unused=True, materialize_grads=True)
        return torch.cat([gradient.reshape(len(self.state), -1) for gradient in gradients], dim=1)

    @torch.no_grad()
    def _step_discriminator(self, gradient: Tensor) -> None:
        plan, state = self.plan, self.state
        self.discriminator_step += 1
        if plan.optimizer == "sgd":
            sgd(state.discriminator, gradient, plan.discriminator_lr)
            return
        first, second = state.discriminator_first, state.discriminator_second
        lr, step = plan.discriminator_lr, self.discriminator_step
        adam(state.discriminator, gradient, first, second, step, lr, plan.beta1, plan.beta2)

    @torch.no_grad()
    def _step_generator(self, gradient: Tensor) -> None:
        plan, state = self.plan, self.state
        self.generator_step += 1
        if plan.optimizer == "sgd":
            sgd(state.generator, gradient, plan.generator_lr)
        else:
            first, second = state.generator_first, state.generator_second
            lr, step = plan.generator_lr, self.generator_step
            adam(state.generator, gradient, first, second, step, lr, plan.beta1, plan.beta2)
        state.average.lerp_(state.generator, 1 - plan.ema_decay)
