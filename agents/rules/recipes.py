"""Published recipes, as far as they carry over to any base.

The ratio of the rates, the step ratio, the loss, the penalty weight and the course of each carry over. Everything that
is not a control stays as the task has it: absolute rates, Adam's betas, batch size, normalisation.
"""

import numpy as np

from metagan_rl.agents.rules.scaling import half_cosine, scaled
from metagan_rl.loop.controls import Controls
from metagan_rl.loop.scheduler import Scheduler, Situation, register_scheduler
from metagan_rl.losses import LOSSES
from metagan_rl.populations.settings import RATIOS


class _Recipe(Scheduler):
    """Replaces the base's ratio, loss and penalty weight by a paper's, and multiplies the base's rates.

    Attributes:
        ratio, loss: names.
        penalty_weight: weight of the loss's own penalty; 0 for none.
        rates: multipliers of G's and of D's base rate.
    """

    ratio: str = "1:1"
    loss: str = "non-saturating"
    penalty_weight: float = 0.0
    rates: tuple[float, float] = (1.0, 1.0)

    def factor(self, progress: np.ndarray) -> np.ndarray:
        """A further multiplier of both rates, at a progress in [0, 1)."""
        return np.ones_like(progress)

    def penalty_factor(self, progress: np.ndarray) -> np.ndarray:
        """The multiplier of the penalty weight, at a progress in [0, 1)."""
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

    The base of this package's suites is this recipe at rates that are off. There it does the same as ``constant``.
    """

    source = "Radford et al. 2015, arXiv:1511.06434: 2e-4 for both, one update each; beta1 .5 is no control"


@register_scheduler("wgan-gp")
class WGANGP(_Recipe):
    """WGAN-GP: 5:1, WGAN loss, one-centred penalty of weight 0.1 (2-D data; 10 for images); constant.

    Args:
        penalty_weight: in [0, 100]. The authors choose 0.1 for 2-D toys and 10 for images. A scheduler is not told
            which data it trains on. The default suits most of this package's data; give 10 for images.
    """

    source = "Gulrajani et al. 2017, arXiv:1704.00028: equal rates of 1e-4, 5 critic updates; betas are no control"
    ratio, loss = "5:1", "wgan"
    turned = ("ratio", "loss", "penalty_weight")

    def __init__(self, penalty_weight: float = 0.1) -> None:
        self.penalty_weight = penalty_weight


@register_scheduler("sagan")
class SAGAN(_Recipe):
    """SAGAN: D four times as fast as G, 1:1, hinge loss, no penalty; constant.

    As in ``ttur``, G's base rate is halved and D's doubled. SAGAN keeps D in check by spectral normalisation, which is
    part of the networks and not a control.
    """

    source = "Zhang et al. 2019, arXiv:1805.08318: 1e-4 and 4e-4, one update each; betas 0 and .9 are no control"
    loss, rates = "hinge", (1 / 2, 2.0)


@register_scheduler("sngan")
class SNGAN(_Recipe):
    """SNGAN: both base rates, linear decay to nearly zero, 5:1, hinge loss, no penalty.

    SNGAN keeps D in check by spectral normalisation, which is part of the networks and not a control.
    """

    source = "Miyato et al. 2018, arXiv:1802.05957: 2e-4 for both, 5 updates of D, linear decay; betas are no control"
    ratio, loss = "5:1", "hinge"

    def factor(self, progress: np.ndarray) -> np.ndarray:
        """1 - progress."""
        return 1 - progress


@register_scheduler("r3gan")
class R3GAN(_Recipe):
    """R3GAN: RpGAN loss with R1 + R2, 1:1; rates fall to 1/4 and the penalty weight to 1/10 along half a cosine.

    This is R3GAN's burn-in, spread over the whole budget (in the paper, over the first 20 million images). In the paper
    beta2 (.9 to .99), the average's half-life and augmentation change too. They are not controls here.

    Args:
        penalty_weight: gamma at the start, in [0, 100]. R3GAN has .05 on CIFAR-10 and 150 on FFHQ-256. The default, 1,
            is the critical damping of the Dirac-GAN (Mescheder et al. 2018), for standardised data of few dimensions.
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
