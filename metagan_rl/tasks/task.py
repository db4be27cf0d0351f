"""A task: one GAN to train. Its record is a few JSON-able values, from which the same data are always drawn."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from numbers import Integral
from typing import Any

import numpy as np
import torch

from metagan_rl.errors import DataError, InvalidValueError
from metagan_rl.optimizers import OPTIMIZERS
from metagan_rl.registry import Registry
from metagan_rl.tasks.hidden import Hidden

TRAIN_POINTS = 4096
"""Points that a GAN trains on if the family can be sampled without end."""
REWARD_POINTS = 512
"""Size limit of the fixed reference that rewards and signals are measured against."""
REPORT_POINTS = 2048
"""Size limit of the fresh reference that final figures are measured against."""
LEARNING_RATE_RANGE = (1e-7, 10.0)


@dataclass(frozen=True)
class Modes:
    """The components of a mixture whose components are known.

    Attributes:
        centres: ``[K, D]``.
        covariances: ``[K, D, D]``, positive definite.
        weights: ``[K]``, positive, summing to 1.
    """

    centres: np.ndarray
    covariances: np.ndarray
    weights: np.ndarray

    def standardised(self, mean: np.ndarray, scale: np.ndarray) -> "Modes":
        """The same components after ``(x - mean) / scale``."""
        return Modes(
            (self.centres - mean) / scale,
            self.covariances / (scale[:, None] * scale[None, :]),
            self.weights / self.weights.sum(),
        )


@dataclass(frozen=True)
class Networks:
    """The two networks of a GAN. All members of one population share them.

    Attributes:
        latent_dim: size of the generator's noise input, at least 1.
        width: units of each hidden layer, at least 1. For ``"conv"``: channels next to the image; deeper layers have
            twice as many.
        depth: hidden layers of each network, at least 1; 2 for ``"conv"``.
        activation: name of the hidden activation (see ``metagan_rl.networks.ACTIVATIONS``).
        kind: ``"mlp"``; ``"conv"`` for convolutions on square grey images (see ``metagan_rl.networks.conv_networks``);
            ``"dirac"`` for the analytic pair of Mescheder et al. 2018; or a kind that was registered
            (``metagan_rl.networks.register_networks``).
    """

    latent_dim: int = 8
    width: int = 64
    depth: int = 2
    activation: str = "leaky-relu"
    kind: str = "mlp"

    def __post_init__(self) -> None:
        for name in ("latent_dim", "width", "depth"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise InvalidValueError(f"{name} is {value!r}; it must be a whole number of at least 1")


@dataclass(frozen=True)
class Base:
    """The hyper-parameters that a user's own training loop would use without a scheduler.

    Attributes:
        generator_lr: learning rate of the generator, within ``LEARNING_RATE_RANGE``.
        discriminator_lr: learning rate of the discriminator, within ``LEARNING_RATE_RANGE``.
        ratio: discriminator updates to generator updates, for example ``"1:1"`` or ``"5:1"``.
        loss: name of the loss (see ``metagan_rl.losses.LOSSES``).
        penalty_weight: weight of the loss's gradient penalty; 0 for none.
        beta1, beta2: decay rates of the optimizer's two moments, in [0, 1). RMSprop has only the second, SGD none;
            what Schedule-Free does with the first, :class:`metagan_rl.optimizers.ScheduleFree` says.
        ema_decay: decay per generator update of the averaged generator, in [0, 1).
        batch_size: samples per update, at least 2.
        optimizer: name of the optimizer (see ``metagan_rl.optimizers.OPTIMIZERS``).
        simultaneous: whether D and G step from the same point at ratio 1:1; otherwise D steps first.
    """

    generator_lr: float = 1e-3
    discriminator_lr: float = 1e-3
    ratio: str = "1:1"
    loss: str = "non-saturating"
    penalty_weight: float = 0.0
    beta1: float = 0.5
    beta2: float = 0.99
    ema_decay: float = 0.99
    batch_size: int = 128
    optimizer: str = "adam"
    simultaneous: bool = False

    def __post_init__(self) -> None:
        low, high = LEARNING_RATE_RANGE
        for name in ("generator_lr", "discriminator_lr"):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InvalidValueError(f"{name} is {value!r}; it must lie between {low:g} and {high:g}")
        for name in ("beta1", "beta2", "ema_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise InvalidValueError(f"{name} is {getattr(self, name)!r}; it must lie in [0, 1)")
        if not 0 <= self.penalty_weight < float("inf"):
            raise InvalidValueError(f"penalty_weight is {self.penalty_weight!r}; it must be 0 or more, and finite")
        if self.batch_size < 2:
            raise InvalidValueError(f"batch_size is {self.batch_size!r}; it must be at least 2")
        if self.optimizer not in OPTIMIZERS:
            raise InvalidValueError(f"optimizer is {self.optimizer!r}; it must be one of {', '.join(OPTIMIZERS)}")


@dataclass(frozen=True)
class Task:
    """One GAN to train: a data distribution, the two networks, the budget, the base hyper-parameters, a seed.

    Attributes:
        name: readable id, for example ``"ring/0007"``.
        family: name of a registered family.
        dim: columns of the data.
        parameters: JSON-able parameters of the distribution, as drawn by the family.
        tag: the tier of a comparison that it belongs to: ``"known-family"``, ``"held-out-family"`` or ``"real"``; a
            user's own tasks are ``"own"``.
        networks: the two networks.
        base: hyper-parameters of an unscheduled run.
        budget: updates of one run, D and G together.
        seed: fixes the drawn data, but never the training run.
        shots: number of rows that the GAN trains on, at least 1; ``None`` for all. They are the first of all its rows.
            The references and the standardisation stay the same as with all rows.
        hidden: what is wrong with a run and told nobody; ``None`` for nothing.

    Raises:
        InvalidValueError: a field is of another type or out of range.
    """

    name: str
    family: str
    dim: int
    parameters: Mapping[str, Any] = field(default_factory=dict)
    tag: str = "own"
    networks: Networks = Networks()
    base: Base = Base()
    budget: int = 3072
    seed: int = 0
    shots: int | None = None
    hidden: Hidden | None = None

    def __post_init__(self) -> None:
        for name, least in (("dim", 1), ("budget", 1), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
                raise InvalidValueError(f"{name} of a task is {value!r}; it must be a whole number of at least {least}")
        for name in ("name", "family", "tag"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value or "|" in value or not value.isprintable():
                raise InvalidValueError(f"{name} of a task is {value!r}; it must be a word or more, without '|'")
        if self.shots is not None and (not isinstance(self.shots, int) or self.shots < 1):
            raise InvalidValueError(f"shots is {self.shots!r}; it must be a whole number of at least 1, or None")

    def data(self) -> "TaskData":
        """The data of the task. They are drawn once and kept.

        Raises:
            DataError: no GAN can be trained on the family's data.
        """
        return _draw(_Key(self))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form; ``Task.from_dict`` reads it back."""
        record = asdict(self)
        del record["hidden"]
        if self.shots is None:  # most manifests have no shots
            del record["shots"]
        if self.hidden is not None:
            record["hidden"] = self.hidden.to_dict()
        return record

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Task":
        """The task that a line of a manifest describes."""
        nested: dict[str, Any] = {"networks": Networks(**record["networks"]), "base": Base(**record["base"])}
        if record.get("hidden") is not None:
            nested["hidden"] = Hidden.from_dict(record["hidden"])
        return cls(**{**record, **nested})

    def at_stage(self, stage: int) -> "Task":
        """The task whose data have changed so many times; see :class:`Hidden`."""
        if self.hidden is None or not stage:
            return self
        inner = {"family": self.family, "parameters": dict(self.parameters)}
        return replace(self, family="moved", parameters={**inner, **self.hidden.moved(stage)})

    def with_base(self, **changes: Any) -> "Task":
        """A copy with some base hyper-parameters replaced."""
        return replace(self, base=replace(self.base, **changes))


@dataclass(frozen=True)
class TaskData:
    """What a GAN trains on and is measured against. All is standardised, float32, on the CPU.

    Attributes:
        train: points ``[N, D]`` that the GAN sees.
        reward_reference: points ``[R, D]`` that it never sees, for rewards and signals.
        report_reference: other points ``[M, D]`` that it never sees, for final figures. Small tables have no more rows,
            so theirs are the same as ``reward_reference``.
        modes: mixture components in standardised coordinates; ``None`` if unknown.
        mean, scale: ``[D]``; ``x * scale + mean`` restores the raw units.
    """

    train: torch.Tensor
    reward_reference: torch.Tensor
    report_reference: torch.Tensor
    modes: Modes | None
    mean: np.ndarray
    scale: np.ndarray


class Family:
    """A parametrised kind of data distribution. Subclass it and register it with ``register_family``.

    Write ``parameters`` and ``points``, and also ``modes`` if the components are known. A family of real rows writes
    ``rows`` instead of ``points``.
    """

    dim: int = 2
    standardise: str = "columns"
    """How data are scaled. ``"columns"``: mean 0 and deviation 1 per column. ``"whole"``: one mean and one deviation
    for all (images). ``"none"``: unchanged."""
    features: str | None = None
    """Name of the features that precision, coverage and the Fréchet distance are measured on (see
    ``metagan_rl.metrics.features``). With ``None``, precision and coverage are on the standardised columns."""

    def parameters(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draws the JSON-able parameters of one distribution."""
        raise NotImplementedError(f"{type(self).__name__} must define parameters(rng)")

    def points(self, parameters: Mapping[str, Any], count: int, rng: np.random.Generator) -> np.ndarray:
        """Draws points ``[count, D]`` of the distribution, in its own units."""
        raise NotImplementedError(f"{type(self).__name__} must define points(parameters, count, rng)")

    def rows(self, parameters: Mapping[str, Any]) -> np.ndarray | None:
        """All rows ``[N, D]`` of a finite data set; ``None`` if the family can be sampled without end."""
        return None

    def modes(self, parameters: Mapping[str, Any]) -> Modes | None:
        """The mixture components in the units of ``points``; ``None`` if there are none."""
        return None

    def dimension(self, parameters: Mapping[str, Any]) -> int:
        """Columns of the data."""
        return self.dim


STANDARDISE = ("columns", "whole", "none")
FAMILIES: Registry[Family] = Registry("family", importable=True)


def register_family(name: str, family: Family | type[Family] | None = None) -> Any:
    """Registers a family under a name; usable as a decorator on the class.

    Raises:
        InvalidValueError: the name is taken or malformed, or the object is not a ``Family``.
    """
    if family is None:
        return lambda cls: (register_family(name, cls), cls)[1]
    instance = family() if isinstance(family, type) else family
    if not isinstance(instance, Family):
        raise InvalidValueError(
            f"family {name!r} is a {type(instance).__name__}; derive it from metagan_rl.tasks.Family"
        )
    if instance.standardise not in STANDARDISE:
        raise InvalidValueError(
            f"family {name!r} has standardise {instance.standardise!r}; it must be one of {', '.join(STANDARDISE)}"
        )
    FAMILIES.register(name, instance)
    return family


def sample_task(family: str, rng: np.random.Generator, *, name: str | None = None, **conditions: Any) -> Task:
    """Draws a task of a family: parameters and seed come from ``rng``, everything else from ``conditions``."""
    kind = FAMILIES[family]
    parameters = kind.parameters(rng)
    seed = int(rng.integers(2**31))
    return Task(
        name=name or f"{family}/{seed}",
        family=family,
        dim=kind.dimension(parameters),
        parameters=parameters,
        seed=seed,
        **conditions,
    )


class _Key:
    """Hashes a task by what its data depend on, so that tasks with other networks or rates share the same data."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.family = FAMILIES[task.family]  # kept, as a family newly registered under the same name is another key
        self.identity = (task.family, id(self.family), repr(sorted(task.parameters.items())), task.seed, task.shots)

    def __hash__(self) -> int:
        return hash(self.identity)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.identity == other.identity


@lru_cache(maxsize=2048)
def _draw(key: _Key) -> TaskData:
    task, family = key.task, key.family
    rng = np.random.default_rng(task.seed)
    rows = family.rows(task.parameters)
    if rows is None:
        counts = (TRAIN_POINTS, REWARD_POINTS, REPORT_POINTS)
        drawn = _checked(family.points(task.parameters, sum(counts), rng), sum(counts), task)
        train, reward, report = np.split(drawn, np.cumsum(counts)[:-1])
    else:
        shuffled = rng.permutation(_checked(rows, len(rows), task))
        half = len(shuffled) // 2
        held_out = shuffled[half:]
        train, reward, report = shuffled[:half], held_out[:REWARD_POINTS], held_out[:REPORT_POINTS]
    mean, scale = _moments(train, drawn if rows is None else shuffled, family.standardise, task)
    if task.shots is not None and task.shots > len(train):
        raise DataError(f"task {task.name!r} has {len(train)} rows to train on, fewer than its {task.shots} shots")
    train = train[: task.shots]
    modes = family.modes(task.parameters)

    def ready(points: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(((points - mean) / scale).astype(np.float32))

    standard_modes = None if modes is None else modes.standardised(mean, scale)
    return TaskData(ready(train), ready(reward), ready(report), standard_modes, mean, scale)


def _checked(points: np.ndarray, count: int, task: Task) -> np.ndarray:
    points = np.asarray(points, dtype=np.float64)
    where = f"task {task.name!r} (family {task.family!r})"
    if points.ndim != 2 or points.shape != (count, task.dim):
        raise DataError(f"{where} gave data of shape {list(points.shape)}; expected [{count}, {task.dim}]")
    if len(points) < 8:
        raise DataError(f"{where} has {len(points)} rows; at least 8 are needed to train on half and measure on half")
    if not np.isfinite(points).all():
        bad = int((~np.isfinite(points)).any(axis=1).sum())
        raise DataError(f"{where} has {bad} rows with NaN or infinite values; drop or impute them first")
    return points


def _moments(train: np.ndarray, every: np.ndarray, standardise: str, task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Mean and scale of the rows to train on; the scale of a column that is constant in these is that of all rows."""
    if standardise == "none":
        return np.zeros(task.dim), np.ones(task.dim)
    if standardise == "whole":
        mean, scale = np.full(task.dim, train.mean()), np.full(task.dim, train.std())
    else:
        mean, scale = train.mean(axis=0), train.std(axis=0)
    least = 1e-12 * (1.0 + np.abs(mean))
    if not (scale > least).all():  # a column that seldom differs, and not in the half that this seed drew
        scale = np.where(scale > least, scale, every.std() if standardise == "whole" else every.std(axis=0))
    if not (scale > least).all():
        column = int(np.argmin(scale))
        raise DataError(f"task {task.name!r}: column {column} is constant; drop it, or standardise as a whole")
    return mean, scale


@register_family("moved")
class Moved(Family):
    """Another family's points, standardised, then turned and shifted. Tasks whose data drift become such tasks."""

    standardise = "none"

    def dimension(self, parameters: Mapping[str, Any]) -> int:
        """Columns of the other family."""
        return FAMILIES[parameters["family"]].dimension(parameters["parameters"])

    def parameters(self, rng: np.random.Generator) -> dict[str, Any]:
        """A ring, turned by up to half a turn and shifted by up to a deviation."""
        inner = FAMILIES["ring"].parameters(rng)
        return {"family": "ring", "parameters": inner, "turn": rng.uniform(0, 0.5), "shift": rng.uniform(0, 1)}

    def points(self, parameters: Mapping[str, Any], count: int, rng: np.random.Generator) -> np.ndarray:
        """The same points as the other family's, in their deviations, moved.

        Raises:
            DataError: they have one column only, or are the rows of a finite data set.
        """
        family = FAMILIES[parameters["family"]]
        if family.rows(parameters["parameters"]) is not None:
            raise DataError(f"family {parameters['family']!r} has finitely many rows; only endless data can drift")
        points = np.asarray(family.points(parameters["parameters"], count, rng), dtype=np.float64)
        if points.shape[1] < 2:
            raise DataError(f"family {parameters['family']!r} has one column; data of two or more can turn")
        train = points[:TRAIN_POINTS]
        points = (points - train.mean(axis=0)) / train.std(axis=0)
        angle = 2 * np.pi * parameters["turn"]
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        points[:, :2] = points[:, :2] @ turn
        points[:, 0] += parameters["shift"]
        return points
