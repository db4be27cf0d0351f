"""What is known of the run in a user's loop: the counterpart, for one GAN, of ``metagan_rl.envs.runs.Runs``."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from metagan_rl.controls import Controls
from metagan_rl.envs.reward import Reward
from metagan_rl.metrics.stability import StabilityMonitor
from metagan_rl.populations.measurements import Measurements
from metagan_rl.signals import (
    clock_signals,
    control_signals,
    distance_change,
    distance_signals,
    interval_signals,
    sliced_wasserstein_signal,
)

QUALITY_PARTS = {
    "distance": ("distance_from_start", "distance_change", "distance_from_best", "oscillation"),
    "floor": ("distance_to_floor",),
    "sliced_wasserstein": ("sliced_wasserstein",),
    "precision": ("precision",),
    "coverage": ("coverage", "mode_loss"),
}
"""What ``quality=`` may tell, and the signals that need it; a floor is of use with a distance only."""


def quality_parts(quality: float | Mapping[str, float]) -> dict[str, float]:
    """What ``quality=`` tells, a number being the distance.

    Raises:
        ValueError: no such part, or it is out of range.
    """
    given = quality if isinstance(quality, Mapping) else {"distance": quality}
    parts = {name: float(value) for name, value in given.items()}
    for name, value in parts.items():
        least = 0.0 if name in ("precision", "coverage") else 1e-30
        if name not in QUALITY_PARTS or not least <= value < math.inf:
            raise ValueError(f"quality {name}={value}; distances must be finite and above 0, shares at least 0")
    return parts


class LoopRun:
    """Turns measurements of one GAN into signals, interval by interval; what was not measured is no signal.

    Args:
        total_updates: updates of both networks in the whole run.
    """

    def __init__(self, total_updates: int) -> None:
        self.budget = np.array([float(total_updates)])
        self.monitor = StabilityMonitor(1)
        self.known: dict[str, np.ndarray] = {}
        """Signals of the last interval."""
        self.reward = np.zeros(1)
        """Of the last interval; 0 where no quality distance was given."""
        self._values: dict[str, np.ndarray] = {}
        self._distance = self._start = self._best = np.full(1, np.nan)

    def advance(self, measured: Measurements, controls: Controls, quality: Mapping[str, float], left: float) -> None:
        """Takes in an interval.

        Args:
            measured: of one GAN, NaN where nothing was given.
            controls: that were in force.
            quality: parts of ``QUALITY_PARTS`` that were given.
            left: intervals of the budget, this one included.
        """
        told = {name: np.array([quality.get(name, math.nan)]) for name in QUALITY_PARTS}
        before, distance = self._distance, told["distance"]
        self._start = np.where(np.isnan(self._start), distance, self._start)
        self._best, self._distance = np.fmin(self._best, distance), distance
        stability = self.monitor.update(measured, np.log(distance), np.nan_to_num(told["coverage"]))
        values = interval_signals(measured, controls, self._values)
        self._values = dict(values)
        values["gradient_decline"] = self.monitor.gradient_decline(measured) / 3
        values["distance_change"] = distance_change(distance, before)
        values |= {**stability, **distance_signals(distance, self._start, self._best, told["floor"])}
        values |= {"precision": told["precision"], "coverage": told["coverage"]}
        values["sliced_wasserstein"] = sliced_wasserstein_signal(told["sliced_wasserstein"])
        for needed, names in (
            (measured.generator_gradient, ("gradient_decline", "vanishing")),
            (measured.pair_accuracy, ("saturation",)),
            (distance, ("oscillation",)),
            (told["coverage"], ("mode_loss",)),
        ):
            if np.isnan(needed[0]):
                values |= {name: np.full(1, np.nan) for name in names}
        self.known = {name: value for name, value in values.items() if not np.isnan(value[0])}
        self.reward = np.zeros(1)
        if not np.isnan(before[0] + distance[0]):
            terms = Reward().terms(before, distance, stability, np.zeros(1, dtype=bool), np.array([left]), np.zeros(1))
            self.reward = np.nan_to_num(np.sum(list(terms.values()), axis=0))

    def signals(self, updates: float, controls: Controls) -> dict[str, np.ndarray]:
        """All that is known, by name, ``[1]`` each, before clipping."""
        return {**self.known, **control_signals(controls), **clock_signals(np.array([updates]), self.budget)}

    def state_dict(self) -> dict[str, Any]:
        """All that is remembered."""
        return dict(vars(self))
