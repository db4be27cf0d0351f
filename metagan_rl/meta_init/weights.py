"""Starting weights of the two networks: checks that they fit tasks, and reads and writes their files."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from metagan_rl import tensor_files
from metagan_rl.errors import FileFormatError, InvalidValueError, MetaGANError, brief
from metagan_rl.networks.base import StackedNetwork, build_networks, size
from metagan_rl.tasks.task import Networks, Task

FORMAT = "metagan-rl meta-initialisation"
VERSION = 1


class MetaNetwork:
    """Starting weights of one of the two networks.

    Args:
        networks: the pair it belongs to.
        dim: columns of the data.
        seed: fixes fresh weights. They equal those of a population's member with that seed.
        weights: the weights themselves, ``[P]``, in the order of :func:`metagan_rl.networks.base.split`. The seed is
            then ignored.

    Raises:
        InvalidValueError: the weights are not P finite numbers, or such networks do not exist for such data.
    """

    part: ClassVar[str]
    place: ClassVar[int]

    def __init__(self, networks: Networks, dim: int, *, seed: int = 0, weights: Tensor | None = None) -> None:
        self.networks, self.dim = networks, dim
        self.network: StackedNetwork = build_networks(networks, dim)[self.place]
        if weights is None:
            weights = _fresh(networks, dim, seed)[self.place]
        expected = size(self.network)
        if weights.shape != (expected,):
            raise InvalidValueError(
                f"weights of a {self.part} have shape {list(weights.shape)}; {networks} on {dim} columns has "
                f"{expected}: give [{expected}]"
            )
        if not torch.isfinite(weights).all():
            raise InvalidValueError(f"weights of the {self.part} are not all finite; start from sound ones")
        self.weights = weights.detach().clone()

    @classmethod
    def of(cls, task: Task, *, seed: int = 0) -> Self:
        """Fresh weights for a task's networks."""
        return cls(task.networks, task.dim, seed=seed)

    def expand(self, members: int) -> Tensor:
        """A copy of the weights for each of B members, ``[B, P]``."""
        return self.weights.expand(members, -1).clone()

    def check(self, task: Task) -> None:
        """Checks that a task can start from these weights.

        Raises:
            InvalidValueError: a weight has another shape (the message names it), or the networks differ otherwise.
        """
        if (self.networks, self.dim) == (task.networks, task.dim):
            return
        of_task = build_networks(task.networks, task.dim)[self.place].shapes
        where = f"the {self.part} of the initial weights does not fit task {task.name!r}"
        if len(self.network.shapes) != len(of_task):
            raise InvalidValueError(
                f"{where}: it has {len(self.network.shapes)} weights, the task's has {len(of_task)} ({task.networks})"
            )
        for number, (ours, theirs) in enumerate(zip(self.network.shapes, of_task, strict=True)):
            if ours != theirs:
                raise InvalidValueError(
                    f"{where}: weight {number} is {list(ours)}, the task needs {list(theirs)} "
                    f"({task.networks} on {task.dim} columns)"
                )
        for name in ("kind", "activation"):
            ours_named, theirs_named = getattr(self.networks, name), getattr(task.networks, name)
            if ours_named != theirs_named:
                raise InvalidValueError(f"{where}: its {name} is {ours_named!r}, the task's is {theirs_named!r}")

    def __eq__(self, other: object) -> bool:
        return (
            type(self) is type(other)
            and isinstance(other, MetaNetwork)
            and (self.networks, self.dim) == (other.networks, other.dim)
            and torch.equal(self.weights, other.weights)
        )

    __hash__ = None  # type: ignore[assignment]  # compared by weights, which may change


class MetaGenerator(MetaNetwork):
    """Starting weights of a generator; see :class:`MetaNetwork`."""

    part = "generator"
    place = 0


class MetaDiscriminator(MetaNetwork):
    """Starting weights of a discriminator; see :class:`MetaNetwork`."""

    part = "discriminator"
    place = 1


@dataclass
class MetaInit:
    """A meta-initialisation: the starting weights of GANs of one shape, and how they were made.

    Attributes:
        generator, discriminator: the weights.
        metadata: how they were made; JSON-able.

    Raises:
        InvalidValueError: the two do not belong to one pair of networks.
    """

    generator: MetaGenerator
    discriminator: MetaDiscriminator
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ours, theirs = self.generator, self.discriminator
        if (ours.networks, ours.dim) != (theirs.networks, theirs.dim):
            raise InvalidValueError(
                f"the generator is of {ours.networks} on {ours.dim} columns, the discriminator of {theirs.networks} on "
                f"{theirs.dim}; make both for the same task"
            )

    def check(self, task: Task) -> None:
        """Checks that a task can start from these weights.

        Raises:
            InvalidValueError: it cannot; the message names the first weight that does not fit.
        """
        self.generator.check(task)
        self.discriminator.check(task)


def save_meta_init(
    path: str | os.PathLike[str],
    generator: MetaGenerator,
    discriminator: MetaDiscriminator,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Writes a meta-initialisation whole or not at all: safetensors weights with JSON metadata.

    Raises:
        InvalidValueError: the two do not belong to one pair of networks.
        OutputError: the file cannot be written.
    """
    pair = MetaInit(generator, discriminator, dict(metadata or {}))
    record = {"networks": asdict(generator.networks), "dim": generator.dim, "metadata": pair.metadata}
    write_tensors(path, FORMAT, record, {"generator": generator.weights, "discriminator": discriminator.weights})


def load_meta_init(path: str | os.PathLike[str]) -> MetaInit:
    """Reads a meta-initialisation without running any code from the file.

    Raises:
        FileFormatError: the file is missing, truncated, changed, of another kind or version, or inconsistent, or its
            weights are those of networks that have exploded.
    """
    from metagan_rl.populations.interval import WEIGHT_LIMIT  # imported here, as populations import this module

    record, tensors = read_tensors(path, FORMAT)
    try:
        for name, tensor in tensors.items():
            if not (tensor.abs() < WEIGHT_LIMIT).all():  # NaN is not below anything
                raise ValueError(f"weights of the {name} are not all below {WEIGHT_LIMIT:g}")
        networks, dim = Networks(**record["networks"]), int(record["dim"])
        return MetaInit(
            MetaGenerator(networks, dim, weights=tensors["generator"]),
            MetaDiscriminator(networks, dim, weights=tensors["discriminator"]),
            dict(record["metadata"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError, RuntimeError, MetaGANError) as error:
        raise FileFormatError(f"{path} does not fit together ({brief(error)}); make or fetch it again") from None


def find_initial_weights(initial_weights: "MetaInit | str | os.PathLike[str] | None") -> MetaInit | None:
    """The value of a keyword ``initial_weights`` as a meta-initialisation. A file is read; ``None`` stays ``None``.

    Raises:
        FileFormatError: the file is damaged.
        InvalidValueError: it is none of the three.
    """
    if initial_weights is None or isinstance(initial_weights, MetaInit):
        return initial_weights
    if isinstance(initial_weights, str | os.PathLike):
        return load_meta_init(initial_weights)
    raise InvalidValueError(
        f"initial_weights is {initial_weights!r}; give the file that metagan-rl meta-init writes, or a MetaInit"
    )


def write_tensors(
    path: str | os.PathLike[str], kind: str, record: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Writes tensors with a JSON record, and a digest of both that reveals a changed file."""
    head = {"format": kind, "version": VERSION, "record": dict(record)}
    tensor_files.write_tensors(Path(path), head, tensors)


def read_tensors(path: str | os.PathLike[str], kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Reads the record and the tensors of a file that :func:`write_tensors` wrote.

    Raises:
        FileFormatError: the file is missing, truncated, changed, or of another kind or version.
    """
    path = Path(path)
    if not path.is_file():
        raise FileFormatError(f"there is no {kind} file {path}; metagan-rl meta-init writes one")
    head, tensors = tensor_files.read_tensors(
        path, kind, {"format": kind, "version": VERSION}, "make or fetch it again"
    )
    if not isinstance(head.get("record"), dict):
        raise FileFormatError(f"{path} is no {kind} file")
    return head["record"], tensors


def _fresh(networks: Networks, dim: int, seed: int) -> tuple[Tensor, Tensor]:
    """Weights of both networks, equal to those of a population's member with that seed."""
    from metagan_rl.populations.drawing import stream  # imported here, as populations import this module

    generator, discriminator = build_networks(networks, dim)
    rng = stream(seed, 0)
    return generator.initial(rng), discriminator.initial(rng)
