"""The quality distance: one number, 0 for perfect, that notices both misplaced mass and blur.

    distance = SW + (1 - F),   F = 2 P C / (P + C)

SW is the sliced Wasserstein-2 distance in deviations of the data, P precision, C coverage. SW notices mass in the wrong
place but hardly any blur: clouds five times too wide change it by half its own noise. P notices blur but not a dropped
mode. C notices a dropped mode. All three are biased by the number of points, so compare distances only at equal
numbers. Every task has a floor: the distance of real points to other real points.

If a task's family names features (28x28 images), P and C are measured on these. A Fréchet distance is then reported
too, but it is not part of the distance. SW stays on the columns. Features are blind to grey values beyond black and
white, and the sum of both notices what either misses (see the table in ``metagan_rl.metrics.features``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from metagan_rl.metrics.balls import Balls, within_balls
from metagan_rl.metrics.features import TaskFeatures
from metagan_rl.metrics.frechet import Gaussian, frechet_distance
from metagan_rl.metrics.neighbours import FEW, balls_around, neighbour_radii, precision_and_coverage
from metagan_rl.metrics.sliced_wasserstein import projections, sliced_wasserstein_to, sorted_projections
from metagan_rl.tasks.task import Task

WORST_DISTANCE = 20.0
"""The distance of a diverged GAN, and the largest that any GAN can get."""


BEST_DISTANCE = 1e-6
"""The smallest distance that any GAN can get, so that logarithms exist."""
LARGEST = 1e6
"""Coordinates beyond are clipped, so that their squares are finite. They get the worst distance anyway."""
WORST_FRECHET = 1e3
"""The squared Fréchet distance of a diverged GAN, and the largest that any GAN can get. Noise gets 40 to 80."""


@dataclass(frozen=True)
class Embedded:
    """Real points after mapping to a task's features.

    Attributes:
        features: maps standardised points to features.
        points: features of the reference, ``[M, F]``.
        gaussian: Gaussian fitted to these.
    """

    features: TaskFeatures
    points: Tensor
    gaussian: Gaussian


@dataclass(frozen=True)
class Reference:
    """Real points that generated ones are compared with, and what can be computed from them beforehand.

    Attributes:
        points: ``[M, D]``.
        radii: ``[M]``, see :func:`neighbour_radii`; measured on the features if there are some.
        sorted_projections: ``[directions, M]``, see :func:`sorted_projections`.
        noise: latent inputs ``[M, Z]``, the same in every evaluation of the task.
        embedded: the points' features; ``None`` if the task's family names none.
        balls: the points with their radii, in the form that a CPU compares fastest; ``None`` in many dimensions.
    """

    points: Tensor
    radii: Tensor
    sorted_projections: Tensor
    noise: Tensor
    embedded: Embedded | None = None
    balls: Balls | None = None

    @classmethod
    def of(cls, task: Task, *, report: bool = False) -> "Reference":
        """The task's reference for rewards (at most 512 points) or for reports (at most 2,048)."""
        key = _reference(task, report)
        return cls._with(key, _noise(len(key.points), task.networks.latent_dim, report))

    @classmethod
    def _with(cls, key: "_ById", noise: Tensor) -> "Reference":
        radii, in_order, embedded, balls = _prepared(key)
        return cls(key.points, radii, in_order, noise, embedded, balls)


class _ById:
    """Hashes points by identity. The task's own cache keeps them alive and the same."""

    def __init__(self, points: Tensor, features: TaskFeatures | None = None) -> None:
        self.points = points
        self.features = features  # not part of the hash, as they belong to the points

    def __hash__(self) -> int:
        return id(self.points)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and self.points is other.points


def _reference(task: Task, report: bool) -> _ById:
    data = task.data()
    return _ById(data.report_reference if report else data.reward_reference, TaskFeatures.of(task))


@lru_cache(maxsize=256)
def _noise(points: int, latent_dim: int, report: bool) -> Tensor:
    return torch.randn(points, latent_dim, generator=torch.Generator().manual_seed(0x5EED + report))


@lru_cache(maxsize=4096)
def _prepared(key: _ById) -> tuple[Tensor, Tensor, Embedded | None, Balls | None]:
    points = key.points
    in_order = sorted_projections(points, projections(points.shape[-1]))
    if key.features is not None:
        features = key.features(points)
        embedded = Embedded(key.features, features, Gaussian.of(features))
        return neighbour_radii(features), in_order, embedded, None
    radii = neighbour_radii(points)
    return radii, in_order, None, balls_around(points, radii) if points.shape[-1] <= FEW else None


@lru_cache(maxsize=4096)
def _floor(train: _ById, reference: _ById) -> float:
    count = len(reference.points)
    pieces = [piece for piece in train.points.split(count) if len(piece) == count][:4]
    if not pieces:  # fewer training rows than reference rows: draw with replacement
        rows = torch.randint(len(train.points), (count,), generator=torch.Generator().manual_seed(0))
        pieces = [train.points[rows]]
    against = Reference._with(reference, noise=reference.points[:, :0])
    return float(Quality.measure(torch.stack(pieces), [against] * len(pieces)).distance.mean())


@dataclass(frozen=True)
class Quality:
    """Sample quality of B members. Every field is ``[B]``.

    Attributes:
        distance: see the module; in [1e-6, 20].
        sliced_wasserstein: in deviations of the data.
        precision, coverage: in [0, 1]; on the task's features if it has some.
        frechet: squared Fréchet distance on the features, in [0, 1e3]; ``None`` if there are none.
    """

    distance: Tensor
    sliced_wasserstein: Tensor
    precision: Tensor
    coverage: Tensor
    frechet: Tensor | None = None

    @classmethod
    def measure(cls, points: Tensor, references: Sequence[Reference]) -> "Quality":
        """Quality of points ``[B, M, D]`` against one reference of M points for each member.

        Points that are not finite get the worst value. Either all references have features or none has. Features are
        computed on the CPU, everything else where the points are.
        """
        embedded = [reference.embedded for reference in references if reference.embedded is not None]
        points = points.cpu() if embedded else points
        device = points.device
        points = points.float()
        largest = points.abs().amax(dim=(-1, -2))  # NaN if there is one
        sound = torch.isfinite(largest)
        if not (largest <= LARGEST).all():
            points = torch.nan_to_num(points, nan=0.0, posinf=0.0, neginf=0.0).clamp(-LARGEST, LARGEST)
        in_order = torch.stack([reference.sorted_projections for reference in references]).to(device)
        wasserstein = sliced_wasserstein_to(points, in_order, projections(points.shape[-1]).to(device))
        frechet = None
        if embedded:
            stacked = torch.stack([each.points for each in embedded])
            points = torch.stack([each.features(own) for each, own in zip(embedded, points, strict=True)])
            means, covariances = zip(
                *((each.gaussian.mean, each.gaussian.covariance) for each in embedded), strict=True
            )
            real = Gaussian(torch.stack(means), torch.stack(covariances))
            frechet = frechet_distance(real, Gaussian.of(points))
            frechet = torch.where(sound, frechet, WORST_FRECHET).clamp_max(WORST_FRECHET)
        else:
            stacked = torch.stack([reference.points for reference in references]).to(device)
        balls = [reference.balls for reference in references if reference.balls is not None]
        if balls and device.type == "cpu":
            precision, coverage = within_balls(points, balls)
        else:
            radii = torch.stack([reference.radii for reference in references]).to(device)
            precision, coverage = precision_and_coverage(points, stacked, radii)
        wasserstein = torch.where(sound, wasserstein, WORST_DISTANCE).clamp_max(WORST_DISTANCE)
        precision, coverage = precision * sound, coverage * sound
        return cls(combined_distance(wasserstein, precision, coverage), wasserstein, precision, coverage, frechet)


def combined_distance(wasserstein: Tensor, precision: Tensor, coverage: Tensor) -> Tensor:
    """The quality distance from its parts, element by element."""
    harmonic = 2 * precision * coverage / (precision + coverage).clamp_min(1e-12)
    return (wasserstein + 1 - harmonic).clamp(BEST_DISTANCE, WORST_DISTANCE)


def real_floor(task: Task, *, report: bool = False) -> float:
    """Distance of the task's training data to the reference, which is what a perfect generator would score."""
    return _floor(_ById(task.data().train), _reference(task, report))
