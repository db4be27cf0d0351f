"""Several processes that train one GAN: the first one decides, and all follow it."""

import weakref
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from metagan_rl.errors import InvalidValueError


class Ranks:
    """The processes of a group, or this process alone if ``torch.distributed`` is not initialised.

    Args:
        group: a process group of ``torch.distributed``; ``None`` for all processes.
        wait: seconds to wait for the other processes. If one has ended, or takes longer, what was agreed on last holds.
    """

    def __init__(self, group: Any, wait: float) -> None:
        self.several = dist.is_available() and dist.is_initialized() and dist.get_world_size(group) > 1
        self.decides = not self.several or dist.get_rank(group) == 0
        self.lost = ""
        """Why this process no longer hears the others; empty while it does."""
        if self.several:
            members = dist.get_process_group_ranks(dist.group.WORLD if group is None else group)
            self._first = members[0]
            # A group of its own: a process that waits in vain must not break the group that gradients go through.
            # torch keeps it until destroy_process_group(); held here, its threads would outlive that
            self._group = weakref.ref(
                dist.new_group(members, timedelta(seconds=wait), "gloo", use_local_synchronization=group is not None)
            )

    def __getstate__(self) -> dict[str, Any]:
        if self.several:
            raise TypeError("a GANScheduler of several processes cannot be copied; use state_dict()")
        return vars(self)

    def agree(self, numbers: Sequence[float], what: str) -> None:
        """Checks that all processes have the same numbers.

        Raises:
            InvalidValueError: this one has others than the first.
        """
        theirs = self.follow(numbers)
        if theirs is not None and list(theirs) != list(numbers):
            raise InvalidValueError(f"the processes differ in {what}: {numbers} here, {theirs} in the first")

    def follow(self, numbers: Sequence[float]) -> list[float] | None:
        """The first process's numbers, or ``None`` if the processes have lost each other.

        Every process must call this at the same time with equally many numbers.
        """
        if not self.several:
            return list(numbers)
        if self.lost:
            return None
        sent = torch.tensor(numbers, dtype=torch.float64)
        try:
            group = self._group()
            if group is None:
                raise RuntimeError("the process group was destroyed")
            dist.broadcast(sent, src=self._first, group=group)
        except (RuntimeError, ValueError) as error:  # the others ended, or have not come in time
            self.lost = str(error).splitlines()[0]
            return None
        return sent.tolist()
