"""Schedulers in a user's own PyTorch loop: ``metagan_rl.GANScheduler``."""

from metagan_rl.agents.plugin.gan_scheduler import GANScheduler
from metagan_rl.agents.plugin.health import Advice
from metagan_rl.agents.plugin.loop_controls import LoopControls
from metagan_rl.agents.plugin.quality_meter import QualityMeter
from metagan_rl.agents.plugin.tuning import TunedGAN, tune_gan

__all__ = ["Advice", "GANScheduler", "LoopControls", "QualityMeter", "TunedGAN", "tune_gan"]
