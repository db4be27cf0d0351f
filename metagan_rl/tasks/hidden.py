"""Hidden conditions: what is wrong with a run, or goes wrong in it, and is told neither to a schedule nor to an agent.

A schedule that was tuned once cannot know of them. To react to them one has to watch the run.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from metagan_rl.errors import InvalidValueError, UnknownNameError

NETWORKS = ("generator", "discriminator")
FACTORS = (1e-3, 1e3)
"""Hidden factors of learning rates lie in this range."""


@dataclass(frozen=True)
class Event:
    """Something that happens once in a run, before the interval that begins at or after its time.

    Attributes:
        at: when, as a share of the budget in (0, 1).
        generator_lr, discriminator_lr: what the networks' rates are multiplied by from then on.
        reset: network that gets fresh weights and moments; ``None`` for none.
    """

    at: float
    generator_lr: float = 1.0
    discriminator_lr: float = 1.0
    reset: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.at < 1:
            raise InvalidValueError(f"at of an event is {self.at!r}; it must lie between 0 and 1")
        _check_factors(self)
        if self.reset is not None and self.reset not in NETWORKS:
            raise UnknownNameError("network to reset", self.reset, NETWORKS)


@dataclass(frozen=True)
class Hidden:
    """What is hidden in a run.

    Attributes:
        generator_lr, discriminator_lr: what the networks' rates are multiplied by throughout.
        events: what happens in the course of the run.
        turn: full turns that the data make around their mean by the end, in the plane of their first two columns.
        shift: how far the data have moved along their first column by the end, in deviations.
        changes: steps in which they turn and shift, spread evenly; 1 is a single change.
        change_at: when a single change happens, as a share of the budget in (0, 1).
    """

    generator_lr: float = 1.0
    discriminator_lr: float = 1.0
    events: tuple[Event, ...] = ()
    turn: float = 0.0
    shift: float = 0.0
    changes: int = 8
    change_at: float = 0.5

    def __post_init__(self) -> None:
        _check_factors(self)
        object.__setattr__(self, "events", tuple(self.events))
        if not isinstance(self.changes, int) or self.changes < 1:
            raise InvalidValueError(f"changes is {self.changes!r}; it must be a whole number of at least 1")
        if not 0 < self.change_at < 1:
            raise InvalidValueError(f"change_at is {self.change_at!r}; it must lie between 0 and 1")
        for name in ("turn", "shift"):
            if not abs(getattr(self, name)) < 100:
                raise InvalidValueError(f"{name} is {getattr(self, name)!r}; it must be a number below 100")

    @property
    def drifts(self) -> bool:
        """Whether the data change."""
        return bool(self.turn or self.shift)

    def factors(self, progress: float) -> tuple[float, float]:
        """What the rates of G and D are multiplied by at a share of the budget."""
        generator, discriminator = self.generator_lr, self.discriminator_lr
        for event in self.events:
            if event.at <= progress:
                generator, discriminator = generator * event.generator_lr, discriminator * event.discriminator_lr
        return generator, discriminator

    def resets(self, progress: float, share: float) -> list[str]:
        """Networks to reset before an interval that begins at ``progress`` and takes this share of the budget."""
        return [each.reset for each in self.events if each.reset and progress - share < each.at <= progress]

    def stage(self, progress: float) -> int:
        """How many changes of the data have happened at a share of the budget."""
        if not self.drifts:
            return 0
        if self.changes == 1:
            return int(progress >= self.change_at - 1e-9)
        return min(self.changes, int(progress * (self.changes + 1) + 1e-9))

    def moved(self, stage: int) -> dict[str, float]:
        """How far the data have turned and shifted at a stage."""
        share = stage / self.changes
        return {"turn": self.turn * share, "shift": self.shift * share}

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form, without what is as usual; :meth:`from_dict` reads it back."""
        record = _unusual(self)
        if self.events:
            record["events"] = [{"at": event.at, **_unusual(event)} for event in self.events]
        return record

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Hidden":
        """Reads what :meth:`to_dict` gave."""
        events = tuple(Event(**event) for event in record.get("events", ()))
        return cls(**{**record, "events": events})


def _unusual(thing: Hidden | Event) -> dict[str, Any]:
    usual = Hidden() if isinstance(thing, Hidden) else Event(0.5)
    return {name: value for name, value in asdict(thing).items() if name != "events" and value != getattr(usual, name)}


def _check_factors(thing: Hidden | Event) -> None:
    low, high = FACTORS
    for name in ("generator_lr", "discriminator_lr"):
        value = getattr(thing, name)
        if not low <= value <= high:
            raise InvalidValueError(f"hidden {name} is {value!r}; it must be a factor between {low:g} and {high:g}")
