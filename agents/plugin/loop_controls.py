"""What a user's loop is asked to do."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from metagan_rl.agents.plugin.health import STATUSES, Advice
from metagan_rl.controls import RATIOS, Controls


@dataclass(frozen=True)
class LoopControls:
    """What a loop is asked to do until the next decision.

    Attributes:
        discriminator_steps, generator_steps: updates of D and of G in one round of the loop.
        penalty_weight: of D's gradient penalty.
        loss: name, as in ``metagan_rl.losses.LOSSES``.
        adversarial_weight: of the adversarial term in G's loss, beside other terms; 1 but in mode ``"discriminator"``.
        generator_lr, discriminator_lr: multipliers of the user's rates, which are already written.
        advice: how the run is doing.
        fallen_back: the safeguard has given the run back to the user's constants.
    """

    discriminator_steps: int
    generator_steps: int
    penalty_weight: float
    loss: str
    adversarial_weight: float
    generator_lr: float
    discriminator_lr: float
    advice: Advice
    fallen_back: bool

    @classmethod
    def of(
        cls, controls: Controls, advice: Advice, *, fallen_back: bool, penalty_unit: float, one_sided: bool
    ) -> "LoopControls":
        """Controls of one GAN in the words of a loop.

        Args:
            controls: in force, of one GAN.
            advice: goes along.
            fallen_back: goes along.
            penalty_unit: what a penalty weight of 1 is in the loop.
            one_sided: G's rate is not touched; its multiplier is the adversarial term's weight instead.
        """
        words = controls.describe(0)
        discriminator_steps, generator_steps = RATIOS[words["ratio"]]
        return cls(
            discriminator_steps=discriminator_steps,
            generator_steps=generator_steps,
            penalty_weight=words["penalty_weight"] * penalty_unit,
            loss=words["loss"],
            adversarial_weight=words["generator_lr"] if one_sided else 1.0,
            generator_lr=1.0 if one_sided else words["generator_lr"],
            discriminator_lr=words["discriminator_lr"],
            advice=advice,
            fallen_back=fallen_back,
        )


def scalars(told: LoopControls, proposed: Controls, signals: Mapping[str, np.ndarray]) -> dict[str, float]:
    """What a writer gets at a decision: controls, advice, what the scheduler had proposed, and known signals."""
    return {
        "generator_lr": told.generator_lr,
        "discriminator_lr": told.discriminator_lr,
        "penalty_weight": told.penalty_weight,
        "adversarial_weight": told.adversarial_weight,
        "discriminator_steps": float(told.discriminator_steps),
        "generator_steps": float(told.generator_steps),
        "status": float(STATUSES.index(told.advice.status)),
        "fallen_back": float(told.fallen_back),
        "proposed/generator_lr": float(proposed.generator_lr[0]),
        "proposed/discriminator_lr": float(proposed.discriminator_lr[0]),
        **{f"signals/{name}": float(value[0]) for name, value in signals.items()},
    }
