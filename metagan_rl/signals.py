"""Signals: what a scheduler may see. Unit-free numbers, each with a name, a range and a formula.

None tells which data set is trained, nor any absolute learning rate or loss: a scheduler must find them where it
never was. ``LOOP_SIGNALS`` are what any training loop has; ``QUALITY_SIGNALS`` need a quality metric besides.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from metagan_rl.controls import LR_FACTOR, MAX_PENALTY_WEIGHT, RATIOS, Controls
from metagan_rl.losses import LOSSES
from metagan_rl.populations.measurements import Measurements

USUAL_BUDGET = 3072
PENALTY_UNIT = 1e-3
HUGE = 1e30
"""Measurements are cut off here."""
KNOWN_LOSSES = ("non-saturating", "hinge", "lsgan", "wgan", "rpgan")


@dataclass(frozen=True)
class Signal:
    """One number that a scheduler may see.

    Attributes:
        name: identifier.
        low, high: range; values beyond are clipped.
        meaning: formula in words.
    """

    name: str
    low: float
    high: float
    meaning: str


def _signals(*rows: tuple[str, float, str]) -> tuple[Signal, ...]:
    return tuple(Signal(name, low, 1.0, meaning) for name, low, meaning in rows)


LOOP_SIGNALS = _signals(
    ("progress", 0, "updates done / budget"),
    ("budget", -1, "log10(budget / 3072)"),
    ("generator_lr", -1, "log(multiplier of G's base rate) / log 30"),
    ("discriminator_lr", -1, "log(multiplier of D's base rate) / log 30"),
    ("ratio", -1, "log(D updates / G updates) / log 5"),
    *((f"loss_{name.replace('-', '_')}", 0.0, f"1 if the loss is {name}") for name in KNOWN_LOSSES),
    ("penalty_weight", 0, "log(1 + 1000 weight), 1 at weight 100"),
    ("discriminator_loss", -1, "log10(D's loss / its ideal); for critics -gap / (1 + |gap|)"),
    ("discriminator_loss_slope", -1, "change of the above in this interval"),
    ("real_accuracy", -1, "2 x share of real logits on the right side - 1"),
    ("fake_accuracy", -1, "2 x share of generated logits on the right side - 1"),
    ("pair_accuracy", -1, "2 x share of real-generated pairs ordered rightly - 1"),
    ("logit_gap", -1, "tanh(gap / 3); gap = (mean real - mean generated logit) / deviation within"),
    ("logit_gap_slope", -1, "change of the above in this interval"),
    ("logit_centre", -1, "tanh(c / 3); c = (middle of the two means - boundary) / deviation within"),
    ("gradient_ratio", -1, "log10(G's gradient norm / D's) / 3"),
    ("gradient_decline", -1, "log10(G's gradient norm / that of its first interval) / 3"),
    ("generator_move", -1, "(log10(|change of G's weights| / |weights|) + 2) / 2"),
    ("discriminator_move", -1, "(log10(|change of D's weights| / |weights|) + 2) / 2"),
    ("saturation", 0, "stability term: D orders (almost) all pairs rightly"),
    ("vanishing", 0, "stability term: G's gradient is dying"),
)
QUALITY_SIGNALS = _signals(
    ("distance_from_start", -1, "log(distance / distance before training) / 3"),
    ("distance_to_floor", -1, "log(distance / distance of real to real points) / 3"),
    ("distance_change", -1, "2 log(distance / distance one interval ago)"),
    ("distance_from_best", 0, "log(distance / best distance so far) / 2"),
    ("sliced_wasserstein", -1, "log10(sliced Wasserstein distance) / 2"),
    ("precision", 0, "precision"),
    ("coverage", 0, "coverage"),
    ("oscillation", 0, "stability term: log distance goes to and fro"),
    ("mode_loss", 0, "stability term: best coverage so far - coverage"),
)
FURTHER_SIGNALS = _signals(
    (
        "generator_loss",
        -1,
        "log10(G's loss / its ideal); for hinge and WGAN -c / (1 + |c|), c = generated logit / deviation",
    ),
)
"""Worked out, but not in the set ``all``, whose order trained policies rely on."""
SIGNALS = {signal.name: signal for signal in LOOP_SIGNALS + QUALITY_SIGNALS + FURTHER_SIGNALS}
AUTOLOSS_SIGNALS = tuple(
    SIGNALS[name]
    for name in ("progress", "gradient_ratio", "generator_loss", "discriminator_loss", "distance_to_floor")
)
"""What comes nearest to what AutoLoss sees of a GAN (Xu et al. 2018, arXiv:1810.02442): the share of training done, the
log ratio of the gradients' norms, moving averages of both losses (ours are means over the interval) and, for its
inception score relative to 8, our distance relative to the floor."""
OUTPUT_SIGNALS = tuple(
    signal for signal in LOOP_SIGNALS if signal.name not in ("gradient_ratio", "gradient_decline", "vanishing")
)
"""Those of a loop that tells D's outputs and losses, but no norms of gradients."""
SIGNAL_SETS = {
    "loop": LOOP_SIGNALS,
    "outputs": OUTPUT_SIGNALS,
    "all": LOOP_SIGNALS + QUALITY_SIGNALS,
    "autoloss": AUTOLOSS_SIGNALS,
}


def control_signals(controls: Controls) -> dict[str, np.ndarray]:
    """Signals that tell the controls in force, ``[B]`` each."""
    names, cycles = list(LOSSES), np.array(RATIOS.values(), dtype=float)
    ratio = np.log(cycles[:, 0] / cycles[:, 1]) / math.log(5)
    full = math.log1p(MAX_PENALTY_WEIGHT / PENALTY_UNIT)
    return {
        "generator_lr": np.log(controls.generator_lr) / math.log(LR_FACTOR),
        "discriminator_lr": np.log(controls.discriminator_lr) / math.log(LR_FACTOR),
        "ratio": ratio[controls.ratio],
        **{
            f"loss_{name.replace('-', '_')}": (controls.loss == names.index(name)).astype(float)
            for name in KNOWN_LOSSES
        },
        "penalty_weight": np.log1p(controls.penalty_weight / PENALTY_UNIT) / full,
    }


def training_signals(measured: Measurements, controls: Controls) -> dict[str, np.ndarray]:
    """Signals from one interval's losses, logits and gradients, ``[B]`` each; without slopes and stability terms."""
    # No infinities, whose differences and ratios are not numbers; NaN, which is not measured, stays.
    measured = Measurements(**{name: np.clip(values, -HUGE, HUGE) for name, values in vars(measured).items()})
    losses = LOSSES.values()
    ideal = np.array([loss.ideal for loss in losses])[controls.loss]
    generator_ideal = np.array([loss.generator_ideal for loss in losses])[controls.loss]
    boundary = np.array([loss.boundary for loss in losses])[controls.loss]
    deviation = np.maximum(measured.logit_deviation, 1e-12)
    gap = (measured.real_logit - measured.fake_logit) / deviation
    centre = ((measured.real_logit + measured.fake_logit) / 2 - boundary) / deviation
    fake = measured.fake_logit / deviation
    relative = _relative(measured.discriminator_loss, ideal)
    generator_relative = _relative(measured.generator_loss, generator_ideal)
    ratio = np.maximum(measured.generator_gradient, 1e-30) / np.maximum(measured.discriminator_gradient, 1e-30)
    return {
        "discriminator_loss": np.where(ideal > 0, relative, -gap / (1 + np.abs(gap))),
        "generator_loss": np.where(generator_ideal > 0, generator_relative, -fake / (1 + np.abs(fake))),
        "real_accuracy": 2 * measured.real_accuracy - 1,
        "fake_accuracy": 2 * measured.fake_accuracy - 1,
        "pair_accuracy": 2 * measured.pair_accuracy - 1,
        "logit_gap": np.tanh(gap / 3),
        "logit_centre": np.tanh(centre / 3),
        "gradient_ratio": np.log10(ratio) / 3,
        "generator_move": (np.log10(np.maximum(measured.generator_move, 1e-12)) + 2) / 2,
        "discriminator_move": (np.log10(np.maximum(measured.discriminator_move, 1e-12)) + 2) / 2,
    }


def interval_signals(
    measured: Measurements, controls: Controls, before: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Signals from one interval, with the slopes; ``before`` are those of the last (empty before the first)."""
    values = training_signals(measured, controls)
    for name in ("discriminator_loss", "logit_gap"):
        values[f"{name}_slope"] = np.clip(values[name], -1, 1) - np.clip(before.get(name, 0.0), -1, 1)
    return values


def clock_signals(updates: np.ndarray, budget: np.ndarray) -> dict[str, np.ndarray]:
    """Signals that tell how far training is, from updates done and in all, ``[B]`` each."""
    return {"progress": updates / budget, "budget": np.log10(budget / USUAL_BUDGET)}


def distance_signals(
    distance: np.ndarray, start: np.ndarray, best: np.ndarray, floor: np.ndarray
) -> dict[str, np.ndarray]:
    """Signals from a quality distance now, before training, at its best and of real to real points, ``[B]`` each."""
    return {
        "distance_from_start": np.log(distance / start) / 3,
        "distance_to_floor": np.log(distance / floor) / 3,
        "distance_from_best": np.log(distance / best) / 2,
    }


def distance_change(distance: np.ndarray, before: np.ndarray) -> np.ndarray:
    """The signal ``distance_change``, from the distances now and one interval ago, ``[B]``."""
    return 2 * np.log(distance / before)


def sliced_wasserstein_signal(distance: np.ndarray) -> np.ndarray:
    """The signal ``sliced_wasserstein``, ``[B]``."""
    return np.log10(np.maximum(distance, 1e-12)) / 2


def _relative(loss: np.ndarray, ideal: np.ndarray) -> np.ndarray:
    return np.log10(np.maximum(loss, 1e-12) / np.where(ideal > 0, ideal, 1.0))


def as_matrix(values: dict[str, np.ndarray], which: tuple[Signal, ...], members: int) -> np.ndarray:
    """Signals in order, clipped to their ranges, float32 ``[B, S]``; 0 where nothing is known yet, never NaN."""
    matrix = np.zeros((members, len(which)))
    for column, signal in enumerate(which):
        if signal.name in values:
            matrix[:, column] = values[signal.name]
    low, high = [signal.low for signal in which], [signal.high for signal in which]
    return np.clip(np.nan_to_num(matrix, nan=0.0), low, high).astype(np.float32)
