"""Schedulers that react: rules from the literature that watch both networks and keep them in balance.

The papers act at every update, on the last batch. Here a rule acts before every interval, on averages over the last
interval, and what it sets holds for a whole interval. A constant that is meant per update is applied once for every
update of D since then. Before the first interval nothing has been measured. A signal that is absent, or NaN because the
run has diverged, counts as 0. For every signal used here, 0 is the equilibrium.

None of the papers' signals needs a quality metric. Only ``plateau`` looks at one, if there is one.
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
    """A signal in [-1, 1], ``[B]``; unknown values are 0."""
    values = situation.signals.get(name, np.zeros(len(situation)))
    return np.clip(np.nan_to_num(values, nan=0.0), -1.0, 1.0)


def _is_critic(situation: Situation) -> np.ndarray:
    """Whether D's ideal loss is 0, so that no loss can be divided by it: bool ``[B]``."""
    return np.array([loss.ideal == 0 for loss in LOSSES.values()])[situation.controls.loss]


def _has_boundary(situation: Situation) -> np.ndarray:
    """Whether a single logit can be right or wrong, bool ``[B]``; it cannot for critics and relativistic losses."""
    relative = np.array([loss.relative for loss in LOSSES.values()])[situation.controls.loss]
    return ~(relative | _is_critic(situation))


def _accuracy(situation: Situation) -> np.ndarray:
    """D's accuracy in [0, 1], ``[B]``: on single logits, or on pairs if a single logit cannot be right or wrong."""
    single = (_seen(situation, "real_accuracy") + _seen(situation, "fake_accuracy")) / 2
    return (1 + np.where(_has_boundary(situation), single, _seen(situation, "pair_accuracy"))) / 2


class _Clock(Remembering):
    """Tells how much was trained since the last call."""

    remembers = ("_before",)

    def __init__(self, members: int) -> None:
        self._before = np.zeros(members)

    def budget_share(self, situation: Situation) -> np.ndarray:
        """The share of the budget spent since the last call, ``[B]`` in [0, 1]."""
        share, self._before = situation.progress - self._before, situation.progress.copy()
        return share

    def discriminator_updates(self, situation: Situation) -> np.ndarray:
        """The number of updates of D since the last call, ``[B]``."""
        cycles = np.array(RATIOS.values(), dtype=float)
        of_discriminator = (cycles[:, 0] / cycles.sum(axis=1))[situation.controls.ratio]
        budget = USUAL_BUDGET * 10 ** situation.signals["budget"]
        return self.budget_share(situation) * budget * of_discriminator


@register_scheduler("gap-aware")
class GapAware(Scheduler):
    """Sets D's rate by the gap of its loss to the ideal: doubled at 10 % above it, a tenth at 10 % below.

    L is the moving average of D's loss. It starts at the ideal L* and keeps .95 per update of D. With
    x = |L / L* - 1|, the multiplier is 2^min(x / .1, 1) above L*, and .1^min(x / .1, 1) below. An interval's mean loss
    counts as the loss at each of its updates, with L / L* limited to 1/10 to 10.
    For critics L* is 0, and so is the gap at which the limits are reached. D's rate then stays at the base.
    """

    source = "Hazimeh and Ponomareva 2023 (AISTATS), arXiv:2302.00089, and its demo: h_min .1, f_max 2, x_max .1 L*"
    remembers = ("_clock", "_average")
    needs = ("discriminator_loss",)
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
    """Lets D almost rest after an interval in which it was right more than 80 % of the time.

    At rest, D has 1/30 of the base rate and a step ratio of 1:3, as near to no update as the controls allow. Otherwise
    the base holds. Accuracy is the mean of that on real and on generated points. For critics and relativistic losses it
    is the accuracy on pairs.

    Args:
        threshold: accuracy above which D rests, in [0, 1].
    """

    source = "3D-GAN, Wu et al. 2016, arXiv:1610.07584: D is updated if right on at most 80 % of the last batch"

    needs = ("real_accuracy", "fake_accuracy", "pair_accuracy")

    def __init__(self, threshold: float = 0.8) -> None:
        self.threshold = threshold

    def propose(self, situation: Situation) -> Controls:
        """The base, or the base with D at rest."""
        rests = _accuracy(situation) > self.threshold
        resting = scaled(situation.base, 1, np.where(rests, LOWEST, 1.0))
        return resting.replace(ratio=np.where(rests, RATIOS.index("1:3"), situation.base.ratio))


@register_scheduler("began")
class BEGAN(Scheduler):
    """Sets D's rate to k times the base; k integrates the imbalance of wins, aiming at G : D = 0.5.

    a is the share of pairs, one real and one generated point, that D orders rightly. From k = 1, every update of D
    does k <- clip(k + .01 ((1 - a) - gamma a), 0, 1). This rests at a = 1 / (1 + gamma), two thirds by default.
    BEGAN's D is an auto-encoder. There k weighs the generated half of D's loss, and the balance is between its losses
    on generated and on real images. No D here has such a loss, and no control is such a weight: wins and D's rate stand
    in for them. BEGAN's gain is .001 an update, over hundreds of thousands of updates. Budgets here are a hundred times
    smaller.

    Args:
        gamma: wins of G for each win of D, in [0, 1]; 1 asks for equilibrium.
    """

    source = (
        "the balance of BEGAN, Berthelot et al. 2017, arXiv:1703.10717: k <- clip(k + .001 (gamma L_r - L_g), 0, 1)"
    )
    remembers = ("_clock", "_k")
    needs = ("pair_accuracy",)
    gain = 0.01

    def __init__(self, gamma: float = 0.5) -> None:
        self.gamma = gamma

    def begin(self, seeds: Sequence[int]) -> None:
        """Starts with D at its full rate."""
        self._clock, self._k = _Clock(len(seeds)), np.ones(len(seeds))

    def propose(self, situation: Situation) -> Controls:
        """The base with k times D's rate."""
        wins = (1 + _seen(situation, "pair_accuracy")) / 2
        imbalance = (1 - wins) - self.gamma * wins
        self._k = np.clip(self._k + self.gain * self._clock.discriminator_updates(situation) * imbalance, 0, 1)
        return scaled(situation.base, 1, self._k)


@register_scheduler("ada")
class ADA(Scheduler):
    """Raises the penalty while D is sure of more than 80 % of real points (r_t > 0.6), and lowers it otherwise.

    r_t = E[sign D(x)] over real x, which is 2 x accuracy on real points - 1. If a single logit cannot be right or
    wrong, it is the same on pairs. p starts at 0 and follows p <- clip(p + sign(r_t - .6) step, 0, 1). The penalty
    weight is the base's plus (10001^p - 1) / 1000, which is 0 at p = 0 and 10 at p = 1.
    ADA sets how much D is regularised, never how fast it learns. It augments images with probability p, which is not a
    control here. The weight of the gradient penalty stands in for it, as the only regulariser among the controls. It
    ranges over decades, so its steps have equal ratios. p crosses its range in a tenth of the budget. ADA's p needs 500
    thousand of 25 million images, a fiftieth. With intervals of a sixty-fourth, the default, p would only jump to and
    fro.
    """

    source = "the integrator of StyleGAN2-ADA, Karras et al. 2020, arXiv:2006.06676: target .6"
    remembers = ("_clock", "_p")
    needs = ("real_accuracy", "pair_accuracy")
    turned = ("penalty_weight",)
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
    """Gives the losing network more updates: the step ratio D : G follows D's loss over its ideal.

    It takes the available ratio nearest to L / L* in logarithm. L is D's mean loss in the last interval, L* the ideal.
    D wins while its loss is below the ideal, so the rule does without G's loss. A critic's loss has no ideal, so the
    base's ratio stays.
    """

    source = "folklore, soumith/ganhacks item 11: train D while its loss is above A, G while its loss is above B"
    needs = ("discriminator_loss",)
    turned = ("ratio",)

    def propose(self, situation: Situation) -> Controls:
        """The base with the ratio replaced."""
        cycles = np.array(RATIOS.values(), dtype=float)
        wanted = _seen(situation, "discriminator_loss")
        nearest = np.abs(wanted[:, None] - np.log10(cycles[:, 0] / cycles[:, 1])).argmin(axis=1)
        known = ("discriminator_loss" in situation.signals) & ~_is_critic(situation)
        return situation.base.replace(ratio=np.where(known, nearest, situation.base.ratio))


@register_scheduler("plateau")
class Plateau(Scheduler):
    """Halves both rates whenever 6 intervals in a row bring no better sample quality.

    Better means a distance more than .01 % below the best so far (``distance_from_start``, which needs a quality
    metric). Once a distance was seen, intervals without one do not count. Without a metric, the signal
    ``discriminator_loss`` must come nearer to 0, the ideal, by as much. That is what a loop can see of the balance. It
    says little about the samples.

    Args:
        patience: number of intervals in a row, at least 1.
    """

    source = "ReduceLROnPlateau of Keras and PyTorch (its relative threshold, 1e-4), with a factor of one half"
    remembers = ("_best", "_waited", "_halvings", "_sees_quality")
    threshold = 1e-4

    def __init__(self, patience: int = 6) -> None:
        if not isinstance(patience, int) or patience < 1:
            raise InvalidValueError(f"patience is {patience!r}; it must be a whole number of at least 1")
        self.patience = patience

    def begin(self, seeds: Sequence[int]) -> None:
        """Starts at the base, with nothing seen."""
        self._best = np.full(len(seeds), np.inf)
        self._waited, self._halvings = np.zeros(len(seeds)), np.zeros(len(seeds))
        self._sees_quality = False

    def propose(self, situation: Situation) -> Controls:
        """The base with both rates halved once for every plateau so far."""
        self._take_in(situation)
        factor = 0.5**self._halvings
        return scaled(situation.base, factor, factor)

    def _take_in(self, situation: Situation) -> None:
        if "distance_from_start" in situation.signals:
            if not self._sees_quality:  # what was seen so far is another measure
                self._sees_quality = True
                self._best, self._waited = np.full_like(self._best, np.inf), np.zeros_like(self._waited)
        elif self._sees_quality:
            return
        now = self._log_measure(situation)
        better = now < self._best + np.log1p(-self.threshold)
        self._best = np.where(better, now, self._best)
        self._waited = np.where(better, 0, self._waited + np.isfinite(self._best))
        flat = self._waited >= self.patience
        self._halvings, self._waited = self._halvings + flat, np.where(flat, 0, self._waited)

    def _log_measure(self, situation: Situation) -> np.ndarray:
        """The logarithm of the value that must fall, ``[B]``; infinite before anything is known."""
        for name in ("distance_from_start", "discriminator_loss"):
            if name in situation.signals:
                values = np.nan_to_num(situation.signals[name], nan=np.inf)
                return 3 * values if name == "distance_from_start" else np.log(np.maximum(np.abs(values), 1e-12))
        return np.full(len(situation), np.inf)
