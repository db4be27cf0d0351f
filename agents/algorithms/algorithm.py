"""What an algorithm is to a training run: a model that learns iteration by iteration and can be written down."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from torch import Tensor

from metagan_rl.agents.policy import PolicyConfig, PolicyScheduler
from metagan_rl.envs.actions import ActionCodec
from metagan_rl.envs.sb3 import SB3VecEnv
from metagan_rl.registry import Registry
from metagan_rl.signals import SIGNAL_SETS

if TYPE_CHECKING:
    from metagan_rl.agents.train_config import TrainConfig

ALGORITHMS: Registry[type["Algorithm"]] = Registry("algorithm")


class Algorithm(ABC):
    """Trains a scheduler, iteration by iteration; a subclass says how.

    An iteration begins new episodes in all members, with seeds that depend on its number alone, and all that an
    algorithm knows from earlier ones is in :meth:`state`: that is what makes resuming exact.

    Args:
        config: of the training run.
        env: what it learns in; made with this algorithm's ``actions`` and ``trial_memory``.
        steps: intervals that each member trains for in an iteration.
    """

    actions: ClassVar[str] = "discrete"
    """Kind of actions it needs."""
    trial_memory: ClassVar[bool] = True
    """Whether it sees its previous action, the previous reward and the run-boundary flag, as RL² does."""
    defaults: ClassVar[Mapping[str, Any]] = {}
    """Settings that take the place of ``TrainConfig``'s defaults."""

    def __init__(self, config: "TrainConfig", env: SB3VecEnv, steps: int) -> None:
        self.config, self.steps = config, steps
        torch.manual_seed(config.seed)
        self.model: Any = self.build(env)

    @abstractmethod
    def build(self, env: SB3VecEnv) -> BaseAlgorithm:
        """The model, fresh."""

    @abstractmethod
    def schedule(self, done: float) -> None:
        """Sets what depends on how much of the run is done, from 0 to 1."""

    @property
    @abstractmethod
    def network(self) -> dict[str, Any]:
        """``hidden``, ``layers`` and ``greedy`` of its :class:`PolicyConfig`."""

    @abstractmethod
    def weights(self) -> dict[str, Tensor]:
        """Of its :class:`PolicyNetwork`, by name."""

    def iterate(self, number: int, done: float, callback: BaseCallback) -> None:
        """Collects ``steps`` intervals from every member and learns.

        Args:
            number: of the iteration, from 0.
            done: how much of the run is done before it.
            callback: told of every interval.
        """
        self.schedule(done)
        seed = int(np.random.SeedSequence([self.config.seed, number]).generate_state(1)[0] // 2)
        # Stable-Baselines3 draws from torch's global generator, from NumPy's, and from that of the space of actions.
        torch.manual_seed(seed)
        np.random.seed(seed)
        self.model.action_space.seed(seed)
        self.model.get_env().seed(seed)
        self.model._last_obs = None  # makes learn() begin new episodes
        self.model.learn(
            self.steps * self.config.members, callback=callback, log_interval=10**9, reset_num_timesteps=False
        )

    def scheduler(self, metadata: Mapping[str, Any]) -> PolicyScheduler:
        """The agent as it is, as a scheduler."""
        config = self.config
        described = PolicyConfig(
            knobs=ActionCodec(config.knobs).knobs,
            control="both",
            signals=tuple(signal.name for signal in SIGNAL_SETS[config.signals]),
            trial_memory=self.trial_memory,
            actions=self.actions,
            **self.network,
        )
        return PolicyScheduler(described, self.weights(), metadata)

    def state(self) -> dict[str, Any]:
        """All that goes into a checkpoint: tensors, numbers and dicts of them."""
        return {
            "policy": self.model.policy.state_dict(),
            "optimizer": self.model.policy.optimizer.state_dict(),
            "timesteps": self.model.num_timesteps,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes up what :meth:`state` gave."""
        self.model.policy.load_state_dict(state["policy"])
        self.model.policy.optimizer.load_state_dict(state["optimizer"])
        self.model.num_timesteps = state["timesteps"]

    def renamed(self, names: Mapping[str, str]) -> dict[str, Tensor]:
        """Copies of the policy's weights whose names begin as given, under names that begin otherwise."""
        return {
            ours + key.removeprefix(theirs): value.detach().clone()
            for key, value in self.model.policy.state_dict().items()
            for theirs, ours in names.items()
            if key.startswith(theirs)
        }
