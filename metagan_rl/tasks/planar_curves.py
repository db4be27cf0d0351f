"""Two-dimensional families that are not Gaussian mixtures: three to train on, five held out."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from metagan_rl.tasks.planar import (
    PlanarFamily,
    choose_parts,
    draw_spread_out,
    draw_weights,
    log_uniform,
    significant,
    uniform,
    whole,
)
from metagan_rl.tasks.task import register_family


def polar(radius: Any, angle: Any) -> np.ndarray:
    """Points ``[N, 2]`` at radii ``[N]`` and angles ``[N]`` in radians."""
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def blurred(points: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Points ``[N, 2]`` with Gaussian noise of deviation ``sigma`` added."""
    return points + sigma * rng.standard_normal(points.shape)


@register_family("moons")
class Moons(PlanarFamily):
    """Two interleaved half circles of radius 1."""

    def shape_parameters(self, rng: np.random.Generator) -> dict[str, Any]:
        """``shift`` (how far one reaches into the other), ``share`` (points on the upper one) and ``sigma``."""
        return {
            "shift": uniform(rng, 0.3, 0.7),
            "share": uniform(rng, 0.3, 0.7),
            "sigma": log_uniform(rng, 0.03, 0.12),
        }

    def shape_points(self, parameters: Mapping[str, Any], count: int, rng: np.random.Generator) -> np.ndarray:
        """``[count, 2]``: the upper moon around (0, 0), the lower around (1, shift)."""
        upper = rng.uniform(size=count) < parameters["share"]
        arc = polar(1.0, rng.uniform(0.0, np.pi, count))
        lower_arc = np.array([1.0, parameters["shift"]]) - arc
        return blurred(np.where(upper[:, None], arc, lower_arc), parameters["sigma"], rng)


@register_family("circles")
class Circles(PlanarFamily):
    """Two to four concentric circles; the outermost has radius 1."""

    def shape_parameters(self, rng: np.random.Generator) -> dict[str, Any]:
        """``circles``, ``inner`` (smallest radius), relative ``weights`` per circle, and ``sigma``."""
        circles, inner = whole(rng, 2, 4), uniform(rng, 0.2, 0.45)
        gap = (1.0 - inner) / (circles - 1)
        return {
            "circles": circles,
            "inner": inner,
            "weights": draw_weights(rng, circles),
            "sigma": significant(gap * log_uniform(rng, 0.05, 0.15)),
        }

    def shape_points(self, parameters: Mapping[str, Any], count: int, rng: np.random.Generator) -> np.ndarray:
        """``[count, 2]``, evenly spread along each circle."""
        radii = np.linspace(parameters["inner"], 1.0, parameters["circles"])
        radius = radii[choose_parts(parameters["weights"] * radii, count, rng)]  # longer circles hold more points
        return blurred(polar(radius, rng.uniform(0.0, 2 * np.pi, count)), parameters["sigma"], rng)


@register_family("segments")
class Segments(PlanarFamily):
    """Three to seven straight strokes at random places and directions."""

    def shape_parameters(self, rng: np.random.Generator) -> dict[str, Any]:
        """``ends`` ``[K, 2, 2]`` (from, to), relative ``weights`` per stroke, and ``sigma``."""
        strokes = whole(rng, 3, 7)
        middles = draw_spread_out(rng, strokes)
        halves = polar(rng.uniform(0.25, 0.6, strokes), rng.uniform(0.0, np.pi, strokes))
        ends = np.stack([middles - halves, middles + halves], axis=1)
        return {
            "ends": [[[significant(x) for x in end] for end in stroke] for stroke in ends],
            "weights": draw_weights(rng, strokes),
            "sigma": log_uniform(rng, 0.01, 0.05),
        }

    def shape_points(self, parameters: Mapping[str, Any], count: int, rng: np.random.Generator) -> np.ndarray:
        """``[count, 2]``, evenly spread along each stroke."""
        stroke = np.asarray(parameters["ends"])[choose_parts(parameters["weights"], count, rng)]
        along = rng.uniform(size=(count, 1))
        return blurred((1.0 - along) * stroke[:, 0] + along * stroke[:, 1], parameters["sigma"], rng)


@register_family("spiral")
class Spiral(PlanarFamily):
    """Two to four arms that wind outwards from the centre."""

    def shape_parameters(self, rng: np.random.Generator) -> dict[str, Any]:
        """``arms``, ``turns`` of each arm, and ``sigma`` (outer radius 1)."""
        arms, turns = whole(rng, 2, 4), uniform(rng, 0.6, 1.5)
        gap = 1.0 / max(arms * turns, 1.0)  # distance between neighbouring windings
        return {"arms": arms, "turns": turns, "sigma": significant(gap * log_uniform(rng, 0.03, 0.12))}

    def shape_points(self, parameters: Mapping[str, Any], count: int, rng: np.random.Generator) -> np.ndarray:
        """``[count, 2]``, about evenly spread along each arm."""
        radius = np.sqrt(rng.uniform(0.01, 1.0, count))  # an arm's length grows with the square of its radius
        arm = rng.integers(parameters["arms"], size=count) / parameters["arms"]
        return blurred(polar(radius, 2 * np.pi * (parameters["turns"] * radius + arm)), parameters["sigma"], rng)


@register_family("pinwheel")
class Pinwheel(PlanarFamily):
    """Three to seven Gaussian blades, which bend more the farther out they are (after Johnson et al. 2016)."""

    def shape_parameters(self, rng: np.random.Generator) -> dict[str, Any]:
        """``blades``, ``radial`` and ``tangential`` deviations (blade centres at radius 1), and ``bend`` in radians."""
        blades = whole(rng, 3, 7)
        return {
            "blades": blades,
            "radial": uniform(rng, 0.2, 0.35),
            "tangential": significant(uniform(rng, 0.15, 0.3) / blades),
            "bend": uniform(rng, 0.25, 0.7),
        }

    def shape_points(self, parameters: Mapping[str, Any], count: int, rng: np.random.Generator) -> np.ndarray:
        """``[count, 2]``, equally many points on each blade."""
        along, across = rng.standard_normal((2, count))
        radius = 1.0 + parameters["radial"] * along
        blade = 2 * np.pi * rng.integers(parameters["blades"], size=count) / parameters["blades"]
        angle = blade + parameters["bend"] * np.exp(radius)
        points: np.ndarray = polar(radius, angle) + polar(parameters["tangential"] * across, angle + np.pi / 2)
        return points


@register_family("checkerboard")
class Checkerboard(PlanarFamily):
    """The dark squares of a board of 3 to 6 by 3 to 6: flat inside, with sharp edges."""

    def shape_parameters(self, rng: np.random.Generator) -> dict[str, Any]:
        """``rows`` and ``columns`` of the board."""
        return {"rows": whole(rng, 3, 6), "columns": whole(rng, 3, 6)}

    def shape_points(self, parameters: Mapping[str, Any], count: int, rng: np.random.Generator) -> np.ndarray:
        """``[count, 2]``, uniform on the dark squares of side 1."""
        row, column = np.indices((parameters["rows"], parameters["columns"])).reshape(2, -1)
        dark = np.stack([column, row], axis=1)[(row + column) % 2 == 0]
        corners: np.ndarray = dark[rng.integers(len(dark), size=count)]
        return corners + rng.uniform(size=(count, 2))


@register_family("swiss-roll")
class SwissRoll(PlanarFamily):
    """One strip rolled up loosely around an empty middle: a cross-section of the well-known roll."""

    def shape_parameters(self, rng: np.random.Generator) -> dict[str, Any]:
        """``start`` (how far the strip is wound at its beginning) and ``turns``, both in turns, and ``sigma``."""
        return {
            "start": uniform(rng, 0.5, 1.0),
            "turns": uniform(rng, 1.2, 2.2),
            "sigma": log_uniform(rng, 0.02, 0.1),
        }

    def shape_points(self, parameters: Mapping[str, Any], count: int, rng: np.random.Generator) -> np.ndarray:
        """``[count, 2]``, evenly spread in angle; each turn lies 1 farther out."""
        wound = parameters["start"] + parameters["turns"] * rng.uniform(size=count)
        return blurred(polar(wound, 2 * np.pi * wound), parameters["sigma"], rng)


@register_family("rose")
class Rose(PlanarFamily):
    """A closed curve of three to seven petals, from a soft star to petals that meet in the middle."""

    def shape_parameters(self, rng: np.random.Generator) -> dict[str, Any]:
        """``petals``, ``depth`` (1: petals meet in the middle) and ``sigma`` (outer radius 1)."""
        return {"petals": whole(rng, 3, 7), "depth": uniform(rng, 0.5, 1.0), "sigma": log_uniform(rng, 0.01, 0.04)}

    def shape_points(self, parameters: Mapping[str, Any], count: int, rng: np.random.Generator) -> np.ndarray:
        """``[count, 2]``, evenly spread along the curve ``r = 1 - depth (1 - cos(petals a)) / 2``."""
        angle = np.linspace(0.0, 2 * np.pi, 4097)
        curve = polar(1.0 - parameters["depth"] * (1.0 - np.cos(parameters["petals"] * angle)) / 2, angle)
        steps = np.linalg.norm(np.diff(curve, axis=0), axis=1)
        length = np.concatenate([[0.0], np.cumsum(steps)])
        place = np.interp(rng.uniform(0.0, length[-1], count), length, np.arange(len(length)))
        before = np.minimum(place.astype(int), len(steps) - 1)
        along = (place - before)[:, None]
        return blurred((1.0 - along) * curve[before] + along * curve[before + 1], parameters["sigma"], rng)
