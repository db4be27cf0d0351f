"""The one interface of all schedulers, fixed or learned: signals in, controls out."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metagan_rl.controls import Controls
from metagan_rl.registry import Registry


@dataclass(frozen=True)
class Situation:
    """What a scheduler is told before each interval, for B runs.

    Attributes:
        signals: every signal by name, ``[B]`` each, before clipping (see ``metagan_rl.signals``).
        base: controls of an unscheduled run; learning rates in controls are multiples of the base.
        controls: those of the last interval (of the base, before the first).
        reward: of the last interval, ``[B]`` (0 before the first).
        rates: absolute base rates of G and D, ``[B, 2]``, for recipes that are absolute; policies are never shown them.
    """

    signals: dict[str, np.ndarray]
    base: Controls
    controls: Controls
    reward: np.ndarray
    rates: np.ndarray | None = None

    @property
    def progress(self) -> np.ndarray:
        """Updates done / budget, ``[B]`` in [0, 1)."""
        return self.signals["progress"]

    def __len__(self) -> int:
        return len(self.base)


class Scheduler(ABC):
    """Sets the controls of B runs, interval by interval. Subclass it and write ``propose``.

    A scheduler may keep state between intervals; ``begin`` starts it anew.
    """

    source: str = ""
    """Where the rule is from."""

    def begin(self, seeds: Sequence[int]) -> None:  # noqa: B027  (most schedulers keep nothing)
        """A new set of B runs begins: forget the last one's.

        Args:
            seeds: one for each run, ``[B]``; a scheduler that draws at random draws for each run from a generator of
                its own, so that what it draws does not depend on who else is scheduled.
        """

    def step(self, situation: Situation) -> Controls:
        """The controls of the next interval, brought into their ranges."""
        return self.propose(situation)

    @abstractmethod
    def propose(self, situation: Situation) -> Controls:
        """The controls of the next interval for every run."""


SCHEDULERS: Registry[Callable[..., Scheduler]] = Registry("scheduler")


def register_scheduler(name: str, factory: Callable[..., Scheduler] | None = None) -> Any:
    """Registers a scheduler's class, or any function that makes one; usable as a decorator."""
    if factory is None:
        return lambda given: SCHEDULERS.register(name, given)
    return SCHEDULERS.register(name, factory)


def make_scheduler(name: str, **options: Any) -> Scheduler:
    """The scheduler of that name.

    Raises:
        UnknownNameError: there is none; the nearest names are offered.
    """
    scheduler_names()
    return SCHEDULERS[name](**options)


def scheduler_names() -> list[str]:
    """Names that :func:`make_scheduler` knows."""
    from metagan_rl.agents import fixed, policy, reactive, tuned  # noqa: F401  (imported to register their schedulers)

    return list(SCHEDULERS)
