"""Measures how far weights move, from a sample of them: a copy of all would double the memory of a large network."""

import math
import weakref
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from metagan_rl.agents.plugin.optimizer_rates import remove
from metagan_rl.agents.plugin.rates import Rates

SAMPLED = 16_384
"""Weights of a network that are kept and compared, evenly spread over it. Smaller networks are compared whole."""


class Move:
    """Measures how far a network's weights moved since the last reading; keeps a sample of them.

    Where the optimizer tells, it begins at the first step, and again at the first step after a state was loaded into
    it. So weights that are loaded are no move.

    Args:
        rates: those of the network's optimizers.
    """

    def __init__(self, rates: Rates) -> None:
        self.rates = rates
        self._hook()
        self.restart()

    def restart(self) -> None:
        """Measures from the next step of an optimizer on, for instance after a roll-back."""
        self._before = self._sample()
        self._waits = self._hooked

    @torch.no_grad()
    def read(self) -> float:
        """|change| / |weights before|, NaN if weights were added, infinite if some are not finite; waits for device."""
        now, before = self._sample(), self._before
        self._before = now
        if [one.shape for one in now] != [one.shape for one in before]:
            return math.nan
        change = norm([a - b for a, b in zip(now, before, strict=True)])
        move = change / max(norm(before), 1e-12)
        # The sample alone would miss a weight that is not finite
        return move if math.isfinite(move) and math.isfinite(norm(self.rates.parameters())) else math.inf

    def state_dict(self) -> list[Tensor]:
        """The sample that the next move is measured from."""
        return [weights.cpu().clone() for weights in self._before]

    def load_state_dict(self, state: Sequence[Any]) -> None:
        """Measures from a saved sample."""
        current = self._sample()
        if [one.shape for one in state] == [one.shape for one in current]:
            self._before = [old.to(weights.device).clone() for old, weights in zip(state, current, strict=True)]
            self._waits = False

    def _hook(self) -> None:
        hooks = [
            hook
            for each in self.rates.each
            for hook in (each.before_step(self._begin), each.after_load(self.restart))
            if hook is not None
        ]
        self._hooked = bool(hooks)
        weakref.finalize(self, remove, hooks).atexit = False

    def _begin(self) -> None:
        if self._waits:
            self._before, self._waits = self._sample(), False

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._hook()  # hooks of an optimizer are not copied with it

    @torch.no_grad()
    def _sample(self) -> list[Tensor]:
        weights = self.rates.parameters()
        stride = math.ceil(sum(each.numel() for each in weights) / SAMPLED) or 1
        return [each.reshape(-1)[::stride].clone() for each in weights]


def norm(tensors: Sequence[Tensor]) -> float:
    """Their common norm; waits for the device."""
    each = torch._foreach_norm(list(tensors))
    return math.sqrt(sum(float(one) ** 2 for one in torch.stack([value.float().cpu() for value in each])))
