"""Optimizers over stacked weights: how each member's networks step along their gradients.

To add one, write a subclass of :class:`Optimizer` and register it here. Torch trains it.
"""

from metagan_rl.optimizers import d_adaptation, prodigy, schedule_free
from metagan_rl.optimizers.d_adaptation import DAdaptation
from metagan_rl.optimizers.optimizer import OPTIMIZERS, Beginning, Optimizer, OptimizerKind, pick
from metagan_rl.optimizers.prodigy import Prodigy
from metagan_rl.optimizers.schedule_free import ScheduleFree
from metagan_rl.optimizers.tiada import TiAda
from metagan_rl.optimizers.usual import SGD, Adam, RMSprop

OPTIMIZERS.register("adam", OptimizerKind(lambda told: Adam(told.numbers, told.lr, told.beta1, told.beta2)))
OPTIMIZERS.register("sgd", OptimizerKind(lambda told: SGD(told.lr)))
OPTIMIZERS.register("rmsprop", OptimizerKind(lambda told: RMSprop(told.lr, told.beta2)))
OPTIMIZERS.register("prodigy", OptimizerKind(Prodigy, prodigy.ROWS, prodigy.NUMBERS))
OPTIMIZERS.register("d-adaptation", OptimizerKind(DAdaptation, d_adaptation.ROWS, d_adaptation.NUMBERS))
OPTIMIZERS.register("schedule-free", OptimizerKind(ScheduleFree, schedule_free.ROWS, schedule_free.NUMBERS))
OPTIMIZERS.register("tiada", OptimizerKind(TiAda))

__all__ = [
    "OPTIMIZERS",
    "SGD",
    "Adam",
    "Beginning",
    "DAdaptation",
    "Optimizer",
    "OptimizerKind",
    "Prodigy",
    "RMSprop",
    "ScheduleFree",
    "TiAda",
    "pick",
]
