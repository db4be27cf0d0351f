"""Helpers that rules share: multiplied learning rates, and half a cosine."""

import numpy as np

from metagan_rl.loop.controls import Controls
from metagan_rl.loop.knobs import LR_FACTOR

LOWEST = 1 / LR_FACTOR
"""The smallest factor of a learning rate."""


def scaled(base: Controls, generator: np.ndarray | float, discriminator: np.ndarray | float) -> Controls:
    """The base with its learning rates multiplied; factors are kept within 1/30 to 30."""
    return base.replace(
        generator_lr_factor=np.clip(base.generator_lr_factor * generator, LOWEST, LR_FACTOR),
        discriminator_lr_factor=np.clip(base.discriminator_lr_factor * discriminator, LOWEST, LR_FACTOR),
    )


def half_cosine(progress: np.ndarray, start: float, end: float) -> np.ndarray:
    """From start at progress 0 to end at 1: end + (start - end) (1 + cos(pi progress)) / 2."""
    return end + (start - end) * (1 + np.cos(np.pi * progress)) / 2
