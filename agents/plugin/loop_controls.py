"""``LoopControls``: what a user's loop is asked to do."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from metagan_rl.agents.plugin.health import STATUSES, Advice
from metagan_rl.loop.controls import Controls
from metagan_rl.losses import LOSSES
from metagan_rl.populations.settings import RATIOS


@dataclass(frozen=True)
class LoopControls:
    """What a loop is asked to do until the next decision.

    Attributes:
        discriminator_steps, generator_steps: updates of D and of G in one round of the loop.
        penalty_weight: weight of D's gradient penalty.
        loss: name, as in ``metagan_rl.losses.LOSSES``.
        adversarial_weight: weight of the adversarial term in G's loss, relative to its other terms. It is 1 except in
            mode ``"discriminator"``.
        generator_lr_factor, discriminator_lr_factor: what the user's rates are multiplied by, already applied.
        would_be: both factors as they would be if the scheduler acted. Only in mode ``"log"`` is this something else.
        advice: how the run is doing.
        fallen_back: whether the safeguard keeps all rates at or below the user's own.
    """

    discriminator_steps: int
    generator_steps: int
    penalty_weight: float
    loss: str
    adversarial_weight: float
    generator_lr_factor: float
    discriminator_lr_factor: float
    would_be: tuple[float, float]
    advice: Advice
    fallen_back: bool

    @classmethod
    def of(
        cls,
        controls: Controls,
        acting: Controls,
        advice: Advice,
        *,
        fallen_back: bool,
        penalty_unit: float,
        one_sided: bool,
    ) -> "LoopControls":
        """Translates the controls of one GAN into what a loop uses.

        Args:
            controls: those in force, of one GAN.
            acting: those that would be in force if the scheduler acted.
            advice: passed on.
            fallen_back: passed on.
            penalty_unit: the loop's penalty weight for a control of 1.
            one_sided: whether G's rate is left alone. Its factor is then the weight of the adversarial term.
        """
        discriminator_steps, generator_steps = RATIOS.values()[int(controls.ratio[0])]
        generator, discriminator = (
            float(factor[0]) for factor in (controls.generator_lr_factor, controls.discriminator_lr_factor)
        )
        return cls(
            discriminator_steps=discriminator_steps,
            generator_steps=generator_steps,
            penalty_weight=float(controls.penalty_weight[0]) * penalty_unit,
            loss=list(LOSSES)[int(controls.loss[0])],
            adversarial_weight=generator if one_sided else 1.0,
            generator_lr_factor=1.0 if one_sided else generator,
            discriminator_lr_factor=discriminator,
            would_be=(
                1.0 if one_sided else float(acting.generator_lr_factor[0]),
                float(acting.discriminator_lr_factor[0]),
            ),
            advice=advice,
            fallen_back=fallen_back,
        )


def scalars(told: LoopControls, proposed: Controls, signals: Mapping[str, np.ndarray]) -> dict[str, float]:
    """What a writer gets at each decision: controls, advice, the scheduler's proposal and the known signals."""
    return {
        "generator_lr_factor": told.generator_lr_factor,
        "discriminator_lr_factor": told.discriminator_lr_factor,
        "would_be/generator_lr_factor": told.would_be[0],
        "would_be/discriminator_lr_factor": told.would_be[1],
        "penalty_weight": told.penalty_weight,
        "adversarial_weight": told.adversarial_weight,
        "discriminator_steps": float(told.discriminator_steps),
        "generator_steps": float(told.generator_steps),
        "status": float(STATUSES.index(told.advice.status)),
        "fallen_back": float(told.fallen_back),
        "proposed/generator_lr_factor": float(proposed.generator_lr_factor[0]),
        "proposed/discriminator_lr_factor": float(proposed.discriminator_lr_factor[0]),
        **{f"signals/{name}": float(value[0]) for name, value in signals.items()},
    }
