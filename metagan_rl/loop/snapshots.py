"""Files of states: safetensors for the arrays, JSON beside them for the rest. Reading one runs no code from it."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from metagan_rl.errors import FileFormatError, InvalidValueError, brief
from metagan_rl.tensor_files import read_tensors, write_tensors

FORMAT = "metagan-rl snapshot"
VERSION = 1


def save_snapshot(path: str | Path, state: Mapping[str, Any]) -> None:
    """Writes a state of numbers, words, tensors, lists and mappings. The file is written whole or not at all.

    Raises:
        InvalidValueError: the state holds something else.
        OutputError: the file cannot be written.
    """
    tensors: dict[str, torch.Tensor] = {}
    head = {"format": FORMAT, "version": VERSION, "state": _split(state, tensors)}
    write_tensors(Path(path), head, tensors)


def load_snapshot(path: str | Path) -> dict[str, Any]:
    """Reads what :func:`save_snapshot` wrote.

    Raises:
        FileFormatError: the file is missing, damaged, or of another kind or version.
    """
    path = Path(path)
    if not path.is_file():
        raise FileFormatError(f"there is no snapshot {path}")
    head, tensors = read_tensors(path, "snapshot", {"format": FORMAT, "version": VERSION}, "save it again")
    try:
        joined: dict[str, Any] = _join(head["state"], tensors)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FileFormatError(f"{path} does not fit together ({brief(error)}); save it again") from None
    return joined


def _split(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """A value as strict JSON; its tensors go into ``tensors``."""
    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"$tensor": name}
    if isinstance(value, Mapping):
        return {str(key): _split(each, tensors) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_split(each, tensors) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"$number": str(value)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise InvalidValueError(f"a state holds {value!r}, which no snapshot can; it takes numbers, words and tensors")


def _join(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_join(each, tensors) for each in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"$tensor"}:
        return tensors[value["$tensor"]]
    if set(value) == {"$number"}:
        return float(value["$number"])
    return {key: _join(each, tensors) for key, each in value.items()}
