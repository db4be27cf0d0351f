"""What a frame shows of the two GANs: their samples, and D's output all over the plane. All as small whole numbers."""

import base64
from typing import Any

import numpy as np
import torch

from metagan_rl.envs.render import Plane
from metagan_rl.evaluation import generated
from metagan_rl.experiments.watch.match import SIDES, Match
from metagan_rl.losses import LOSSES
from metagan_rl.networks.base import split

GRID = 48
"""Places along each axis at which D is asked."""
FLAT = 0.5
"""Logits that deviate less than this are shown as nearly undecided."""
STEPS = 65535
"""Coordinates are whole numbers from 0 to this; the frame's edges are at a third and two thirds."""


class Pictures:
    """Makes pictures of one match. All have the same axes.

    Args:
        match: the match.
    """

    def __init__(self, match: Match) -> None:
        self._match = match
        self._plane = Plane(self._real(), margin=0.45)
        x, y = (np.linspace(low, high, GRID) for low, high in zip(self._plane.low, self._plane.high, strict=True))
        places = np.stack(np.meshgrid(x, y[::-1]), axis=-1).reshape(-1, 2)  # row by row, from the top
        self._places = torch.from_numpy(places.astype(np.float32))

    def real(self) -> str:
        """The real points as packed coordinates; they change only if the data drift."""
        return self._packed(self._real())

    def sides(self) -> list[dict[str, Any]]:
        """For each side its ``points`` and ``surface``, packed, and the share of points ``outside`` of the frame."""
        samples = generated(self._match.runs.population, range(SIDES))
        surfaces = self._surfaces()
        told = []
        for place in range(SIDES):
            points = samples[place].numpy(force=True)
            inside = self._plane.inside(self._plane(points))
            told.append(
                {
                    "points": self._packed(points),
                    "outside": round(1 - float(inside.mean()), 3),
                    "surface": base64.b64encode(surfaces[place].tobytes()).decode(),
                }
            )
        return told

    def _real(self) -> np.ndarray:
        return np.asarray(self._match.runs.population.tasks[0].data().reward_reference.numpy())

    def _packed(self, points: np.ndarray) -> str:
        """Base64 of pairs of unsigned 16-bit numbers, little-endian; y counts from the top. NaN lies at the edge."""
        low, high = self._plane.low, self._plane.high
        share = np.nan_to_num((self._plane(points) - low) / (high - low), nan=-1.0)
        share[:, 1] = 1 - share[:, 1]
        whole = np.round(np.clip((share + 1) / 3, 0, 1) * STEPS).astype("<u2")
        return base64.b64encode(whole.tobytes()).decode()

    def _surfaces(self) -> np.ndarray:
        """D's output, uint8 ``[2, GRID * GRID]``: 0 says generated, 255 real, 128 is undecided.

        The scale is D's own: the deviation of its logits, or ``FLAT`` where they hardly deviate, so that they look so.
        Critics have no point at which they are undecided, so theirs is the median.
        """
        logits = np.zeros((SIDES, GRID**2))
        for part, members in self._match.runs.population.groups():
            with torch.no_grad():
                rows = split(part.discriminator, part.state.discriminator)
                values = part.discriminator(rows, self._places.to(part.device).expand(len(members), -1, -1))
            logits[members] = values[..., 0].double().numpy(force=True)
        for place, side in enumerate(self._match.sides):
            loss = LOSSES.values()[int(side.controls.loss[0])]
            critic = loss.relative or not loss.ideal
            logits[place] -= np.median(logits[place]) if critic else loss.boundary
        scale = 1.25 * np.maximum(logits.std(axis=1, keepdims=True), FLAT)
        return np.round(127.5 + 127.5 * np.tanh(np.nan_to_num(logits / scale))).astype(np.uint8)
