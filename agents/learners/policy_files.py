"""Policy files: safetensors weights with JSON metadata that says what every knob and signal means.

A file lists its knobs with their levels and scales, and its signals with their ranges and formula versions. So its
meaning stays the same whatever is registered later. If a knob or signal means something else in this package, the file
is refused, and the error names the difference.
"""

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from metagan_rl.agents.learners.policy import PolicyConfig, PolicyScheduler
from metagan_rl.errors import FileFormatError, InvalidValueError, UnknownNameError
from metagan_rl.files import write_whole
from metagan_rl.loop.knobs import KNOBS, Knob, NumberKnob
from metagan_rl.loop.scheduler import SCHEDULERS
from metagan_rl.loop.signals import Signal, choose_signals

FORMAT = "metagan-rl policy"
VERSION = 3
KNOWN = (*(field.name for field in fields(PolicyConfig)), "farthest", "steps")
"""Fields of the record of a policy."""


def describe(config: PolicyConfig) -> dict[str, Any]:
    """A policy's configuration as JSON."""
    return {
        "knobs": [knob.to_dict() for knob in config.knobs],
        "signals": [
            {"name": each.name, "low": each.low, "high": each.high, "version": each.version} for each in config.signals
        ],
        "trial_memory": config.trial_memory,
        "hidden": config.hidden,
        "layers": list(config.layers),
        "actions": config.actions,
        "greedy": config.greedy,
        **({} if config.reference is None else _around(config)),
    }


def _around(config: PolicyConfig) -> dict[str, Any]:
    """The reference, and what departures from it mean. Policies without a reference have none of it."""
    farthest = {knob.name: knob.scale.farthest for knob in config.knobs if isinstance(knob, NumberKnob)}
    steps = {knob.name: knob.steps for knob in config.knobs if not knob.cyclic}
    return {"reference": config.reference, "pace": config.pace, "farthest": farthest, "steps": steps}


def config_from(record: Mapping[str, Any]) -> PolicyConfig:
    """Reads the configuration that :func:`describe` wrote.

    Raises:
        InvalidValueError: a knob or a signal means something else here.
        UnknownNameError: a knob, a signal or a field of the record is not known here.
        KeyError, TypeError, ValueError: the record is damaged.
    """
    for name in record.keys() - KNOWN:
        raise UnknownNameError("field of a policy", name, KNOWN)
    steps = record.get("steps", {})
    knobs = tuple(_knob(each, steps.get(each["name"])) for each in record["knobs"])
    found = choose_signals([each["name"] for each in record["signals"]], knobs)
    signals = tuple(_signal(signal, each) for signal, each in zip(found, record["signals"], strict=True))
    rest = {name: record[name] for name in ("trial_memory", "hidden", "actions", "greedy")}
    rest |= {name: record[name] for name in ("reference", "pace") if name in record}
    config = PolicyConfig(knobs=knobs, signals=signals, layers=tuple(record["layers"]), **rest)
    if config.reference is not None:
        _compare("a departure", {"farthest": record["farthest"]}, {"farthest": _around(config)["farthest"]})
    return config


def _knob(record: Mapping[str, Any], steps: int | None) -> Knob:
    knob = KNOBS[record["name"]].with_levels(tuple(record["levels"]))
    _compare(f"knob {knob.name}", dict(record), knob.to_dict())
    if steps is not None and not (type(steps) is int and steps >= 1):
        raise InvalidValueError(f"steps of {knob.name} are {steps!r}; they must be a whole number of at least 1")
    return knob if steps is None else replace(knob, steps=steps)


def _signal(signal: Signal, record: Mapping[str, Any]) -> Signal:
    here = {"name": signal.name, "low": signal.low, "high": signal.high, "version": signal.version}
    _compare(f"signal {signal.name}", dict(record), here)
    return signal


def _compare(what: str, there: dict[str, Any], here: dict[str, Any]) -> None:
    for name in sorted(there.keys() | here.keys()):
        if there.get(name) != here.get(name):
            raise InvalidValueError(
                f"{what} means something else in it: its {name} is {there.get(name)!r}, here it is {here.get(name)!r}"
            )


def save_policy(path: str | Path, scheduler: PolicyScheduler) -> None:
    """Writes a policy file, completely or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    import safetensors.torch  # here, as in load_policy: schedulers that are not files need only torch and NumPy

    record = {
        "format": FORMAT,
        "version": VERSION,
        "config": describe(scheduler.config),
        "metadata": scheduler.metadata,
    }
    header = {"metagan_rl": json.dumps(record, sort_keys=True)}
    write_whole(path, safetensors.torch.save(dict(scheduler.network.state_dict()), metadata=header))


def load_policy(path: str | Path) -> PolicyScheduler:
    """Reads a policy file without running any code from it.

    Raises:
        FileFormatError: the file is missing, truncated, of another kind, version or meaning, or does not fit together.
    """
    import safetensors

    path = Path(path)
    if not path.is_file():
        hint = f", but a scheduler of that name: --schedulers {path}" if path.name in SCHEDULERS else ""
        raise FileFormatError(
            f"there is no policy file {path}{hint or '; metagan-rl train writes one, as policy.safetensors'}"
        )
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("metagan_rl", "null"))
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
    except (safetensors.SafetensorError, ValueError, TypeError, OSError, MemoryError, RecursionError) as error:
        raise FileFormatError(f"{path} is not a complete policy file ({error}); train or fetch it again") from None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise FileFormatError(f"{path} holds weights, but not those of a metagan-rl policy")
    if header.get("version") != VERSION:
        raise FileFormatError(f"{path} is a policy of format {header.get('version')}; this version reads {VERSION}")
    try:
        config = config_from(header["config"])
        if not all(tensor.is_floating_point() and torch.isfinite(tensor).all() for tensor in weights.values()):
            raise ValueError("weights are not finite numbers")
        return PolicyScheduler(config, weights, header.get("metadata", {}))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RuntimeError) as error:
        raise FileFormatError(f"{path} does not fit together ({error}); train or fetch it again") from None
