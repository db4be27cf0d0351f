"""The options of an environment: one object, checked once, that shards and trainings pass on whole."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from metagan_rl.envs.actions import PACE, ActionCodec, check_kind
from metagan_rl.errors import InvalidValueError, UnknownNameError
from metagan_rl.loop.knobs import KNOBS, LR_FACTOR, LR_LEVELS, Knob, Knobs, NumberKnob, choose_knobs
from metagan_rl.loop.reference import Named
from metagan_rl.loop.reward import Reward
from metagan_rl.loop.runs import RunOptions
from metagan_rl.loop.scales import FactorScale
from metagan_rl.loop.signals import Signal, choose_signals

TRIAL_REWARDS = ("each", "best")
"""What a trial may earn for quality: the gain of each run, or of the best."""


def plain(value: Any) -> Any:
    """An option as JSON holds it and an environment takes it: lists, mappings and names in place of objects."""
    if isinstance(value, Knob):
        return value.name if value == KNOBS[value.name] else f"{value.name}={','.join(map(str, value.levels))}"
    if isinstance(value, Reward):
        return asdict(value)
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value


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
    reference: Named | None = None
    pace: float = PACE
    price: float = 0.0
    signals: str | tuple[str, ...] = "all"
    trial_runs: int | None = None
    trial_reward: str = "each"
    privileged: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_kind(self.actions, self.reference is not None, self.pace)
        if not (isinstance(self.price, (int, float)) and 0 <= self.price < float("inf")):
            raise InvalidValueError(f"price is {self.price!r}; it must be 0 or more, and finite")
        if self.trial_runs is not None and not (isinstance(self.trial_runs, int) and self.trial_runs >= 0):
            raise InvalidValueError(
                f"trial_runs is {self.trial_runs!r}; it must be at least 1, or None or 0 for plain episodes"
            )
        if self.trial_reward not in TRIAL_REWARDS:
            raise UnknownNameError("trial_reward", self.trial_reward, TRIAL_REWARDS)
        if self.trial_reward != "each" and (self.trial_runs or 0) < 2:
            raise InvalidValueError(
                f"trial_reward is {self.trial_reward!r}, but trial_runs is {self.trial_runs}; give 2 runs or more"
            )
        if not (isinstance(self.lr_levels, int) and self.lr_levels >= 2):
            raise InvalidValueError(f"lr_levels is {self.lr_levels!r}; it must be a whole number of at least 2")
        self.which()

    def chosen_knobs(self) -> tuple[Knob, ...]:
        """The agent's knobs. Learning-rate factors have ``lr_levels`` levels unless their own levels were given.

        Raises:
            InvalidValueError: around a reference, a number was given levels of its own, or ``lr_levels`` is even.
        """
        chosen = choose_knobs(self.knobs, self.control)
        if self.reference is not None:
            return tuple(self._departing(knob) for knob in chosen)
        return tuple(
            knob.with_levels(FactorScale(LR_FACTOR).spaced(self.lr_levels)) if knob.levels == LR_LEVELS else knob
            for knob in chosen
        )

    def _departing(self, knob: Knob) -> Knob:
        if isinstance(knob, NumberKnob) and knob.levels != KNOBS[knob.name].levels:
            raise InvalidValueError(
                f"{knob.name} has levels {knob.levels}, but actions depart from a reference; leave the levels out"
            )
        if knob.levels != LR_LEVELS:
            return knob
        if self.lr_levels % 2 == 0:
            raise InvalidValueError(f"lr_levels is {self.lr_levels}; around a reference it must be odd")
        return replace(knob, steps=self.lr_levels // 2)

    def codec(self) -> ActionCodec:
        """The translator between actions and controls."""
        return ActionCodec(self.chosen_knobs(), self.actions, self.reference is not None, self.pace)

    def which(self) -> tuple[Signal, ...]:
        """The observed signals, in order."""
        return choose_signals(self.signals, self.chosen_knobs())
