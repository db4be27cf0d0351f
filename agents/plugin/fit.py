"""Tells, in the first interval, whether the logits and the loss that a loop gives can belong together."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from metagan_rl.agents.plugin.meter import as_real, tensors_of
from metagan_rl.losses import LOSSES

ROUNDS = 16
"""Rounds at the start of a run that are compared."""
EQUAL = 0.02
"""Losses that differ by less, relatively, are the same: half precision rounds by a little less."""
EXACT = 2e-5
"""Losses that differ by less in every round, relatively, are the same to the last digits of single precision."""
APART = 10.0
"""Another loss differs by this many times as much on average, if it can be told from the same."""
NEAR = 1.5
"""A loss this many times another may come from another batch; beyond, it is another loss."""
HUGE = 4.0
"""No D that learns has a loss this many times its ideal, and this much above it, over a whole interval."""
UNBOUNDED = ("non-saturating", "hinge")
"""Losses under which a D that has learned something gives real and generated samples logits of both signs."""
FIRST, LAST = 4, 16
"""Intervals in which logits without a loss are looked at: only a D that has learned something tells."""


@dataclass(frozen=True)
class Misfit:
    """What does not fit.

    Attributes:
        message: a sentence with the remedy.
        unusable: whether what is given cannot be read as what it should be. If not, the loss from logits is right.
    """

    message: str
    unusable: bool


class Fit:
    """Compares D's loss as given with the losses that the logits have, over the first rounds of a run.

    Args:
        loss: the loss that the loop says it uses.
    """

    def __init__(self, loss: str) -> None:
        self.loss = loss
        self._rounds: list[Any] = []
        self._intervals, self._within_unit = 0, True
        self.judged = False

    @property
    def doubts(self) -> bool:
        """Whether all logits so far may be probabilities, which only D's first successes will tell."""
        return not self.judged and self._intervals > 0 and self._within_unit and self.loss in UNBOUNDED

    def note(self, real: Any, fake: Any, given: Any) -> None:
        """Notes one round that gave logits and D's loss; waits for nothing."""
        if self.judged or len(self._rounds) == ROUNDS:
            return
        rows = []
        for one, other in zip(tensors_of(real), tensors_of(fake), strict=True):
            count = min(one.numel(), other.numel())
            r, f = (as_real(each.reshape(1, -1)[:, :count]) for each in (one, other.to(one.device)))
            unlikely = torch.stack([r, 1 - f]).clamp(1e-6, 1).log().sum(dim=0)  # as if these were probabilities
            exchanged = LOSSES[self.loss].discriminator(f, r)
            rows.append(
                torch.cat([*(loss.discriminator(r, f) for loss in LOSSES.values()), exchanged, -unlikely.mean(dim=-1)])
            )
        told = torch.stack([as_real(each).mean().to(rows[0].device) for each in tensors_of(given)]).mean()
        self._rounds.append(torch.cat([torch.stack([row.to(rows[0].device) for row in rows]).mean(dim=0), told[None]]))

    def judge(self, told: dict[str, float], ideal: float, known: dict[str, float]) -> Misfit | None:
        """What does not fit in the first interval that told enough; ``None`` from then on.

        Args:
            told: ``within_unit`` and ``given_loss`` from the meter.
            ideal: D's ideal loss; 0 for critics.
            known: the interval's ``discriminator_loss``, ``real_logit`` and ``fake_logit``, NaN where not measured.
        """
        if self.judged or (math.isnan(told["given_loss"]) and math.isnan(known["real_logit"])):
            return None
        self._intervals += 1
        self.judged = bool(self._rounds) or math.isnan(known["real_logit"]) or self._intervals >= LAST
        if self._rounds:
            rounds = torch.stack(self._rounds)
            self._rounds = []
            return self._compared(rounds)
        if math.isnan(known["real_logit"]):
            return self._loss_alone(told["given_loss"], ideal)
        return self._logits_alone(told["within_unit"], ideal, known)

    def state_dict(self) -> dict[str, Any]:
        """Plain data to go on from; waits for the device."""
        rounds = [each.tolist() for each in self._rounds]
        return {
            "rounds": rounds, "intervals": self._intervals, "within_unit": self._within_unit, "judged": self.judged,
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from saved data.

        Raises:
            KeyError, TypeError, ValueError: they are damaged.
        """
        rounds = [torch.tensor([float(number) for number in each], dtype=torch.float64) for each in state["rounds"]]
        if any(len(each) != len(LOSSES) + 3 for each in rounds):
            raise ValueError("the rounds that were compared have other numbers")
        for name in ("within_unit", "judged"):
            if not isinstance(state[name], bool):
                raise ValueError(f"{name} is {state[name]!r}, neither true nor false")
        self._rounds, self._intervals = rounds, int(state["intervals"])
        self._within_unit, self.judged = state["within_unit"], state["judged"]

    def _compared(self, rounds: Tensor) -> Misfit | None:
        """What does not fit in some rounds, each with the numbers that :meth:`note` made of it."""
        *every, _, probabilities, given = rounds.mean(dim=0).tolist()
        losses = dict(zip(LOSSES, every, strict=True))
        own = losses[self.loss]
        if not math.isfinite(given) or not math.isfinite(own):
            return None
        scale = max(abs(given), 0.05)

        def off(loss: float) -> float:
            return abs(loss - given) / scale

        if self._is_exchanged(rounds, scale):
            return Misfit(
                "D's outputs have the other sign: it is trained to give real samples the lower ones; give them negated "
                "(for watch, logits=lambda output: -output)",
                True,
            )
        if off(own) <= EQUAL:
            return None
        if min(off(probabilities), off(probabilities / 2)) <= EQUAL:
            return Misfit("the logits are probabilities; give D's outputs before the sigmoid", True)
        if off(own / 2) <= EQUAL:
            return Misfit(
                "discriminator_loss is half of what the logits say: a mean of its two halves, or a factor one half; "
                "the loss is computed from the logits instead",
                False,
            )
        if off(2 * own) <= EQUAL:
            return Misfit(
                "discriminator_loss is twice what the logits say; the loss is computed from the logits instead", False
            )
        for name, loss in losses.items():
            if off(loss) <= EQUAL:
                return Misfit(f"discriminator_loss is that of loss={name!r}, not of {self.loss!r}; say so", True)
        if 1 / NEAR < given / (own or math.inf) < NEAR:
            return None
        return Misfit(
            f"discriminator_loss is {given:.4g}, but the logits say {own:.4g} for loss={self.loss!r}; give it without "
            "penalty and not scaled; the loss is computed from the logits instead",
            False,
        )

    def _is_exchanged(self, rounds: Tensor, scale: float) -> bool:
        """Whether D's loss is that of exchanged labels, to the last digit, and not that of the usual ones."""
        own = rounds[:, list(LOSSES).index(self.loss)]
        exchanged, given = rounds[:, len(LOSSES)], rounds[:, -1]
        return bool((exchanged - given).abs().max() <= EXACT * scale) and bool(
            (own - given).abs().mean() >= APART * EXACT * scale
        )

    def _loss_alone(self, given: float, ideal: float) -> Misfit | None:
        if ideal > 0 and given < 0:
            return Misfit(
                f"discriminator_loss is {given:.4g}, but {self.loss!r} is never negative; say loss='wgan'", True
            )
        if ideal > 0 and given > max(HUGE * ideal, HUGE + ideal):
            return Misfit(
                f"discriminator_loss is {given:.4g}, with an ideal of {ideal:.3g} for loss={self.loss!r}; give it "
                "without penalty and not scaled, and say which loss it is",
                True,
            )
        return None

    def _logits_alone(self, within_unit: float, ideal: float, known: dict[str, float]) -> Misfit | None:
        self._within_unit = self._within_unit and within_unit == 1 and self.loss in UNBOUNDED
        if self._within_unit and self._intervals >= FIRST and known["real_logit"] > 0.5 > known["fake_logit"]:
            self.judged = True
            return Misfit(
                "all logits are between 0 and 1, as probabilities are; give D's outputs before the sigmoid", True
            )
        if ideal > 0 and known["discriminator_loss"] > max(HUGE * ideal, HUGE + ideal):
            self.judged = True
            return Misfit(
                f"the logits have a loss of {known['discriminator_loss']:.4g}, with an ideal of {ideal:.3g} for "
                f"loss={self.loss!r}; say which loss D is trained with",
                True,
            )
        return None
