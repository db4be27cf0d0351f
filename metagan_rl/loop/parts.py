"""An interval that is trained part by part, so that somebody can look on and turn knobs within it."""

from dataclasses import fields

import numpy as np
import torch
from torch import Tensor

from metagan_rl.loop.controls import Controls
from metagan_rl.loop.ledger import Outcome
from metagan_rl.loop.runs import Runs
from metagan_rl.populations.measurements import Measurements


class Parts:
    """The interval that runs are in. Call :meth:`train` until it is over; the runs then record it.

    A run that is trained in parts draws other noise than one that is trained in whole intervals. So single runs differ
    as two seeds do, and on average they are the same.

    Args:
        runs: runs whose intervals are all of one length.
    """

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._begin()

    def _begin(self) -> None:
        self.done = 0
        self._parts: list[Measurements] = []
        self._start = _weights(self._runs)

    @property
    def left(self) -> int:
        """Updates of each run to the end of the interval."""
        return int(self._runs.interval_updates[0]) - self.done

    def train(self, controls: Controls, updates: int) -> Outcome | None:
        """Trains every run for so many updates, or to the end of the interval if that comes first.

        Args:
            controls: the controls of each run; an interval is recorded with those of its last part.
            updates: a multiple of 12.

        Returns:
            What the interval did, if it is over; else ``None``.
        """
        part = min(updates, self.left)
        self._parts.append(self._runs.train(controls, part, begins=not self.done))
        self.done += part
        if self.left:
            return None
        outcome = self._runs.record(self._together(), controls)
        self._begin()
        return outcome

    def copy(self, sources: np.ndarray) -> None:
        """Makes each run continue from its source, in the midst of the interval; see :meth:`Runs.copy`."""
        self._runs.copy(sources)
        self._start = [[weights[source] for source in sources.tolist()] for weights in self._start]
        for place, part in enumerate(self._parts):
            self._parts[place] = Measurements(**{name: values[sources] for name, values in vars(part).items()})

    def _together(self) -> Measurements:
        """The measurements of the whole interval: means of the parts, and moves from its start to its end."""
        found = {
            each.name: np.array([getattr(part, each.name) for part in self._parts]) for each in fields(Measurements)
        }
        means = {name: values.mean(axis=0) for name, values in found.items()}
        means["logit_deviation"] = np.sqrt(np.square(found["logit_deviation"]).mean(axis=0))
        means["diverged"] = np.nanmax(found["diverged"], axis=0)
        for name, start, end in zip(("generator", "discriminator"), self._start, _weights(self._runs), strict=True):
            means[f"{name}_move"] = np.where(np.isnan(means[f"{name}_move"]), np.nan, _moves(start, end))
        return Measurements(**means)


def _weights(runs: Runs) -> list[list[Tensor]]:
    """Copies of the weights of every run's G, and of every run's D."""
    pairs = [runs.population.weights(member) for member in range(len(runs))]
    return [[weights.clone() for weights in side] for side in zip(*pairs, strict=True)]


def _moves(start: list[Tensor], end: list[Tensor]) -> np.ndarray:
    moves = [torch.linalg.vector_norm(b - a) / a.norm().clamp_min(1e-12) for a, b in zip(start, end, strict=True)]
    return torch.stack(moves).double().numpy(force=True)
