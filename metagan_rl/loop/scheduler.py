"""The one interface of all schedulers, fixed or learned: signals go in, controls come out."""

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
        signals: every signal by name, ``[B]`` each, not clipped (see ``metagan_rl.loop.signals``).
        base: controls of an unscheduled run; its learning-rate factors are 1.
        controls: controls of the last interval; before the first, those of the base.
        reward: reward of the last interval, ``[B]``; 0 before the first.
        rates: absolute base learning rates of G and D, ``[B, 2]``. They are for recipes that give absolute rates;
            policies never see them.
    """

    signals: dict[str, np.ndarray]
    base: Controls
    controls: Controls
    reward: np.ndarray
    rates: np.ndarray | None = None

    @property
    def progress(self) -> np.ndarray:
        """Share of the budget that is spent, ``[B]`` in [0, 1)."""
        return self.signals["progress"]

    def of(self, member: int) -> "Situation":
        """The situation of one run."""
        one = slice(member, member + 1)
        return Situation(
            {name: values[one] for name, values in self.signals.items()},
            self.base[one],
            self.controls[one],
            self.reward[one],
            None if self.rates is None else self.rates[one],
        )

    def __len__(self) -> int:
        return len(self.base)


class Scheduler(Remembering, ABC):
    """Sets the controls of B runs, interval by interval. Subclass it and write ``propose``.

    A scheduler may keep state between intervals. ``begin`` resets it. ``remembers`` names the attributes that hold it,
    so that a stopped run can continue exactly.

    A scheduler that searches may train several GANs for each run, its ``members``. It then sees and sets all of them:
    the members of a run stand next to each other, and B counts GANs.
    """

    source: str = ""
    """Where the rule comes from."""
    members: int = 1
    """GANs it trains side by side for each run. The one that is best at the end counts as the run, by the metric that
    the scheduler sees."""
    cost: int = 0
    """GAN updates spent once, before any run, to tune or meta-train it."""
    decisions: int | None = None
    """Intervals that a run is to have, whatever its budget; ``None``: any. A benchmark gives each scheduler its own."""
    needs: tuple[str, ...] = ()
    """Signals it cannot work without. Not every loop has the signals of a quality metric (see GANScheduler)."""

    def begin(self, seeds: Sequence[int]) -> None:
        """Starts a new set of B runs; forget the last set.

        Args:
            seeds: one for each GAN, ``[B]``. A scheduler that draws at random must give each run a generator of its
                own, so that the draws do not depend on which other runs are scheduled. A run's own seed is the seed of
                its first member.
        """

    def again(self, seeds: Sequence[int], reward: np.ndarray) -> None:
        """Starts the next run on the same B tasks. A scheduler that learns from run to run keeps its memory here.

        By default everything is forgotten, as in :meth:`begin`.

        Args:
            seeds: as in :meth:`begin`.
            reward: reward of the last interval before, ``[B]``.
        """
        self.begin(seeds)

    def exploit(self, situation: Situation) -> np.ndarray | None:
        """Decides which GANs continue from others. Called before every interval but the first, if ``members`` > 1.

        A GAN that continues from another takes over everything but its random stream: weights, moments, and the
        history behind its signals. ``step`` then gets the situation after the copy.

        Args:
            situation: of all B GANs.

        Returns:
            For each GAN the index of a GAN of the same run, ``[B]``; its own index if it stays. ``None`` if all stay.
        """
        return None

    def step(self, situation: Situation) -> Controls:
        """The controls of the next interval, within their ranges."""
        return self.propose(situation)

    @abstractmethod
    def propose(self, situation: Situation) -> Controls:
        """The controls of the next interval for every run."""


def checked_sources(sources: Any, count: int, members: int) -> np.ndarray:
    """The indices that :meth:`Scheduler.exploit` returned, checked.

    Args:
        sources: what it returned.
        count: B, the number of GANs.
        members: GANs of each run.

    Raises:
        InvalidValueError: there is not one index for each GAN, or an index points to another run.
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
"""A scheduler's class, or a function that makes a scheduler."""
F = TypeVar("F", bound=Factory)

SCHEDULERS: Registry[Factory] = Registry("scheduler", importable=True)
"""Schedulers by name. The package's own are registered once ``metagan_rl.agents`` has been asked for one."""


@overload
def register_scheduler(name: str) -> Callable[[F], F]: ...
@overload
def register_scheduler(name: str, factory: F) -> F: ...
def register_scheduler(name: str, factory: Factory | None = None) -> Any:
    """Registers a scheduler's class, or a function that makes a scheduler; usable as a decorator.

    Raises:
        InvalidValueError: the name is malformed or taken.
    """
    if factory is None:
        return lambda given: SCHEDULERS.register(name, given)
    return SCHEDULERS.register(name, factory)
