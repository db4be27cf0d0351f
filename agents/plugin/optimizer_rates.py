"""Multiplies the learning rates of one of a user's optimizers, on top of whatever else sets them. Nothing is patched.

As long as nobody else writes rates, each group's ``lr`` holds its own rate times the factor. Once somebody else does (a
scheduler of torch, a wrapper, the loop itself), the product is there only while the optimizer steps: hooks of the
optimizer put it in before and take it out after. The other scheduler then always finds its own rate, and what it
computes from it stays right.
"""

import math
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from metagan_rl.errors import InvalidValueError

CLOSE = 1e-6
"""Rates that differ by less, relatively, are the same: tensors hold them in single precision."""


@dataclass
class Held:
    """What is known of one optimizer's rates.

    Attributes:
        first: each group's own rate when it was first seen.
        own: each group's own rate now, as the user's loop sets it.
        written: what was last put into each group's ``lr``; NaN if nothing was.
        owner: who multiplies them.
        past: for each group, what was written before, and the own rate that it was made of; the latest only.
    """

    first: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    written: list[float] = field(default_factory=list)
    owner: "weakref.ref[OptimizerRates] | None" = None
    past: "list[deque[tuple[float, float]]]" = field(default_factory=list)


NUMBERS = ("first", "own", "written")
PAST = 256
"""Written rates of a group that are remembered, so that one which is loaded with a checkpoint is known again."""
_HELD: "weakref.WeakKeyDictionary[Any, Held]" = weakref.WeakKeyDictionary()


class OptimizerRates:
    """The learning rates of one optimizer.

    Args:
        optimizer: a torch optimizer, or anything else with ``param_groups``, such as another library's wrapper.
        name: used in messages.
        write: whether rates are ever written. If not, the optimizer is left untouched, but for the factor of a
            saved run, which :meth:`resume` takes out again.
        replace: whether rates are counted from ``initial_lr``, and whoever else writes them is overruled.

    Raises:
        InvalidValueError: it is not an optimizer, its rates are not numbers of at least 0, or what is written into it
            would not arrive.
    """

    def __init__(self, optimizer: Any, name: str, *, write: bool, replace: bool) -> None:
        groups = getattr(optimizer, "param_groups", None)
        if not isinstance(groups, list) or not groups or not all("lr" in group for group in groups):
            raise InvalidValueError(f"{name} is {type(optimizer).__name__}, which has no param_groups with lr")
        self.optimizer, self.name, self.write, self.replace = optimizer, name, write, replace
        self.factor = 1.0
        self.lends = False
        """Whether the product is in the groups only while the optimizer steps."""
        self.disturbed = self.retired = False
        """Whether somebody else changed a rate; whether another scheduler has taken the optimizer over."""
        self._begun = False  # a scheduler of torch made after this one must find the loop's own rates
        self.when_released: weakref.WeakMethod[Callable[[], None]] | None = None
        """Called once another scheduler has taken the optimizer over."""
        self._saved: tuple[list[float], list[float]] | None = None
        self._hooks: list[Any] = []
        if write:
            self._check_that_writes_arrive()
        self.held = self._take_over() if write else Held()
        self.look()
        for rate in self.held.own:
            if not (math.isfinite(rate) and rate >= 0):
                raise InvalidValueError(f"{name} has a learning rate of {rate}; it must be 0 or more, and finite")
        if write:
            self._hook()

    def set(self, factor: float) -> None:
        """Multiplies every group's own rate by the factor from now on."""
        self.look()
        self.factor = factor
        if self.write and not self.retired and (self._begun or not self._hooks):
            self._put(multiplied=not self.lends)

    def refresh(self) -> None:
        """Ends a round: multiplies for the first time, or what others have set since if no hook does."""
        if self.write and not self.retired and not (self._begun and self._hooks):
            self._begun = True
            self.look(waits=False)
            self._put(multiplied=not self.lends)

    def look(self, *, waits: bool = True) -> None:
        """Takes in which groups and rates others have set since; ``waits`` also reads rates on other devices."""
        held = self.held
        for place, group in enumerate(self.optimizer.param_groups):
            rate = group["lr"]
            if not waits and isinstance(rate, Tensor) and rate.device.type != "cpu":
                continue
            now = float(rate)
            if place == len(held.own):
                if self.write:
                    group.setdefault("initial_lr", rate.clone() if isinstance(rate, Tensor) else rate)
                own = float(group["initial_lr"]) if self.replace and self.write else now
                for numbers, number in ((held.first, own), (held.own, own), (held.written, now)):
                    numbers.append(number)
                held.past.append(deque([(now, own)], PAST))
            elif not math.isclose(now, held.written[place], rel_tol=CLOSE, abs_tol=0.0):
                if not self.replace:
                    held.own[place] = self._own(place, now)
                known = not self.replace and (self.lends or self._is_scheduled())
                self.disturbed = self.disturbed or not (known or self._is_saved(place, now))
                held.written[place] = now
        if self.write and self._hooks and not (self.lends or self.replace) and (self.disturbed or self._is_scheduled()):
            self.lends = True

    def _take_loaded(self) -> None:
        """Takes in what a checkpoint has brought: rates that were written here before are known again."""
        for place, (group, past) in enumerate(zip(self.optimizer.param_groups, self.held.past, strict=False)):
            now = float(group["lr"])
            known = [own for written, own in past if math.isclose(now, written, rel_tol=CLOSE)]
            if known:
                self.held.own[place], self.held.written[place] = known[-1], now

    @property
    def can_be_hooked(self) -> bool:
        """Whether somebody can be told when the optimizer steps."""
        return _torch_optimizer(self.optimizer) is not None

    def on_step(self, use: Callable[[], None]) -> Any:
        """Calls a function after each step of the optimizer; returns a handle with ``remove``.

        Raises:
            InvalidValueError: the optimizer has no hooks.
        """
        inner = _torch_optimizer(self.optimizer)
        if inner is None:
            raise InvalidValueError(f"{self.name} has no hooks; call step() once a round instead")
        return inner.register_step_post_hook(lambda *_: use())

    def before_step(self, method: Callable[[], None]) -> Any:
        """Calls a method before each step of the optimizer, as long as its object lives.

        Returns:
            A handle with ``remove``; ``None`` if the optimizer has no hooks.
        """
        inner = _torch_optimizer(self.optimizer)
        return None if inner is None else inner.register_step_pre_hook(weakly(method))

    def after_load(self, method: Callable[[], None]) -> Any:
        """The same after each load of a state into the optimizer."""
        inner = _torch_optimizer(self.optimizer)
        return None if inner is None else inner.register_load_state_dict_post_hook(weakly(method))

    @property
    def hooked(self) -> bool:
        """Whether the optimizer tells when it steps."""
        return bool(self._hooks)

    def now(self) -> list[float]:
        """The rate that each group is trained with."""
        return [rate * self.factor for rate in self.held.own] if self.write else list(self.held.own)

    def release(self) -> None:
        """Gives every group its own rate back, and lets the optimizer go."""
        self._put(multiplied=False)
        remove(self._hooks)
        self._hooks, self.retired = [], True
        tell = None if self.when_released is None else self.when_released()
        if tell is not None:
            tell()

    def state_dict(self) -> dict[str, Any]:
        """Rates as plain numbers."""
        self.look()
        return {**{name: list(getattr(self.held, name)) for name in NUMBERS}, "lends": self.lends}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Continues with the rates of a saved run, except where the loop has begun this stage with other ones."""
        self._saved = list(state["written"]), list(state["own"])
        self.look()
        self.lends = self.lends or (bool(state["lends"]) and bool(self._hooks))
        known = zip(self.optimizer.param_groups, self.held.first, *(state[name] for name in NUMBERS), strict=False)
        for place, (group, first, saved_first, own, written) in enumerate(known):
            rate = float(group["lr"])
            if math.isclose(rate, written, rel_tol=CLOSE) or math.isclose(first, saved_first, rel_tol=CLOSE):
                self.held.own[place], self.held.first[place] = own, saved_first
            if not self.write and math.isclose(rate, written, rel_tol=CLOSE):
                _write(group, own)  # the saved run multiplied this rate, and this one does not
                self.held.written[place] = own

    def _own(self, place: int, now: float) -> float:
        """The user's own rate, from a rate that somebody else wrote."""
        if self._saved is not None and self._is_saved(place, now):
            return self._saved[1][place]
        before = self.held.own[place]
        found_own = math.isclose(self.held.written[place], before, rel_tol=CLOSE)
        if found_own or now <= 0 or before <= 0 or not self._hooks:  # without hooks they will never find their own
            return now
        # Most read the rate and multiply it, as ReduceLROnPlateau does. If it was a rate of their own instead, they get
        # it as it is, until they set the next one: from here on they find their own rate, and nothing is guessed
        return now / self.factor

    def _is_saved(self, place: int, now: float) -> bool:
        saved = self._saved
        return saved is not None and place < len(saved[0]) and math.isclose(now, saved[0][place], rel_tol=CLOSE)

    def _is_scheduled(self) -> bool:
        """Whether a scheduler of torch counts this optimizer's steps."""
        return bool(getattr(getattr(self.optimizer, "step", None), "_wrapped_by_lr_sched", False))

    def _put(self, *, multiplied: bool) -> None:
        held = self.held
        for place, group in enumerate(self.optimizer.param_groups):
            if place == len(held.own):
                return
            rate = held.own[place] * (self.factor if multiplied else 1.0)
            if rate == held.written[place]:
                continue
            _write(group, rate)
            held.written[place] = rate
            held.past[place].append((rate, held.own[place]))

    def _check_that_writes_arrive(self) -> None:
        """Refuses a wrapper that shows copies of its groups."""
        groups, inner = self.optimizer.param_groups, _torch_optimizer(self.optimizer)
        copies = groups[0] is not self.optimizer.param_groups[0]
        if copies or (inner is not None and inner.param_groups and inner.param_groups[0] is not groups[0]):
            raise InvalidValueError(
                f"{self.name} is {type(self.optimizer).__name__}, whose param_groups are copies: rates written there "
                "would not arrive; give the optimizer inside it"
            )

    def _take_over(self) -> Held:
        """What an earlier scheduler knew of the same optimizer's rates; that one lets go of it."""
        try:
            held = _HELD.setdefault(self.optimizer, Held())
        except TypeError:  # an object that cannot be referred to weakly
            return Held(owner=weakref.ref(self))
        owner = held.owner() if held.owner is not None else None
        if owner is not None and owner is not self:
            owner.release()
        for group, own, written in zip(self.optimizer.param_groups, held.own, held.written, strict=False):
            if math.isclose(float(group["lr"]), written, rel_tol=CLOSE) and not math.isclose(own, written):
                _write(group, own)
        _HELD[self.optimizer] = fresh = Held(owner=weakref.ref(self))
        return fresh

    def _hook(self) -> None:
        inner = _torch_optimizer(self.optimizer)
        if inner is None:
            return
        self._hooks = [
            inner.register_step_pre_hook(weakly(self._before_step)),
            inner.register_step_post_hook(weakly(self._after_step)),
            inner.register_load_state_dict_post_hook(weakly(self._take_loaded)),
        ]
        weakref.finalize(self, remove, self._hooks).atexit = False

    def _before_step(self) -> None:
        self._begun = True
        self.look(waits=False)
        if self.lends or not self.replace:
            self._put(multiplied=True)

    def _after_step(self) -> None:
        if self.lends:
            self._put(multiplied=False)

    def __getstate__(self) -> dict[str, Any]:
        past = [deque(each, PAST) for each in self.held.past]
        held = Held(list(self.held.first), list(self.held.own), list(self.held.written), past=past)
        return {**vars(self), "_hooks": [], "when_released": None, "held": held}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if self.write and not self.retired:  # a copy of the loop: hooks of an optimizer are not copied with it
            self.held.owner = weakref.ref(self)
            _HELD[self.optimizer] = self.held
            self._hook()


def weakly(method: Callable[[], None]) -> Callable[..., None]:
    """A hook that calls a method as long as its object lives: an optimizer must not keep a scheduler alive."""
    mine = weakref.WeakMethod(method)

    def use(*_: Any) -> None:
        found = mine()
        if found is not None:
            found()

    return use


def remove(hooks: Iterable[Any]) -> None:
    """Takes hooks away."""
    for hook in hooks:
        hook.remove()


def _write(group: dict[str, Any], rate: float) -> None:
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(rate)  # in place: compiled and captured steps read this tensor
    else:
        group["lr"] = rate


def checked_rates(state: Mapping[str, Any]) -> dict[str, Any]:
    """The saved rates of one optimizer.

    Raises:
        ValueError: they are not as many finite numbers of each kind, or it is not said whether they are lent.
    """
    numbers = {name: [float(rate) for rate in state[name]] for name in NUMBERS}
    if len({len(each) for each in numbers.values()}) != 1 or not isinstance(state["lends"], bool):
        raise ValueError("the rates are not as many as the groups")
    return {**numbers, "lends": state["lends"]}


def _torch_optimizer(optimizer: Any) -> torch.optim.Optimizer | None:
    """The torch optimizer that steps: itself, or the one inside a wrapper."""
    for each in (optimizer, getattr(optimizer, "optimizer", None), getattr(optimizer, "_optimizer", None)):
        if isinstance(each, torch.optim.Optimizer):
            return each
    return None
