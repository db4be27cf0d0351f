"""Several processes that train one GAN: the first one decides, and all follow it."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist


class Ranks:
    """The processes of a group, or this process alone if ``torch.distributed`` is not initialised.

    Args:
        group: a process group of ``torch.distributed``; ``None`` for all processes.
        device: where the weights are, for backends that can only send from there.
    """

    def __init__(self, group: Any, device: torch.device) -> None:
        self.group = group
        self.several = dist.is_available() and dist.is_initialized() and dist.get_world_size(group) > 1
        self.decides = not self.several or dist.get_rank(group) == 0
        self._device = device if self.several and "nccl" in dist.get_backend(group) else torch.device("cpu")

    def follow(self, numbers: Sequence[float]) -> list[float]:
        """The first process's numbers; every process must call this at the same time with equally many numbers."""
        if not self.several:
            return list(numbers)
        sent = torch.tensor(numbers, dtype=torch.float64, device=self._device)
        first = 0 if self.group is None else dist.get_global_rank(self.group, 0)
        dist.broadcast(sent, src=first, group=self.group)
        return sent.tolist()
