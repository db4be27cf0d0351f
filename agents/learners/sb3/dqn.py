"""``dqn``: Stable-Baselines3's value-based DQN over moves, each of which changes one control by one level or none."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor, nn

from metagan_rl.agents.learners.learner import register_learner
from metagan_rl.agents.learners.options import require
from metagan_rl.agents.learners.policy import PolicyScheduler
from metagan_rl.agents.learners.sb3.adapter import SB3Learner
from metagan_rl.envs.sb3 import SB3VecEnv
from metagan_rl.errors import InvalidValueError

BATCH = 256
N_STEPS = 5
"""Rewards summed before the target network is asked. Values of the last interval then reach the first in a fifth of the
synchronisations that single steps would need. A short run has only about that many."""
SYNCHRONISATIONS = 4
"""Synchronisations of the target network in an iteration."""
EXPLORING = 0.5
"""The share of a run in which epsilon falls to its final value."""
KEPT = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


@dataclass(frozen=True)
class DQNConfig:
    """Options of ``dqn``.

    Attributes:
        hidden: units of each of the two layers.
        learning_rate: learning rate at the start; it decays to a fifth.
        epochs: how often each transition is learned from, on average.
        replay: number of latest transitions to learn from.
        epsilon: share of random moves in the second half of the run. In the first half it falls from 1 to this.
        max_grad_norm: longest gradient; longer ones are shortened to it.
    """

    hidden: int = 64
    learning_rate: float = 5e-4
    epochs: int = 20
    replay: int = 100_000
    epsilon: float = 0.05
    max_grad_norm: float = 0.5

    def __post_init__(self) -> None:
        require(self, whole=("hidden", "epochs", "replay"), positive=("max_grad_norm",), shares=("epsilon",))
        require(self, rates=("learning_rate",))


@register_learner("dqn")
class DQNLearner(SB3Learner):
    """DQN with two tanh layers, n-step returns, and a replay buffer that holds all of a usual run.

    Rewards are not discounted, as in the other algorithms. A run has an end, which ``progress`` shows, so values stay
    finite. A discount of 0.99 would halve what the end of 64 intervals is worth at their beginning. Each member
    explores for itself (Stable-Baselines3 draws once for all): it makes a random move with probability epsilon, which
    falls from 1 to ``epsilon`` over the first half of the run. A fresh agent's values are all 0, so it keeps the
    controls in force. Checkpoints hold the replay buffer (35 MB when full, with all signals), so resuming is exact.

    Source: Mnih et al. 2015, doi:10.1038/nature14236; n-step returns: Hessel et al. 2018, arXiv:1710.02298.
    """

    Config = DQNConfig
    actions = "moves"
    parts = {"q_net.q_net.0.": "layers.0.", "q_net.q_net.2.": "layers.1.", "q_net.q_net.4.": "head."}

    def build(self, env: SB3VecEnv) -> BaseAlgorithm:
        """Makes the model, which has no preference at first."""
        own: DQNConfig = self.config.learner
        members = self.config.members
        if own.replay < members:
            raise InvalidValueError(f"replay is {own.replay}; it must be at least {members}, one for each member")
        model = _DQN(
            "MlpPolicy",
            env,
            learning_rate=own.learning_rate,
            buffer_size=own.replay,
            learning_starts=self.steps * members,
            batch_size=BATCH,
            gamma=1.0,
            train_freq=(1, "step"),
            gradient_steps=max(1, round(own.epochs * members / BATCH)),
            n_steps=N_STEPS,
            target_update_interval=max(1, self.steps // SYNCHRONISATIONS) * members,
            max_grad_norm=own.max_grad_norm,
            policy_kwargs={"net_arch": [own.hidden, own.hidden], "activation_fn": nn.Tanh},
            seed=self.config.seed,
            device="cpu",
        )
        for network in (model.q_net, model.q_net_target):
            head: Any = network.q_net[-1]
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
        return model

    def schedule(self, done: float) -> None:
        """Lowers epsilon to its final value by half of the run, and the learning rate to a fifth by its end."""
        own: DQNConfig = self.config.learner
        epsilon = max(own.epsilon, 1 - done / EXPLORING * (1 - own.epsilon))
        self.model.exploration_schedule = lambda _: epsilon
        self.model.exploration_rate = epsilon
        self.model.lr_schedule = lambda _: own.learning_rate * (1 - 0.8 * done)

    def end_iteration(self) -> None:
        """Marks episodes that the next iteration cuts off, so that no return runs on beyond them."""
        buffer = self.model.replay_buffer
        buffer.timeouts[buffer.pos - 1] = 1 - buffer.dones[buffer.pos - 1]

    @property
    def network(self) -> dict[str, Any]:
        """Two layers and no LSTM; the outputs are values."""
        return {"hidden": 0, "layers": (self.config.learner.hidden, self.config.learner.hidden), "greedy": True}

    def weights(self) -> dict[str, Tensor]:
        """The weights of the network that learns. It has no direct layer, so that layer's weights are 0."""
        found = super().weights()
        moves, inputs = len(found["head.bias"]), found["layers.0.weight"].shape[1]
        return {**found, "direct.weight": torch.zeros(moves, inputs)}

    def start_from(self, policy: PolicyScheduler) -> None:
        """As in the parent; the target network starts there too."""
        super().start_from(policy)
        self.model.q_net_target.load_state_dict(self.model.q_net.state_dict())

    def state(self) -> dict[str, Any]:
        """As in the parent, plus the filled part of the replay buffer."""
        buffer = self.model.replay_buffer
        rows = buffer.buffer_size if buffer.full else buffer.pos
        kept = {name: torch.from_numpy(getattr(buffer, name)[:rows]).clone() for name in KEPT}
        place = {"position": buffer.pos, "full": buffer.full, "calls": self.model._n_calls}
        return {**super().state(), "replay": kept, **place}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restores what :meth:`state` gave."""
        super().load_state(state)
        buffer = self.model.replay_buffer
        for name, values in state["replay"].items():
            getattr(buffer, name)[: len(values)] = values.numpy()
        buffer.pos, buffer.full, self.model._n_calls = state["position"], state["full"], state["calls"]


class _DQN(DQN):
    """DQN in which each member explores for itself."""

    action_space: gym.spaces.Discrete

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[np.ndarray, Any]:
        """Moves ``[B]``: greedy, except for each member's random ones."""
        moves, state = self.policy.predict(observation, state, episode_start, deterministic)
        if deterministic:
            return moves, state
        explores = np.random.rand(len(moves)) < self.exploration_rate
        return np.where(explores, np.random.randint(self.action_space.n, size=len(moves)), moves), state
