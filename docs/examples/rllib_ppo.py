"""RLlib's PPO (its current API stack) on GAN training: ``python docs/examples/rllib_ppo.py``.

Needs ``pip install '.[rllib]'``. RLlib makes its environments in worker processes that know nothing of this
one, so the function that makes one imports metagan_rl, which registers the ids with Gymnasium. Ray listens on all
network interfaces of the machine: start it only where nobody else can reach it.
"""

from dataclasses import dataclass

import tyro


@dataclass
class Args:
    """Everything there is to set."""

    env_id: str = "MetaGAN/Planar-v2"
    """A registered environment."""
    num_env_runners: int = 2
    """Worker processes that train GANs; 0 trains them in this one."""
    num_envs: int = 8
    """GANs that each of them trains, one after the other: RLlib batches the agent, not the environment."""
    horizon: int | None = None
    """Intervals in an episode; by default each task's budget."""
    batch: int = 2048
    """Steps of all environments between two updates of the agent."""
    iterations: int = 10
    """Updates of the agent."""
    seed: int = 1
    """Of the agent, the tasks and the GANs."""


def make_env(options: dict):
    """Makes one environment in whichever process RLlib wants it."""
    import gymnasium as gym

    import metagan_rl  # noqa: F401  (registers the environments there)
    from metagan_rl.runtime import prepare_process

    prepare_process()
    options = dict(options)
    return gym.make(options.pop("env_id"), **options)


def main(args: Args) -> list[float]:
    """Trains; returns the mean return of the episodes of each iteration."""
    from ray.rllib.algorithms.ppo import PPOConfig
    from ray.tune.registry import register_env

    register_env("metagan", make_env)
    config = (
        PPOConfig()
        .environment("metagan", env_config={"env_id": args.env_id, "horizon": args.horizon})
        .env_runners(num_env_runners=args.num_env_runners, num_envs_per_env_runner=args.num_envs)
        .training(gamma=1.0, train_batch_size_per_learner=args.batch, minibatch_size=args.batch // 4, num_epochs=8)
        .debugging(seed=args.seed)
    )
    algorithm = config.build_algo()
    returns = []
    try:
        for iteration in range(args.iterations):
            runners = algorithm.train()["env_runners"]
            returns.append(float(runners["episode_return_mean"]))
            print(f"iteration {iteration + 1}: mean return {returns[-1]:.3f}", flush=True)
    finally:
        algorithm.stop()
    return returns


if __name__ == "__main__":
    main(tyro.cli(Args))
