"""Schedulers in a user's own PyTorch loop: ``metagan_rl.GANScheduler``."""

from metagan_rl.agents.plugin.gan_scheduler import GANScheduler
from metagan_rl.agents.plugin.health import Advice
from metagan_rl.agents.plugin.loop_controls import LoopControls

__all__ = ["Advice", "GANScheduler", "LoopControls"]
