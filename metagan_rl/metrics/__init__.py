"""Sample quality and training stability."""

from metagan_rl.metrics.modes import mode_statistics
from metagan_rl.metrics.neighbours import neighbour_radii, precision_and_coverage
from metagan_rl.metrics.quality import WORST_DISTANCE, Quality, Reference, combined_distance, real_floor
from metagan_rl.metrics.sliced_wasserstein import projections, sliced_wasserstein
from metagan_rl.metrics.stability import STABILITY_TERMS, StabilityMonitor

__all__ = [
    "STABILITY_TERMS",
    "WORST_DISTANCE",
    "Quality",
    "Reference",
    "StabilityMonitor",
    "combined_distance",
    "mode_statistics",
    "neighbour_radii",
    "precision_and_coverage",
    "projections",
    "real_floor",
    "sliced_wasserstein",
]
