"""What a learner is to a training run: it learns iteration by iteration, gives a policy, and can be written down.

A learner is one file: a frozen dataclass of its options, a class with five methods, and a registration. See
``tests/extending/test_a_learner.py``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from metagan_rl.agents.learners.policy import PolicyScheduler
from metagan_rl.registry import Registry

if TYPE_CHECKING:
    from metagan_rl.agents.learners.config import TrainConfig


@dataclass(frozen=True)
class NoOptions:
    """Of a learner that has none."""


class Learner(ABC):
    """Trains a scheduler, iteration by iteration.

    An iteration must depend on its number, the configuration and :meth:`state` alone: that makes resuming exact.

    Args:
        config: of the training run; ``config.learner`` holds this learner's own options.
    """

    Config: ClassVar[type] = NoOptions
    """Its options: a frozen dataclass whose fields have defaults. The command line is made from it."""
    actions: ClassVar[str] = "discrete"
    """Kind of actions that its policy takes."""
    trial_memory: ClassVar[bool] = True
    """Whether its policy sees the previous action, the previous reward and the run-boundary flag, as RL² does."""
    defaults: ClassVar[Mapping[str, Any]] = {}
    """Fields of ``TrainConfig`` that differ from its usual defaults."""

    def __init__(self, config: "TrainConfig") -> None:
        self.config = config

    @property
    @abstractmethod
    def updates_per_iteration(self) -> int:
        """GAN updates that an iteration spends."""

    @property
    def intervals_per_iteration(self) -> int:
        """How often an iteration calls ``on_interval``."""
        return self.updates_per_iteration // (self.config.members * self.config.interval_updates)

    @abstractmethod
    def iterate(self, number: int, done: float, on_interval: Callable[[], object]) -> dict[str, float]:
        """Learns for an iteration.

        Args:
            number: of the iteration, from 0.
            done: how much of the run is done before it, in [0, 1].
            on_interval: to be called after every interval, for a progress bar.

        Returns:
            What to log. A training run shows ``rollout/return``, ``rollout/distance`` and ``rollout/diverged``.
        """

    @abstractmethod
    def policy(self, metadata: Mapping[str, Any]) -> PolicyScheduler:
        """The agent as it is, as a scheduler that can be saved."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """All that goes into a checkpoint: tensors, numbers, words, and lists and dicts of them."""

    @abstractmethod
    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes up what :meth:`state` gave."""

    def close(self) -> None:  # noqa: B027  (most have nothing to end)
        """Ends worker processes and the like."""


LEARNERS: Registry[type[Learner]] = Registry("algorithm", importable=True)
L = TypeVar("L", bound=type[Learner])


def register_learner(name: str) -> Callable[[L], L]:
    """Registers a learner's class under a name; a decorator.

    Raises:
        InvalidValueError: the name is malformed or taken.
    """

    def register(learner: L) -> L:
        LEARNERS.register(name, learner)
        return learner

    return register
