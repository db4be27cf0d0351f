"""``evolution-strategies``: searches a policy's weights by whole runs, without gradients of the policy."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, vmap
from torch.nn.utils import parameters_to_vector

from metagan_rl.agents.learners.learner import Learner, register_learner
from metagan_rl.agents.learners.options import require
from metagan_rl.agents.learners.policy import PolicyScheduler
from metagan_rl.agents.learners.policy_files import check_same
from metagan_rl.agents.learners.rollout import Rollout
from metagan_rl.agents.learners.whole_runs import resting_network, training_env
from metagan_rl.envs.resets import MAX_SEED
from metagan_rl.errors import InvalidValueError
from metagan_rl.tasks import get_suite

if TYPE_CHECKING:
    from metagan_rl.agents.learners.config import TrainConfig

MOST_DEVIATIONS = 2.0
"""Differences within pairs count for no more than this many of their deviations. A run that diverged is far out."""


@dataclass(frozen=True)
class EvolutionConfig:
    """Options of ``evolution-strategies``.

    Attributes:
        hidden: units of each of the two layers.
        deviation: deviation of the noise on the weights that are tried.
        learning_rate: of Adam, on the mean of the weights; it decays to a fifth.
    """

    hidden: int = 32
    deviation: float = 0.05
    learning_rate: float = 0.01

    def __post_init__(self) -> None:
        require(self, whole=("hidden",), positive=("deviation",), rates=("learning_rate",))


@register_learner("evolution-strategies")
class EvolutionLearner(Learner):
    """Evolution strategies with antithetic pairs.

    In an iteration every member trains one run with weights of its own. Two members make a pair: same task, same seed
    of the GAN, and opposite noise on the mean of the weights. So the difference of their returns is due to the weights
    alone. The mean follows the noise, weighted by these differences. The policy has two tanh layers, no memory, and
    takes the network's outputs as actions; they begin at 0.

    Source: Salimans et al. 2017, arXiv:1703.03864.
    """

    Config = EvolutionConfig
    actions = "continuous"
    takes = ("continuous-moves",)
    trial_memory = False

    def __init__(self, config: "TrainConfig") -> None:
        super().__init__(config)
        if config.members % 2:
            raise InvalidValueError(f"members is {config.members}; evolution-strategies needs pairs: an even number")
        self._pairs = config.members // 2
        self._tasks = get_suite(config.tasks_of()).split("train")
        self.steps = max(config.intervals(task) for task in self._tasks)
        """Intervals of the longest run."""
        own: EvolutionConfig = config.learner
        self._described = self.policy_config(hidden=0, layers=(own.hidden, own.hidden))
        self._env = training_env(config)
        self._network = resting_network(self._described, self._env, config.seed)
        self._network.requires_grad_(False)
        self._mean = torch.nn.Parameter(parameters_to_vector(self._network.parameters()))
        self._optimizer = torch.optim.Adam([self._mean], lr=own.learning_rate)

    @property
    def updates_per_iteration(self) -> int:
        """See :class:`Learner`."""
        return round(self.steps * self.config.members * self.config.mean_interval)

    def iterate(self, number: int, done: float, on_interval: Callable[[], object]) -> dict[str, float]:
        """Trains one run in every member, and moves the mean; see :class:`Learner`."""
        own: EvolutionConfig = self.config.learner
        rng = np.random.default_rng([self.config.seed, number])
        noise = torch.from_numpy(rng.normal(size=(self._pairs, len(self._mean)))).float()
        tried = self._mean.detach() + own.deviation * torch.cat([noise, -noise])
        tasks = 2 * [self._tasks.sample(rng) for _ in range(self._pairs)]
        seeds = 2 * rng.integers(MAX_SEED, size=self._pairs).tolist()
        returns, record = self._run(tried, tasks, seeds, int(rng.integers(MAX_SEED)), on_interval)
        gained = torch.from_numpy(returns[: self._pairs] - returns[self._pairs :]).float()
        weights = (gained / gained.std(correction=0).clamp(min=1e-9)).clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS)
        for group in self._optimizer.param_groups:
            group["lr"] = own.learning_rate * (1 - 0.8 * done)
        self._mean.grad = -(weights @ noise) / self._pairs
        self._optimizer.step()
        return {
            **record,
            "train/spread": float(gained.std(correction=0)),
            "train/norm": float(self._mean.detach().norm()),
        }

    def _run(
        self, weights: Tensor, tasks: list[Any], seeds: list[int], seed: int, on_interval: Callable[[], object]
    ) -> tuple[np.ndarray, dict[str, float]]:
        """Returns of one run with each member's weights, and what to log.

        Args:
            weights: ``[B, weights]``.
            tasks: the task of each member's run.
            seeds: the seed of each member's GAN.
            seed: of all else that members draw.
            on_interval: called after every interval.
        """
        network, parts = self._network, self._parts(weights)
        rollout, returns = Rollout(), np.zeros(len(tasks))
        running = np.ones(len(tasks), dtype=bool)

        def outputs(own: dict[str, Tensor], observation: Tensor) -> Tensor:
            return functional_call(network, own, (observation[None], None))[0][0]

        self._env.seed(seed)
        self._env.set_options({"tasks": tasks, "gan_seeds": seeds})
        observations = self._env.reset()
        for _ in range(self.steps):
            actions = vmap(outputs)(parts, torch.from_numpy(observations)).clamp(-1, 1).numpy()
            observations, rewards, over, infos = self._env.step(actions)
            returns[running] += rewards[running]
            rollout.add(info for info, runs in zip(infos, running, strict=True) if runs)
            running &= ~over
            on_interval()
        return returns, rollout.summary()

    def _parts(self, weights: Tensor) -> dict[str, Tensor]:
        """The network's tensors out of flat weights ``[..., weights]``; they keep the leading dimensions."""
        parts, place = {}, 0
        for name, value in self._network.named_parameters():
            taken = weights[..., place : place + value.numel()]
            parts[name] = taken.reshape(*weights.shape[:-1], *value.shape)
            place += value.numel()
        return parts

    def policy(self, metadata: Mapping[str, Any]) -> PolicyScheduler:
        """See :class:`Learner`."""
        weights = {name: value.clone() for name, value in self._parts(self._mean.detach()).items()}
        return PolicyScheduler(self._described, weights, metadata)

    def state(self) -> dict[str, Any]:
        """See :class:`Learner`."""
        return {"mean": self._mean.detach().clone(), "optimizer": self._optimizer.state_dict()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """See :class:`Learner`."""
        self._mean.data.copy_(state["mean"])
        self._optimizer.load_state_dict(state["optimizer"])

    def start_from(self, policy: PolicyScheduler) -> None:
        """See :class:`Learner`."""
        check_same(self._described, policy.config)
        self._mean.data.copy_(parameters_to_vector(policy.network.parameters()))

    def close(self) -> None:
        """Ends the environment and its workers."""
        self._env.close()
