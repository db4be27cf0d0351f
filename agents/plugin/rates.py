"""The learning rates of one network of a user's loop: of one optimizer, or of several."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from metagan_rl.agents.plugin.optimizer_rates import OptimizerRates
from metagan_rl.errors import InvalidValueError


class Rates:
    """The learning rates of one network: of one optimizer, or of several.

    Args:
        optimizers: one, or a sequence of them.
        name: used in messages.
        write: whether rates are ever written.
        replace: whether to count from ``initial_lr`` and overrule others.

    Raises:
        InvalidValueError: one is not an optimizer, all rates are 0, or what is written would not arrive.
    """

    def __init__(self, optimizers: Any, name: str, *, write: bool, replace: bool = False) -> None:
        several = isinstance(optimizers, Sequence)
        given = list(optimizers) if several else [optimizers]
        if not given:
            raise InvalidValueError(f"{name} is empty; give at least one optimizer")
        if len({id(each) for each in given}) < len(given):
            raise InvalidValueError(f"{name} holds one optimizer twice")
        names = [f"{name}[{place}]" for place in range(len(given))] if several else [name]
        self.name, self.write = name, write
        self.each = [
            OptimizerRates(one, its, write=write, replace=replace) for one, its in zip(given, names, strict=True)
        ]
        if not self.first > 0:
            raise InvalidValueError(f"{name} has a learning rate of {self.first}; it must be above 0")

    @property
    def optimizers(self) -> list[Any]:
        """The optimizers."""
        return [rates.optimizer for rates in self.each]

    def set(self, factor: float) -> None:
        """Multiplies every group's own rate by the factor from now on."""
        for rates in self.each:
            rates.set(factor)

    def look(self, *, waits: bool = True) -> None:
        """Takes in what others have set since."""
        for rates in self.each:
            rates.look(waits=waits)

    def own(self) -> list[float]:
        """Each group's own rate, as the user's loop sets it."""
        return [rate for rates in self.each for rate in rates.held.own]

    def now(self) -> list[float]:
        """The rate that each group is trained with."""
        return [rate for rates in self.each for rate in rates.now()]

    def tensors(self) -> list[tuple[dict[str, Any], Tensor]]:
        """The groups whose rate is a tensor, each with that tensor."""
        groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
        return [(group, group["lr"]) for group in groups if isinstance(group["lr"], Tensor)]

    @property
    def first(self) -> float:
        """The first rate above 0 that a group had."""
        groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
        rates = [*(rate for rates in self.each for rate in rates.held.first), *(_initial(group) for group in groups)]
        return next((rate for rate in rates if rate > 0), 0.0)

    def refresh(self) -> None:
        """Ends a round: multiplies for the first time, or what others have set since if no hook does."""
        for rates in self.each:
            rates.refresh()

    def says(self) -> str:
        """What is done about rates that others set."""
        if any(rates.replace for rates in self.each):
            return "replace=True overrules it at each decision"
        if all(rates.hooked for rates in self.each):
            return "from here on its rates are multiplied while the optimizer steps"
        return "its rates are multiplied after each round, as this optimizer has no hooks"

    @property
    def disturbed(self) -> bool:
        """Whether somebody else changed a rate."""
        return any(rates.disturbed for rates in self.each)

    @property
    def retired(self) -> bool:
        """Whether another scheduler has taken an optimizer over."""
        return any(rates.retired for rates in self.each)

    def state_dict(self) -> list[dict[str, Any]]:
        """Rates as plain numbers, of each optimizer."""
        return [rates.state_dict() for rates in self.each]

    def resume(self, state: Sequence[Mapping[str, Any]]) -> None:
        """Continues with the rates of a saved run, except where the loop has begun with other ones."""
        for rates, saved in zip(self.each, state, strict=False):
            rates.resume(saved)

    def parameters(self) -> list[Tensor]:
        """All weights that the optimizers move; of sharded ones this process's part, so that no other is waited for."""
        groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
        weights = [weight.detach() for group in groups for weight in group["params"]]
        return [weight.to_local() if hasattr(weight, "to_local") else weight for weight in weights]


def unshare(rates: Sequence[Rates]) -> bool:
    """Gives D's optimizer a rate tensor of its own where it shares one with G's; returns whether it did."""
    if not all(each.write for each in rates):
        return False
    taken = {id(tensor) for _, tensor in rates[0].tensors()}
    shared = [(group, tensor) for group, tensor in rates[1].tensors() if id(tensor) in taken]
    for group, tensor in shared:
        group["lr"] = tensor.clone()
    return bool(shared)


def _initial(group: dict[str, Any]) -> float:
    return float(group.get("initial_lr", 0.0))
