"""Fréchet distance between Gaussians fitted to two sets of points.

Dowson and Landau 1982, doi:10.1016/0047-259X(82)90077-X:

    d^2 = |m_1 - m_2|^2 + tr(C_1 + C_2 - 2 (C_1^{1/2} C_2 C_1^{1/2})^{1/2})

Only means and covariances count. With few points the distance grows, so compare only at equal numbers of points. On
this package's features it is not an FID (see ``metagan_rl.metrics.features``).
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Gaussian:
    """Mean ``[..., D]`` and covariance ``[..., D, D]``, float64."""

    mean: Tensor
    covariance: Tensor

    @classmethod
    def of(cls, points: Tensor) -> "Gaussian":
        """Fits a Gaussian to points ``[..., N, D]`` by maximum likelihood (divided by N)."""
        values = points.double()
        mean = values.mean(dim=-2, keepdim=True)
        centred = values - mean
        return cls(mean.squeeze(-2), centred.transpose(-1, -2) @ centred / values.shape[-2])


def frechet_distance(first: Gaussian, second: Gaussian) -> Tensor:
    """Squared Fréchet distance ``[...]``, 0 or more. It is squared, as the literature reports it.

    The root is taken of a symmetric product, so its eigenvalues are real. Only rounding can make one negative, and such
    values are set to 0.
    """
    root = _root(first.covariance)
    product = root @ second.covariance @ root
    eigenvalues = torch.linalg.eigvalsh((product + product.transpose(-1, -2)) / 2).clamp_min(0)
    traces = (first.covariance + second.covariance).diagonal(dim1=-2, dim2=-1).sum(dim=-1)
    between = (first.mean - second.mean).square().sum(dim=-1)
    return (between + traces - 2 * eigenvalues.sqrt().sum(dim=-1)).clamp_min(0)


def _root(covariance: Tensor) -> Tensor:
    """The symmetric root of a positive semi-definite matrix."""
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp_min(0).sqrt().unsqueeze(-2)) @ vectors.transpose(-1, -2)
