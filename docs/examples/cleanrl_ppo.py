"""PPO in one file, in the manner of CleanRL, on GAN training: ``python docs/examples/cleanrl_ppo.py --seed 1``.

Nothing of metagan_rl but the environment is used: a memoryless actor-critic sets the two learning rates and the step
ratio of a batch of GANs, one interval at a time. Curves: ``tensorboard --logdir runs``. At the start and at the end it
is compared, on validation tasks with the same GAN seeds, with leaving everything at the untuned base.

A demonstration of the interface: 400,000 GAN updates are 8,192 steps, too few to learn from (the policy that is shipped
with the package took 20 million updates). Take more with ``--gan-updates``.
"""

import random
import time
from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import torch
import tyro
from torch import Tensor, nn
from torch.distributions import Categorical
from torch.utils.tensorboard import SummaryWriter

import metagan_rl  # noqa: F401  (registers the environments)
from metagan_rl.runtime import prepare_process


@dataclass
class Args:
    """Everything there is to set."""

    env_id: str = "MetaGAN/Planar-v2"
    """A registered environment."""
    knobs: tuple[str, ...] = ("generator_lr_factor", "discriminator_lr_factor", "ratio")
    """What the agent controls; the rest stays at each task's base."""
    horizon: int | None = None
    """Intervals in an episode; by default each task's budget (64 of 48 updates)."""
    interval_updates: int = 48
    """GAN updates in a step of the environment."""
    gan_updates: int = 400_000
    """GAN updates to train for, over all environments."""
    seed: int = 1
    """Of the agent, the tasks and the GANs."""
    num_envs: int = 16
    """GANs trained at once, as one population."""
    num_steps: int = 32
    """Steps in each environment between two updates of the agent."""
    learning_rate: float = 1e-3
    """Of Adam, falling linearly to 0."""
    gamma: float = 1.0
    """Discount; episodes are short, and their reward telescopes to log(distance at start / at end)."""
    gae_lambda: float = 0.95
    """Of generalised advantage estimation."""
    minibatches: int = 4
    """Parts that a batch is cut into."""
    epochs: int = 8
    """Passes over a batch."""
    clip_range: float = 0.2
    """Of the probability ratio."""
    entropy_weight: float = 0.005
    """Of the entropy bonus."""
    value_weight: float = 0.5
    """Of the critic's loss."""
    max_grad_norm: float = 0.5
    """Gradients are clipped at this norm."""
    evaluation_tasks: int = 16
    """Validation tasks for the comparison at the start and at the end; 0 for none."""
    log_dir: str = "runs"
    """Where the curves go."""


class Agent(nn.Module):
    """Actor and critic, one small network each; the actor has a categorical distribution for every control."""

    def __init__(self, envs: gym.vector.VectorEnv) -> None:
        super().__init__()
        (signals,) = envs.single_observation_space.shape
        self.levels = envs.single_action_space.nvec.tolist()
        self.actor = network(signals, sum(self.levels), last_gain=0.01)
        self.critic = network(signals, 1, last_gain=1.0)

    def value(self, observations: Tensor) -> Tensor:
        """Expected return ``[B]``."""
        return self.critic(observations).squeeze(-1)

    def act(self, observations: Tensor, actions: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Actions ``[B, K]`` (drawn, unless given), their log-probability and the entropy ``[B]``."""
        parts = [Categorical(logits=logits) for logits in self.actor(observations).split(self.levels, dim=-1)]
        if actions is None:
            actions = torch.stack([part.sample() for part in parts], dim=-1)
        log_prob = sum(part.log_prob(actions[:, k]) for k, part in enumerate(parts))
        return actions, log_prob, sum(part.entropy() for part in parts)

    def best(self, observations: Tensor) -> Tensor:
        """The most probable actions ``[B, K]``."""
        return torch.stack([part.argmax(-1) for part in self.actor(observations).split(self.levels, dim=-1)], dim=-1)


def network(inputs: int, outputs: int, last_gain: float) -> nn.Sequential:
    """Two hidden layers of 64, orthogonal weights."""
    layers = [nn.Linear(inputs, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs)]
    for layer in layers[::2]:
        nn.init.orthogonal_(layer.weight, last_gain if layer is layers[-1] else 2**0.5)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)


def make_envs(args: Args, split: str, count: int) -> gym.vector.VectorEnv:
    """The native vector environment. An episode that ends is followed by the next one in the same step."""
    options = {"knobs": args.knobs, "horizon": args.horizon, "interval_updates": args.interval_updates}
    return gym.make_vec(args.env_id, num_envs=count, split=split, **options)


def evaluate(args: Args, agent: Agent | None) -> np.ndarray:
    """Return of one episode on each validation task, of the agent or of the untuned base (``None``)."""
    envs = make_envs(args, "val", args.evaluation_tasks)
    tasks = list(envs.unwrapped.split)
    chosen = [tasks[place * len(tasks) // args.evaluation_tasks] for place in range(args.evaluation_tasks)]
    observations, _ = envs.reset(seed=12345, options={"tasks": chosen, "gan_seeds": list(range(len(chosen)))})
    constant = np.zeros(envs.action_space.shape, dtype=np.int64)  # action zero follows the reference: the task's base
    returns, running = np.zeros(len(chosen)), np.ones(len(chosen), dtype=bool)
    while running.any():
        actions = constant if agent is None else agent.best(torch.as_tensor(observations)).numpy()
        observations, rewards, terminated, truncated, _ = envs.step(actions)
        returns += np.where(running, rewards, 0.0)
        running &= ~(terminated | truncated)
    envs.close()
    return returns


def compare(args: Args, agent: Agent, when: str) -> None:
    """Prints what the agent's episodes are worth against the untuned constant's."""
    if args.evaluation_tasks:
        ours, constant = evaluate(args, agent), evaluate(args, None)
        difference = ours - constant
        error = difference.std(ddof=1) / len(difference) ** 0.5
        print(
            f"validation return {when}: agent {ours.mean():.3f}, untuned constant {constant.mean():.3f}, "
            f"difference {difference.mean():+.3f} (standard error {error:.3f}, {len(difference)} tasks)",
            flush=True,
        )


def advantages_of(args: Args, rewards: Tensor, values: Tensor, starts: Tensor, last_value: Tensor, last_start: Tensor):
    """Generalised advantages ``[T, B]``; nothing is carried over an episode's start."""
    advantages, following = torch.zeros_like(rewards), torch.zeros_like(last_value)
    next_values, next_starts = torch.cat([values[1:], last_value[None]]), torch.cat([starts[1:], last_start[None]])
    for step in reversed(range(args.num_steps)):
        goes_on = 1 - next_starts[step]
        error = rewards[step] + args.gamma * goes_on * next_values[step] - values[step]
        following = advantages[step] = error + args.gamma * args.gae_lambda * goes_on * following
    return advantages


def main(args: Args) -> Agent:
    """Trains and compares."""
    prepare_process()
    random.seed(args.seed)
    np.random.seed(args.seed)
    torch.manual_seed(args.seed)
    name = f"{args.env_id.replace('/', '-')}__cleanrl_ppo__{args.seed}__{int(time.time())}"
    writer = SummaryWriter(f"{args.log_dir}/{name}")
    envs = make_envs(args, "train", args.num_envs)
    agent = Agent(envs)
    optimizer = torch.optim.Adam(agent.parameters(), args.learning_rate, eps=1e-5)
    with torch.no_grad():
        compare(args, agent, "at the start")

    shape = (args.num_steps, args.num_envs)
    observations = torch.zeros(*shape, *envs.single_observation_space.shape)
    actions = torch.zeros(*shape, len(agent.levels), dtype=torch.long)
    log_probs, rewards, starts, values = (torch.zeros(shape) for _ in range(4))
    batch = args.num_steps * args.num_envs
    iterations = max(1, args.gan_updates // (batch * args.interval_updates))
    seen, _ = envs.reset(seed=args.seed)
    observation, start, running = torch.as_tensor(seen), torch.ones(args.num_envs), np.zeros(args.num_envs)
    began = time.monotonic()

    for iteration in range(iterations):
        optimizer.param_groups[0]["lr"] = (1 - iteration / iterations) * args.learning_rate
        returns, distances = [], []
        for step in range(args.num_steps):
            observations[step], starts[step] = observation, start
            with torch.no_grad():
                actions[step], log_probs[step], _ = agent.act(observation)
                values[step] = agent.value(observation)
            seen, reward, terminated, truncated, infos = envs.step(actions[step].numpy())
            rewards[step] = torch.as_tensor(reward)
            observation, start = torch.as_tensor(seen), torch.as_tensor(terminated | truncated).float()
            running += reward
            if "final_info" in infos:
                ended = infos["_final_info"]
                returns += running[ended].tolist()
                distances += infos["final_info"]["distance"][ended].tolist()
                running[ended] = 0.0
        with torch.no_grad():
            advantages = advantages_of(args, rewards, values, starts, agent.value(observation), start)

        flat = [tensor.flatten(0, 1) for tensor in (observations, actions, log_probs, advantages, advantages + values)]
        for _ in range(args.epochs):
            for part in torch.randperm(batch).chunk(args.minibatches):
                some_observations, some_actions, old_log_probs, advantage, wanted = (tensor[part] for tensor in flat)
                advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
                _, log_prob, entropy = agent.act(some_observations, some_actions)
                ratio = (log_prob - old_log_probs).exp()
                clipped = ratio.clamp(1 - args.clip_range, 1 + args.clip_range)
                policy_loss = -torch.min(ratio * advantage, clipped * advantage).mean()
                value_loss = 0.5 * (agent.value(some_observations) - wanted).square().mean()
                loss = policy_loss + args.value_weight * value_loss - args.entropy_weight * entropy.mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), args.max_grad_norm)
                optimizer.step()

        updates = (iteration + 1) * batch * args.interval_updates
        writer.add_scalar("losses/policy", policy_loss.item(), updates)
        writer.add_scalar("losses/value", value_loss.item(), updates)
        writer.add_scalar("losses/entropy", entropy.mean().item(), updates)
        writer.add_scalar("charts/updates_per_second", updates / (time.monotonic() - began), updates)
        if returns:
            writer.add_scalar("charts/episodic_return", np.mean(returns), updates)
            writer.add_scalar("charts/final_distance", np.exp(np.mean(np.log(distances))), updates)
            print(f"{updates} GAN updates: mean return {np.mean(returns):.3f} of {len(returns)} episodes", flush=True)

    with torch.no_grad():
        compare(args, agent, "at the end")
    envs.close()
    writer.close()
    return agent


if __name__ == "__main__":
    main(tyro.cli(Args))
