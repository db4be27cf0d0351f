"""Schedules found by search on training tasks: what a careful user gets who tunes once and uses it everywhere."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metagan_rl.agents.scheduler import Scheduler, Situation, register_scheduler
from metagan_rl.controls import LR_FACTOR, MAX_PENALTY_WEIGHT, RATIOS, Controls
from metagan_rl.errors import FileFormatError, InvalidValueError
from metagan_rl.files import write_whole
from metagan_rl.losses import LOSSES

FOLDER = Path(__file__).with_name("schedules")
KIND = "metagan-rl schedule"


@dataclass(frozen=True)
class Schedule:
    """A schedule in absolute learning rates, the same for every task.

    Attributes:
        generator_lr, discriminator_lr: at the start and at the end.
        hold: share of the budget before the rates begin to change, in [0, 1); from there on they change exponentially.
        ratio, loss: names.
        penalty_weight: of the loss's penalty, at all times.
    """

    generator_lr: tuple[float, float]
    discriminator_lr: tuple[float, float]
    hold: float
    ratio: str
    loss: str
    penalty_weight: float

    def __post_init__(self) -> None:
        for name in ("generator_lr", "discriminator_lr"):
            if not all(0 < rate < 100 for rate in getattr(self, name)):
                raise InvalidValueError(f"{name} is {getattr(self, name)}; both rates must lie between 0 and 100")
        if not 0 <= self.hold < 1:
            raise InvalidValueError(f"hold is {self.hold}; it must lie in [0, 1)")
        if not 0 <= self.penalty_weight <= MAX_PENALTY_WEIGHT:
            raise InvalidValueError(
                f"penalty_weight is {self.penalty_weight}; it must lie between 0 and {MAX_PENALTY_WEIGHT:g}"
            )
        RATIOS.index(self.ratio)
        LOSSES.index(self.loss)


class Tuned(Scheduler):
    """Follows one :class:`Schedule` in every run, whatever the run's own base.

    Unlike a policy it is told each task's absolute base rates, to set its own; controls reach 30 times above and below
    the base, which binds only where the base is off by more.

    Args:
        schedule: to follow.
        metadata: where it comes from; kept with the file.
    """

    source = "hyper-parameter search on the training split"

    def __init__(self, schedule: Schedule, metadata: Mapping[str, Any] | None = None) -> None:
        self.schedule, self.metadata = schedule, dict(metadata or {})

    def propose(self, situation: Situation) -> Controls:
        """The schedule's controls.

        Raises:
            InvalidValueError: the situation does not tell the base rates.
        """
        return _controls([self.schedule] * len(situation), situation)


class Candidates(Scheduler):
    """Another schedule in each run: how a search tries many at once.

    Args:
        schedules: one for each run.
    """

    source = "hyper-parameter search"

    def __init__(self, schedules: Sequence[Schedule]) -> None:
        self.schedules = list(schedules)

    def propose(self, situation: Situation) -> Controls:
        """Each run's own controls."""
        return _controls(self.schedules, situation)


def _controls(schedules: Sequence[Schedule], situation: Situation) -> Controls:
    if situation.rates is None:
        raise InvalidValueError("a tuned schedule needs the absolute base rates, and the situation does not tell them")
    hold = np.array([schedule.hold for schedule in schedules])
    along = np.clip((situation.progress - hold) / (1 - hold), 0, 1)
    factors = []
    for column, name in enumerate(("generator_lr", "discriminator_lr")):
        start, end = np.array([getattr(schedule, name) for schedule in schedules]).T
        rate = start * (end / start) ** along
        factors.append(np.clip(rate / situation.rates[:, column], 1 / LR_FACTOR, LR_FACTOR))
    return Controls(
        generator_lr=factors[0],
        discriminator_lr=factors[1],
        ratio=np.array([RATIOS.index(schedule.ratio) for schedule in schedules]),
        loss=np.array([LOSSES.index(schedule.loss) for schedule in schedules]),
        penalty_weight=np.array([schedule.penalty_weight for schedule in schedules]),
    )


def save_schedule(path: str | Path, scheduler: Tuned) -> None:
    """Writes a schedule as JSON.

    Raises:
        OutputError: it cannot be written.
    """
    record = {"kind": KIND, "schedule": asdict(scheduler.schedule), "metadata": scheduler.metadata}
    write_whole(path, json.dumps(record, indent=2) + "\n")


def load_schedule(path: str | Path) -> Tuned:
    """Reads a schedule.

    Raises:
        FileFormatError: the file is missing, damaged or of another kind, or its values are out of range.
    """
    path = Path(path)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["kind"] != KIND:
            raise ValueError(f"it is of kind {record['kind']!r}")
        values: dict[str, Any] = dict(record["schedule"])
        values.update({name: tuple(value) for name, value in values.items() if isinstance(value, list)})
        return Tuned(Schedule(**values), record.get("metadata", {}))
    except OSError as error:
        raise FileFormatError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise FileFormatError(f"{path} is not a schedule ({error})") from None


def tuned_constant() -> Tuned:
    """The best constant setting that was found on training tasks and chosen on validation tasks."""
    return load_schedule(FOLDER / "tuned-constant.json")


register_scheduler("tuned-constant", tuned_constant)
