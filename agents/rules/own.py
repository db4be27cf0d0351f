"""``users-own``: schedules as users set them, drawn for each run; what a policy departs from that is to serve users."""

from collections.abc import Sequence

import numpy as np

from metagan_rl.agents.rules.scaling import half_cosine, scaled
from metagan_rl.loop.controls import Controls
from metagan_rl.loop.scheduler import Scheduler, Situation, register_scheduler

OWN = "users-own"
KINDS = ("constant", "cosine", "linear", "steps", "exponential")
"""Courses of the rates, as factors of the base's."""
SHARES = (0.4, 0.2, 0.15, 0.1, 0.15)
"""How often each is drawn."""
WARM_UP = 0.1
"""Share of the budget in which the rates rise evenly, in the runs that have a warm-up."""
WARMED = 0.2
"""Share of the runs that have one."""
FALL = 10.0
"""What rates are divided by at the end of ``steps`` and ``exponential``."""


@register_scheduler(OWN)
class UsersOwn(Scheduler):
    """In each run another of the usual schedules, on top of the base: mostly constants, some decays, some warm-ups."""

    source = "schedules that are in common use; torch.optim.lr_scheduler has all of them"
    remembers = ("_kinds", "_warmed")

    def begin(self, seeds: Sequence[int]) -> None:
        """Draws a schedule for each run from its seed."""
        rngs = [np.random.default_rng([seed, len(KINDS)]) for seed in seeds]
        self._kinds = np.array([rng.choice(len(KINDS), p=SHARES) for rng in rngs])
        self._warmed = np.array([rng.uniform() < WARMED for rng in rngs])

    def propose(self, situation: Situation) -> Controls:
        """The base with both rates multiplied by the schedule's factor."""
        progress = situation.progress
        factors = np.stack(
            [
                np.ones(len(progress)),
                half_cosine(progress, 1, 0),
                1 - progress,
                FALL ** -(np.floor(progress * 3) / 2),
                FALL**-progress,
            ]
        )
        factor = factors[self._kinds, np.arange(len(progress))]
        rising = np.minimum(1, (progress + WARM_UP / 5) / WARM_UP)
        factor = np.where(self._warmed, factor * rising, factor)
        return scaled(situation.base, factor, factor)
