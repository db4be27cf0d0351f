"""Puts learners of Stable-Baselines3 and sb3-contrib behind our own protocol; their internals are used only here."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger
from torch import Tensor

from metagan_rl.agents.learners.learner import Learner
from metagan_rl.agents.learners.policy import PolicyScheduler
from metagan_rl.agents.learners.policy_files import check_same
from metagan_rl.agents.learners.sb3.rollout_log import RolloutLog
from metagan_rl.agents.learners.whole_runs import training_env
from metagan_rl.envs.privileged import Privileged
from metagan_rl.envs.sb3 import SB3VecEnv
from metagan_rl.loop.reference import recorded
from metagan_rl.tasks import get_suite

if TYPE_CHECKING:
    from metagan_rl.agents.learners.config import TrainConfig


class SB3Learner(Learner):
    """Runs an algorithm of Stable-Baselines3 iteration by iteration; a subclass says which algorithm.

    An iteration begins new episodes in all members, with seeds that depend only on its number.

    Args:
        config: configuration of the training run.
    """

    def __init__(self, config: "TrainConfig") -> None:
        super().__init__(config)
        first = get_suite(config.tasks_of()).split("train")[0]
        self.steps = config.intervals(first) * max(1, config.trial_runs)
        """Intervals that each member trains in an iteration."""
        if config.reference is not None:
            recorded(config.reference)  # raises now if the policy could not be saved later
        self.env = training_env(config)
        try:
            torch.manual_seed(config.seed)
            self.model: Any = self.build(self.env)
            self.model.set_logger(Logger(None, []))  # iterate returns everything there is to log
        except BaseException:
            self.env.close()
            raise

    @abstractmethod
    def build(self, env: SB3VecEnv) -> BaseAlgorithm:
        """Makes a fresh model."""

    @abstractmethod
    def schedule(self, done: float) -> None:
        """Sets what depends on the share of the run that is done, from 0 to 1."""

    @property
    @abstractmethod
    def network(self) -> dict[str, Any]:
        """``hidden``, ``layers`` and ``greedy`` of the policy's :class:`PolicyConfig`."""

    parts: ClassVar[Mapping[str, str]]
    """Prefixes of names of the model's weights, and of those weights' names in a :class:`PolicyNetwork`."""

    def weights(self) -> dict[str, Tensor]:
        """The weights of the policy's :class:`PolicyNetwork`, by name; copies."""
        return {
            ours + key.removeprefix(theirs): value.detach().clone()
            for key, value in self.model.policy.state_dict().items()
            for theirs, ours in self.parts.items()
            if key.startswith(theirs)
        }

    @property
    def updates_per_iteration(self) -> int:
        """See :class:`Learner`."""
        return round(self.steps * self.config.members * self.config.mean_interval)

    def iterate(self, number: int, done: float, on_interval: Callable[[], object]) -> dict[str, float]:
        """Collects ``steps`` intervals from every member and learns from them; see :class:`Learner`."""
        log = RolloutLog(on_interval)
        self.schedule(done)
        self.begin_iteration()
        seed = int(np.random.SeedSequence([self.config.seed, number]).generate_state(1)[0] // 2)
        # Stable-Baselines3 draws from the global generators of torch and NumPy, and from that of the action space.
        torch.manual_seed(seed)
        np.random.seed(seed)
        self.model.action_space.seed(seed)
        self.model.get_env().seed(seed)
        self.model._last_obs = None  # makes learn() begin new episodes
        steps = self.steps * self.config.members
        self.model.learn(steps, callback=log, log_interval=10**9, reset_num_timesteps=False)
        self.end_iteration()
        told = self.model.logger.name_to_value
        own = {name: float(value) for name, value in told.items() if name.startswith("train/")}
        told.clear()
        return {**log.summary(), **own}

    def begin_iteration(self) -> None:
        """Clears what must be forgotten before new episodes begin."""

    def end_iteration(self) -> None:
        """Marks what must be marked once the episodes are over."""

    def policy(self, metadata: Mapping[str, Any]) -> PolicyScheduler:
        """See :class:`Learner`."""
        return PolicyScheduler(self.policy_config(**self.network), self.weights(), metadata)

    @property
    def hidden_inputs(self) -> int:
        """Numbers at the end of the observation that the policy must not see."""
        if not self.config.privileged:
            return 0
        return len(Privileged(get_suite(self.config.tasks_of()).split("train"), self.config.which()))

    def state(self) -> dict[str, Any]:
        """See :class:`Learner`."""
        return {
            "policy": self.model.policy.state_dict(),
            "optimizer": self.model.policy.optimizer.state_dict(),
            "timesteps": self.model.num_timesteps,
            "passes": self.model._n_updates,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """See :class:`Learner`."""
        self.model.policy.load_state_dict(state["policy"])
        self.model.policy.optimizer.load_state_dict(state["optimizer"])
        self.model.num_timesteps, self.model._n_updates = state["timesteps"], state["passes"]

    def start_from(self, policy: PolicyScheduler) -> None:
        """See :class:`Learner`. The critic, and the deviation of continuous actions, start fresh."""
        check_same(self.policy_config(**self.network), policy.config)
        given, state = policy.network.state_dict(), self.model.policy.state_dict()
        for key, value in state.items():
            for theirs_name, our_name in self.parts.items():
                if key.startswith(theirs_name):
                    new = given[our_name + key.removeprefix(theirs_name)]
                    value[..., : new.shape[-1]] = new  # an actor may have columns more for what it must not see
        self.model.policy.load_state_dict(state)

    def close(self) -> None:
        """Ends the environment and its workers."""
        self.env.close()
