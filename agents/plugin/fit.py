"""Tells, in the first interval, whether the logits and the loss that a loop gives can belong together."""

import math
from dataclasses import dataclass
from typing import Any

import torch

from metagan_rl.agents.plugin.meter import as_real, tensors_of
from metagan_rl.losses import LOSSES

ROUNDS = 16
"""Rounds at the start of a run that are compared."""
EQUAL = 0.02
"""Losses that differ by less, relatively, are the same: half precision rounds by a little less."""
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
            rows.append(torch.cat([*(loss.discriminator(r, f) for loss in LOSSES.values()), -unlikely.mean(dim=-1)]))
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
            *losses, probabilities, given = torch.stack(self._rounds).mean(dim=0).tolist()
            self._rounds = []
            return self._compared(dict(zip(LOSSES, losses, strict=True)), probabilities, given)
        if math.isnan(known["real_logit"]):
            return self._loss_alone(told["given_loss"], ideal)
        return self._logits_alone(told["within_unit"], ideal, known)

    def _compared(self, losses: dict[str, float], probabilities: float, given: float) -> Misfit | None:
        own = losses[self.loss]
        if not math.isfinite(given) or not math.isfinite(own):
            return None
        scale = max(abs(given), 0.05)
        if abs(own - given) <= EQUAL * scale:
            return None
        if abs(probabilities - given) <= EQUAL * scale:
            return Misfit("the logits are probabilities; give D's outputs before the sigmoid", True)
        if abs(own / 2 - given) <= EQUAL * scale:
            return Misfit(
                "discriminator_loss is half of what the logits say: a mean of its two halves, or a factor one half; "
                "the loss is computed from the logits instead",
                False,
            )
        for name, loss in losses.items():
            if abs(loss - given) <= EQUAL * scale:
                return Misfit(f"discriminator_loss is that of loss={name!r}, not of {self.loss!r}; say so", True)
        if 1 / NEAR < given / (own or math.inf) < NEAR:
            return None
        return Misfit(
            f"discriminator_loss is {given:.4g}, but the logits say {own:.4g} for loss={self.loss!r}; give it without "
            "penalty and not scaled; the loss is computed from the logits instead",
            False,
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
