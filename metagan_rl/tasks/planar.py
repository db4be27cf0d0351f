"""Two-dimensional families: their common base, the true Gaussian mixtures, and the field's classics.

The curved families (moons, spirals, …) are in ``planar_curves``. No family has a size or a centre of its own, because
data are standardised per column. Only widths relative to the shape, rotations and stretches make a difference.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from metagan_rl.tasks.task import Family, Modes, register_family

TRAIN_FAMILIES = ("ring", "grid", "gaussian-mixture", "moons", "circles", "segments")
"""Planar families a scheduler may be trained on."""
HELD_OUT_FAMILIES = ("spiral", "pinwheel", "checkerboard", "swiss-roll", "rose")
"""Planar families kept for testing. No built-in train or val split holds any of them."""


def significant(value: float, digits: int = 4) -> float:
    """The value rounded to some significant digits, so that it is short in a manifest and equal on every machine."""
    return float(f"{value:.{digits}g}")


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """One value drawn uniformly from ``[low, high]``, rounded to 4 significant digits."""
    return significant(rng.uniform(low, high))


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """One value drawn log-uniformly from ``[low, high]``, both positive, rounded to 4 significant digits."""
    return significant(low * (high / low) ** rng.uniform())


def whole(rng: np.random.Generator, low: int, high: int) -> int:
    """One whole number drawn uniformly from ``low`` to ``high``, both included."""
    return int(rng.integers(low, high + 1))


def draw_weights(rng: np.random.Generator, count: int) -> list[float]:
    """Relative weights ``[count]`` of the parts of a shape: equal in half of the draws, else up to 4 to 1."""
    if rng.uniform() < 0.5:
        return [1.0] * count
    return [log_uniform(rng, 0.5, 2.0) for _ in range(count)]


def draw_spread_out(rng: np.random.Generator, count: int, candidates: int = 16) -> np.ndarray:
    """Draws places ``[count, 2]`` in the square [-1, 1]². Each is the candidate that lies farthest from the others.

    This is Mitchell's best-candidate sampling: random, yet two places hardly ever coincide.
    """
    places = rng.uniform(-1.0, 1.0, (1, 2))
    while len(places) < count:
        proposed = rng.uniform(-1.0, 1.0, (candidates, 2))
        nearest = np.linalg.norm(proposed[:, None] - places[None], axis=-1).min(axis=1)
        places = np.vstack([places, proposed[nearest.argmax()]])
    return places


def choose_parts(weights: Any, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draws ``[count]`` indices of parts in proportion to their relative weights ``[K]``."""
    share = np.asarray(weights, dtype=np.float64)
    return rng.choice(len(share), size=count, p=share / share.sum())


def frame(parameters: Mapping[str, Any]) -> np.ndarray:
    """The matrix ``[2, 2]`` that stretches the first axis by ``stretch`` and then turns by ``rotation`` radians."""
    angle, stretch = parameters.get("rotation", 0.0), parameters.get("stretch", 1.0)
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([stretch, 1.0])


class PlanarFamily(Family):
    """A shape in the plane, stretched and turned at random.

    Subclasses write ``shape_parameters`` and ``shape_points``, both in the shape's own axes.
    """

    dim = 2

    def shape_parameters(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draws the JSON-able parameters of the shape itself."""
        raise NotImplementedError(f"{type(self).__name__} must define shape_parameters(rng)")

    def shape_points(self, parameters: Mapping[str, Any], count: int, rng: np.random.Generator) -> np.ndarray:
        """Draws points ``[count, 2]`` of the shape before it is stretched and turned."""
        raise NotImplementedError(f"{type(self).__name__} must define shape_points(parameters, count, rng)")

    def parameters(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draws the shape, then ``rotation`` in [0, 2π) radians and ``stretch`` in [1, 2]."""
        shape = self.shape_parameters(rng)
        return {**shape, "rotation": uniform(rng, 0.0, 2 * np.pi), "stretch": uniform(rng, 1.0, 2.0)}

    def points(self, parameters: Mapping[str, Any], count: int, rng: np.random.Generator) -> np.ndarray:
        """Draws points ``[count, 2]``."""
        points: np.ndarray = self.shape_points(parameters, count, rng) @ frame(parameters).T
        return points


class PlanarMixture(PlanarFamily):
    """A true Gaussian mixture. Subclasses write ``shape_parameters`` and ``shape_modes``."""

    def shape_modes(self, parameters: Mapping[str, Any]) -> Modes:
        """The components before they are stretched and turned. Weights may be relative."""
        raise NotImplementedError(f"{type(self).__name__} must define shape_modes(parameters)")

    def shape_points(self, parameters: Mapping[str, Any], count: int, rng: np.random.Generator) -> np.ndarray:
        """Draws points ``[count, 2]`` of the components."""
        components = self.shape_modes(parameters)
        part = choose_parts(components.weights, count, rng)
        roots = np.linalg.cholesky(components.covariances)  # covariance = root rootᵀ
        noise = rng.standard_normal((count, 2))
        points: np.ndarray = components.centres[part] + np.einsum("nij,nj->ni", roots[part], noise)
        return points

    def modes(self, parameters: Mapping[str, Any]) -> Modes:
        """The exact components in the units of ``points``."""
        components, matrix = self.shape_modes(parameters), frame(parameters)
        return Modes(
            components.centres @ matrix.T,
            matrix @ components.covariances @ matrix.T,
            components.weights / components.weights.sum(),
        )


def round_modes(centres: np.ndarray, sigma: float, weights: Any) -> Modes:
    """Round components at centres ``[K, 2]``, all of the same deviation."""
    covariances = np.broadcast_to(sigma**2 * np.eye(2), (len(centres), 2, 2)).copy()
    return Modes(centres, covariances, np.asarray(weights, dtype=np.float64))


def circle(count: int) -> np.ndarray:
    """Evenly spaced places ``[count, 2]`` on the unit circle."""
    angles = 2 * np.pi * np.arange(count) / count
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def lattice(rows: int, columns: int) -> np.ndarray:
    """Places ``[rows * columns, 2]`` on a lattice of spacing 1, centred on the origin."""
    x, y = np.meshgrid(np.arange(columns) - (columns - 1) / 2, np.arange(rows) - (rows - 1) / 2)
    return np.stack([x.ravel(), y.ravel()], axis=1)


@register_family("ring")
class Ring(PlanarMixture):
    """Four to twelve modes on the unit circle, 3 to 15 % of their distance wide."""

    def shape_parameters(self, rng: np.random.Generator) -> dict[str, Any]:
        """``modes``, ``sigma`` (radius 1) and relative ``weights``."""
        modes = whole(rng, 4, 12)
        distance = 2 * np.sin(np.pi / modes)
        sigma = significant(distance * log_uniform(rng, 0.03, 0.15))
        return {"modes": modes, "sigma": sigma, "weights": draw_weights(rng, modes)}

    def shape_modes(self, parameters: Mapping[str, Any]) -> Modes:
        """``[modes, 2]`` centres on the circle."""
        return round_modes(circle(parameters["modes"]), parameters["sigma"], parameters["weights"])


@register_family("grid")
class Grid(PlanarMixture):
    """A lattice of 2 to 5 by 2 to 5 modes, 3 to 15 % of their distance wide."""

    def shape_parameters(self, rng: np.random.Generator) -> dict[str, Any]:
        """``rows``, ``columns``, ``sigma`` (spacing 1) and relative ``weights``, row by row."""
        rows, columns = whole(rng, 2, 5), whole(rng, 2, 5)
        sigma = log_uniform(rng, 0.03, 0.15)
        return {"rows": rows, "columns": columns, "sigma": sigma, "weights": draw_weights(rng, rows * columns)}

    def shape_modes(self, parameters: Mapping[str, Any]) -> Modes:
        """``[rows * columns, 2]`` centres on the lattice."""
        return round_modes(
            lattice(parameters["rows"], parameters["columns"]), parameters["sigma"], parameters["weights"]
        )


@register_family("gaussian-mixture")
class GaussianMixture(PlanarMixture):
    """Three to twelve modes at random places, each an ellipse with its own size and direction."""

    def shape_parameters(self, rng: np.random.Generator) -> dict[str, Any]:
        """``centres`` ``[K, 2]``, ``axes`` ``[K, 2]`` (deviations), ``angles`` ``[K]`` (radians) and ``weights``."""
        modes = whole(rng, 3, 12)
        places = draw_spread_out(rng, modes)
        distances = np.linalg.norm(places[:, None] - places[None], axis=-1)
        nearest = distances[~np.eye(modes, dtype=bool)].min()
        width = nearest * log_uniform(rng, 0.06, 0.15)
        return {
            "centres": [[significant(x), significant(y)] for x, y in places],
            # One axis is up to 3 times the other; the area is up to 3 times that of another mode.
            "axes": [[significant(width * log_uniform(rng, 1.0, 2.0)), significant(width / log_uniform(rng, 1.0, 1.5))]
                     for _ in range(modes)],
            "angles": [uniform(rng, 0.0, np.pi) for _ in range(modes)],
            "weights": draw_weights(rng, modes),
        }  # fmt: skip

    def shape_modes(self, parameters: Mapping[str, Any]) -> Modes:
        """``[K, 2]`` centres with covariances ``R diag(axes²) Rᵀ``."""
        angles, axes = np.asarray(parameters["angles"]), np.asarray(parameters["axes"])
        cosine, sine = np.cos(angles), np.sin(angles)
        turn = np.stack([np.stack([cosine, -sine], axis=-1), np.stack([sine, cosine], axis=-1)], axis=-2)
        covariances = np.einsum("kij,kj,klj->kil", turn, axes**2, turn)
        return Modes(np.asarray(parameters["centres"]), covariances, np.asarray(parameters["weights"]))


@register_family("ring8")
class Ring8(PlanarMixture):
    """The classic: 8 equal modes on the unit circle, sigma 0.01 (as in PacGAN, Lin et al. 2018)."""

    def parameters(self, rng: np.random.Generator) -> dict[str, Any]:
        """Nothing: there is only one such distribution."""
        return {}

    def shape_modes(self, parameters: Mapping[str, Any]) -> Modes:
        """``[8, 2]`` centres, the first at (1, 0)."""
        return round_modes(circle(8), 0.01, np.ones(8))


@register_family("grid25")
class Grid25(PlanarMixture):
    """The classic: 25 equal modes at {-4, -2, 0, 2, 4}², sigma 0.05 (as in PacGAN, Lin et al. 2018)."""

    def parameters(self, rng: np.random.Generator) -> dict[str, Any]:
        """Nothing: there is only one such distribution."""
        return {}

    def shape_modes(self, parameters: Mapping[str, Any]) -> Modes:
        """``[25, 2]`` centres on the lattice."""
        return round_modes(2.0 * lattice(5, 5), 0.05, np.ones(25))


@register_family("dirac")
class Dirac(Family):
    """The Dirac-GAN of Mescheder et al. 2018: one-dimensional data, all at 0, and the start of (θ, ψ)."""

    dim = 1
    standardise = "none"

    def parameters(self, rng: np.random.Generator) -> dict[str, Any]:
        """``start``: the generator's θ and the discriminator's ψ, 0.5 to 1.5 away from the equilibrium at (0, 0)."""
        radius, angle = rng.uniform(0.5, 1.5), rng.uniform(0.0, 2 * np.pi)
        return {"start": [significant(radius * np.cos(angle), 6), significant(radius * np.sin(angle), 6)]}

    def points(self, parameters: Mapping[str, Any], count: int, rng: np.random.Generator) -> np.ndarray:
        """``[count, 1]`` zeros."""
        return np.zeros((count, 1))
