"""Policy files: safetensors weights with JSON metadata that says what every knob and signal means.

A file lists its knobs with their levels and scales, and its signals with their ranges and formula versions. So its
meaning stays the same whatever is registered later. If a knob or signal means something else in this package, the file
is refused, and the error names the difference.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from metagan_rl.agents.learners.policy import PolicyConfig, PolicyScheduler
from metagan_rl.errors import FileFormatError, InvalidValueError, UnknownNameError, brief
from metagan_rl.files import readable
from metagan_rl.loop.knobs import KNOBS, Knob, NumberKnob
from metagan_rl.loop.scheduler import SCHEDULERS
from metagan_rl.loop.signals import Signal, choose_signals
from metagan_rl.tensor_files import read_tensors, write_tensors

FORMAT = "metagan-rl policy"
VERSION = 3
REMEDY = "train or fetch it again"
LARGEST_OUTPUT = 1e6
"""Policies whose logits, values or actions may be larger than this are refused. Those that ship stay below 1,000."""
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


def check_same(ours: PolicyConfig, theirs: PolicyConfig) -> None:
    """Checks that weights of one policy mean the same in another.

    Args:
        ours: of the policy to be trained.
        theirs: of the policy that it starts from.

    Raises:
        InvalidValueError: they differ; the message names the first difference.
    """
    wanted, given = describe(ours), describe(theirs)
    for name in dict.fromkeys([*wanted, *given]):
        if wanted.get(name) != given.get(name):
            raise InvalidValueError(
                f"the policy to start from has other {name}: {readable(given.get(name), 300)}, but this run has "
                f"{readable(wanted.get(name), 300)}; give the options that it was trained with"
            )


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
    head = {
        "format": FORMAT,
        "version": VERSION,
        "config": describe(scheduler.config),
        "metadata": scheduler.metadata,
    }
    write_tensors(Path(path), head, scheduler.network.state_dict())


def load_policy(path: str | Path) -> PolicyScheduler:
    """Reads a policy file without running any code from it.

    Raises:
        FileFormatError: the file is missing, truncated, of another kind, version or meaning, or does not fit together.
    """
    path = Path(path)
    if not path.is_file():
        hint = f", but a scheduler of that name: --schedulers {path}" if path.name in SCHEDULERS else ""
        raise FileFormatError(
            f"there is no policy file {path}{hint or '; metagan-rl train writes one, as policy.safetensors'}"
        )
    header, weights = read_tensors(path, "policy", {"format": FORMAT, "version": VERSION}, REMEDY)
    try:
        config = config_from(header["config"])
        if not all(tensor.is_floating_point() and torch.isfinite(tensor).all() for tensor in weights.values()):
            raise ValueError("weights are not finite numbers")
        policy = PolicyScheduler(config, weights, header.get("metadata", {}))
        if not policy.largest_output() < LARGEST_OUTPUT:
            raise ValueError(f"its outputs may exceed {LARGEST_OUTPUT:g}")
        return policy
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RuntimeError, RecursionError) as error:
        raise FileFormatError(f"{path} does not fit together ({brief(error)}); {REMEDY}") from None
