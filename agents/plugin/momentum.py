"""Sets the momentum of a user's optimizers: Adam's beta1, which is the first of ``betas`` in each group."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from metagan_rl.agents.plugin.optimizer_rates import OptimizerRates
from metagan_rl.errors import InvalidValueError


class Momentum:
    """Gives every group of some optimizers the same beta1, also those added later.

    It is written before each step of an optimizer that has hooks, so a scheduler of torch that cycles momentum
    (``OneCycleLR``) is overruled; otherwise at each :meth:`put`.

    Args:
        rates: those of the optimizers that are written to.
        beta1: in [0, 1); ``None`` leaves all as they are.

    Raises:
        InvalidValueError: beta1 is out of range, or a group has no ``betas``.
    """

    def __init__(self, rates: Iterable[OptimizerRates], beta1: float | None) -> None:
        if beta1 is not None and not (isinstance(beta1, int | float) and 0 <= beta1 < 1):
            raise InvalidValueError(f"beta1 is {beta1!r}; it must lie in [0, 1), or be None to leave yours")
        self.beta1, self.rates = beta1, [] if beta1 is None else list(rates)
        for each in self.rates:
            if any("betas" not in group for group in each.optimizer.param_groups):
                raise InvalidValueError(
                    f"beta1 is {beta1:g}, and {each.name} is {type(each.optimizer).__name__}, which has no betas; "
                    "leave beta1 out"
                )
        self._hook()
        self.put()

    def put(self) -> None:
        """Writes it into every group that has another one, unless another scheduler has taken the optimizer over."""
        beta1 = self.beta1
        if beta1 is None:
            return
        for group in (group for each in self.rates if not each.retired for group in each.optimizer.param_groups):
            first, *rest = group.get("betas", (beta1,))
            if isinstance(first, Tensor):
                first.fill_(beta1)  # in place: compiled and captured steps read this tensor
            elif first != beta1:
                group["betas"] = (beta1, *rest)

    def _hook(self) -> None:
        for each in self.rates:
            each.before_step(self.put)

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._hook()  # hooks of an optimizer are not copied with it
