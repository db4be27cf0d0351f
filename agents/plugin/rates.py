"""Reads, writes and measures the learning rates and weights of a user's optimizer without patching it."""

import math
from typing import Any

import torch
from torch import Tensor

from metagan_rl.errors import InvalidValueError


class Rates:
    """The learning rates of one optimizer; its groups keep their ratios to each other.

    Args:
        optimizer: a torch optimizer, or anything else with ``param_groups``, such as another library's wrapper.
        name: used in messages.
        write: whether rates are ever written. If not, the optimizer is left untouched.

    Raises:
        InvalidValueError: it is not an optimizer, or its first group has no positive learning rate.
    """

    def __init__(self, optimizer: Any, name: str, write: bool) -> None:
        groups = getattr(optimizer, "param_groups", None)
        if not isinstance(groups, list) or not groups or not all("lr" in group for group in groups):
            raise InvalidValueError(f"{name} is {type(optimizer).__name__}, which has no param_groups with lr")
        self.optimizer, self.name = optimizer, name
        if write:
            for group in groups:
                rate = group["lr"]
                group.setdefault("initial_lr", rate.clone() if isinstance(rate, Tensor) else rate)
        self.base = [float(group.get("initial_lr", group["lr"])) for group in groups]
        if not (math.isfinite(self.base[0]) and self.base[0] > 0):
            raise InvalidValueError(f"{name} has a learning rate of {self.base[0]}; the first must be above 0")
        self._written: list[float] | None = None

    def set(self, multiplier: float) -> bool:
        """Sets every group's rate to its base times the multiplier; returns whether someone else had changed one."""
        changed = self._written is not None and self.now() != self._written
        for group, base in zip(self.optimizer.param_groups, self.base, strict=False):
            rate = base * multiplier
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)  # in place: compiled and captured steps read this tensor
            else:
                group["lr"] = rate
        self._written = self.now()
        return changed

    def resume(self, base: list[float]) -> None:
        """Goes on with the base rates of a run that is resumed."""
        self.base, self._written = base, None

    def now(self) -> list[float]:
        """The rate of each group."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def parameters(self) -> list[Tensor]:
        """All weights that the optimizer moves."""
        return [weight.detach() for group in self.optimizer.param_groups for weight in group["params"]]


class Move:
    """Measures how far an optimizer's weights moved since the last reading; keeps a copy of them.

    Args:
        rates: those of the optimizer.
    """

    def __init__(self, rates: Rates) -> None:
        self.rates = rates
        self.restart()

    def restart(self) -> None:
        """Measures from the current weights on, for instance after a roll-back."""
        self._before = [weight.clone() for weight in self.rates.parameters()]

    @torch.no_grad()
    def read(self) -> float:
        """|change| / |weights before|, NaN if weights were added, infinite if some are not finite; waits for device."""
        now, before = self.rates.parameters(), self._before
        self._before = [weight.clone() for weight in now]
        if len(now) != len(before) or any(a.shape != b.shape for a, b in zip(now, before, strict=True)):
            return math.nan
        change = _norm([a - b for a, b in zip(now, before, strict=True)])
        move = change / max(_norm(before), 1e-12)
        return move if math.isfinite(move) else math.inf

    def state_dict(self) -> list[Tensor]:
        """The weights that the next move is measured from."""
        return [weight.cpu() for weight in self._before]

    def load_state_dict(self, state: list[Tensor]) -> None:
        """Measures from saved weights."""
        current = self.rates.parameters()
        if len(state) == len(current):
            self._before = [old.to(weight.device) for old, weight in zip(state, current, strict=True)]


def _norm(tensors: list[Tensor]) -> float:
    each = torch._foreach_norm(tensors)
    return math.sqrt(sum(float(one) ** 2 for one in torch.stack([norm.float().cpu() for norm in each])))
