"""GAN training as Gymnasium environments: meta-learned training schedules, and a benchmark to trust them by."""

from importlib.metadata import version

__version__ = version("metagan-rl")
