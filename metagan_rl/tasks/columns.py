"""Families of more than two columns that can be sampled without end: clouds of a mixture, and curved sheets."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from metagan_rl.tasks.planar import choose_parts, draw_weights, log_uniform, significant, uniform, whole
from metagan_rl.tasks.task import Family, Modes, register_family

COLUMNS = (4, 8, 16, 32)
"""Numbers of columns that the families draw."""


class ColumnsFamily(Family):
    """Data whose number of columns is a parameter. Large matrices are drawn anew from the parameter ``draw``.

    Subclasses write ``shape_parameters``.
    """

    def shape_parameters(self, columns: int, rng: np.random.Generator) -> dict[str, Any]:
        """Draws the JSON-able parameters of the shape itself."""
        raise NotImplementedError(f"{type(self).__name__} must define shape_parameters(columns, rng)")

    def parameters(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draws ``columns``, the shape, and ``draw``."""
        columns = int(rng.choice(COLUMNS))
        return {"columns": columns, **self.shape_parameters(columns, rng), "draw": int(rng.integers(2**31))}

    def dimension(self, parameters: Mapping[str, Any]) -> int:
        """The parameter ``columns``."""
        return int(parameters["columns"])


@register_family("clouds")
class Clouds(ColumnsFamily):
    """Two to eight Gaussian clouds, each stretched along a few directions of its own."""

    def shape_parameters(self, columns: int, rng: np.random.Generator) -> dict[str, Any]:
        """``weights``, ``stretched`` directions, and ``width`` (deviation; centres have 1)."""
        return {
            "weights": draw_weights(rng, whole(rng, 2, 8)),
            "stretched": whole(rng, 1, max(1, columns // 4)),
            "width": log_uniform(rng, 0.08, 0.3),
        }

    def modes(self, parameters: Mapping[str, Any]) -> Modes:
        """The exact components. Covariances are ``width² (I + 3 S Sᵀ)``; S holds the stretched directions."""
        rng = np.random.default_rng(parameters["draw"])
        count, columns = len(parameters["weights"]), parameters["columns"]
        centres = rng.standard_normal((count, columns))
        directions = np.linalg.qr(rng.standard_normal((count, columns, parameters["stretched"])))[0]
        spread = np.eye(columns) + 3 * directions @ directions.transpose(0, 2, 1)
        weights = np.asarray(parameters["weights"], dtype=np.float64)
        return Modes(centres, parameters["width"] ** 2 * spread, weights / weights.sum())

    def points(self, parameters: Mapping[str, Any], count: int, rng: np.random.Generator) -> np.ndarray:
        """Draws points ``[count, columns]``."""
        components = self.modes(parameters)
        part = choose_parts(parameters["weights"], count, rng)
        roots = np.linalg.cholesky(components.covariances)  # covariance = root rootᵀ
        noise = rng.standard_normal((count, parameters["columns"], 1))
        points: np.ndarray = components.centres[part] + (roots[part] @ noise)[..., 0]
        return points


@register_family("sheets")
class Sheets(ColumnsFamily):
    """A sheet of one to four dimensions, curved through all columns by two random layers, with a little noise."""

    def shape_parameters(self, columns: int, rng: np.random.Generator) -> dict[str, Any]:
        """``inner`` dimensions, ``bend`` (scale of the inner layer) and ``noise``."""
        return {
            "inner": whole(rng, 1, min(4, columns // 2)),
            "bend": uniform(rng, 0.5, 2.0),
            "noise": significant(log_uniform(rng, 0.01, 0.1)),
        }

    def points(self, parameters: Mapping[str, Any], count: int, rng: np.random.Generator) -> np.ndarray:
        """Draws points ``[count, columns]``: ``tanh(bend z A + b) B / 4 + noise``, z being standard normal."""
        layers, columns = np.random.default_rng(parameters["draw"]), parameters["columns"]
        inner, outer = layers.standard_normal((parameters["inner"], 16)), layers.standard_normal((16, columns))
        hidden = np.tanh(parameters["bend"] * rng.standard_normal((count, parameters["inner"])) @ inner
                         + layers.standard_normal(16))  # fmt: skip
        points: np.ndarray = hidden @ outer / 4 + parameters["noise"] * rng.standard_normal((count, columns))
        return points
