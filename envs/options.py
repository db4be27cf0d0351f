"""The options of an environment: one object, checked once, that shards and trainings pass on whole."""

from dataclasses import dataclass, fields
from typing import Any

from metagan_rl.envs.actions import KINDS, ActionCodec
from metagan_rl.errors import InvalidValueError, UnknownNameError
from metagan_rl.loop.knobs import LR_FACTOR, LR_LEVELS, Knob, Knobs, choose_knobs
from metagan_rl.loop.runs import RunOptions
from metagan_rl.loop.scales import FactorScale
from metagan_rl.loop.signals import Signal, choose_signals


@dataclass(frozen=True, kw_only=True)
class EnvOptions(RunOptions):
    """All that an environment depends on besides its tasks; :class:`MetaGANVectorEnv` explains each option.

    Raises:
        UnknownNameError: a name does not exist; the message offers the nearest names.
        InvalidValueError: a value is out of range.
    """

    knobs: Knobs | None = None
    control: str = "both"
    lr_levels: int = len(LR_LEVELS)
    actions: str = "discrete"
    signals: str | tuple[str, ...] = "all"
    trial_runs: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.actions not in KINDS:
            raise UnknownNameError("kind of actions", self.actions, KINDS)
        if self.trial_runs is not None and not (isinstance(self.trial_runs, int) and self.trial_runs >= 1):
            raise InvalidValueError(
                f"trial_runs is {self.trial_runs!r}; it must be at least 1, or None for plain episodes"
            )
        if not (isinstance(self.lr_levels, int) and self.lr_levels >= 2):
            raise InvalidValueError(f"lr_levels is {self.lr_levels!r}; it must be a whole number of at least 2")
        self.which()

    def chosen_knobs(self) -> tuple[Knob, ...]:
        """The agent's knobs. Learning-rate factors have ``lr_levels`` levels unless their own levels were given."""
        return tuple(
            knob.with_levels(FactorScale(LR_FACTOR).spaced(self.lr_levels)) if knob.levels == LR_LEVELS else knob
            for knob in choose_knobs(self.knobs, self.control)
        )

    def codec(self) -> ActionCodec:
        """The translator between actions and controls."""
        return ActionCodec(self.chosen_knobs(), self.actions)

    def which(self) -> tuple[Signal, ...]:
        """The observed signals, in order."""
        return choose_signals(self.signals, self.chosen_knobs())

    def keywords(self) -> dict[str, Any]:
        """The options that differ from their defaults, as keyword arguments of an environment."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != field.default
        }
