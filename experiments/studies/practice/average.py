"""The averaged generator that samples come from, and batch statistics that fit a generator's weights."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

HALF_LIFE = 500
"""Rounds after which a generator counts half in the average, at most."""
RAMP = 0.05
"""Early in a run it is this share of the rounds so far, so that the average never lags far behind (Karras et al. 2020,
arXiv:1912.04958)."""
BATCHES = 20
"""Batches that statistics are estimated from."""


class Average:
    """An exponential average of a network's weights, whose horizon grows with the run.

    Args:
        network: the network that is trained.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self._own: list[Tensor] = list(self.network.parameters())
        self._other: list[Tensor] = list(network.parameters())

    @torch.no_grad()
    def follow(self, rounds: int) -> None:
        """Takes in the weights after so many rounds; waits for no device."""
        keep = 0.5 ** (1 / max(min(HALF_LIFE, RAMP * rounds), 1e-9))
        torch._foreach_lerp_(self._own, self._other, 1 - keep)


@torch.no_grad()
def ready(network: nn.Module, feed: Callable[[nn.Module], Tensor]) -> nn.Module:
    """A copy in evaluation mode, its batch norms estimated anew for its weights.

    Args:
        network: a generator.
        feed: runs a batch through a network.
    """
    copied = copy.deepcopy(network)
    norms = [module for module in copied.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over batches
    if norms:
        copied.train()
        for _ in range(BATCHES):
            feed(copied)
    return copied.eval()
