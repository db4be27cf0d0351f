"""``identified-rule``: the rule, at rates that are read off what the first interval did to both networks.

Where rates do not suit a network, nobody need tell. Its weights move too far, or hardly at all, and D's answers show
it. For each network a formula turns that into a factor, by which the rates that arrive seem to differ from those that
were set. The formula is quadratic in a few features. It knows how far it errs, and a factor that may be an error alone
is taken for none. ``python -m metagan_rl.experiments.studies.identify`` fits it on training tasks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from metagan_rl.agents.searches.reading import MOVES, OUTPUTS, Reading
from metagan_rl.agents.searches.rule import FACTS, facts_of, shipped_rule
from metagan_rl.errors import FileFormatError, InvalidValueError, brief
from metagan_rl.loop.controls import Controls
from metagan_rl.loop.scheduler import Scheduler, Situation, register_scheduler
from metagan_rl.loop.signals import USUAL_BUDGET
from metagan_rl.records import read_record, write_record

FILE = Path(__file__).with_name("schedules") / "identification.json"
KIND = "metagan-rl identification"
IDENTIFIED = "identified-rule"
TAKEN = tuple(name for name in FACTS if name not in ("momentum", "rows"))
"""The facts of the rule that the formula takes into account. The rule trains all without momentum, and rows tell
nothing of rates."""
FEATURES = ("one", "move", "rate", "other move", "other rate", "updates", *TAKEN, *OUTPUTS)
"""What a formula is made of: signals of how far this network's weights moved and the other's; log10 of both rates that
were set / 0.001 and of the updates of the interval / 192; facts of the rule; signals of D's answers."""


@dataclass(frozen=True)
class Identification:
    """The readings of both networks.

    Attributes:
        generator, discriminator: how each one's rate is read.
    """

    generator: Reading
    discriminator: Reading

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Log10 of the factors ``[B, 2]``, from features ``[2, B, F]``."""
        return np.stack([self.generator(features[0]), self.discriminator(features[1])], axis=1)


def features_of(situation: Situation) -> np.ndarray:
    """What the formulas are made of, for B runs after their first interval, ``[2, B, F]`` for G and D.

    Raises:
        InvalidValueError: the situation does not have the base rates.
    """
    if situation.rates is None:
        raise InvalidValueError("rates cannot be identified where the situation does not tell the base rates")
    count = len(situation)
    facts = facts_of(situation)[:, [1 + FACTS.index(name) for name in TAKEN]]
    updates = np.log10(np.maximum(situation.progress * USUAL_BUDGET * 10 ** situation.signals["budget"], 1) / 192)
    outputs = [np.nan_to_num(np.clip(situation.signals.get(name, np.zeros(count)), -1, 1)) for name in OUTPUTS]
    factors = (situation.controls.generator_lr_factor, situation.controls.discriminator_lr_factor)
    rates = [np.log10(situation.rates[:, place] * factor / 1e-3) for place, factor in enumerate(factors)]
    moves = [situation.signals[name] for name in MOVES]
    found = []
    for own, other in ((0, 1), (1, 0)):
        columns = [np.ones(count), moves[own], rates[own], moves[other], rates[other], updates, *facts.T, *outputs]
        found.append(np.stack(columns, axis=1))
    return np.array(found)


class IdentifiedRule(Scheduler):
    """The rule, with base rates corrected by what the first interval tells of them.

    Args:
        identification: how rates are read.
        metadata: where they come from; kept in the file.
    """

    source = "the rule, and a formula fitted on the training split of wide, by the study identify"
    remembers = ("factors",)
    needs = (*MOVES, *OUTPUTS)

    def __init__(self, identification: Identification, metadata: Mapping[str, Any] | None = None) -> None:
        self.identification, self.metadata = identification, dict(metadata or {})
        self._rule = shipped_rule()
        self.cost = self._rule.cost + int(self.metadata.get("gan_updates", 0))
        self.factors: np.ndarray | None = None
        """By what the rates that arrive seem to differ from those that are set, ``[B, 2]``; ``None`` until known."""

    def begin(self, seeds: Sequence[int]) -> None:
        """Forgets what was identified."""
        self.factors = None

    def propose(self, situation: Situation) -> Controls:
        """The rule's controls; from the second interval on for the rates that were identified.

        Raises:
            InvalidValueError: the situation does not have the base rates.
        """
        if self.factors is None and (situation.progress > 0).any():
            self.factors = self._identified(situation)
        if self.factors is None or situation.rates is None:
            return self._rule.propose(situation)
        return self._rule.propose(replace(situation, rates=situation.rates * self.factors))

    def _identified(self, situation: Situation) -> np.ndarray:
        return 10 ** self.identification(features_of(situation))


def save_identification(path: Path, identification: Identification, metadata: Mapping[str, Any]) -> None:
    """Writes it as JSON.

    Raises:
        OutputError: it cannot be written.
    """
    record = {"kind": KIND, "features": list(FEATURES), **asdict(identification), "metadata": dict(metadata)}
    write_record(path, record)


def load_identification(path: Path) -> IdentifiedRule:
    """Reads it.

    Raises:
        FileFormatError: the file is missing, damaged or of another kind.
    """
    known = ("features", "generator", "discriminator", "metadata")
    record = read_record(path, "an identification", kind=KIND, known=known)
    try:
        if record["features"] != list(FEATURES):
            raise ValueError(f"its features are {record['features']}")
        readings = {name: Reading.of(record[name]) for name in ("generator", "discriminator")}
        return IdentifiedRule(Identification(**readings), record["metadata"])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise FileFormatError(f"{path} is not an identification ({brief(error)})") from None


@register_scheduler(IDENTIFIED)
def shipped_identified_rule() -> IdentifiedRule:
    """The rule, at rates that are read off what the first interval did to both networks."""
    return load_identification(FILE)
