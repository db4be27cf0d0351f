"""``own-or-rule``: what a policy departs from that is to serve users' own loops and the rule alike."""

from collections.abc import Sequence

import numpy as np

from metagan_rl.agents.searches.identified import shipped_identified_rule
from metagan_rl.agents.searches.rate_check import checked_own
from metagan_rl.loop.controls import Controls
from metagan_rl.loop.scheduler import Scheduler, Situation, register_scheduler

OWN_OR_RULE = "own-or-rule"
RULED = 0.4
"""Share of the runs that the identified rule sets."""


@register_scheduler(OWN_OR_RULE)
class OwnOrRule(Scheduler):
    """In six of ten runs a user's own schedule with rates checked, in the others the identified rule."""

    source = "users-own-checked and identified-rule"
    decisions = 16
    remembers = ("_ruled", "_own", "_rule")

    def __init__(self) -> None:
        self._own, self._rule = checked_own(), shipped_identified_rule()
        self.needs = tuple(dict.fromkeys([*self._own.needs, *self._rule.needs]))
        self.cost = self._own.cost + self._rule.cost
        self.begin([0])

    def begin(self, seeds: Sequence[int]) -> None:
        """Draws for each run, from its seed, which of the two it has."""
        self._ruled = np.array([np.random.default_rng([seed, 7]).uniform() < RULED for seed in seeds])
        for each in (self._own, self._rule):
            each.begin(seeds)

    def propose(self, situation: Situation) -> Controls:
        """The identified rule's controls or the checked schedule's. Both look on in every run."""
        rule = self._rule.propose(situation)
        return self._own.propose(situation).put(self._ruled, rule[self._ruled])
