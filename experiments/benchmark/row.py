"""The result of one run: a row of ``rows.jsonl``, and the curve that led to it."""

import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, SupportsFloat

from metagan_rl.metrics import STABILITY_TERMS

FIRST_ENGINE = "torch"
"""The engine of rows that do not name one, from when there was only this one."""
GENERATOR_RATE, DISCRIMINATOR_RATE, PENALTY_WEIGHT = (
    "generator_lr_factor", "discriminator_lr_factor", "penalty_weight",
)  # fmt: skip
RATIO, LOSS = "ratio", "loss"
"""The controls that the report draws, as ``Controls.describe`` and the columns of ``curves.jsonl`` name them."""
EARLIER_NAMES = {"generator_lr": GENERATOR_RATE, "discriminator_lr": DISCRIMINATOR_RATE}
"""New names for columns of older curves."""
DRAWN_NUMBERS, DRAWN_WORDS = (GENERATOR_RATE, DISCRIMINATOR_RATE, PENALTY_WEIGHT), (RATIO, LOSS)
Cell = tuple[str, int]
"""The task's name and the GAN's seed: the run on which schedulers are compared."""


class RunKey(NamedTuple):
    """Identifies a run among all runs of a benchmark."""

    suite: str
    split: str
    task: str
    seed: int
    scheduler: str

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "RunKey":
        """The key of a JSON object that has these columns."""
        suite, split, task, seed, scheduler = (record[name] for name in cls._fields)
        return cls(str(suite), str(split), str(task), int(seed), str(scheduler))

    @property
    def whole_task(self) -> str:
        """The task with its suite and split, because tasks of other suites or splits may have the same name."""
        return f"{self.suite}/{self.split}/{self.task}"

    @property
    def cell(self) -> Cell:
        """The run without its scheduler."""
        return self.whole_task, self.seed


@dataclass(frozen=True)
class Row:
    """One run: one scheduler on one task with one seed.

    Attributes:
        key: which run.
        tag, family: those of the task.
        metrics: values by name, see :data:`metagan_rl.metrics.METRICS`; unknown ones are ``None``. Empty if the run
            failed.
        diverged: whether the GAN exploded. It then has the worst value of every metric.
        floor: distance of real points to real points.
        start: distance of the untrained GAN.
        stability: mean of each term over the run, 0 (healthy) to 1.
        updates: GAN updates of the run itself.
        extra_updates: further GAN updates spent on this run, by other members or a search on its task.
        tuning_updates: GAN updates spent once for all runs of the scheduler.
        seconds: the run's share of its batch's time.
        engine: what trained the GAN: ``"native"`` or ``"torch"``.
        version: version of the package.
        initial_weights: SHA-256 of the meta-initialisation that the GAN started from; ``None`` for fresh weights.
        error: the error that the run ended in, if it failed.
    """

    key: RunKey
    tag: str
    family: str
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    diverged: bool = False
    floor: float | None = None
    start: float | None = None
    stability: Mapping[str, float | None] = field(default_factory=dict)
    updates: int | None = None
    extra_updates: float | None = None
    tuning_updates: float | None = None
    seconds: float | None = None
    engine: str = FIRST_ENGINE
    version: str | None = None
    initial_weights: str | None = None
    error: str | None = None

    @property
    def distance(self) -> float | None:
        """The quality distance at the end."""
        return self.metrics.get("distance")

    @property
    def cell(self) -> Cell:
        """The run on which schedulers are compared."""
        return self.key.cell

    def to_dict(self) -> dict[str, Any]:
        """A flat JSON object; metrics and stability terms are columns like all others."""
        plain = {name: getattr(self, name) for name in PLAIN}
        if self.initial_weights is None:
            del plain["initial_weights"]
        return {**self.key._asdict(), "tag": self.tag, "family": self.family, **self.metrics, **self.stability, **plain}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Row":
        """Reads what :meth:`to_dict` gave, in this version or an earlier one, which may have fewer columns.

        Raises:
            KeyError: a column that identifies the run is missing.
            TypeError, ValueError: the seed is not a number.
        """
        plain = {name: record[name] for name in PLAIN if record.get(name) is not None}
        plain |= {name: _number(plain.get(name)) for name in NUMBERS}
        plain.setdefault("engine", FIRST_ENGINE)
        return cls(
            RunKey.of(record),
            str(record["tag"]),
            str(record["family"]),
            metrics={
                name: value
                for name, value in record.items()
                if name not in COLUMNS and (value is None or _number(value) is not None)
            },
            stability={name: _number(record[name]) for name in STABILITY_TERMS if name in record},
            **plain,
        )


PLAIN = tuple(each.name for each in fields(Row) if each.name not in ("key", "tag", "family", "metrics", "stability"))
NUMBERS = ("floor", "start", "updates", "extra_updates", "tuning_updates", "seconds")
COLUMNS = frozenset({*RunKey._fields, "tag", "family", *STABILITY_TERMS, *PLAIN})
"""Columns that are not metrics; no metric may have one of these names."""
REQUIRED = (*RunKey._fields, "tag", "family")


@dataclass(frozen=True)
class Curve:
    """The course of one run.

    Attributes:
        key: which run.
        distance: distance at the start and after each interval, ``[T + 1]``, on the smaller reference of rewards.
        controls: value of each control in each interval, by the control's name, ``[T]`` each: numbers or words.
    """

    key: RunKey
    distance: Sequence[float]
    controls: Mapping[str, Sequence[Any]]

    @property
    def intervals(self) -> int:
        """The number of trained intervals, T."""
        return len(self.distance) - 1

    def to_dict(self) -> dict[str, Any]:
        """A flat JSON object with a column for each control."""
        return {**self.key._asdict(), "distance": list(self.distance), **self.controls}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Curve":
        """Reads what :meth:`to_dict` gave, with numbers packed as float32 and words shared.

        JSON's own lists would take several times the memory.

        Raises:
            KeyError: a column is missing.
            TypeError, ValueError: a column has wrong values, or not one entry for each interval.
        """
        key = RunKey.of(record)
        distance = array("f", record["distance"])
        named = {EARLIER_NAMES.get(name, name): values for name, values in record.items()}
        controls = {
            name: _packed(values, numbers=name in DRAWN_NUMBERS)
            for name, values in named.items()
            if name not in (*RunKey._fields, "distance")
        }
        missing = [name for name in (*DRAWN_NUMBERS, *DRAWN_WORDS) if name not in controls]
        if missing:
            raise ValueError(f"{key.task} under {key.scheduler} has no column {', '.join(missing)}")
        if {len(values) for values in controls.values()} != {len(distance) - 1}:
            raise ValueError(f"{key.task} under {key.scheduler} has uneven columns")
        return cls(key, distance, controls)


CURVE_COLUMNS = (*RunKey._fields, "distance")


def six_digits(value: SupportsFloat) -> float:
    """Rounds a number to six digits, as rows keep it."""
    return float(f"{float(value):.6g}")


def _packed(values: Sequence[Any], *, numbers: bool) -> Sequence[Any]:
    if numbers or (values and all(isinstance(value, (int, float)) for value in values)):
        return array("f", values)
    return [sys.intern(str(value)) for value in values]


def _number(value: Any) -> Any:
    """The value if it is a number; otherwise ``None``, which means unknown."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
