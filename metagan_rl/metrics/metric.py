"""Metrics by name. Each is declared once, and then appears in every row, table and report.

A metric looks at one GAN at the end of its budget (:class:`Samples`). It returns a number, or ``None`` if the task does
not allow one. It also declares the number that a diverged run gets, so that no report can mistake a diverged GAN for a
perfect one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from torch import Tensor

from metagan_rl.errors import InvalidValueError
from metagan_rl.metrics.modes import ModeStatistics, mode_statistics
from metagan_rl.metrics.quality import WORST_DISTANCE, WORST_FRECHET, Reference
from metagan_rl.networks.base import find_networks
from metagan_rl.registry import Registry
from metagan_rl.tasks.task import Task


@dataclass(frozen=True)
class MemberQuality:
    """What is measured of a GAN at every interval anyway, so that no metric has to measure it again.

    Attributes:
        distance: see :mod:`metagan_rl.metrics.quality`; in [1e-12, 20].
        sliced_wasserstein: in deviations of the data, in [0, 20].
        precision, coverage: in [0, 1].
        frechet: squared Fréchet distance on the task's features, in [0, 1e3]; ``None`` if it has none.
    """

    distance: float
    sliced_wasserstein: float
    precision: float
    coverage: float
    frechet: float | None = None


@dataclass(frozen=True)
class Samples:
    """One GAN at the end of its budget, as a metric sees it.

    Attributes:
        points: generated points ``[M, D]``, in deviations of the data. A diverged GAN's may hold any values.
        reference: real points ``[M, D]`` that rewards never saw, with what was computed from them.
        task: the task that the GAN was trained on.
        quality: what was measured already.
    """

    points: Tensor
    reference: Reference
    task: Task
    quality: MemberQuality

    @cached_property
    def modes(self) -> ModeStatistics | None:
        """How the points lie on the modes of the data; ``None`` if the data are not a known mixture."""
        known = self.task.data().modes if find_networks(self.task.networks.kind).judge is None else None
        return None if known is None else mode_statistics(self.points.double().numpy(force=True), known)


Measure = Callable[[Samples], float | None]


@dataclass(frozen=True)
class Metric:
    """A number about the samples of one GAN.

    Attributes:
        name: lower-case words joined by underscores; the column of ``rows.jsonl`` and ``summary.csv``.
        label: name for readers.
        unit: unit of the number; empty if it has none.
        better: which direction is better; ``None`` if neither is.
        worst: finite value for a diverged run, and for a run whose value is not finite. No run gets a worse value, so a
            diverged run never ranks above another.
        measure: computes the number; ``None`` if the task does not allow one.

    Raises:
        InvalidValueError: ``worst`` is not finite, or ``better`` is not a direction.
    """

    name: str
    label: str
    better: Literal["lower", "higher"] | None
    worst: float
    measure: Measure
    unit: str = ""

    def __post_init__(self) -> None:
        if self.better not in ("lower", "higher", None):
            raise InvalidValueError(
                f"better is {self.better!r} for metric {self.name!r}; say 'lower', 'higher' or None"
            )
        if not math.isfinite(self.worst):
            raise InvalidValueError(
                f"worst is {self.worst!r} for metric {self.name!r}; a diverged run gets it: be finite"
            )

    def of(self, samples: Samples, *, diverged: bool = False) -> float | None:
        """The number of one GAN: ``worst`` if it diverged or the number is not finite, ``None`` if it is unknown.

        Raises:
            InvalidValueError: ``measure`` failed on a GAN that did not diverge.
        """
        try:
            value = self.measure(samples)
            number = math.nan if value is None else float(value)
        except Exception as error:  # a user's measure may raise anything
            if diverged:
                return self.worst
            what = f"{type(error).__name__}: {error}"
            raise InvalidValueError(f"metric {self.name!r} failed on task {samples.task.name!r} ({what})") from error
        if value is None:
            return None
        if diverged or not math.isfinite(number):
            return self.worst
        return {"lower": min, "higher": max}[self.better](number, self.worst) if self.better else number


def _of_modes(samples: Samples, name: str) -> float | None:
    return None if samples.modes is None else float(getattr(samples.modes, name))


METRICS: Registry[Metric] = Registry("metric", words="_")
"""All metrics, in the order of their columns."""


def register_metric(
    name: str,
    *,
    label: str,
    better: Literal["lower", "higher"] | None,
    worst: float,
    unit: str = "",
) -> Callable[[Measure], Measure]:
    """Decorator: every benchmark then measures this metric, and every table and report shows it.

    Args:
        name: lower-case words joined by underscores, for example ``"energy_distance"``.
        label: name for readers.
        better: which direction is better.
        worst: the value of a diverged run, and the worst that any run can get.
        unit: unit of the number.

    Raises:
        InvalidValueError: the name is taken or malformed, ``worst`` is not finite, or ``better`` is not a direction.
    """

    def register(measure: Measure) -> Measure:
        METRICS.register(name, Metric(name, label, better, worst, measure, unit))
        return measure

    return register


for _metric in (
    Metric("distance", "distance", "lower", WORST_DISTANCE, lambda samples: samples.quality.distance),
    Metric(
        "sliced_wasserstein", "sliced Wasserstein", "lower", WORST_DISTANCE,
        lambda samples: samples.quality.sliced_wasserstein, "deviations of the data",
    ),
    Metric("precision", "precision", "higher", 0.0, lambda samples: samples.quality.precision),
    Metric("coverage", "coverage", "higher", 0.0, lambda samples: samples.quality.coverage),
    Metric("frechet", "Fréchet on features", "lower", WORST_FRECHET, lambda samples: samples.quality.frechet),
    Metric("modes", "number of modes found", "higher", 0.0, lambda samples: _of_modes(samples, "found")),
    Metric("modes_share", "modes found", "higher", 0.0, lambda samples: _of_modes(samples, "share")),
    Metric("high_quality", "samples on a mode", "higher", 0.0, lambda samples: _of_modes(samples, "high_quality")),
):  # fmt: skip
    METRICS.register(_metric.name, _metric)
