"""The Gymnasium interface to GAN training. Importing it is cheap; torch is loaded with the first environment."""

from typing import TYPE_CHECKING

from metagan_rl.lazy import lazy

if TYPE_CHECKING:
    from metagan_rl.envs.actions import ActionCodec
    from metagan_rl.envs.options import EnvOptions
    from metagan_rl.envs.registration import ENVIRONMENTS, register_environment
    from metagan_rl.envs.sb3 import SB3VecEnv, make_sb3_vec_env
    from metagan_rl.envs.sharded import ShardedVectorEnv
    from metagan_rl.envs.single import MetaGANEnv
    from metagan_rl.envs.vector import MetaGANVectorEnv
    from metagan_rl.loop.reward import REWARDS, Reward
    from metagan_rl.loop.runs import RunOptions, Runs

__all__ = [
    "ENVIRONMENTS",
    "REWARDS",
    "ActionCodec",
    "EnvOptions",
    "MetaGANEnv",
    "MetaGANVectorEnv",
    "Reward",
    "RunOptions",
    "Runs",
    "SB3VecEnv",
    "ShardedVectorEnv",
    "make_sb3_vec_env",
    "register_environment",
]
__getattr__ = lazy(
    __name__,
    {
        "ENVIRONMENTS": "metagan_rl.envs.registration",
        "REWARDS": "metagan_rl.loop.reward",
        "ActionCodec": "metagan_rl.envs.actions",
        "EnvOptions": "metagan_rl.envs.options",
        "MetaGANEnv": "metagan_rl.envs.single",
        "MetaGANVectorEnv": "metagan_rl.envs.vector",
        "Reward": "metagan_rl.loop.reward",
        "RunOptions": "metagan_rl.loop.runs",
        "Runs": "metagan_rl.loop.runs",
        "SB3VecEnv": "metagan_rl.envs.sb3",
        "ShardedVectorEnv": "metagan_rl.envs.sharded",
        "make_sb3_vec_env": "metagan_rl.envs.sb3",
        "register_environment": "metagan_rl.envs.registration",
    },
)
