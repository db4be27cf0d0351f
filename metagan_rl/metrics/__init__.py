"""Sample quality and training stability."""

from metagan_rl.metrics.features import Features, TaskFeatures, feature_names, load_features, read_features
from metagan_rl.metrics.frechet import Gaussian, frechet_distance
from metagan_rl.metrics.metric import METRICS, MemberQuality, Metric, Samples, register_metric
from metagan_rl.metrics.modes import ModeStatistics, mode_statistics
from metagan_rl.metrics.neighbours import neighbour_radii, precision_and_coverage
from metagan_rl.metrics.quality import (
    WORST_DISTANCE,
    WORST_FRECHET,
    Embedded,
    Quality,
    Reference,
    combined_distance,
    real_floor,
)
from metagan_rl.metrics.sliced_wasserstein import projections, sliced_wasserstein
from metagan_rl.metrics.stability import STABILITY_LABELS, STABILITY_TERMS, StabilityMonitor

__all__ = [
    "METRICS",
    "STABILITY_LABELS",
    "STABILITY_TERMS",
    "WORST_DISTANCE",
    "WORST_FRECHET",
    "Embedded",
    "Features",
    "Gaussian",
    "MemberQuality",
    "Metric",
    "ModeStatistics",
    "Quality",
    "Reference",
    "Samples",
    "StabilityMonitor",
    "TaskFeatures",
    "combined_distance",
    "feature_names",
    "frechet_distance",
    "load_features",
    "mode_statistics",
    "neighbour_radii",
    "precision_and_coverage",
    "projections",
    "read_features",
    "real_floor",
    "register_metric",
    "sliced_wasserstein",
]
