"""The reward: sample quality gained in an interval, less what was unstable about it."""

from dataclasses import dataclass, fields

import numpy as np

from metagan_rl.errors import InvalidValueError
from metagan_rl.metrics import STABILITY_TERMS, WORST_DISTANCE


@dataclass(frozen=True)
class Reward:
    """Weights of the reward's terms; all 0 or more, and finite.

    An interval that takes the quality distance from d to d' earns

        quality * log(d / d') - saturation * s - vanishing * v - oscillation * o - mode_loss * m

    with the stability terms in [0, 1]. The first part telescopes: over a run it is log(start / end). A run that
    diverges pays as if it ended at the worst distance with every stability term at 1 for the rest of its budget, which
    is never better than carrying on.
    """

    quality: float = 1.0
    saturation: float = 0.005
    vanishing: float = 0.005
    oscillation: float = 0.005
    mode_loss: float = 0.005

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (isinstance(value, (int, float)) and 0 <= value < float("inf")):
                raise InvalidValueError(f"reward weight {field.name} is {value!r}; it must be 0 or more, and finite")

    def terms(
        self,
        before: np.ndarray,
        after: np.ndarray,
        stability: dict[str, np.ndarray],
        diverged: np.ndarray,
        intervals_left: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """The weighted terms ``[B]``, whose sum is the reward.

        Args:
            before: quality distance at the beginning of the interval, ``[B]``.
            after: quality distance at its end, ``[B]``.
            stability: the stability terms of the interval, ``[B]`` each.
            diverged: bool ``[B]``, members that blew up in this interval.
            intervals_left: intervals of the budget, this one included, ``[B]``.
        """
        end = np.where(diverged, WORST_DISTANCE, after)
        terms = {"quality": self.quality * np.log(before / end)}
        for name in STABILITY_TERMS:
            terms[name] = -getattr(self, name) * np.where(diverged, intervals_left, stability[name])
        return terms
