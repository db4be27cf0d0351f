"""``dqn``: Stable-Baselines3's DQN over moves, the value-based way: change one control by one level, or keep all."""

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
from metagan_rl.agents.learners.sb3.adapter import SB3Learner
from metagan_rl.envs.sb3 import SB3VecEnv
from metagan_rl.errors import InvalidValueError

BATCH = 256
N_STEPS = 5
"""Rewards summed before the target network is asked: values of the last interval reach the first in a fifth of the
synchronisations that single steps would need, and with them the number of synchronisations that a short run has."""
SYNCHRONISATIONS = 4
"""Of the target network in an iteration."""
EXPLORING = 0.5
"""How much of a run epsilon takes to fall to its end."""
KEPT = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


@dataclass(frozen=True)
class DQNConfig:
    """Options of ``dqn``.

    Attributes:
        hidden: units of each of the two layers.
        learning_rate: decayed to a fifth.
        epochs: how often each transition is learned from on average.
        replay: transitions that are learned from, the latest.
        epsilon: share of random moves in the second half of the run; it falls from 1 to this in the first.
        max_grad_norm: gradients longer than this are shortened to it.
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

    Undiscounted, as the other algorithms are: a run has an end, which ``progress`` tells, so that values stay finite,
    and a discount of 0.99 would halve what the end of 64 intervals is worth at their beginning. Members explore each
    for themselves (Stable-Baselines3 draws once for all of them): a random move with probability epsilon, which falls
    from 1 to ``epsilon`` over the first half of the run. A fresh agent's values are all 0, so that it keeps the
    controls in force. Checkpoints hold the replay buffer (35 MB when full of all signals), so that resuming is exact.

    Source: Mnih et al. 2015, doi:10.1038/nature14236; n-step returns: Hessel et al. 2018, arXiv:1710.02298.
    """

    Config = DQNConfig
    actions = "moves"

    def build(self, env: SB3VecEnv) -> BaseAlgorithm:
        """The model, which has no preference at first."""
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
        """Epsilon falls to its end at half of the run, the learning rate to a fifth at its end."""
        own: DQNConfig = self.config.learner
        epsilon = max(own.epsilon, 1 - done / EXPLORING * (1 - own.epsilon))
        self.model.exploration_schedule = lambda _: epsilon
        self.model.exploration_rate = epsilon
        self.model.lr_schedule = lambda _: own.learning_rate * (1 - 0.8 * done)

    def end_iteration(self) -> None:
        """Marks episodes that the next iteration will cut off, so that no return runs on."""
        buffer = self.model.replay_buffer
        buffer.timeouts[buffer.pos - 1] = 1 - buffer.dones[buffer.pos - 1]

    @property
    def network(self) -> dict[str, Any]:
        """Two layers and no LSTM, whose outputs are values."""
        return {"hidden": 0, "layers": (self.config.learner.hidden, self.config.learner.hidden), "greedy": True}

    def weights(self) -> dict[str, Tensor]:
        """Those of the network that learns; it has no direct layer, which is 0 then."""
        found = self.renamed({"q_net.q_net.0.": "layers.0.", "q_net.q_net.2.": "layers.1.", "q_net.q_net.4.": "head."})
        moves, inputs = len(found["head.bias"]), found["layers.0.weight"].shape[1]
        return {**found, "direct.weight": torch.zeros(moves, inputs)}

    def state(self) -> dict[str, Any]:
        """As the parent, and the replay buffer, as far as it is filled."""
        buffer = self.model.replay_buffer
        rows = buffer.buffer_size if buffer.full else buffer.pos
        kept = {name: torch.from_numpy(getattr(buffer, name)[:rows]).clone() for name in KEPT}
        place = {"position": buffer.pos, "full": buffer.full, "calls": self.model._n_calls}
        return {**super().state(), "replay": kept, **place}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes up what :meth:`state` gave."""
        super().load_state(state)
        buffer = self.model.replay_buffer
        for name, values in state["replay"].items():
            getattr(buffer, name)[: len(values)] = values.numpy()
        buffer.pos, buffer.full, self.model._n_calls = state["position"], state["full"], state["calls"]


class _DQN(DQN):
    """DQN whose members explore each for themselves."""

    action_space: gym.spaces.Discrete

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[np.ndarray, Any]:
        """Moves ``[B]``, greedy but for the random ones of each member."""
        moves, state = self.policy.predict(observation, state, episode_start, deterministic)
        if deterministic:
            return moves, state
        explores = np.random.rand(len(moves)) < self.exploration_rate
        return np.where(explores, np.random.randint(self.action_space.n, size=len(moves)), moves), state
