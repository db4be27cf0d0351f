"""A distribution that a person drew: points along strokes of a brush, packed so that an address can hold them."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import numpy as np

from metagan_rl.errors import DataError
from metagan_rl.tasks.task import Family, register_family

FEWEST, MOST = 24, 2000
"""Points that a drawing may have."""
BRUSH = 0.03
"""Deviation of the brush; the canvas reaches from -1 to 1."""
UNITS = 127
"""Whole numbers from -127 to 127 stand for places from -1 to 1."""


def unpack(text: str) -> np.ndarray:
    """The points ``[N, 2]`` in [-1, 1] of a packed drawing: base64 (of addresses) of pairs of signed bytes.

    Raises:
        DataError: it is no drawing, or it has too few or too many points.
    """
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        points = np.frombuffer(data, dtype=np.int8).reshape(-1, 2)
    except (binascii.Error, ValueError):
        raise DataError("the drawing is damaged; draw it again") from None
    if len(points) < FEWEST:
        raise DataError(f"the drawing has {len(points)} points; draw at least {FEWEST}: a few strokes do")
    if len(points) > MOST:
        raise DataError(f"the drawing has {len(points)} points; at most {MOST} are taken: clear it and draw less")
    return np.clip(points / UNITS, -1, 1)


def pack(points: Any) -> str:
    """Points ``[N, 2]`` in [-1, 1] as text that an address can hold."""
    whole = np.round(np.asarray(points) * UNITS).astype(np.int8)
    return base64.urlsafe_b64encode(whole.tobytes()).decode().rstrip("=")


@register_family("drawing")
class Drawing(Family):
    """Strokes of a round brush, centred and scaled as a whole, so that the picture keeps its proportions."""

    standardise = "none"

    def parameters(self, rng: np.random.Generator) -> dict[str, Any]:
        """``packed``: the strokes' points; here those of one closed curve."""
        angle = np.linspace(0, 2 * np.pi, 96)
        radius = 0.6 + 0.25 * np.sin(rng.integers(2, 6) * angle + rng.uniform(0, 2 * np.pi))
        return {"packed": pack(np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1))}

    def points(self, parameters: Mapping[str, Any], count: int, rng: np.random.Generator) -> np.ndarray:
        """Draws points ``[count, 2]``: places on the strokes, each off by the brush.

        Raises:
            DataError: it is no drawing, or it has too few or too many points.
        """
        strokes = unpack(parameters["packed"])
        scale = np.sqrt(strokes.var(axis=0).mean() + BRUSH**2)
        places = strokes[rng.integers(len(strokes), size=count)] + BRUSH * rng.standard_normal((count, 2))
        return np.asarray((places - strokes.mean(axis=0)) / scale)
