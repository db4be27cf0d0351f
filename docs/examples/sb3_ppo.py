"""Stable-Baselines3's own PPO on GAN training: ``python docs/examples/sb3_ppo.py``.

The bridge presents the native vector environment as a ``VecEnv``; ``shards`` spreads its GANs over worker processes.
"""

from dataclasses import dataclass

import tyro
from stable_baselines3 import PPO

from metagan_rl.envs import make_sb3_vec_env
from metagan_rl.runtime import prepare_process


@dataclass
class Args:
    """Everything there is to set."""

    env_id: str = "MetaGAN/Planar-v2"
    """A registered environment."""
    num_envs: int = 32
    """GANs trained at once."""
    shards: int = 1
    """Processes that train them; one for each core is best."""
    horizon: int | None = None
    """Intervals in an episode; by default each task's budget."""
    steps: int = 100_000
    """Steps of the environment in all, of 48 GAN updates each."""
    num_steps: int = 64
    """Steps in each environment between two updates of the agent."""
    seed: int = 1
    """Of the agent, the tasks and the GANs."""
    out: str = "runs/sb3_ppo"
    """Where TensorBoard events and the agent go."""


def main(args: Args) -> PPO:
    """Trains and saves."""
    prepare_process()
    envs = make_sb3_vec_env(args.env_id, args.num_envs, shards=args.shards, horizon=args.horizon)
    try:
        agent = PPO(
            "MlpPolicy",
            envs,
            n_steps=args.num_steps,
            batch_size=args.num_steps * args.num_envs // 4,
            gamma=1.0,  # episodes are short, and their reward telescopes to log(distance at start / at end)
            seed=args.seed,
            tensorboard_log=args.out,
            device="cpu",
            verbose=1,
        )
        agent.learn(args.steps)
        agent.save(f"{args.out}/agent")
    finally:
        envs.close()
    return agent


if __name__ == "__main__":
    main(tyro.cli(Args))
