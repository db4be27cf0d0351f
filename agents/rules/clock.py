"""Schedulers that look only at the clock: constants, decays and random controls."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from metagan_rl.agents.rules.scaling import half_cosine, scaled
from metagan_rl.errors import InvalidValueError
from metagan_rl.loop.controls import Controls
from metagan_rl.loop.knobs import KNOBS
from metagan_rl.loop.scheduler import Scheduler, Situation, register_scheduler


@register_scheduler("constant")
class Constant(Scheduler):
    """Keeps the user's own base throughout, as a run without a scheduler does."""

    source = "no schedule"

    def propose(self, situation: Situation) -> Controls:
        """The base."""
        return situation.base


class _Course(Scheduler):
    """Multiplies both base learning rates by one factor of the progress, at least 1/30."""

    def factor(self, progress: np.ndarray) -> np.ndarray:
        """The multiplier of the base rates at a progress in [0, 1)."""
        raise NotImplementedError(f"{type(self).__name__} must define factor(progress)")

    def propose(self, situation: Situation) -> Controls:
        """The base with multiplied rates."""
        factor = self.factor(situation.progress)
        return scaled(situation.base, factor, factor)


@register_scheduler("linear")
class Linear(_Course):
    """Linear decay of both rates to nearly zero."""

    source = "SNGAN, Miyato et al. 2018, arXiv:1802.05957: linear decay of both rates"

    def factor(self, progress: np.ndarray) -> np.ndarray:
        """1 - progress."""
        return 1 - progress


@register_scheduler("cosine")
class Cosine(_Course):
    """Decay of both rates along half a cosine, from the base to nearly zero."""

    source = "Loshchilov and Hutter 2017, arXiv:1608.03983, without restarts; R3GAN, arXiv:2501.05441"

    def factor(self, progress: np.ndarray) -> np.ndarray:
        """(1 + cos(pi progress)) / 2."""
        return half_cosine(progress, 1, 0)


@register_scheduler("step")
class Step(_Course):
    """Divides both rates by 10 at half of the budget, and by 100 (in effect 30) at three quarters."""

    source = "ResNet, He et al. 2016, arXiv:1512.03385: by 10 at 32k and 48k of 64k iterations on CIFAR-10"

    def factor(self, progress: np.ndarray) -> np.ndarray:
        """1, then 1/10, then 1/100, which is later limited to 1/30."""
        return np.where(progress < 1 / 2, 1.0, np.where(progress < 3 / 4, 0.1, 0.01))


@register_scheduler("warm-up")
class WarmUp(_Course):
    """Both rates rise linearly over the first 1/18 of the budget, then stay at the base.

    Args:
        share: how much of the budget the warm-up takes, in (0, 1].
    """

    source = "Goyal et al. 2017, arXiv:1706.02677: linear over 5 of 90 epochs (in supervised training)"

    def __init__(self, share: float = 5 / 90) -> None:
        if not 0 < share <= 1:
            raise InvalidValueError(f"share is {share!r}; it must be above 0 and at most 1")
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


@register_scheduler("random")
class Random(Scheduler):
    """Draws every control anew in every interval, as an untrained agent does."""

    source = "log-uniform rates, uniform ratio and loss, no penalty"
    turned = ("generator_lr_factor", "discriminator_lr_factor", "ratio", "loss")
    remembers: ClassVar[tuple[str, ...]] = ("_rngs",)

    def begin(self, seeds: Sequence[int]) -> None:
        """Starts the random streams anew."""
        self._rngs = [np.random.default_rng(seed) for seed in seeds]

    def propose(self, situation: Situation) -> Controls:
        """Random controls."""
        drawn = np.array([rng.uniform(size=len(self.turned)) for rng in self._rngs])
        turned = {name: KNOBS[name].from_unit(2 * drawn[:, place] - 1) for place, name in enumerate(self.turned)}
        return situation.base.replace(**turned, penalty_weight=np.zeros(len(situation)))


@register_scheduler("random-constant")
class RandomConstant(Random):
    """Draws one random setting for each run and keeps it: a user's first blind trial."""

    source = "random search with a single trial, Bergstra and Bengio 2012"
    remembers = ("_rngs", "_kept")

    def begin(self, seeds: Sequence[int]) -> None:
        """Forgets the settings drawn before."""
        super().begin(seeds)
        self._kept: Controls | None = None

    def propose(self, situation: Situation) -> Controls:
        """The setting drawn in the first interval."""
        if self._kept is None:
            self._kept = super().propose(situation)
        return self._kept
