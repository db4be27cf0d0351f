"""GAN training as Gymnasium environments: meta-learned training schedules, and a benchmark to trust them by."""

from importlib.metadata import version
from importlib.util import find_spec

__version__ = version("metagan-rl")

if find_spec("gymnasium") is not None:
    from metagan_rl.envs.registration import register_environments

    register_environments()
