"""Makes samples small enough for a page: PNG pictures, sheets of images, and coordinates that a script draws.

A cloud of 512 points takes 1 kB as coordinates and 5 kB as a picture, so samples over time are kept as coordinates.
"""

import base64
import io
from typing import Any

import numpy as np
from scipy.ndimage import convolve

from metagan_rl.envs.render import Plane, mosaic
from metagan_rl.errors import MissingDependencyError

PIXELS = 200
"""Width of a picture of points; it is shown at half of that or less."""
PALETTE = 32
GREYS = 16
REAL_GREY = "#9a9a9a"
ON_A_SIDE = {8: 6, 28: 4}
"""Images on each side of a mosaic, by their own side. They are even, because small pictures show a quarter of it."""
STEPS, OUTSIDE = 120, -128
"""Coordinates go from -120 to 120 over the frame; points outside it get -128."""


def scatter_png(points: np.ndarray, real: np.ndarray, colour: str | None) -> str:
    """Draws points over the real ones in grey, as a PNG in a data address.

    Args:
        points: points ``[N, D]``.
        real: real points ``[M, D]``, which decide axes and limits.
        colour: colour of the points; ``None`` for real points by themselves.

    Raises:
        MissingDependencyError: Pillow, which comes with matplotlib, is not installed.
    """
    plane = _plane(real)
    picture = np.ones((PIXELS, PIXELS, 3))
    layers = [(real, REAL_GREY, 0.75 if colour is None else 0.4)]
    if colour is not None:
        layers.append((points, colour, 0.75))
    for layer, shade, opacity in layers:
        ink = np.array([int(shade[start : start + 2], 16) / 255 for start in (1, 3, 5)])
        cover = 1 - (1 - opacity) ** _splat(plane, layer)
        picture = picture * (1 - cover[..., None]) + ink * cover[..., None]
    return _png(_image().fromarray(np.round(255 * picture).astype(np.uint8)).quantize(PALETTE))


def image_png(moments: np.ndarray, real: np.ndarray) -> str:
    """Draws mosaics of images side by side, one for each moment, in 16 greys, as a PNG in a data address.

    Args:
        moments: images ``[M, N, S * S]``.
        real: real images ``[R, S * S]``, which decide what is black and white.

    Raises:
        MissingDependencyError: Pillow, which comes with matplotlib, is not installed.
    """
    real = np.asarray(real, dtype=np.float64)
    count = ON_A_SIDE[round(real.shape[1] ** 0.5)]
    low, high = float(real.min()), float(real.max())
    sheet = np.hstack([mosaic(np.asarray(each, dtype=np.float64), count, count, low, high) for each in moments])
    levels = np.round(sheet / 255 * (GREYS - 1)).astype(np.uint8)
    picture = _image().fromarray(levels)
    picture.putpalette([grey for level in range(GREYS) for grey in 3 * [round(255 * level / (GREYS - 1))]])
    return _png(picture, bits=4)


def coordinates(moments: np.ndarray, real: np.ndarray) -> str:
    """Where points lie in the frame of the real ones: base64 of int8 ``[M, N, 2]``, x and y from -120 to 120.

    Args:
        moments: points ``[M, N, D]``.
        real: real points ``[R, D]``, which decide axes and limits as in :func:`scatter_png`.
    """
    plane = _plane(real)
    placed = plane(np.asarray(moments, dtype=np.float64).reshape(-1, moments.shape[2]))
    inside = plane.inside(placed)
    steps = np.full(placed.shape, OUTSIDE, dtype=np.int8)
    share = (placed[inside] - plane.low) / (plane.high - plane.low)
    steps[inside] = np.round(STEPS * (2 * share - 1)).astype(np.int8)
    return base64.b64encode(steps.tobytes()).decode()


def _plane(real: np.ndarray) -> Plane:
    return Plane(real, margin=0.25)


def _splat(plane: Plane, points: np.ndarray) -> np.ndarray:
    """How many dots cover each pixel ``[PIXELS, PIXELS]``."""
    placed = plane(points)
    x, y = ((placed - plane.low) / (plane.high - plane.low))[plane.inside(placed)].T
    counts = np.histogram2d(1 - y, x, bins=PIXELS, range=[[0, 1], [0, 1]])[0]
    offsets = np.hypot(*np.mgrid[-3:4, -3:4])
    return np.asarray(convolve(counts, np.clip(2.6 - offsets, 0, 1), mode="constant"))


def _image() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependencyError("matplotlib", "report", "the report") from error
    return Image


def _png(picture: Any, **options: Any) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, format="png", optimize=True, **options)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
