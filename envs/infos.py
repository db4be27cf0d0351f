"""Infos of vector environments: columns by name, each beside a mask of the members that it counts for."""

from typing import Any

import numpy as np


def columns(records: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """A column ``[B]`` for each entry of B records."""
    found = {}
    for name in records[0]:
        values = [record[name] for record in records]
        found[name] = np.array(values, dtype=object if isinstance(values[0], str) else np.float64)
    return found


def flat(values: dict[str, Any]) -> dict[str, Any]:
    """Numbers alone, on one level."""
    level: dict[str, Any] = {}
    for name, value in values.items():
        more = {f"{name}/{own}": each for own, each in value.items()} if isinstance(value, dict) else {name: value}
        level |= {key: np.asarray(each) for key, each in more.items() if np.asarray(each).dtype != object}
    return level


def with_masks(values: dict[str, Any], mask: np.ndarray) -> dict[str, Any]:
    """The columns, each beside the mask (bool ``[B]``) under its name with an underscore before it."""
    infos: dict[str, Any] = {}
    for name, value in values.items():
        infos[name] = with_masks(value, mask) if isinstance(value, dict) else value
        infos[f"_{name}"] = mask.copy()
    return infos


def masked(infos: dict[str, Any], mask: np.ndarray) -> dict[str, Any]:
    """A copy in which only the masked members count."""
    return {
        name: masked(value, mask)
        if isinstance(value, dict)
        else (value & mask if name.startswith("_") else value.copy())
        for name, value in infos.items()
    }


def merged(infos: dict[str, Any], fresh: dict[str, Any], over: np.ndarray) -> dict[str, Any]:
    """Infos that show the new run of each member that was reset."""
    return {
        name: merged(value, fresh[name], over) if isinstance(value, dict) else np.where(over, fresh[name], value)
        for name, value in infos.items()
    }


def unbatched(infos: dict[str, Any]) -> dict[str, Any]:
    """The infos of the one member that there is."""
    single: dict[str, Any] = {}
    for name, value in infos.items():
        if name.startswith("_"):
            continue
        if isinstance(value, dict):
            single[name] = unbatched(value)
        else:
            single[name] = value[0].item() if isinstance(value[0], np.generic) else value[0]
    return single


def of_member(infos: dict[str, Any], member: int) -> dict[str, Any]:
    """The infos of one member: those that count for it."""
    record: dict[str, Any] = {}
    for name, value in infos.items():
        if name.startswith("_") or not infos[f"_{name}"][member]:
            continue
        if isinstance(value, dict):
            record[name] = of_member(value, member)
        else:
            entry = value[member]
            record[name] = entry.item() if isinstance(entry, np.generic) else entry
    return record
