"""Checks that losses and penalties can be differentiated as often as second-order MAML needs."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from metagan_rl.errors import InvalidValueError
from metagan_rl.losses import LOSSES
from metagan_rl.meta_init.fomaml import split_batches
from metagan_rl.meta_init.game import Game
from metagan_rl.meta_init.weights import MetaInit
from metagan_rl.populations.interval import IntervalInputs
from metagan_rl.populations.settings import RATIOS
from metagan_rl.tasks.task import Task


def check_differentiable(meta: MetaInit, tasks: Sequence[Task]) -> None:
    """Takes the derivatives that second-order MAML needs, once for each loss and penalty of the tasks, and checks them.

    The inner loop differentiates D's loss once, and the outer loop once more. A penalty already holds a derivative,
    which makes three. All penalties of ``metagan_rl.penalties`` allow this with all activations. Others may not, and
    torch does not always say so. So the outer derivative is compared with a difference quotient.

    Raises:
        InvalidValueError: one of them cannot be differentiated so often, or the result is wrong.
    """
    chosen = {(task.base.loss, task.base.penalty_weight > 0): task for task in tasks}
    for (loss, penalised), task in chosen.items():
        support, _ = split_batches(meta, [task], [0])
        support.dtype = torch.float64
        plan, inputs = support.prepared(sum(RATIOS[task.base.ratio]))
        game = Game(support.generator, support.discriminator, plan)
        phi = (support.state.generator.double(), support.state.discriminator.double())
        what = f"loss {loss!r}" + (f" with its penalty {LOSSES[loss].penalty!r}" if penalised else "")
        try:
            agrees = _derivative_agrees(game, replace(inputs, points=inputs.points.double()), phi)
            reason = "its second derivative is not what differences of the first tell"
        except RuntimeError as error:
            agrees, reason = False, str(error).splitlines()[0]
        if not agrees:
            raise InvalidValueError(
                f"second-order MAML cannot differentiate {what} on networks of kind {meta.generator.networks.kind!r} "
                f"as often as it has to ({reason}); use order=1, Reptile, or penalty_weight=0"
            )


def _derivative_agrees(game: Game, inputs: IntervalInputs, phi: tuple[Tensor, Tensor]) -> bool:
    """Whether the derivative of the losses' squared slopes is right along at least one of a few directions.

    One is enough. Where a step crosses a kink of the networks, a right derivative looks wrong. But a wrong one hardly
    ever looks right.
    """

    def steepness(at: tuple[Tensor, Tensor]) -> Tensor:
        losses = (game.discriminator_loss(at[1], at[0], inputs, 0), game.generator_loss(at[0], at[1], inputs, 0))
        slopes = [torch.autograd.grad(loss.sum(), at, create_graph=True) for loss in losses]
        return torch.stack([slope.square().sum() for pair in slopes for slope in pair]).sum()

    here = (phi[0].clone().requires_grad_(), phi[1].clone().requires_grad_())
    derivative = torch.autograd.grad(steepness(here), here, allow_unused=True)
    rng, size = torch.Generator().manual_seed(0), 1e-6
    for _ in range(3):
        ways = [torch.randn(row.shape, generator=rng, dtype=row.dtype) for row in phi]
        ways = [way / way.norm() for way in ways]  # short, as in wide networks a longer step always crosses a kink
        told = sum(float((d * way).sum()) for d, way in zip(derivative, ways, strict=True) if d is not None)
        sides = []
        for sign in (size, -size):
            there = [(row + sign * way).requires_grad_() for row, way in zip(phi, ways, strict=True)]
            sides.append(float(steepness((there[0], there[1])).detach()))
        found = (sides[0] - sides[1]) / (2 * size)
        if abs(told - found) <= 1e-3 * abs(found) + 1e-8 * abs(sides[0]):
            return True
    return False
