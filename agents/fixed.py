"""Schedulers that look at nothing but the clock: constants, decays, recipes of the field, random controls.

A recipe is what can be carried over to any base: the ratio of the rates, the step ratio, loss, penalty weight and the
course of each. What is no control stays the task's own: absolute rates, Adam's betas, batch size, normalisation.
"""

from collections.abc import Sequence

import numpy as np

from metagan_rl.agents.scheduler import Scheduler, Situation, register_scheduler
from metagan_rl.controls import LR_FACTOR, RATIOS, Controls
from metagan_rl.errors import InvalidValueError
from metagan_rl.losses import LOSSES
from metagan_rl.signals import KNOWN_LOSSES

LOWEST = 1 / LR_FACTOR


def scaled(base: Controls, generator: np.ndarray | float, discriminator: np.ndarray | float) -> Controls:
    """The base with learning rates multiplied, kept within 1/30 to 30."""
    return base.replace(
        generator_lr=np.clip(base.generator_lr * generator, LOWEST, LR_FACTOR),
        discriminator_lr=np.clip(base.discriminator_lr * discriminator, LOWEST, LR_FACTOR),
    )


def half_cosine(progress: np.ndarray, start: float, end: float) -> np.ndarray:
    """From start at progress 0 to end at 1: end + (start - end) (1 + cos(pi progress)) / 2."""
    return end + (start - end) * (1 + np.cos(np.pi * progress)) / 2


@register_scheduler("constant")
class Constant(Scheduler):
    """The user's own base, all the way: what an unscheduled run does."""

    source = "no schedule"

    def propose(self, situation: Situation) -> Controls:
        """The base."""
        return situation.base


class _Course(Scheduler):
    """Both learning rates are the base times a common factor of the progress, at least 1/30."""

    def factor(self, progress: np.ndarray) -> np.ndarray:
        """Multiplier of the base rates at a progress in [0, 1)."""
        raise NotImplementedError(f"{type(self).__name__} must define factor(progress)")

    def propose(self, situation: Situation) -> Controls:
        """The base with multiplied rates."""
        factor = self.factor(situation.progress)
        return scaled(situation.base, factor, factor)


@register_scheduler("linear")
class Linear(_Course):
    """Linear decay to (nearly) zero."""

    source = "SNGAN, Miyato et al. 2018, arXiv:1802.05957: linear decay of both rates"

    def factor(self, progress: np.ndarray) -> np.ndarray:
        """1 - progress."""
        return 1 - progress


@register_scheduler("cosine")
class Cosine(_Course):
    """Half a cosine, from the base to (nearly) zero."""

    source = "Loshchilov and Hutter 2017, arXiv:1608.03983, without restarts; R3GAN, arXiv:2501.05441"

    def factor(self, progress: np.ndarray) -> np.ndarray:
        """(1 + cos(pi progress)) / 2."""
        return half_cosine(progress, 1, 0)


@register_scheduler("step")
class Step(_Course):
    """Both rates divided by 10 at one half and by 100 (in effect 30) at three quarters of the budget."""

    source = "ResNet, He et al. 2016, arXiv:1512.03385: by 10 at 32k and 48k of 64k iterations on CIFAR-10"

    def factor(self, progress: np.ndarray) -> np.ndarray:
        """1, 1/10, 1/100; the last is cut off at 1/30."""
        return np.where(progress < 1 / 2, 1.0, np.where(progress < 3 / 4, 0.1, 0.01))


@register_scheduler("warm-up")
class WarmUp(_Course):
    """Both rates rise linearly over the first 1/18 of the budget, then stay at the base.

    Args:
        share: of the budget that warms up, in (0, 1].
    """

    source = "Goyal et al. 2017, arXiv:1706.02677: linear over 5 of 90 epochs (in supervised training)"

    def __init__(self, share: float = 5 / 90) -> None:
        if not 0 < share <= 1:
            raise InvalidValueError(f"share is {share!r}; it must lie above 0, and be 1 at most")
        self.share = share

    def factor(self, progress: np.ndarray) -> np.ndarray:
        """min(1, progress / share); the first interval is trained at 1/30."""
        return np.minimum(1.0, progress / self.share)


@register_scheduler("ttur")
class TwoTimeScale(Scheduler):
    """D learns four times as fast as G."""

    source = "TTUR, Heusel et al. 2017, arXiv:1706.08500; the factor of SAGAN, arXiv:1805.08318 (1e-4 and 4e-4)"

    def propose(self, situation: Situation) -> Controls:
        """The base with G's rate halved and D's doubled."""
        return scaled(situation.base, 1 / 2, 2)


class _Recipe(Scheduler):
    """Ratio, loss and penalty weight of a paper instead of the base's; rates relative to the base.

    Attributes:
        ratio, loss: names.
        penalty_weight: of the loss's own penalty; 0 is none.
        rates: multipliers of G's and of D's base rate.
    """

    ratio: str = "1:1"
    loss: str = "non-saturating"
    penalty_weight: float = 0.0
    rates: tuple[float, float] = (1.0, 1.0)

    def factor(self, progress: np.ndarray) -> np.ndarray:
        """What both rates are multiplied by besides, at a progress in [0, 1)."""
        return np.ones_like(progress)

    def penalty_factor(self, progress: np.ndarray) -> np.ndarray:
        """What the penalty weight is multiplied by."""
        return np.ones_like(progress)

    def propose(self, situation: Situation) -> Controls:
        """The recipe at this progress."""
        factor, (generator, discriminator) = self.factor(situation.progress), self.rates
        return scaled(situation.base, generator * factor, discriminator * factor).replace(
            ratio=np.full(len(situation), RATIOS.index(self.ratio)),
            loss=np.full(len(situation), LOSSES.index(self.loss)),
            penalty_weight=self.penalty_weight * self.penalty_factor(situation.progress),
        )


@register_scheduler("dcgan")
class DCGAN(_Recipe):
    """DCGAN: both base rates, 1:1, non-saturating loss, no penalty; constant.

    The base of the suites of the package is this recipe at rates that are off, so there it is ``constant``.
    """

    source = "Radford et al. 2015, arXiv:1511.06434: 2e-4 for both, one update each; beta1 .5 is no control"


@register_scheduler("wgan-gp")
class WGANGP(_Recipe):
    """WGAN-GP: 5:1, WGAN loss, one-centred penalty of weight 0.1 (2-D data; 10 for images); constant.

    Args:
        penalty_weight: in [0, 100]. 0.1 is the authors' choice for 2-D toys, 10 theirs for images. A scheduler is not
            told which it trains, so the default is that of the data this package has most of; give 10 for images.
    """

    source = "Gulrajani et al. 2017, arXiv:1704.00028: equal rates of 1e-4, 5 critic updates; betas are no control"
    ratio, loss = "5:1", "wgan"

    def __init__(self, penalty_weight: float = 0.1) -> None:
        self.penalty_weight = penalty_weight


@register_scheduler("sagan")
class SAGAN(_Recipe):
    """SAGAN: D four times as fast as G, 1:1, hinge loss, no penalty; constant.

    Around the base as ``ttur``: G's rate halved and D's doubled. Spectral normalisation, which keeps D in check there,
    belongs to the networks and is no control.
    """

    source = "Zhang et al. 2019, arXiv:1805.08318: 1e-4 and 4e-4, one update each; betas 0 and .9 are no control"
    loss, rates = "hinge", (1 / 2, 2.0)


@register_scheduler("sngan")
class SNGAN(_Recipe):
    """SNGAN: both base rates, linear decay to (nearly) zero, 5:1, hinge loss, no penalty.

    Spectral normalisation, which keeps D in check there, belongs to the networks and is no control.
    """

    source = "Miyato et al. 2018, arXiv:1802.05957: 2e-4 for both, 5 updates of D, linear decay; betas are no control"
    ratio, loss = "5:1", "hinge"

    def factor(self, progress: np.ndarray) -> np.ndarray:
        """1 - progress."""
        return 1 - progress


@register_scheduler("r3gan")
class R3GAN(_Recipe):
    """R3GAN: RpGAN loss with R1 + R2, 1:1; along half a cosine rates fall to 1/4 and penalty weight to 1/10.

    Its burn-in, here over the whole budget (there over the first 20 million images). beta2 (.9 to .99), the average's
    half-life and augmentation, which change with it there, are no controls.

    Args:
        penalty_weight: gamma at the start, in [0, 100]: .05 on CIFAR-10, 150 on FFHQ-256. The default, 1, is the
            critical damping of the Dirac-GAN (Mescheder et al. 2018), for standardised data of few dimensions.
    """

    source = "Huang et al. 2024, arXiv:2501.05441, and its code for CIFAR-10: 2e-4 to 5e-5, gamma .05 to .005"
    loss = "rpgan"

    def __init__(self, penalty_weight: float = 1.0) -> None:
        self.penalty_weight = penalty_weight

    def factor(self, progress: np.ndarray) -> np.ndarray:
        """Half a cosine from 1 to 1/4."""
        return half_cosine(progress, 1, 1 / 4)

    def penalty_factor(self, progress: np.ndarray) -> np.ndarray:
        """Half a cosine from 1 to 1/10."""
        return half_cosine(progress, 1, 1 / 10)


@register_scheduler("random")
class Random(Scheduler):
    """Every control drawn anew in every interval: what an untrained agent does."""

    source = "log-uniform rates, uniform ratio and loss, no penalty"

    def begin(self, seeds: Sequence[int]) -> None:
        """Starts the random streams anew."""
        self._rngs = [np.random.default_rng(seed) for seed in seeds]

    def propose(self, situation: Situation) -> Controls:
        """Random controls."""
        losses = np.array([LOSSES.index(name) for name in KNOWN_LOSSES])
        drawn = np.array([rng.uniform(size=4) for rng in self._rngs])
        return Controls(
            generator_lr=LR_FACTOR ** (2 * drawn[:, 0] - 1),
            discriminator_lr=LR_FACTOR ** (2 * drawn[:, 1] - 1),
            ratio=(drawn[:, 2] * len(RATIOS)).astype(np.int64),
            loss=losses[(drawn[:, 3] * len(losses)).astype(np.int64)],
            penalty_weight=np.zeros(len(situation)),
        )


@register_scheduler("random-constant")
class RandomConstant(Random):
    """One random setting for each run, kept all the way: a user's first blind trial."""

    source = "random search with a single trial, Bergstra and Bengio 2012"

    def begin(self, seeds: Sequence[int]) -> None:
        """Forgets the settings."""
        super().begin(seeds)
        self._kept: Controls | None = None

    def propose(self, situation: Situation) -> Controls:
        """The setting drawn at the first interval."""
        if self._kept is None:
            self._kept = super().propose(situation)
        return self._kept
