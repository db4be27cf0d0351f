"""Schedulers that react: rules of the literature that watch the two networks and keep them in balance.

The papers act at every update, on the last batch. Here a rule acts before every interval, on averages over the one just
trained, and what it sets then holds for a whole interval. Constants that are meant per update are applied as often as D
was updated since. Before the first interval nothing has been measured; a signal that is absent, or NaN because the run
has diverged, counts as 0, which for all signals used here is the equilibrium.

None of the papers' signals needs a quality metric; ``plateau`` alone looks at one where there is one.
"""

from collections.abc import Sequence

import numpy as np

from metagan_rl.agents.rules.scaling import LOWEST, scaled
from metagan_rl.errors import InvalidValueError
from metagan_rl.loop.controls import Controls
from metagan_rl.loop.knobs import MAX_PENALTY_WEIGHT
from metagan_rl.loop.memory import Remembering
from metagan_rl.loop.scheduler import Scheduler, Situation, register_scheduler
from metagan_rl.loop.signals import USUAL_BUDGET
from metagan_rl.losses import LOSSES
from metagan_rl.populations.settings import RATIOS


def _seen(situation: Situation, name: str) -> np.ndarray:
    """A signal in [-1, 1], ``[B]``; 0 where nothing is known."""
    values = situation.signals.get(name, np.zeros(len(situation)))
    return np.clip(np.nan_to_num(values, nan=0.0), -1.0, 1.0)


def _is_critic(situation: Situation) -> np.ndarray:
    """Whether D's ideal loss is 0, so that nothing can be relative to it: bool ``[B]``."""
    return np.array([loss.ideal == 0 for loss in LOSSES.values()])[situation.controls.loss]


def _has_boundary(situation: Situation) -> np.ndarray:
    """Whether single logits have a right side, bool ``[B]``: not those of critics and of relativistic losses."""
    relative = np.array([loss.relative for loss in LOSSES.values()])[situation.controls.loss]
    return ~(relative | _is_critic(situation))


def _accuracy(situation: Situation) -> np.ndarray:
    """D's accuracy in [0, 1], ``[B]``: on single logits, or on pairs where single ones have no right side."""
    single = (_seen(situation, "real_accuracy") + _seen(situation, "fake_accuracy")) / 2
    return (1 + np.where(_has_boundary(situation), single, _seen(situation, "pair_accuracy"))) / 2


class _Clock(Remembering):
    """Tells how much was trained since it was last asked."""

    remembers = ("_before",)

    def __init__(self, members: int) -> None:
        self._before = np.zeros(members)

    def budget_share(self, situation: Situation) -> np.ndarray:
        """Share of the budget, ``[B]`` in [0, 1]."""
        share, self._before = situation.progress - self._before, situation.progress.copy()
        return share

    def discriminator_updates(self, situation: Situation) -> np.ndarray:
        """Updates of D, ``[B]``."""
        cycles = np.array(RATIOS.values(), dtype=float)
        of_discriminator = (cycles[:, 0] / cycles.sum(axis=1))[situation.controls.ratio]
        budget = USUAL_BUDGET * 10 ** situation.signals["budget"]
        return self.budget_share(situation) * budget * of_discriminator


@register_scheduler("gap-aware")
class GapAware(Scheduler):
    """D's rate follows the gap of its loss to the ideal: doubled at 10 % above, a tenth at 10 % below.

    With L the moving average of D's loss (.95 per update of D, from L* on) and x = |L / L* - 1|, the multiplier is
    2^min(x / .1, 1) where L > L*, and .1^min(x / .1, 1) below. The average takes in an interval's mean loss as if it
    had been the loss at each of its updates; L / L* counts within 1/10 to 10.
    For critics L* is 0, and so is the gap at which the limits are reached: D's rate is left at the base.
    """

    source = "Hazimeh and Ponomareva 2023 (AISTATS), arXiv:2302.00089, and its demo: h_min .1, f_max 2, x_max .1 L*"
    remembers = ("_clock", "_average")
    smoothing = 0.95
    lowest, highest, reach = 0.1, 2.0, 0.1

    def begin(self, seeds: Sequence[int]) -> None:
        """Starts the average at the ideal."""
        self._clock, self._average = _Clock(len(seeds)), np.ones(len(seeds))

    def propose(self, situation: Situation) -> Controls:
        """The base with D's rate multiplied."""
        kept = self.smoothing ** self._clock.discriminator_updates(situation)
        loss = np.where(_is_critic(situation), 1.0, 10 ** _seen(situation, "discriminator_loss"))  # L / L*
        self._average = kept * self._average + (1 - kept) * loss
        gap = np.minimum(np.abs(self._average - 1) / self.reach, 1)
        multiplier = np.where(self._average > 1, self.highest, self.lowest) ** gap
        return scaled(situation.base, 1, multiplier)


@register_scheduler("accuracy-gate")
class AccuracyGate(Scheduler):
    """D all but rests after an interval in which it was right more than 80 % of the time.

    Resting is 1/30 of the base rate and 1:3 steps, as near to no update as the controls allow; otherwise the base.
    Accuracy is the mean of that on real and on generated points; for critics and relativistic losses, on pairs of them.

    Args:
        threshold: in [0, 1].
    """

    source = "3D-GAN, Wu et al. 2016, arXiv:1610.07584: D is updated if right on at most 80 % of the last batch"

    def __init__(self, threshold: float = 0.8) -> None:
        self.threshold = threshold

    def propose(self, situation: Situation) -> Controls:
        """The base, or the base with D at rest."""
        rests = _accuracy(situation) > self.threshold
        resting = scaled(situation.base, 1, np.where(rests, LOWEST, 1.0))
        return resting.replace(ratio=np.where(rests, RATIOS.index("1:3"), situation.base.ratio))


@register_scheduler("began")
class BEGAN(Scheduler):
    """D's rate is k times the base, k integrating the imbalance between D's and G's wins towards G : D = 0.5.

    With a the share of real and generated pairs that D orders rightly, k <- clip(k + .01 ((1 - a) - gamma a), 0, 1)
    for every update of D, from k = 1: at rest when a = 1 / (1 + gamma), two thirds by default.
    BEGAN's D is an auto-encoder, k weighs the generated half of its loss, and the balance is that of its losses on
    generated and on real images. No D here has such a loss and no control such a weight; wins and D's rate stand in for
    them. Its gain is .001 an update for hundreds of thousands of updates; budgets here are a hundred times smaller.

    Args:
        gamma: G's wins for one of D's, in [0, 1]; 1 asks for equilibrium.
    """

    source = (
        "the balance of BEGAN, Berthelot et al. 2017, arXiv:1703.10717: k <- clip(k + .001 (gamma L_r - L_g), 0, 1)"
    )
    remembers = ("_clock", "_k")
    gain = 0.01

    def __init__(self, gamma: float = 0.5) -> None:
        self.gamma = gamma

    def begin(self, seeds: Sequence[int]) -> None:
        """Starts with D whole."""
        self._clock, self._k = _Clock(len(seeds)), np.ones(len(seeds))

    def propose(self, situation: Situation) -> Controls:
        """The base with k times D's rate."""
        wins = (1 + _seen(situation, "pair_accuracy")) / 2
        imbalance = (1 - wins) - self.gamma * wins
        self._k = np.clip(self._k + self.gain * self._clock.discriminator_updates(situation) * imbalance, 0, 1)
        return scaled(situation.base, 1, self._k)


@register_scheduler("ada")
class ADA(Scheduler):
    """The penalty grows while D is sure of more than 80 % of real points (r_t > 0.6), and shrinks otherwise.

    r_t = E[sign D(x)], x real, is 2 x accuracy on real points - 1; where single logits have no right side, the same
    on pairs. p <- clip(p + sign(r_t - .6) step, 0, 1) from p = 0, and the penalty weight is the base's plus
    (10001^p - 1) / 1000: 0 at p = 0, 10 at p = 1.
    ADA sets how much D is regularised, never how fast it learns. Its regulariser, augmentation with probability p, is
    no control here; the gradient penalty's weight, the one regulariser that is, stands in for it, in steps of equal
    ratio because it ranges over decades. p crosses its range in a tenth of the budget. ADA's does in 500 thousand of 25
    million images, a fiftieth; an interval is by default a sixty-fourth, and p would only jump to and fro.
    """

    source = "the integrator of StyleGAN2-ADA, Karras et al. 2020, arXiv:2006.06676: target .6"
    remembers = ("_clock", "_p")
    target = 0.6
    crossings = 10.0
    highest = 10.0

    def begin(self, seeds: Sequence[int]) -> None:
        """Starts at the base's own penalty."""
        self._clock, self._p = _Clock(len(seeds)), np.zeros(len(seeds))

    def propose(self, situation: Situation) -> Controls:
        """The base with a heavier penalty."""
        sure = np.where(_has_boundary(situation), _seen(situation, "real_accuracy"), _seen(situation, "pair_accuracy"))
        step = self.crossings * self._clock.budget_share(situation)
        self._p = np.clip(self._p + np.sign(sure - self.target) * step, 0, 1)
        unit = 1e-3
        weight = unit * np.expm1(self._p * np.log1p(self.highest / unit))
        return situation.base.replace(
            penalty_weight=np.minimum(situation.base.penalty_weight + weight, MAX_PENALTY_WEIGHT)
        )


@register_scheduler("loss-ratio")
class LossRatio(Scheduler):
    """As many updates of D for one of G as D's loss is times its ideal: the loser trains more.

    Of the ratios there are, the nearest to L / L* in logarithm, L being D's mean loss in the last interval. G's loss
    is no signal; of losses with an ideal, D's below it is D winning. Critics have none: the base's ratio stays.
    """

    source = "folklore, soumith/ganhacks item 11: train D while its loss is above A, G while its loss is above B"

    def propose(self, situation: Situation) -> Controls:
        """The base with the ratio replaced."""
        cycles = np.array(RATIOS.values(), dtype=float)
        wanted = _seen(situation, "discriminator_loss")
        nearest = np.abs(wanted[:, None] - np.log10(cycles[:, 0] / cycles[:, 1])).argmin(axis=1)
        known = ("discriminator_loss" in situation.signals) & ~_is_critic(situation)
        return situation.base.replace(ratio=np.where(known, nearest, situation.base.ratio))


@register_scheduler("plateau")
class Plateau(Scheduler):
    """Both rates are halved whenever 6 intervals in a row bring no better sample quality.

    Better is a distance more than .01 % below the best so far (``distance_from_start``, which needs a quality metric).
    Where there is none, the signal ``discriminator_loss`` must come nearer to 0, the ideal, by as much; that is what a
    loop can see of the balance, and it says little of the samples.

    Args:
        patience: intervals in a row, at least 1.
    """

    source = "ReduceLROnPlateau of Keras and PyTorch (its relative threshold, 1e-4), with a factor of one half"
    remembers = ("_best", "_waited", "_halvings")
    threshold = 1e-4

    def __init__(self, patience: int = 6) -> None:
        if not isinstance(patience, int) or patience < 1:
            raise InvalidValueError(f"patience is {patience!r}; it must be a whole number of at least 1")
        self.patience = patience

    def begin(self, seeds: Sequence[int]) -> None:
        """Starts at the base, with nothing seen."""
        self._best = np.full(len(seeds), np.inf)
        self._waited, self._halvings = np.zeros(len(seeds)), np.zeros(len(seeds))

    def propose(self, situation: Situation) -> Controls:
        """The base with both rates halved as often as there was a plateau."""
        now = self._log_measure(situation)
        better = now < self._best + np.log1p(-self.threshold)
        self._best = np.where(better, now, self._best)
        self._waited = np.where(better, 0, self._waited + np.isfinite(self._best))
        flat = self._waited >= self.patience
        self._halvings, self._waited = self._halvings + flat, np.where(flat, 0, self._waited)
        factor = 0.5**self._halvings
        return scaled(situation.base, factor, factor)

    def _log_measure(self, situation: Situation) -> np.ndarray:
        """Logarithm of what must fall, ``[B]``; infinite before anything is known."""
        for name in ("distance_from_start", "discriminator_loss"):
            if name in situation.signals:
                values = np.nan_to_num(situation.signals[name], nan=np.inf)
                return 3 * values if name == "distance_from_start" else np.log(np.maximum(np.abs(values), 1e-12))
        return np.full(len(situation), np.inf)
