"""The live page: two GANs learn the same distribution side by side, under two schedulers, before one's eyes.

Read in this order: ``setting`` (what a person picks), ``drawing`` (a distribution drawn by hand), ``match`` (two GANs,
trained frame by frame), ``picture`` (what a frame shows), ``session`` (the match that runs now, and commands to it),
``server`` (the page's address, and who may ask), ``recipe`` (the settings as PyTorch code), ``folder`` (runs that are
opened) and ``command``.
"""

from metagan_rl.experiments.watch.command import watch

__all__ = ["watch"]
