"""A bandit: tries one of a few learning-rate settings in each interval, and prefers those that gained most."""

from collections.abc import Sequence

import numpy as np

from metagan_rl.agents.rules.scaling import scaled
from metagan_rl.errors import InvalidValueError
from metagan_rl.loop.controls import Controls
from metagan_rl.loop.knobs import LR_FACTOR
from metagan_rl.loop.memory import Remembering
from metagan_rl.loop.scheduler import Scheduler, Situation, register_scheduler

ARMS = np.array([(0, 0), (1, 1), (-1, -1), (1, -1), (-1, 1)])
"""Steps up or down from the base, of G's and of D's rate ``[5, 2]``: none, both alike, or one against the other."""


class DiscountedUCB(Remembering):
    """B independent bandits with K arms each, whose payoffs in [0, 1] may change over time.

    After n pulls, the worth of arm i is its discounted mean payoff plus a bonus for being unsure of it:

        sum_s g^(n-s) x_s [i_s = i] / N_i + 2 sqrt(width log(sum_j N_j) / N_i),   N_i = sum_s g^(n-s) [i_s = i]

    This is D-UCB of Garivier and Moulines 2011, arXiv:0805.3415, for payoffs of at most 1. First, each arm is pulled
    once.

    Args:
        runs: B.
        arms: K.
        discount: g, in (0, 1].
        width: width of the bonus, above 0.
    """

    remembers = ("_counts", "_sums")

    def __init__(self, runs: int, arms: int, discount: float, width: float) -> None:
        self.discount, self.width = discount, width
        self._counts, self._sums = np.zeros((runs, arms)), np.zeros((runs, arms))

    def choose(self) -> np.ndarray:
        """The arm to pull next, ``[B]``."""
        counts = np.maximum(self._counts, 1e-12)
        spread = np.log(np.maximum(self._counts.sum(axis=1, keepdims=True), 1.0))
        worth = self._sums / counts + 2 * np.sqrt(self.width * spread / counts)
        return np.where(self._counts > 0, worth, np.inf).argmax(axis=1)

    def learn(self, arms: np.ndarray, payoffs: np.ndarray) -> None:
        """Notes the payoffs ``[B]``, in [0, 1], of the arms ``[B]``."""
        self._counts *= self.discount
        self._sums *= self.discount
        rows = np.arange(len(arms))
        self._counts[rows, arms] += 1
        self._sums[rows, arms] += payoffs


@register_scheduler("ucb")
class UCB(Scheduler):
    """A discounted-UCB bandit in each run chooses among five pairs of learning rates by the interval's reward.

    The arms are the base, both rates doubled, both halved, and one doubled while the other is halved. All else stays at
    the base. The arms are few, because a discount of 0.94 remembers about 16 pulls. They are near the base, because
    damage done by an arm remains. Training gains much at first and little later, so each reward is compared with the
    usual one at its time. With m the discounted mean of the run's rewards and s the discounted mean of |reward - m|,
    the payoff is (1 + clip((reward - m) / (2 s), -1, 1)) / 2.

    Args:
        discount: factor by which an older reward counts less after every pull, in (0, 1]. The paper's
            1 - sqrt(changes / pulls) / 4 is 0.94 for four changes in 64 pulls.
        width: width of the bonus for arms that were pulled little, above 0. The paper's theory asks for more than 1/2,
            which would share 64 pulls out almost evenly.
        step: factor of one step of a rate, in (1, 30].
    """

    source = "D-UCB, Garivier and Moulines 2011, arXiv:0805.3415; arms and payoff are this package's own"
    cost = (18 * 12 + 6 * 24) * 3072
    """About 25 settings of this scheduler were tried on 12 validation and 24 training tasks of suite ``planar``."""

    needs = ("distance_change",)
    """The signal that the reward is made of."""
    remembers = ("_bandit", "_pulled", "_weight", "_mean", "_deviation")

    def __init__(self, discount: float = 0.94, width: float = 0.02, step: float = 2.0) -> None:
        if not 0 < discount <= 1 or not width > 0:
            raise InvalidValueError(f"discount is {discount} and width {width}; they must lie in (0, 1] and above 0")
        if not 1 < step <= LR_FACTOR:
            raise InvalidValueError(f"step is {step}; it must be above 1 and at most {LR_FACTOR:g}")
        self.discount, self.width, self.step_factor = discount, width, step

    def begin(self, seeds: Sequence[int]) -> None:
        """Forgets all payoffs."""
        self._bandit = DiscountedUCB(len(seeds), len(ARMS), self.discount, self.width)
        self._pulled: np.ndarray | None = None
        self._weight, self._mean, self._deviation = 0.0, np.zeros(len(seeds)), np.zeros(len(seeds))

    def propose(self, situation: Situation) -> Controls:
        """The base with the rates of the chosen arm."""
        if self._pulled is not None:
            self._bandit.learn(self._pulled, self._payoff(np.nan_to_num(situation.reward)))
        self._pulled = self._bandit.choose()
        factors = self.step_factor ** ARMS[self._pulled].astype(float)
        return scaled(situation.base, factors[:, 0], factors[:, 1])

    def _payoff(self, reward: np.ndarray) -> np.ndarray:
        """Compares the reward with earlier ones, ``[B]`` in [0, 1], then adds it to them."""
        better = (
            (reward - self._mean) / np.maximum(2 * self._deviation, 1e-9) if self._weight else np.zeros(len(reward))
        )
        self._weight = self.discount * self._weight + 1
        before, self._mean = self._mean, self._mean + (reward - self._mean) / self._weight
        self._deviation += (np.abs(reward - before) * (self._weight > 1) - self._deviation) / self._weight
        return (1 + np.clip(better, -1, 1)) / 2
