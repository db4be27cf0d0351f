"""The one interface of all schedulers, fixed or learned: signals in, controls out."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, overload

import numpy as np

from metagan_rl.errors import InvalidValueError
from metagan_rl.loop.controls import Controls
from metagan_rl.loop.memory import Remembering
from metagan_rl.registry import Registry


@dataclass(frozen=True)
class Situation:
    """What a scheduler is told before each interval, for B runs.

    Attributes:
        signals: every signal by name, ``[B]`` each, before clipping (see ``metagan_rl.loop.signals``).
        base: controls of an unscheduled run, whose factors of learning rates are 1.
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


class Scheduler(Remembering, ABC):
    """Sets the controls of B runs, interval by interval. Subclass it and write ``propose``.

    A scheduler may keep state between intervals; ``begin`` starts it anew, and ``remembers`` names the attributes that
    hold it, so that a run which was stopped goes on exactly. One that searches may have several GANs
    for each run, its ``members``: it then sees and sets all of them, the members of a run in a row, and B counts GANs.
    """

    source: str = ""
    """Where the rule is from."""
    members: int = 1
    """GANs it trains side by side for each run; the one that is best at the end, by the metric that the scheduler
    sees, is the run."""
    cost: int = 0
    """GAN updates spent once, on tuning or meta-training it, before any run."""
    needs: tuple[str, ...] = ()
    """Signals that it cannot do without. Those of a quality metric are not there in every loop (see GANScheduler)."""

    def begin(self, seeds: Sequence[int]) -> None:
        """A new set of B runs begins: forget the last one's.

        Args:
            seeds: one for each GAN, ``[B]``; a scheduler that draws at random draws for each run from a generator of
                its own, so that what it draws does not depend on who else is scheduled. A run's own seed is that of
                the first of its members.
        """

    def exploit(self, situation: Situation) -> np.ndarray | None:
        """Which GANs go on from others; asked before every interval but the first if there are several members.

        What goes on takes over everything but the random stream: weights, moments, and the history that its signals
        tell. ``step`` is then asked with the situation after this.

        Args:
            situation: of all B GANs.

        Returns:
            For each GAN the index of one of the same run, ``[B]``, its own if it stays; ``None`` if all stay.
        """
        return None

    def step(self, situation: Situation) -> Controls:
        """The controls of the next interval, brought into their ranges."""
        return self.propose(situation)

    @abstractmethod
    def propose(self, situation: Situation) -> Controls:
        """The controls of the next interval for every run."""


def checked_sources(sources: Any, count: int, members: int) -> np.ndarray:
    """What :meth:`Scheduler.exploit` gave, if that can be followed.

    Args:
        sources: what it gave.
        count: B, the number of GANs.
        members: GANs of each run.

    Raises:
        InvalidValueError: it is no index of the same run for each GAN.
    """
    given = np.asarray(sources)
    if given.shape != (count,) or given.dtype.kind not in "iu":
        raise InvalidValueError(
            f"exploit gave {given.dtype} of shape {given.shape}; it must give a whole number for each of the {count} "
            "GANs, or None"
        )
    for gan, source in enumerate(given):
        if not 0 <= source < count:
            raise InvalidValueError(f"exploit lets GAN {gan} go on from {source}; there are GANs 0 to {count - 1}")
        first = gan - gan % members
        if not first <= source < first + members:
            raise InvalidValueError(
                f"exploit lets GAN {gan} go on from {source}, which is of another run; those of its own run are "
                f"{first} to {first + members - 1}"
            )
    return given


Factory = Callable[..., Scheduler]
"""A scheduler's class, or a function that makes one."""
F = TypeVar("F", bound=Factory)

SCHEDULERS: Registry[Factory] = Registry("scheduler", importable=True)
"""Schedulers by name. Those of the package are there once ``metagan_rl.agents`` has been asked for one."""


@overload
def register_scheduler(name: str) -> Callable[[F], F]: ...
@overload
def register_scheduler(name: str, factory: F) -> F: ...
def register_scheduler(name: str, factory: Factory | None = None) -> Any:
    """Registers a scheduler's class, or any function that makes one; usable as a decorator.

    Raises:
        InvalidValueError: the name is malformed or taken.
    """
    if factory is None:
        return lambda given: SCHEDULERS.register(name, given)
    return SCHEDULERS.register(name, factory)
