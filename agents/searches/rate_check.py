"""``rate-check``: the loop's own rates, corrected once where the first two intervals show that they are far off.

It reads both networks' rates off how far the weights went and how D answered, in the first two intervals of a run. What
may be an error of the reading is left alone, so rates that suit stay as they are. It knows no absolute rate, so it goes
on top of any loop. ``python -m metagan_rl.experiments.studies.rate_check`` fits it on training tasks of ``wide-loops``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from metagan_rl.agents.rules.own import UsersOwn
from metagan_rl.agents.rules.scaling import scaled
from metagan_rl.agents.searches.reading import MOVES, OUTPUTS, Reading
from metagan_rl.errors import FileFormatError, brief
from metagan_rl.loop.controls import Controls
from metagan_rl.loop.knobs import KNOBS, LR_FACTOR
from metagan_rl.loop.scheduler import Scheduler, Situation, register_scheduler
from metagan_rl.loop.signals import knob_signals
from metagan_rl.records import read_record, write_record

FILE = Path(__file__).with_name("schedules") / "rate-check.json"
KIND = "metagan-rl rate check"
RATE_CHECK, CHECKED_OWN = "rate-check", "users-own-checked"
AUTO = "auto"
"""What made no loop worse whose rates were tuned, in the study of practice."""
FACTS = ("budget", "batch", "size", "momentum")
SET = tuple(signal.name for name in ("loss", "ratio", "penalty_weight") for signal in knob_signals(KNOBS[name]))
"""Signals of what the loop uses."""
SHOWN = (*MOVES, *OUTPUTS)
"""Signals of an interval that are read."""
INTERVALS = 2
"""Intervals that are read before anything is corrected."""


def shown_of(situation: Situation) -> np.ndarray:
    """The signals of the last interval that are read, ``[B, 9]``; NaN where nothing was measured."""
    nothing = np.full(len(situation), np.nan)
    return np.stack([situation.signals.get(name, nothing) for name in SHOWN], axis=1)


def features_of(shown: Sequence[np.ndarray], situation: Situation, passed: int = INTERVALS) -> np.ndarray:
    """What the readings are made of, ``[2, B, F]`` for G and D, after the intervals that are read.

    Args:
        shown: what :func:`shown_of` gave after each of them.
        situation: after the last of them.
        passed: intervals of the run so far; more than are read if nothing was measured in some.
    """
    count = len(situation)
    known = np.stack([np.nan_to_num(situation.signals.get(name, np.zeros(count))) for name in (*FACTS, *SET)], axis=1)
    length = np.log10(np.maximum(situation.progress, 1e-6) * 16 / passed)[:, None]
    outputs = np.concatenate([np.clip(each[:, len(MOVES) :], -1, 1) for each in shown], axis=1)
    found = []
    for own, other in ((0, 1), (1, 0)):
        moves = np.stack([each[:, place] for each in shown for place in (own, other)], axis=1)
        found.append(np.concatenate([np.ones((count, 1)), moves, outputs, length, known], axis=1))
    return np.array(found)


class RateCheck(Scheduler):
    """The loop's own rates, corrected once after the first two intervals.

    Args:
        generator, discriminator: how each network's rate is read.
        metadata: where they come from; kept in the file.
        own: the schedule that the loop has by itself; ``None``: its base.
    """

    source = "formulas fitted on the training split of wide-loops, by the study rate_check"
    remembers = ("factors", "_shown", "_passed", "own")
    needs = SHOWN
    decisions = 16
    turned = ("generator_lr_factor", "discriminator_lr_factor")

    def __init__(
        self,
        generator: Reading,
        discriminator: Reading,
        metadata: Mapping[str, Any] | None = None,
        own: Scheduler | None = None,
    ) -> None:
        self.readings, self.metadata, self.own = (generator, discriminator), dict(metadata or {}), own
        self.cost = int(self.metadata.get("gan_updates", 0))
        self.begin([0])

    def begin(self, seeds: Sequence[int]) -> None:
        """Forgets what was read."""
        self.factors: np.ndarray | None = None
        """What both rates are multiplied by, ``[B, 2]``; ``None`` until it is known."""
        self._shown: list[np.ndarray] = []
        self._passed = 0
        if self.own is not None:
            self.own.begin(seeds)

    def propose(self, situation: Situation) -> Controls:
        """The loop's own controls, with both rates corrected from the third interval on."""
        controls = situation.base if self.own is None else self.own.propose(situation)
        if self.factors is None and (situation.progress > 0).any():
            self._look(situation)
        return controls if self.factors is None else scaled(controls, *self.factors.T)

    def _look(self, situation: Situation) -> None:
        """Takes in one interval, if anything was measured in it; reads the rates if it was the last that is read."""
        self._passed += 1
        shown = shown_of(situation)
        if np.isnan(shown).any(axis=1).all():  # D has not begun yet, say
            return
        self._shown.append(shown)
        if len(self._shown) < INTERVALS:
            return
        features = features_of(self._shown, situation, self._passed)
        off = np.stack([read(each) for read, each in zip(self.readings, features, strict=True)], axis=1)
        self.factors = np.clip(10**-off, 1 / LR_FACTOR, LR_FACTOR)
        self._shown = []


def save_rate_check(path: Path, generator: Reading, discriminator: Reading, metadata: Mapping[str, Any]) -> None:
    """Writes it as JSON.

    Raises:
        OutputError: it cannot be written.
    """
    readings = {"generator": asdict(generator), "discriminator": asdict(discriminator)}
    write_record(path, {"kind": KIND, **readings, "metadata": dict(metadata)})


def load_rate_check(path: Path, own: Scheduler | None = None) -> RateCheck:
    """Reads it.

    Args:
        path: the file.
        own: the schedule that the loop has by itself.

    Raises:
        FileFormatError: the file is missing, damaged or of another kind.
    """
    known = ("generator", "discriminator", "metadata")
    record = read_record(path, "a rate check", kind=KIND, known=known)
    try:
        generator, discriminator = (Reading.of(record[name]) for name in known[:2])
        return RateCheck(generator, discriminator, record["metadata"], own)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise FileFormatError(f"{path} is not a rate check ({brief(error)})") from None


@register_scheduler(RATE_CHECK)
def shipped_rate_check() -> RateCheck:
    """The loop's own rates, corrected once where the first two intervals show that they are far off."""
    return load_rate_check(FILE)


@register_scheduler(AUTO)
def auto() -> RateCheck:
    """What to take for a loop of your own: `rate-check`, which made tuned loops no worse in the study of practice."""
    return shipped_rate_check()


@register_scheduler(CHECKED_OWN)
def checked_own() -> RateCheck:
    """Schedules as users set them, drawn for each run, with rates checked as ``rate-check`` does."""
    return load_rate_check(FILE, UsersOwn())
