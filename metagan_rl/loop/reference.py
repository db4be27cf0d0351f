"""References: the schedules that actions depart from, and how far B members have departed from theirs.

Any scheduler may be a reference. ``"constant"`` is the user's own base, ``"tuned-decay"`` the schedule that was tuned
once for all tasks. Members of an environment begin and end one by one, so a scheduler that remembers, or that
begins in a way of its own, gets an instance for each member.
"""

import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metagan_rl.errors import InvalidValueError
from metagan_rl.loop.controls import Controls
from metagan_rl.loop.memory import Remembering
from metagan_rl.loop.scheduler import Scheduler, Situation

CONSTANT = "constant"
"""The reference that is every task's own base."""
MAKE, LOAD, FOLLOW = (
    "metagan_rl.agents.catalogue:make_scheduler",
    "metagan_rl.agents.catalogue:load_scheduler",
    "metagan_rl.agents.searches.tuned:tuned_from",
)
"""What makes a scheduler from a name, a file and a record. They are strings, as entry points are, because agents are a
room below this one."""
ENDINGS = (".json", ".safetensors")

Named = str | Mapping[str, Any]
"""How a reference is named: a scheduler, a schedule file or policy file, or a schedule as a record."""


class Reference(Remembering):
    """The schedule that B members' actions depart from.

    Args:
        named: a scheduler's name, a schedule file (``.json``) or policy file (``.safetensors``), or a schedule's record
            (see :func:`recorded`).
        members: B.

    Raises:
        UnknownNameError: there is no such scheduler; the message offers the nearest names.
        FileFormatError: the file is missing or damaged.
        InvalidValueError: the scheduler trains several GANs for each run, so that no single GAN can follow it.
    """

    remembers = ("_schedulers",)

    def __init__(self, named: Named, members: int) -> None:
        self.named = named
        self._schedulers: list[Scheduler] = []
        self._each = False
        if named == CONSTANT:
            return
        first = found_reference(named)
        if first.members > 1:
            raise InvalidValueError(
                f"reference is {named!r}, which trains {first.members} GANs for each run; take a schedule for one GAN"
            )
        self._each = bool(first.remembers) or type(first).begin is not Scheduler.begin
        self._schedulers = [first, *(found_reference(named) for _ in range(members - 1))] if self._each else [first]

    @property
    def is_base(self) -> bool:
        """Whether it is every task's own base."""
        return not self._schedulers

    def restart(self, members: Sequence[int] | np.ndarray, seeds: Sequence[int]) -> None:
        """Begins anew for some members, with the seeds of their new runs."""
        if self._each:
            for member, seed in zip(members, seeds, strict=True):
                self._schedulers[int(member)].begin([seed])

    def controls(self, situation: Situation) -> Controls:
        """The reference's controls for the next interval of every member."""
        if not self._schedulers:
            return situation.base
        if not self._each:
            return self._schedulers[0].step(situation)
        parts = [scheduler.step(situation.of(member)) for member, scheduler in enumerate(self._schedulers)]
        return Controls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in parts[0].knobs})


def recorded(named: Named) -> Named:
    """A reference in the form that a policy file keeps: a name, or a schedule's record in place of its file.

    Raises:
        InvalidValueError: the file holds a policy, which another policy's file cannot hold.
    """
    if not isinstance(named, str) or Path(named).suffix not in ENDINGS:
        return named
    schedule = getattr(found_reference(named), "schedule", None)
    if not is_dataclass(schedule) or isinstance(schedule, type):
        raise InvalidValueError(
            f"reference is {named!r}, a policy; a policy file can hold only a schedule as reference"
        )
    return asdict(schedule)


def found_reference(named: Named) -> Scheduler:
    """The scheduler that a reference names.

    Raises:
        UnknownNameError: there is no such scheduler; the message offers the nearest names.
        FileFormatError: the file is missing or damaged.
    """
    if isinstance(named, Mapping):
        return pkgutil.resolve_name(FOLLOW)(named)
    if Path(named).suffix in ENDINGS:
        return pkgutil.resolve_name(LOAD)(named)
    return pkgutil.resolve_name(MAKE)(named)
