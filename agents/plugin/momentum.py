"""Sets the momentum of a user's optimizers: Adam's beta1, which is the first of ``betas`` in each group."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from metagan_rl.errors import InvalidValueError


class Momentum:
    """Gives every group of some optimizers the same beta1, also those added later.

    Args:
        optimizers: those that are written to, each with its name for messages.
        beta1: in [0, 1); ``None`` leaves all as they are.

    Raises:
        InvalidValueError: beta1 is out of range, or a group has no ``betas``.
    """

    def __init__(self, optimizers: Iterable[tuple[str, Any]], beta1: float | None) -> None:
        if beta1 is not None and not (isinstance(beta1, int | float) and 0 <= beta1 < 1):
            raise InvalidValueError(f"beta1 is {beta1!r}; it must lie in [0, 1), or be None to leave yours")
        self.beta1, self.optimizers = beta1, list(optimizers)
        for name, optimizer in self.optimizers:
            if beta1 is not None and any("betas" not in group for group in optimizer.param_groups):
                raise InvalidValueError(
                    f"beta1 is {beta1:g}, and {name} is {type(optimizer).__name__}, which has no betas; leave beta1 out"
                )
        self.put()

    def put(self) -> None:
        """Writes it into every group that has another one."""
        if self.beta1 is None:
            return
        for group in (group for _, optimizer in self.optimizers for group in optimizer.param_groups):
            first, *rest = group.get("betas", (self.beta1,))
            if isinstance(first, Tensor):
                first.fill_(self.beta1)  # in place: compiled and captured steps read this tensor
            elif first != self.beta1:
                group["betas"] = (self.beta1, *rest)
