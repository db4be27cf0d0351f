"""The state of any scheduler as plain data, and back: numbers, words, tensors, lists and dictionaries, no code.

What is written can be read by ``torch.load(..., weights_only=True)``. Reading only fills objects that are there
already, those of a scheduler of the same kind; no class is ever looked up by a name in the data.
"""

import hashlib
import random
from collections.abc import Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metagan_rl.errors import InvalidValueError
from metagan_rl.loop.controls import Controls


def pack(value: Any, name: str) -> Any:
    """A value as plain data; ``name`` is for messages.

    Raises:
        InvalidValueError: it holds something whose state is not known.
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
    if _constant(value):
        return {"kept": type(value).__name__}
    if hasattr(value, "__dict__") and not isinstance(value, random.Random):
        return {"object": {key: pack(each, f"{name}.{key}") for key, each in vars(value).items()}}
    raise InvalidValueError(
        f"{name} is a {type(value).__name__}, whose state cannot be saved; keep arrays, numbers, lists or generators"
    )


def unpack(data: Any, there: Any) -> Any:
    """The value that :func:`pack` was given; objects and constants are those that are ``there``, filled.

    Raises:
        InvalidValueError: the data is of something else.
    """
    if data is None or isinstance(data, (bool, int, float, str)):
        return data
    try:
        ((kind, held),) = ((key, each) for key, each in data.items() if key != "dtype")
        if kind == "array":
            return held.cpu().numpy().astype(data["dtype"])  # wherever a checkpoint was loaded to
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
        if kind == "controls":
            return Controls.described(*held)
        if kind == "dict":
            old = there if isinstance(there, Mapping) else {}
            return {key: unpack(each, old.get(key)) for key, each in held.items()}
        if kind == "kept" and type(there).__name__ == held:
            return there
        if kind == "object" and hasattr(there, "__dict__") and not _constant(there):
            fill(there, held)
            return there
    except InvalidValueError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidValueError(f"the state is damaged ({error})") from None
    raise InvalidValueError(f"the state is of another scheduler: it holds a {kind}, where {type(there).__name__} is")


def state_of(owner: Any) -> dict[str, Any]:
    """All attributes of an object, packed."""
    return {key: pack(value, f"{type(owner).__name__}.{key}") for key, value in vars(owner).items()}


def fill(owner: Any, state: Mapping[str, Any]) -> None:
    """Sets the attributes of an object to a packed state, which may tell more than there are yet.

    Raises:
        InvalidValueError: it lacks some, or tells something of another kind.
    """
    lacking = sorted(set(vars(owner)) - set(state))
    if lacking:
        raise InvalidValueError(f"the state is of another scheduler: it lacks {lacking[0]} of {type(owner).__name__}")
    for key, held in state.items():
        setattr(owner, key, unpack(held, getattr(owner, key, None)))


def fingerprint(owner: Any) -> str:
    """A hash of what a scheduler is, not of what it remembers: its class, its options, its weights."""
    digest = hashlib.sha256(type(owner).__qualname__.encode())
    for key, value in sorted(vars(owner).items()):
        if isinstance(value, nn.Module):
            for name, tensor in value.state_dict().items():
                digest.update(name.encode() + tensor.cpu().numpy().tobytes())
        elif not key.startswith("_") and (isinstance(value, (bool, int, float, str, tuple)) or is_dataclass(value)):
            digest.update(f"{key}={value!r}".encode())
    return digest.hexdigest()[:16]


def _constant(value: Any) -> bool:
    """Set once and never changed: networks (at inference), frozen dataclasses, functions, paths."""
    parameters: Any = getattr(type(value), "__dataclass_params__", None)
    frozen = parameters is not None and parameters.frozen
    return isinstance(value, (nn.Module, Path, type)) or callable(value) or frozen


def _words(state: Any) -> Any:
    """A generator's state with its numbers of 128 bits written in words, as not every reader takes such numbers."""
    return {key: _words(value) if isinstance(value, dict) else str(value) for key, value in state.items()}


def _numbers(state: Any) -> Any:
    return {
        key: _numbers(value) if isinstance(value, dict) else value if key == "bit_generator" else int(value)
        for key, value in state.items()
    }
