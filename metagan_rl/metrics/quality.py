"""The quality distance: one number, 0 for perfect, that sees both misplaced mass and blur.

    distance = SW + (1 - F),   F = 2 P C / (P + C)

SW is the sliced Wasserstein-2 distance in deviations of the data, P precision, C coverage. SW sees mass in the wrong
place but hardly blur (clouds five times too wide change it by half its own noise); P sees blur but not a dropped mode;
C sees a dropped mode. All three are biased with the number of points, so distances compare only at equal numbers, and
every task has a floor: the distance of real points to real points.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from metagan_rl.metrics.neighbours import neighbour_radii, precision_and_coverage
from metagan_rl.metrics.sliced_wasserstein import projections, sliced_wasserstein_to, sorted_projections
from metagan_rl.tasks.task import Task

WORST_DISTANCE = 20.0
"""What a diverged GAN gets, and the most any GAN can get."""


BEST_DISTANCE = 1e-6
"""The least any GAN can get, so that logarithms exist."""


@dataclass(frozen=True)
class Reference:
    """Real points that generated ones are held against, with what can be worked out beforehand.

    Attributes:
        points: ``[M, D]``.
        radii: ``[M]``, see :func:`neighbour_radii`.
        sorted_projections: ``[directions, M]``, see :func:`sorted_projections`.
        noise: latent inputs ``[M, Z]``, the same for every evaluation of the task.
    """

    points: Tensor
    radii: Tensor
    sorted_projections: Tensor
    noise: Tensor

    @classmethod
    def of(cls, task: Task, *, report: bool = False) -> "Reference":
        """The task's reference for rewards (512 points at most) or for reports (2,048 at most)."""
        data = task.data()
        points = data.report_reference if report else data.reward_reference
        rng = torch.Generator().manual_seed(0x5EED + report)
        noise = torch.randn(len(points), task.networks.latent_dim, generator=rng)
        return cls(points, *_prepared(_ById(points)), noise=noise)


class _ById:
    """Hashes points by identity: the task's own cache keeps them alive and the same."""

    def __init__(self, points: Tensor) -> None:
        self.points = points

    def __hash__(self) -> int:
        return id(self.points)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and self.points is other.points


@lru_cache(maxsize=4096)
def _prepared(key: _ById) -> tuple[Tensor, Tensor]:
    points = key.points
    return neighbour_radii(points), sorted_projections(points, projections(points.shape[-1]))


@lru_cache(maxsize=4096)
def _floor(train: _ById, reference: _ById) -> float:
    count = len(reference.points)
    pieces = [piece for piece in train.points.split(count) if len(piece) == count][:4]
    if not pieces:  # fewer training rows than the reference has: draw with replacement
        rows = torch.randint(len(train.points), (count,), generator=torch.Generator().manual_seed(0))
        pieces = [train.points[rows]]
    against = Reference(reference.points, *_prepared(reference), noise=reference.points[:, :0])
    return float(Quality.measure(torch.stack(pieces), [against] * len(pieces)).distance.mean())


@dataclass(frozen=True)
class Quality:
    """Sample quality of B members; every field is ``[B]``.

    Attributes:
        distance: see the module; in [1e-6, 20].
        sliced_wasserstein: in deviations of the data.
        precision, coverage: in [0, 1].
    """

    distance: Tensor
    sliced_wasserstein: Tensor
    precision: Tensor
    coverage: Tensor

    @classmethod
    def measure(cls, points: Tensor, references: Sequence[Reference]) -> "Quality":
        """Quality of points ``[B, M, D]`` against one reference of M points for each member.

        Points that are not finite get the worst value.
        """
        stacked = torch.stack([reference.points for reference in references])
        radii = torch.stack([reference.radii for reference in references])
        sound = torch.isfinite(points).all(dim=-1).all(dim=-1)
        points = torch.nan_to_num(points.float(), nan=0.0, posinf=0.0, neginf=0.0).clamp(-1e6, 1e6)
        in_order = torch.stack([reference.sorted_projections for reference in references])
        wasserstein = sliced_wasserstein_to(points, in_order, projections(points.shape[-1]))
        precision, coverage = precision_and_coverage(points, stacked, radii)
        wasserstein = torch.where(sound, wasserstein, WORST_DISTANCE).clamp_max(WORST_DISTANCE)
        precision, coverage = precision * sound, coverage * sound
        return cls(combined_distance(wasserstein, precision, coverage), wasserstein, precision, coverage)


def combined_distance(wasserstein: Tensor, precision: Tensor, coverage: Tensor) -> Tensor:
    """The quality distance from its parts, element by element."""
    harmonic = 2 * precision * coverage / (precision + coverage).clamp_min(1e-12)
    return (wasserstein + 1 - harmonic).clamp(BEST_DISTANCE, WORST_DISTANCE)


def real_floor(task: Task, *, report: bool = False) -> float:
    """Distance of the task's own training data to the reference: what a perfect generator would score."""
    data = task.data()
    points = data.report_reference if report else data.reward_reference
    return _floor(_ById(data.train), _ById(points))
