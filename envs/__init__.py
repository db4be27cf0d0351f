"""The Gymnasium face of GAN training. Importing this is cheap; torch comes with the first environment."""

from importlib import import_module
from typing import Any

_HOMES = {
    "MetaGANEnv": "single",
    "MetaGANVectorEnv": "vector",
    "Reward": "reward",
    "REWARDS": "reward",
    "Runs": "runs",
    "ActionCodec": "actions",
    "make_sb3_vec_env": "sb3",
    "SB3VecEnv": "sb3",
    "ShardedVectorEnv": "sharded",
    "ENVIRONMENTS": "registration",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"metagan_rl.envs.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
