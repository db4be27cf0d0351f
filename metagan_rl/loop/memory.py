"""Saves what schedulers remember between intervals as plain data, and loads it. The data never holds code.

A class names the attributes that it keeps (``remembers``); nothing else is saved. ``torch.load(...,
weights_only=True)`` can read the result. Loading never looks up a class by a name in the data.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from metagan_rl.errors import InvalidValueError
from metagan_rl.loop.controls import Controls


class Remembering:
    """Has a state of named attributes: arrays, numbers, words, tensors, generators, controls, and lists of these."""

    remembers: ClassVar[tuple[str, ...]] = ()
    """Names of the attributes that it keeps from one interval to the next."""

    def state_dict(self) -> dict[str, Any]:
        """Everything it remembers, as plain data.

        Raises:
            InvalidValueError: an attribute holds something that cannot be saved.
        """
        return {name: pack(getattr(self, name), f"{type(self).__name__}.{name}") for name in self.remembers}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues from a saved state.

        Raises:
            InvalidValueError: the state belongs to something else, or is damaged.
        """
        other = sorted(set(self.remembers) ^ set(state))
        if other:
            raise InvalidValueError(
                f"the state is of another scheduler: {type(self).__name__} remembers {', '.join(self.remembers)}, "
                f"and it differs in {other[0]}"
            )
        for name in self.remembers:
            setattr(self, name, unpack(state[name], getattr(self, name, None)))


def pack(value: Any, name: str) -> Any:
    """A value as plain data; ``name`` is for error messages.

    Raises:
        InvalidValueError: it holds something that cannot be saved.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return {"array": torch.from_numpy(np.array(value)), "dtype": str(value.dtype)}
    if isinstance(value, Tensor):
        return {"tensor": value.detach().cpu().clone()}
    if isinstance(value, np.random.Generator) and isinstance(value.bit_generator, np.random.PCG64):
        return {"generator": _words(value.bit_generator.state)}
    if isinstance(value, (list, tuple)):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [pack(each, f"{name}[{place}]") for place, each in enumerate(value)]}
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {"dict": {key: pack(each, f"{name}[{key!r}]") for key, each in value.items()}}
    if isinstance(value, Controls):
        return {"controls": [value.describe(member) for member in range(len(value))]}
    if isinstance(value, Remembering):
        return {"state": value.state_dict()}
    raise InvalidValueError(
        f"{name} is a {type(value).__name__}, whose state cannot be saved; keep arrays, numbers, lists or generators"
    )


def unpack(data: Any, there: Any) -> Any:
    """The value that :func:`pack` was given. An object with a state of its own is not made anew: ``there`` is filled.

    Raises:
        InvalidValueError: the data belongs to something else.
    """
    if data is None or isinstance(data, (bool, int, float, str)):
        return data
    try:
        ((kind, held),) = ((key, each) for key, each in data.items() if key != "dtype")
        if kind == "array":
            return held.cpu().numpy().astype(data["dtype"])  # the checkpoint may have been loaded to any device
        if kind == "tensor":
            return held.cpu().clone()
        if kind == "generator":
            generator = np.random.Generator(np.random.PCG64())
            generator.bit_generator.state = _numbers(held)
            return generator
        if kind in ("list", "tuple"):
            row = there if isinstance(there, (list, tuple)) else ()
            values = [unpack(each, row[place] if place < len(row) else None) for place, each in enumerate(held)]
            return values if kind == "list" else tuple(values)
        if kind == "dict":
            old = there if isinstance(there, Mapping) else {}
            return {key: unpack(each, old.get(key)) for key, each in held.items()}
        if kind == "controls":
            return Controls.described(*held)
        if kind == "state" and isinstance(there, Remembering):
            there.load_state_dict(held)
            return there
    except InvalidValueError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidValueError(f"the state is damaged ({error})") from None
    raise InvalidValueError(f"the state is of another scheduler: it holds a {kind}, where {type(there).__name__} is")


def _words(state: Any) -> Any:
    """A generator's state with its 128-bit numbers written as words, as not every reader accepts such numbers."""
    return {key: _words(value) if isinstance(value, dict) else str(value) for key, value in state.items()}


def _numbers(state: Any) -> Any:
    return {
        key: _numbers(value) if isinstance(value, dict) else value if key == "bit_generator" else int(value)
        for key, value in state.items()
    }
