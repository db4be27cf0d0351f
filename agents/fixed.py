"""Schedulers that look at nothing but the clock: constants, decays, random controls."""

from collections.abc import Sequence

import numpy as np

from metagan_rl.agents.scheduler import Scheduler, Situation, register_scheduler
from metagan_rl.controls import LR_FACTOR, RATIOS, Controls
from metagan_rl.losses import LOSSES
from metagan_rl.signals import KNOWN_LOSSES

LOWEST = 1 / LR_FACTOR


@register_scheduler("constant")
class Constant(Scheduler):
    """The user's own base, all the way: what an unscheduled run does."""

    source = "no schedule"

    def propose(self, situation: Situation) -> Controls:
        """The base."""
        return situation.base


class _Decay(Scheduler):
    """Both learning rates fall together from the base to 1/30 of it."""

    def factor(self, progress: np.ndarray) -> np.ndarray:
        """Multiplier of the base rates at a progress in [0, 1)."""
        raise NotImplementedError(f"{type(self).__name__} must define factor(progress)")

    def propose(self, situation: Situation) -> Controls:
        """The base with decayed rates."""
        factor = np.clip(self.factor(situation.progress), LOWEST, LR_FACTOR)
        return situation.base.replace(
            generator_lr=situation.base.generator_lr * factor,
            discriminator_lr=situation.base.discriminator_lr * factor,
        )


@register_scheduler("linear")
class Linear(_Decay):
    """Linear decay to (nearly) zero."""

    source = "SNGAN, Miyato et al. 2018, arXiv:1802.05957: linear decay of both rates"

    def factor(self, progress: np.ndarray) -> np.ndarray:
        """1 - progress."""
        return 1 - progress


@register_scheduler("cosine")
class Cosine(_Decay):
    """Half a cosine, from the base to (nearly) zero."""

    source = "Loshchilov and Hutter 2017, arXiv:1608.03983, without restarts; R3GAN, arXiv:2501.05441"

    def factor(self, progress: np.ndarray) -> np.ndarray:
        """(1 + cos(pi progress)) / 2."""
        return (1 + np.cos(np.pi * progress)) / 2


@register_scheduler("ttur")
class TwoTimeScale(Scheduler):
    """D learns four times as fast as G."""

    source = "TTUR, Heusel et al. 2017, arXiv:1706.08500; the factor of SAGAN, arXiv:1805.08318 (1e-4 and 4e-4)"

    def propose(self, situation: Situation) -> Controls:
        """The base with G's rate halved and D's doubled."""
        return situation.base.replace(
            generator_lr=situation.base.generator_lr / 2,
            discriminator_lr=situation.base.discriminator_lr * 2,
        )


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
