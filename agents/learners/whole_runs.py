"""What learners share that train whole runs: the environment, and a network that begins as the reference."""

from typing import TYPE_CHECKING

import torch

from metagan_rl.agents.learners.policy import PolicyConfig, PolicyNetwork
from metagan_rl.envs.sb3 import SB3VecEnv, make_sb3_vec_env

if TYPE_CHECKING:
    from metagan_rl.agents.learners.config import TrainConfig


def training_env(config: "TrainConfig") -> SB3VecEnv:
    """The environment of a training run, on the training split of its suite."""
    name, keywords = config.environment()
    options = {"split": "train", **keywords, **config.env_keywords()}
    return make_sb3_vec_env(name, config.members, shards=min(config.shards, config.members), **options)


def resting_network(config: PolicyConfig, env: SB3VecEnv, seed: int) -> PolicyNetwork:
    """A fresh network of a policy, whose outputs are all 0."""
    (inputs,) = env.observation_space.shape or ()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = PolicyNetwork(inputs, config, config.outputs)
    for layer in (network.head, network.direct):
        for values in layer.parameters():
            torch.nn.init.zeros_(values)
    return network
