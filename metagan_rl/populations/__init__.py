"""Populations: many GANs trained in lockstep on stacked weights."""

from metagan_rl.populations.measurements import Measurements
from metagan_rl.populations.mixed import MixedPopulation
from metagan_rl.populations.population import Population, Shape
from metagan_rl.populations.settings import CYCLE, RATIOS, Settings
from metagan_rl.populations.state import PopulationState

__all__ = [
    "CYCLE",
    "RATIOS",
    "Measurements",
    "MixedPopulation",
    "Population",
    "PopulationState",
    "Settings",
    "Shape",
]
