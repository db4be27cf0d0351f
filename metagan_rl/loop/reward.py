"""The reward: quality gained in an interval, less penalties for instability. FSCO's reward is there for comparison."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from metagan_rl.errors import InvalidValueError, UnknownNameError
from metagan_rl.metrics import STABILITY_TERMS, WORST_DISTANCE
from metagan_rl.registry import Registry

LARGEST_IMBALANCE = 10.0
"""The largest difference of the losses that counts. GANs that diverged count as this far apart."""
STABILITY = 1.0
"""Weight of each stability term in the reward ``"steady"``: what a run costs whose term is 1 throughout."""


@dataclass(frozen=True)
class Reward:
    """Weights of the reward's terms; each is finite and 0 or more.

    An interval that takes the quality distance from d to d' earns::

        quality * log(d / d') - saturation * s - vanishing * v - oscillation * o - mode_loss * m - balance * |L_G - L_D|

    where the stability terms lie in [0, 1]. The first part telescopes: over a run it sums to log(start / end).

    A run that diverges pays as if it ended at the worst distance. For the rest of its budget it also pays as if every
    stability term were 1 and the losses were as far apart as possible. So diverging is never better than carrying on.

    The last term is FSCO's whole reward (arXiv:2504.15099), and its weight is 0 by default. It asks that the two losses
    be equal and ignores quality. The losses are means over the interval, without the penalty, and count as at most
    ``LARGEST_IMBALANCE`` apart.

    Attributes:
        quality, saturation, vanishing, oscillation, mode_loss, balance: weights.
        per: what the weights of all terms but quality are for. ``"interval"``: each interval costs its terms.
            ``"run"``: a run costs the means of its terms over its budget, however many intervals it has.
        floor: distances below this share of the distance before training count as this share, in [0, 1).
    """

    quality: float = 1.0
    saturation: float = 0.005
    vanishing: float = 0.005
    oscillation: float = 0.005
    mode_loss: float = 0.005
    balance: float = 0.0
    per: str = "interval"
    floor: float = 0.0

    def __post_init__(self) -> None:
        for name in WEIGHTS:
            value = getattr(self, name)
            if not (isinstance(value, (int, float)) and 0 <= value < float("inf")):
                raise InvalidValueError(f"reward weight {name} is {value!r}; it must be 0 or more, and finite")
        if self.per not in ("interval", "run"):
            raise UnknownNameError("per of a reward", self.per, ("interval", "run"))
        if not (isinstance(self.floor, (int, float)) and 0 <= self.floor < 1):
            raise InvalidValueError(f"floor of the reward is {self.floor!r}; it must be at least 0 and below 1")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the terms in use; ``balance`` is one only if it has a weight."""
        return ("quality", *STABILITY_TERMS, *(["balance"] if self.balance else []))

    def terms(
        self,
        before: np.ndarray,
        after: np.ndarray,
        stability: dict[str, np.ndarray],
        diverged: np.ndarray,
        intervals_left: np.ndarray,
        imbalance: np.ndarray | float = 0.0,
        *,
        share: np.ndarray | float = 1.0,
        start: np.ndarray | float = 0.0,
    ) -> dict[str, np.ndarray]:
        """The weighted terms, ``[B]`` each; their sum is the reward.

        Args:
            before: quality distance at the start of the interval, ``[B]``.
            after: quality distance at its end, ``[B]``.
            stability: stability terms of the interval, ``[B]`` each.
            diverged: bool ``[B]``, members that blew up in this interval.
            intervals_left: intervals left in the budget, including this one, ``[B]``.
            imbalance: L_G - L_D, ``[B]``.
            share: the interval's share of the budget, ``[B]`` in (0, 1].
            start: quality distance before training, ``[B]``.
        """
        terms = {"quality": self.gain(before, after, diverged, start=start)}
        unit = share if self.per == "run" else 1.0
        for name in STABILITY_TERMS:
            terms[name] = -getattr(self, name) * unit * np.where(diverged, intervals_left, stability[name])
        if self.balance:
            apart = np.minimum(np.nan_to_num(np.abs(imbalance), nan=LARGEST_IMBALANCE), LARGEST_IMBALANCE)
            terms["balance"] = -self.balance * unit * np.where(diverged, LARGEST_IMBALANCE * intervals_left, apart)
        return terms

    def gain(
        self,
        before: np.ndarray,
        after: np.ndarray,
        diverged: np.ndarray,
        *,
        start: np.ndarray | float = 0.0,
        best: np.ndarray | float = np.inf,
    ) -> np.ndarray:
        """The term of quality, ``[B]``.

        Args:
            before: as in :meth:`terms`.
            after: as there.
            diverged: as there.
            start: as there.
            best: distances above it count as it, ``[B]``. So over a run that begins above it, it sums to
                log(best / min(best, end)): only what the run takes off the best earns.
        """
        lowest, worst = self.floor * start, np.where(diverged, WORST_DISTANCE, after)
        first, last = (np.maximum(np.minimum(each, best), lowest) for each in (before, worst))
        return self.quality * np.log(first / last)


WEIGHTS = ("quality", *STABILITY_TERMS, "balance")


def find_reward(reward: "Reward | Mapping[str, Any] | str | None") -> Reward:
    """The reward given by name, by its weights or as an object; ``None`` means the default.

    Raises:
        UnknownNameError: there is no such reward or term.
        InvalidValueError: a weight is out of range.
    """
    if reward is None or isinstance(reward, Reward):
        return reward or Reward()
    if isinstance(reward, str):
        return REWARDS[reward]
    known = [field.name for field in fields(Reward)]
    for name in reward:
        if name not in known:
            raise UnknownNameError("reward term", name, known)
    return Reward(**reward)


REWARDS: Registry[Reward] = Registry("reward")
"""Rewards by name.

``"steady"`` is that of the environments: quality, less the mean stability terms of the whole run. ``"quality"`` is that
of their first versions, with which the shipped policies were trained: small weights for each interval. ``"bounded"`` is
the Dirac-GAN's: quality alone, down to a hundredth of the start. ``"balance"`` is FSCO's; its weight scales returns to
the size of ours and changes nothing else."""
REWARDS.register("steady", Reward(1.0, STABILITY, STABILITY, STABILITY, STABILITY, per="run"))
REWARDS.register("quality", Reward())
REWARDS.register("bounded", Reward(1.0, 0.0, 0.0, 0.0, 0.0, per="run", floor=0.01))
REWARDS.register("balance", Reward(0.0, 0.0, 0.0, 0.0, 0.0, balance=0.02))
