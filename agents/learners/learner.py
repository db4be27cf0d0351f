"""What a training run needs of a learner: it learns iteration by iteration, gives a policy, and can be saved.

A learner is one file with a frozen dataclass of its options, a class with five methods, and a registration. See
``tests/extending/test_a_learner.py``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from metagan_rl.agents.learners.policy import PolicyConfig, PolicyScheduler
from metagan_rl.errors import InvalidValueError
from metagan_rl.loop.reference import recorded
from metagan_rl.registry import Registry

if TYPE_CHECKING:
    from metagan_rl.agents.learners.config import TrainConfig


@dataclass(frozen=True)
class NoOptions:
    """The options of a learner that has none."""


class Learner(ABC):
    """Trains a scheduler, iteration by iteration.

    An iteration must depend only on its number, the configuration and :meth:`state`. That makes resuming exact.

    Args:
        config: configuration of the training run; ``config.learner`` holds this learner's own options.
    """

    Config: ClassVar[type] = NoOptions
    """The learner's options: a frozen dataclass whose fields have defaults. The command line is made from it."""
    actions: ClassVar[str] = "discrete"
    """The kind of actions its policy takes, unless an option or the environment says otherwise."""
    takes: ClassVar[tuple[str, ...]] = ()
    """Other kinds of actions that its policy can take."""
    trial_memory: ClassVar[bool] = True
    """Whether its policy sees the previous action, the previous reward and the run-boundary flag, as RL² does."""
    privileged: ClassVar[bool] = False
    """Whether it has a critic that may be told what its policy must not see."""
    defaults: ClassVar[Mapping[str, Any]] = {}
    """Fields of ``TrainConfig`` that differ from its usual defaults."""

    def __init__(self, config: "TrainConfig") -> None:
        self.config = config

    @property
    @abstractmethod
    def updates_per_iteration(self) -> int:
        """The number of GAN updates in one iteration."""

    @property
    def intervals_per_iteration(self) -> int:
        """The number of times an iteration calls ``on_interval``."""
        return round(self.updates_per_iteration / (self.config.members * self.config.mean_interval))

    @abstractmethod
    def iterate(self, number: int, done: float, on_interval: Callable[[], object]) -> dict[str, float]:
        """Learns for one iteration.

        Args:
            number: the iteration's number, from 0.
            done: share of the run done before this iteration, in [0, 1].
            on_interval: call this after every interval; it moves a progress bar.

        Returns:
            Values to log. A training run shows ``rollout/return``, ``rollout/distance`` and ``rollout/diverged``.
        """

    @abstractmethod
    def policy(self, metadata: Mapping[str, Any]) -> PolicyScheduler:
        """The agent as it is now, as a scheduler that can be saved."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """The learner's part of a checkpoint: tensors, numbers, strings, and lists and dicts of these."""

    @abstractmethod
    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restores what :meth:`state` gave."""

    def policy_config(self, **network: Any) -> PolicyConfig:
        """What its policy needs beside weights.

        Args:
            **network: ``hidden``, ``layers`` and ``greedy`` of the policy's network.
        """
        return PolicyConfig(
            knobs=self.config.chosen_knobs(),
            signals=self.config.which(),
            trial_memory=self.trial_memory and self.config.trial_runs > 0,
            actions=self.config.actions,
            reference=None if self.config.reference is None else recorded(self.config.reference),
            pace=self.config.pace,
            **network,
        )

    def start_from(self, policy: PolicyScheduler) -> None:
        """Takes over a policy's weights, to be trained further; see ``TrainConfig.start``.

        Raises:
            InvalidValueError: the policy is of another kind, or the learner cannot start from one.
        """
        raise InvalidValueError(f"{self.config.algorithm} cannot start from a policy file; leave out --from")

    def close(self) -> None:  # noqa: B027  (most have nothing to end)
        """Ends worker processes and similar resources."""


LEARNERS: Registry[type[Learner]] = Registry("algorithm", importable=True)
L = TypeVar("L", bound=type[Learner])


def register_learner(name: str) -> Callable[[L], L]:
    """A decorator that registers a learner's class under a name.

    Raises:
        InvalidValueError: the name is malformed or taken.
    """

    def register(learner: L) -> L:
        LEARNERS.register(name, learner)
        return learner

    return register
