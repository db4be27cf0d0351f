"""What a reset of a vector environment is told: seeds, and which members begin anew on which tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from metagan_rl.errors import InvalidValueError, UnknownNameError
from metagan_rl.loop.controls import Controls
from metagan_rl.tasks import Task
from metagan_rl.tasks.suites import Split

MAX_SEED = 2**31
"""Seeds of GANs are drawn below this."""
MAX_GAN_SEED = 2**63 - 1
RESET_OPTIONS = ("reset_mask", "tasks", "gan_seeds")


@dataclass(frozen=True)
class Reset:
    """The options of a reset, checked.

    Attributes:
        mask: which members begin anew, bool ``[B]``.
        tasks: a task for each of them; ``None`` to draw them.
        gan_seeds: the seed of the GAN of each of them; ``None`` to draw them.
    """

    mask: np.ndarray
    tasks: list[Task] | None
    gan_seeds: list[int] | None

    @property
    def members(self) -> np.ndarray:
        """Indices of the members that begin anew."""
        return np.flatnonzero(self.mask)

    @classmethod
    def of(cls, options: Mapping[str, Any] | None, members: int, split: Split, *, first: bool) -> Self:
        """Reads the options.

        Args:
            options: may hold ``reset_mask``, ``tasks`` (a task or its name for each member in the mask) and
                ``gan_seeds`` (a whole number for each of them).
            members: B.
            split: where names of tasks are looked up.
            first: whether there was no reset before.

        Raises:
            UnknownNameError: there is no such option or task.
            InvalidValueError: the mask, a task or a seed is none, or there is not one for each member.
        """
        options = dict(options or {})
        for name in options:
            if name not in RESET_OPTIONS:
                raise UnknownNameError("reset option", name, RESET_OPTIONS)
        mask = np.asarray(options.get("reset_mask", np.ones(members, dtype=bool)))
        if mask.shape != (members,) or mask.dtype != bool or not mask.any():
            raise InvalidValueError(f"reset_mask must be {members} booleans, at least one of them true")
        if first and not mask.all():
            raise InvalidValueError("the first reset must be of all members; leave reset_mask out")
        tasks, gan_seeds = options.get("tasks"), options.get("gan_seeds")
        for name, given in (("tasks", tasks), ("gan_seeds", gan_seeds)):
            if given is not None and len(given) != mask.sum():
                raise InvalidValueError(f"{len(given)} {name} for {mask.sum()} members; give one for each")
        if tasks is not None:
            tasks = [_task(each, split) for each in tasks]
            Controls.base([task.base for task in tasks])  # raises for a bad base before anything is changed
        if gan_seeds is not None:
            gan_seeds = [_whole(each, "gan_seed", MAX_GAN_SEED) for each in gan_seeds]
        return cls(mask, tasks, gan_seeds)


def _task(given: Any, split: Split) -> Task:
    task = split[given] if isinstance(given, str) else given
    if not isinstance(task, Task):
        raise InvalidValueError(f"{task!r} is not a task; give a Task, or the name of a task of the split")
    return task


def member_seeds(seed: int | Sequence[int | None] | None, members: int) -> list[int | None]:
    """The seed of each member: ``seed + i`` from a number, as given from a sequence, ``None`` to continue as before.

    Raises:
        InvalidValueError: there is not one seed for each member, or a seed is not a whole number of at least 0.
    """
    if seed is None:
        return [None] * members
    if isinstance(seed, (int, np.integer)):
        first = _whole(seed, "seed")
        return [first + i for i in range(members)]
    seeds = [None if own is None else _whole(own, "seed") for own in seed]
    if len(seeds) != members:
        raise InvalidValueError(f"{len(seeds)} seeds for {members} members; give one for each")
    return seeds


def _whole(value: Any, name: str, largest: int | None = None) -> int:
    fits = isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= 0
    if not fits or (largest is not None and value > largest):
        upper = "" if largest is None else f" and at most {largest}"
        raise InvalidValueError(f"{name} is {value!r}; it must be a whole number of at least 0{upper}")
    return int(value)
