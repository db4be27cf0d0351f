"""The inner loop: one interval of adversarial training for a chunk of members with any step ratios.

Members do not depend on each other. So one member's D and another's G may step at the same update. At the n-th update
of the interval, all members whose cycle says D take their D step together. Then all others take their G step.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from metagan_rl.losses import LOSSES, LogitLoss
from metagan_rl.networks.base import ClosedForm, StackedNetwork, split
from metagan_rl.optimizers import OPTIMIZERS, Beginning, Optimizer, pick
from metagan_rl.penalties import PENALTIES, Penalty, input_gradient
from metagan_rl.populations.measurements import Measurements, Recorder
from metagan_rl.populations.settings import CYCLE
from metagan_rl.populations.state import PopulationState

WEIGHT_LIMIT = 1e4
"""A member with a larger weight has exploded. Healthy networks on standardised data stay far below this."""
SAMPLE_LIMIT = 100.0
"""A member whose generated points have a larger root mean square, in deviations of the data, has exploded too. Adam
bounds how fast weights grow, but three layers can still blow up the noise."""

Run = tuple[str, int, int]
"""A name, with the first and the last + 1 of the members that it applies to."""


@dataclass(frozen=True)
class IntervalPlan:
    """What a chunk of B members does for one interval of U updates.

    Attributes:
        updates: U; every member's cycle fits into it a whole number of times.
        cycles: D updates and G updates in each member's cycle.
        losses: runs that cover the chunk in order.
        penalties: runs of the members that have a gradient penalty, in order.
        penalty_weight, generator_lr, discriminator_lr, beta1, beta2, ema_decay: ``[B, 1]``.
        optimizer: name of the optimizer.
        simultaneous: both networks step from the same point (only if all cycles are 1:1).
    """

    updates: int
    cycles: Sequence[tuple[int, int]]
    losses: list[Run]
    penalties: list[Run]
    penalty_weight: Tensor
    generator_lr: Tensor
    discriminator_lr: Tensor
    beta1: Tensor
    beta2: Tensor
    ema_decay: Tensor
    optimizer: str
    simultaneous: bool

    def discriminates(self) -> Tensor:
        """Whether each member's n-th update is D's, bool ``[12, B]``. All cycles start again after 12 updates."""
        number = torch.arange(CYCLE)[:, None]
        cycles = torch.tensor(self.cycles)
        return number % cycles.sum(dim=1) < cycles[:, 0]


@dataclass(frozen=True)
class IntervalInputs:
    """All that is random in an interval of U updates, drawn beforehand.

    Attributes:
        noise: ``[B, U, N, Z]``.
        points: training data of the chunk's members, one member after the other, ``[R, D]``.
        rows: rows of ``points`` that each update sees, ``[B, U, N]``.
        mix: shares in [0, 1] for penalties at points between real and generated data, ``[B, U, N, 1]``.
    """

    noise: Tensor
    points: Tensor
    rows: Tensor
    mix: Tensor


class Turn:
    """The b members of a chunk that step the same network at the same update.

        plan: plan of the chunk.
        steps: which members step, bool ``[B]``.

    Attributes:
        members: their indices in the chunk, ``[b]``; ``None`` if all members step, so that nothing is gathered.
        losses, penalties: their runs.
        parts: all members in order, with the name of the penalty if it uses the batch, else ``None``.
        penalty_weight, ema_decay: their values, ``[b, 1]``.
    """

    def __init__(self, plan: IntervalPlan, steps: Tensor) -> None:
        self.members = None if steps.all() else steps.nonzero().squeeze(1).to(plan.generator_lr.device)
        before = [0, *steps.cumsum(0).tolist()]
        self.losses = [(name, before[a], before[b]) for name, a, b in plan.losses if before[a] < before[b]]
        self.penalties = [(name, before[a], before[b]) for name, a, b in plan.penalties if before[a] < before[b]]
        self.parts = _parts(self.penalties, before[-1])
        self.penalty_weight, self.ema_decay = self.of(plan.penalty_weight), self.of(plan.ema_decay)
        self.relative = any(LOSSES[name].relative for name, _, _ in self.losses)

    def of(self, rows: Tensor) -> Tensor:
        """The rows of these members: the tensor itself if all step, else a copy."""
        return pick(rows, self.members)

    def put(self, rows: Tensor, changed: Tensor) -> None:
        """Writes back what :meth:`of` returned, after it was changed."""
        if self.members is not None:
            rows.index_copy_(0, self.members, changed)


def _parts(penalties: list[Run], members: int) -> list[tuple[str | None, int, int]]:
    parts: list[tuple[str | None, int, int]] = []
    done = 0
    for name, first, last in [*penalties, (None, members, members)]:
        if name is not None and not PENALTIES[name].uses_batch:
            continue
        if done < first:
            parts.append((None, done, first))
        if name is not None:
            parts.append((name, first, last))
        done = last
    return parts


def _turn(plan: IntervalPlan, steps: Tensor) -> Turn | None:
    return Turn(plan, steps) if steps.any() else None


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
            generator: from latent noise to data.
            discriminator: from data to one logit.
            state: state of the chunk's members; changed in place.
            plan: what they do.
            inputs: all that is random.
            closed_form: use closed-form gradients if the networks have them, else automatic differentiation.
        """
        # Networks without closed forms are cast too, but theirs are never called.
        self.generator, self.discriminator = cast(ClosedForm, generator), cast(ClosedForm, discriminator)
        self.state, self.plan, self.inputs = state, plan, inputs
        self.closed_form = closed_form and generator.has_backward and discriminator.has_backward
        device = plan.generator_lr.device
        discriminates = plan.discriminates()
        # Worked out before the first update. Later, on a GPU, the host would wait for all that is queued.
        self.turns = [(_turn(plan, steps), _turn(plan, ~steps)) for steps in discriminates]
        self.turn_of_discriminator = discriminates[torch.arange(plan.updates) % CYCLE].to(device)  # [U, B]
        numbers = [
            steps + turns.cumsum(0)
            for steps, turns in (
                (state.generator_steps, ~self.turn_of_discriminator),
                (state.discriminator_steps, self.turn_of_discriminator),
            )
        ]
        make, moments = OPTIMIZERS[plan.optimizer].make, (plan.beta1, plan.beta2)
        self.optimizers = (
            make(Beginning(numbers[0], plan.generator_lr, *moments, opponent=state.discriminator_second)),
            make(Beginning(numbers[1], plan.discriminator_lr, *moments)),
        )
        self.rows_of_generator = _kept(
            state.generator, state.generator_first, state.generator_second, state.generator_extra
        )
        self.rows_of_discriminator = _kept(
            state.discriminator, state.discriminator_first, state.discriminator_second, state.discriminator_extra
        )
        boundary = torch.zeros(len(state), 1, dtype=plan.generator_lr.dtype, device=device)
        for name, first, last in plan.losses:
            boundary[first:last] = LOSSES[name].boundary
        self.recorder = Recorder(boundary, self.turn_of_discriminator, inputs.rows.shape[-1])

    def run(self) -> Measurements:
        """Trains the interval. Members that blew up are flagged and put back to their state at its start."""
        start = self.state.clone()
        if self.plan.simultaneous:
            self._run_simultaneously()
        else:
            self._run_in_turns()
        return self._finish(start)

    def _run_in_turns(self) -> None:
        for update in range(self.plan.updates):
            discriminating, generating = self.turns[update % CYCLE]
            if discriminating is not None:
                self._step_discriminator(discriminating, update, self._discriminator_gradient(discriminating, update))
            if generating is not None:
                self._step_generator(generating, update, self._generator_gradient(generating, update))

    def _run_simultaneously(self) -> None:
        everyone = Turn(self.plan, torch.ones(len(self.state), dtype=torch.bool))
        for update in range(0, self.plan.updates, 2):
            of_discriminator = self._discriminator_gradient(everyone, update)
            of_generator = self._generator_gradient(everyone, update + 1)
            self._step_discriminator(everyone, update, of_discriminator)
            self._step_generator(everyone, update + 1, of_generator)

    def _finish(self, start: PopulationState) -> Measurements:
        state = self.state
        state.discriminator_steps += self.turn_of_discriminator.sum(0)
        state.generator_steps += (~self.turn_of_discriminator).sum(0)
        state.intervals += 1
        largest = torch.maximum(state.generator.abs().amax(dim=1), state.discriminator.abs().amax(dim=1))
        with torch.no_grad():
            points = self.generator(split(self.generator, state.generator), self.inputs.noise[:, -1])
        spread = points.double().square().mean(dim=(1, 2)).sqrt()
        squares = torch.maximum(state.generator_second.amax(dim=1), state.discriminator_second.amax(dim=1))
        # NaN counts as diverged, and so do gradients whose squares overflow: Adam would never move their weights again
        diverged = ~((largest < WEIGHT_LIMIT) & (spread < SAMPLE_LIMIT) & (squares < math.inf))
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

    def _real(self, turn: Turn, update: int) -> Tensor:
        rows = turn.of(self.inputs.rows[:, update])
        return self.inputs.points.index_select(0, rows.reshape(-1)).view(*rows.shape, -1)

    def _weights(self, network: StackedNetwork, turn: Turn, rows: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The members' weights: flat ``[b, P]``, and as separate tensors."""
        flat = turn.of(rows)
        if not self.closed_form:
            flat = flat.detach().requires_grad_()
        return flat, split(network, flat)

    def _discriminator_gradient(self, turn: Turn, update: int) -> Tensor:
        real = self._real(turn, update)
        flat, weights = self._weights(self.discriminator, turn, self.state.discriminator)
        with torch.no_grad():
            generator_weights = split(self.generator, turn.of(self.state.generator))
            fake = self.generator(generator_weights, turn.of(self.inputs.noise[:, update]))
        if self.closed_form:
            values = self.discriminator.forward(weights, torch.cat([real, fake], dim=1))
            real_logits, fake_logits = values[-1].squeeze(-1).split(real.shape[1], dim=1)
            loss, by_logits = _with_slopes(
                [LOSSES[name].of_discriminator for name, _, _ in turn.losses], turn.losses, real_logits, fake_logits
            )
            gradient, chains = self._discriminator_gradients(turn, weights, values, by_logits)
        else:
            # Two calls: gradients that cancel are summed in the same order, and their sum is exactly 0.
            real_logits, fake_logits = (self.discriminator(weights, each).squeeze(-1) for each in (real, fake))
            formulas = [LOSSES[name].discriminator for name, _, _ in turn.losses]
            loss = evaluate_by_run(formulas, turn.losses, real_logits, fake_logits)
            gradient = _differentiate(loss.sum(), flat)
        self.recorder.discriminator(update, turn.members, real_logits, fake_logits, loss, gradient)
        for name, a, b in turn.penalties:
            penalty, weight, members = PENALTIES[name], turn.penalty_weight[a:b, 0], slice(a, b)
            if self.closed_form and self.discriminator.has_penalty_backward:
                some = [each[members] for each in weights]
                if penalty.uses_batch:
                    there, chain = [each[members] for each in values], chains[a]
                else:
                    mix = turn.of(self.inputs.mix[:, update])[members]
                    there = self.discriminator.forward(some, penalty.points(real[members], fake[members], mix))
                    chain = self.discriminator.input_gradient(some, there)
                gradient[members] += self._penalty_closed_form(penalty, weight, some, there, *chain)
            else:
                mix = turn.of(self.inputs.mix[:, update])[members]
                at = penalty.points(real[members], fake[members], mix)
                gradient[members] += self._penalty_gradient(penalty, weight, flat[members], at)
        return gradient

    def _discriminator_gradients(
        self, turn: Turn, weights: list[Tensor], values: list[Tensor], by_logits: Tensor
    ) -> tuple[Tensor, dict[int, tuple[Tensor, list[Tensor]]]]:
        """D's gradients without penalty ``[b, P]``, and what :meth:`input_gradient` gave for each run that needs it.

        A penalty on the batch itself goes back through D from a gradient of 1. The loss takes the same way from its own
        slopes. So it is gone once for both.
        """
        gradients, chains = [], {}
        for name, a, b in turn.parts if self.discriminator.has_penalty_backward else [(None, 0, len(by_logits))]:
            some, there = ([each[a:b] for each in every] for every in (weights, values))
            if name is None:
                found, _ = self.discriminator.backward(some, there, by_logits[a:b], by_weights=True, by_inputs=False)
            else:
                chains[a] = self.discriminator.input_gradient(some, there)
                found = self.discriminator.backward_along(some, there, chains[a][1], by_logits[a:b])
            gradients.append(_flat(found))
        return torch.cat(gradients), chains

    def _generator_gradient(self, turn: Turn, update: int) -> Tensor:
        noise = turn.of(self.inputs.noise[:, update])
        flat, weights = self._weights(self.generator, turn, self.state.generator)
        discriminator_weights = split(self.discriminator, turn.of(self.state.discriminator))
        if self.closed_form:
            through_generator = self.generator.forward(weights, noise)
            through_both = self.discriminator.forward(discriminator_weights, through_generator[-1])
            logits = through_both[-1]
        else:
            logits = self.discriminator(discriminator_weights, self.generator(weights, noise))
        fake_logits = real_logits = logits.squeeze(-1)
        if turn.relative:
            with torch.no_grad():
                real_logits = self.discriminator(discriminator_weights, self._real(turn, update)).squeeze(-1)
        if self.closed_form:
            loss, by_logits = _with_slopes(
                [LOSSES[name].of_generator for name, _, _ in turn.losses], turn.losses, real_logits, fake_logits
            )
            _, by_fake = self.discriminator.backward(
                discriminator_weights, through_both, by_logits, by_weights=False, by_inputs=True
            )
            gradients, _ = self.generator.backward(
                weights, through_generator, by_fake, by_weights=True, by_inputs=False
            )
            gradient = _flat(gradients)
        else:
            formulas = [LOSSES[name].generator for name, _, _ in turn.losses]
            loss = evaluate_by_run(formulas, turn.losses, real_logits, fake_logits)
            gradient = _differentiate(loss.sum(), flat)
        self.recorder.generator(update, turn.members, loss, gradient)
        return gradient

    def _penalty_gradient(self, penalty: Penalty, weight: Tensor, flat: Tensor, points: Tensor) -> Tensor:
        flat = flat.detach().requires_grad_()
        weights = split(self.discriminator, flat)
        gradient = input_gradient(lambda at: self.discriminator(weights, at).squeeze(-1), points)
        return _differentiate((weight * penalty.value(gradient)).sum(), flat)

    def _penalty_closed_form(
        self,
        penalty: Penalty,
        weight: Tensor,
        weights: list[Tensor],
        values: list[Tensor],
        gradient: Tensor,
        chain: list[Tensor],
    ) -> Tensor:
        total = (weight * penalty.value(gradient.requires_grad_())).sum()
        (cotangent,) = torch.autograd.grad(total, gradient)
        gradients = self.discriminator.penalty_backward(weights, values, chain, cotangent)
        return _flat([torch.zeros_like(w) if g is None else g for w, g in zip(weights, gradients, strict=True)])

    @torch.no_grad()
    def _step_discriminator(self, turn: Turn, update: int, gradient: Tensor) -> None:
        self._step(self.optimizers[1], turn, update, gradient, self.rows_of_discriminator)

    @torch.no_grad()
    def _step_generator(self, turn: Turn, update: int, gradient: Tensor) -> None:
        weights, *kept = self._step(self.optimizers[0], turn, update, gradient, self.rows_of_generator)
        average = turn.of(self.state.average)
        self.optimizers[0].judge(average, weights, kept, 1 - turn.ema_decay)
        turn.put(self.state.average, average)

    def _step(
        self, optimizer: Optimizer, turn: Turn, update: int, gradient: Tensor, rows: Sequence[Tensor]
    ) -> list[Tensor]:
        """Steps weights and what is kept of them in place. Returns both for the members that stepped."""
        weights, *kept = changed = [turn.of(each) for each in rows]
        optimizer.step(update, weights, gradient, kept, turn.members)
        for each, new in zip(rows, changed, strict=True):
            turn.put(each, new)
        return changed


def _kept(*rows: Tensor) -> list[Tensor]:
    """Weights and what is kept of them, without rows of no columns: most optimizers keep nothing extra."""
    return [each for each in rows if each.shape[1]]


def per_member_norm(rows: Tensor) -> Tensor:
    """Euclidean norm of each row, ``[B]``."""
    return torch.linalg.vector_norm(rows, dim=1)


def evaluate_by_run(
    formulas: Sequence[LogitLoss], runs: Sequence[Run], real_logits: Tensor, fake_logits: Tensor
) -> Tensor:
    """Losses ``[b]`` of members from their logits ``[b, N]``, with one formula for each run of members."""
    return torch.cat(
        [formula(real_logits[a:b], fake_logits[a:b]) for formula, (_, a, b) in zip(formulas, runs, strict=True)]
    )


def _with_slopes(
    formulas: Sequence[Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]],
    runs: list[Run],
    real_logits: Tensor,
    fake_logits: Tensor,
) -> tuple[Tensor, Tensor]:
    """Losses ``[b]``, and their derivatives by the logits in the networks' shape, ``[b, N or 2N, 1]``."""
    pairs = [formula(real_logits[a:b], fake_logits[a:b]) for formula, (_, a, b) in zip(formulas, runs, strict=True)]
    losses, slopes = zip(*pairs, strict=True)
    return torch.cat(losses), torch.cat(slopes).unsqueeze(-1)


def _differentiate(total: Tensor, flat: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(total, flat)
    return gradient


def _flat(gradients: Sequence[Tensor]) -> Tensor:
    return torch.cat([gradient.flatten(1) for gradient in gradients], dim=1)
