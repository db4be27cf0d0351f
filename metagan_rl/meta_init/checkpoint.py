"""Checkpoints of meta-training: all that a run needs to continue exactly as if it had not been stopped."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from metagan_rl.errors import FileFormatError, InvalidValueError
from metagan_rl.folders import refuse_another
from metagan_rl.meta_init.settings import MetaSettings
from metagan_rl.meta_init.weights import MetaDiscriminator, MetaGenerator, MetaInit, read_tensors, write_tensors
from metagan_rl.tasks.task import Networks

FORMAT = "metagan-rl meta-training checkpoint"
LENGTH = {"outer_steps": None}
"""What a resumed run may change."""


@dataclass(frozen=True)
class Checkpoint:
    """The contents of a checkpoint.

    Attributes:
        meta: the meta-weights.
        steps: meta-steps done.
        skipped: how many of them diverged.
        validations: for each validation the GAN updates, the distance before and the distance after adaptation.
        outer, method: state of the outer optimiser and of the method.
    """

    meta: MetaInit
    steps: int
    skipped: int
    validations: list[list[float]]
    outer: dict[str, Tensor]
    method: dict[str, Tensor]


def write_checkpoint(
    path: str | os.PathLike[str],
    settings: MetaSettings,
    source: Mapping[str, Any],
    meta: MetaInit,
    progress: Mapping[str, Any],
    outer: Mapping[str, Tensor],
    method: Mapping[str, Tensor],
) -> None:
    """Writes a checkpoint whole or not at all.

    Args:
        path: the file.
        settings: settings of the run.
        source: where its tasks come from.
        meta: the meta-weights.
        progress: steps, skipped steps and validations.
        outer: state of the outer optimiser.
        method: state of the method.

    Raises:
        OutputError: the file cannot be written.
    """
    record = {
        "settings": asdict(settings),
        "source": dict(source),
        "networks": asdict(meta.generator.networks),
        "dim": meta.generator.dim,
        **progress,
    }
    tensors = {
        "generator": meta.generator.weights,
        "discriminator": meta.discriminator.weights,
        **{f"outer.{name}": value for name, value in outer.items()},
        **{f"method.{name}": value for name, value in method.items()},
    }
    write_tensors(path, FORMAT, record, tensors)


def read_checkpoint(
    path: str | os.PathLike[str], settings: MetaSettings, source: Mapping[str, Any], meta: MetaInit
) -> Checkpoint:
    """Reads a checkpoint and checks that it belongs to the run that is to continue.

    Raises:
        FileFormatError: the file is missing, truncated, changed or of another kind.
        InvalidValueError: its run had other settings (``outer_steps`` may be more), tasks or networks; the message
            names the differences.
    """
    record, tensors = read_tensors(path, FORMAT)
    try:
        networks, dim = Networks(**record["networks"]), int(record["dim"])
        shape = {"networks": asdict(meta.generator.networks), "dim": meta.generator.dim}
        ours = {**asdict(settings), **source, **shape, **LENGTH}
        theirs = {**record["settings"], **record["source"], "networks": record["networks"], "dim": dim, **LENGTH}
        restored = Checkpoint(
            MetaInit(
                MetaGenerator(networks, dim, weights=tensors["generator"]),
                MetaDiscriminator(networks, dim, weights=tensors["discriminator"]),
            ),
            int(record["steps"]),
            int(record["skipped"]),
            list(record["validations"]),
            _under("outer.", tensors),
            _under("method.", tensors),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise FileFormatError(f"{path} does not fit together ({error}); start again") from None
    refuse_another(path, theirs, ours, "Resume with the same, or begin anew with another file")
    if restored.steps > settings.outer_steps:
        raise InvalidValueError(
            f"{path} holds {restored.steps} meta-steps, more than the {settings.outer_steps} that are asked for; ask "
            f"for at least {restored.steps * settings.updates_per_step} updates"
        )
    return restored


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
