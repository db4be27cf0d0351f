"""Stability of training, interval by interval. Each term lies in [0, 1]; 0 is healthy.

| term | healthy | 1 |
|---|---|---|
| saturation | D orders at most 90 % of real and generated pairs correctly | all of them |
| vanishing | G's gradient is within a factor 10 of its first interval's | a factor 1,000 smaller |
| oscillation | log distance goes one way over the last intervals | goes back and forth by 1 or more |
| mode_loss | coverage is the best so far | all coverage lost |
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from metagan_rl.populations.measurements import Measurements

STABILITY_LABELS = {
    "saturation": "saturation of\N{NO-BREAK SPACE}D",
    "vanishing": "vanishing gradient",
    "oscillation": "oscillation",
    "mode_loss": "mode loss",
}
"""Names of the terms for readers."""
STABILITY_TERMS = tuple(STABILITY_LABELS)
WINDOW = 5
"""Number of distances that oscillation is computed from."""


class StabilityMonitor:
    """Follows B runs and computes the stability terms of each interval."""

    def __init__(self, members: int) -> None:
        self._first_gradient = np.full(members, np.nan)
        self._best_coverage = np.zeros(members)
        self._log_distances = np.full((members, WINDOW), np.nan)

    def gradient_decline(self, measured: Measurements) -> np.ndarray:
        """log10 of G's gradient norm relative to that of its first interval, ``[B]``. Remembers the first norm."""
        gradient = np.log10(np.clip(np.nan_to_num(measured.generator_gradient), 1e-30, 1e30))
        first = np.isnan(self._first_gradient) & ~np.isnan(measured.generator_gradient)
        self._first_gradient = np.where(first, gradient, self._first_gradient)
        return np.nan_to_num(gradient - self._first_gradient)  # 0 while there is no first gradient

    def restart(self, members: np.ndarray, log_distance: np.ndarray, coverage: np.ndarray) -> None:
        """Restarts some runs from the log distance and coverage before any update."""
        self._first_gradient[members] = np.nan
        self._best_coverage[members] = coverage
        self._log_distances[members] = np.nan
        self._log_distances[members, -1] = log_distance

    def take(self, sources: np.ndarray) -> None:
        """Replaces each run's history with its source's, after runs were copied."""
        self._first_gradient = self._first_gradient[sources]
        self._best_coverage = self._best_coverage[sources]
        self._log_distances = self._log_distances[sources]

    def state_dict(self) -> dict[str, list[Any]]:
        """Everything it remembers, as lists of numbers."""
        return {
            "first_gradient": self._first_gradient.tolist(),
            "best_coverage": self._best_coverage.tolist(),
            "log_distances": self._log_distances.tolist(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues from a saved state.

        Raises:
            KeyError, TypeError, ValueError: the state is damaged, or of another number of runs.
        """
        read = {name: np.array(state[name], dtype=np.float64) for name in self.state_dict()}
        for name, values in read.items():
            if values.shape != getattr(self, f"_{name}").shape:
                raise ValueError(f"{name} is of shape {values.shape}")
        for name, values in read.items():
            setattr(self, f"_{name}", values)

    def update(self, measured: Measurements, log_distance: np.ndarray, coverage: np.ndarray) -> dict[str, np.ndarray]:
        """The stability terms ``[B]`` of the interval that was just trained."""
        lost = -self.gradient_decline(measured)
        self._log_distances = np.roll(self._log_distances, -1, axis=1)
        self._log_distances[:, -1] = log_distance
        changes = np.nan_to_num(np.diff(self._log_distances, axis=1))
        to_and_fro = (np.abs(changes).sum(axis=1) - np.abs(changes.sum(axis=1))) / 2

        self._best_coverage = np.maximum(self._best_coverage, coverage)
        terms = {
            "saturation": (np.nan_to_num(measured.pair_accuracy, nan=0.5) - 0.9) / 0.1,
            "vanishing": (lost - 1) / 2,
            "oscillation": to_and_fro,
            "mode_loss": self._best_coverage - coverage,
        }
        return {name: np.clip(value, 0.0, 1.0) for name, value in terms.items()}
