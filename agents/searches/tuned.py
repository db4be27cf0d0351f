"""Schedules found by search on training tasks: what a careful user gets by tuning once for all tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from metagan_rl.errors import FileFormatError, InvalidValueError, brief
from metagan_rl.loop.controls import Controls
from metagan_rl.loop.knobs import KNOBS, LR_FACTOR, MAX_PENALTY_WEIGHT
from metagan_rl.loop.scheduler import Scheduler, Situation, register_scheduler
from metagan_rl.losses import LOSSES
from metagan_rl.populations.settings import RATIOS
from metagan_rl.records import read_record, write_record

FOLDER = Path(__file__).with_name("schedules")
KIND = "metagan-rl schedule"
SWITCHED = ("ratio", "loss", "penalty_weight")
"""Fields that a schedule may change once."""


@dataclass(frozen=True)
class Schedule:
    """A schedule in absolute learning rates, the same for every task.

    Attributes:
        generator_lr, discriminator_lr: rates at the start and at the end.
        hold: share of the budget during which the rates are constant, in [0, 1). Then they change exponentially.
        ratio, loss: names.
        penalty_weight: weight of the loss's penalty.
        switch: share of the budget in [0, 1) after which the later values hold; ``None`` to keep the first throughout.
        later_ratio, later_loss, later_penalty_weight: values from the switch on; ``None`` for no change.
        beta1: decay rate of Adam's first moment; ``None`` leaves each run its own.
    """

    generator_lr: tuple[float, float]
    discriminator_lr: tuple[float, float]
    hold: float
    ratio: str
    loss: str
    penalty_weight: float
    switch: float | None = None
    later_ratio: str | None = None
    later_loss: str | None = None
    later_penalty_weight: float | None = None
    beta1: float | None = None

    def __post_init__(self) -> None:
        for name in ("generator_lr", "discriminator_lr"):
            if len(getattr(self, name)) != 2 or not all(0 < rate < 100 for rate in getattr(self, name)):
                raise InvalidValueError(f"{name} is {getattr(self, name)}; both rates must lie between 0 and 100")
        if not 0 <= self.hold < 1:
            raise InvalidValueError(f"hold is {self.hold}; it must lie in [0, 1)")
        for name in ("penalty_weight", "later_penalty_weight"):
            weight = getattr(self, name)
            if weight is not None and not 0 <= weight <= MAX_PENALTY_WEIGHT:
                raise InvalidValueError(f"{name} is {weight}; it must lie between 0 and {MAX_PENALTY_WEIGHT:g}")
        if self.switch is not None and not 0 <= self.switch < 1:
            raise InvalidValueError(f"switch is {self.switch}; it must lie in [0, 1), or be None")
        if self.beta1 is not None:
            KNOBS["beta1"].checked(np.array([KNOBS["beta1"].value(self.beta1)]))
        later = [name for name in SWITCHED if getattr(self, f"later_{name}") is not None]
        if self.switch is None and later:
            raise InvalidValueError(f"later_{later[0]} is given, but switch is None; say when to switch")
        RATIOS.index(self.ratio)
        LOSSES.index(self.loss)
        if self.later_ratio is not None:
            RATIOS.index(self.later_ratio)
        if self.later_loss is not None:
            LOSSES.index(self.later_loss)

    def later(self) -> "Schedule":
        """The schedule that holds from the switch on."""
        changed = {name: getattr(self, f"later_{name}") for name in SWITCHED}
        return replace(self, **{name: value for name, value in changed.items() if value is not None})


class Tuned(Scheduler):
    """Follows one :class:`Schedule` in every run, whatever the run's own base.

    Unlike a policy, it sees each task's absolute base rates, in order to set its own. Controls reach from 1/30 to 30
    times the base. That limits it only if the base is off by more.

    Args:
        schedule: the schedule to follow.
        metadata: where the schedule comes from; kept in its file.
    """

    source = "hyper-parameter search on the training split"

    def __init__(self, schedule: Schedule, metadata: Mapping[str, Any] | None = None) -> None:
        self.schedule, self.metadata = schedule, dict(metadata or {})
        self.cost = int(self.metadata.get("gan_updates", 0))

    def propose(self, situation: Situation) -> Controls:
        """The schedule's controls.

        Raises:
            InvalidValueError: the situation does not have the base rates.
        """
        return _controls([self.schedule] * len(situation), situation)


class Candidates(Scheduler):
    """Follows a different schedule in each run, so that a search can try many at once.

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
    along = share_of_fall(situation, np.array([schedule.hold for schedule in schedules]))
    rates = []
    for name in ("generator_lr", "discriminator_lr"):
        start, end = np.array([getattr(schedule, name) for schedule in schedules]).T
        rates.append(start * (end / start) ** along)
    switch = np.array([np.inf if schedule.switch is None else schedule.switch for schedule in schedules])
    first, later = _switched(schedules), _switched([schedule.later() for schedule in schedules])
    values = {name: np.where(situation.progress < switch, first[name], later[name]) for name in SWITCHED}
    momenta = [schedule.beta1 for schedule in schedules]
    if "beta1" in situation.base.knobs and any(each is not None for each in momenta):  # in a user's loop it is no knob
        own = situation.base.beta1
        values["beta1"] = np.array([own[run] if each is None else each for run, each in enumerate(momenta)])
    return at_rates(situation, *rates).replace(**values)


def share_of_fall(situation: Situation, hold: np.ndarray) -> np.ndarray:
    """How far rates have fallen that are held for these shares ``[B]`` of the budget: 0 while held, 1 at the end."""
    along: np.ndarray = np.clip((situation.progress - hold) / (1 - hold), 0, 1)
    return along


def at_rates(situation: Situation, generator: np.ndarray, discriminator: np.ndarray) -> Controls:
    """The base at absolute rates ``[B]`` of G and D, as far as factors of the base's own rates reach.

    Raises:
        InvalidValueError: the situation does not have the base rates.
    """
    if situation.rates is None:
        raise InvalidValueError("absolute rates need the absolute base rates, and the situation does not tell them")
    pairs = zip((generator, discriminator), situation.rates.T, strict=True)
    factors = [np.clip(rate / own, 1 / LR_FACTOR, LR_FACTOR) for rate, own in pairs]
    return situation.base.replace(generator_lr_factor=factors[0], discriminator_lr_factor=factors[1])


def _switched(schedules: Sequence[Schedule]) -> dict[str, np.ndarray]:
    return {name: np.array([KNOBS[name].value(getattr(each, name)) for each in schedules]) for name in SWITCHED}


def save_schedule(path: str | Path, scheduler: Tuned) -> None:
    """Writes a schedule as JSON.

    Raises:
        OutputError: it cannot be written.
    """
    record = {"kind": KIND, "schedule": asdict(scheduler.schedule), "metadata": scheduler.metadata}
    write_record(Path(path), record)


def schedule_from(record: Mapping[str, Any]) -> Schedule:
    """Makes a schedule from its JSON form (that of ``dataclasses.asdict``).

    Raises:
        TypeError: a field is missing or unknown.
        InvalidValueError: a value is out of range.
    """
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in record.items()}
    return Schedule(**values)


def tuned_from(record: Mapping[str, Any]) -> Tuned:
    """A scheduler that follows a schedule given in its JSON form.

    Raises:
        InvalidValueError: a field is missing, unknown or out of range.
    """
    try:
        return Tuned(schedule_from(record))
    except TypeError as error:
        raise InvalidValueError(f"{dict(record)} is not a schedule ({error})") from None


def load_schedule(path: str | Path) -> Tuned:
    """Reads a schedule file.

    Raises:
        FileFormatError: the file is missing, damaged or of another kind, or its values are out of range.
    """
    path = Path(path)
    record = read_record(path, "a schedule", kind=KIND, known=("schedule", "metadata"), strict=False)
    try:
        return Tuned(schedule_from(record["schedule"]), record.get("metadata", {}))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise FileFormatError(f"{path} is not a schedule ({brief(error)})") from None


def tuned_constant() -> Tuned:
    """The best constant setting, found on training tasks and chosen on validation tasks."""
    return load_schedule(FOLDER / "tuned-constant.json")


def tuned_decay() -> Tuned:
    """The best schedule with decaying rates, found in the same way by a search that began at tuned-constant."""
    return load_schedule(FOLDER / "tuned-decay.json")


register_scheduler("tuned-constant", tuned_constant)
register_scheduler("tuned-decay", tuned_decay)


@register_scheduler("tuned-decay-no-momentum")
def tuned_decay_no_momentum() -> Tuned:
    """The schedule tuned-decay with Adam's beta1 at 0: what turning momentum off is worth by itself."""
    tuned = tuned_decay()
    return Tuned(replace(tuned.schedule, beta1=0.0), tuned.metadata)
