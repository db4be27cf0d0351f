"""``identified-rule``: the rule, at rates that are read off how far the weights went in the first interval.

Where rates do not suit a network, nobody need tell: its weights move too far, or hardly at all. For each network a
formula turns the move into a factor, by which the rates that arrive seem to differ from those that were set. It is
log-linear, as the rule's. ``python -m metagan_rl.experiments.studies.identify`` fits it on training tasks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from metagan_rl.agents.searches.rule import FACTS, facts_of, shipped_rule
from metagan_rl.errors import FileFormatError, InvalidValueError, brief
from metagan_rl.loop.controls import Controls
from metagan_rl.loop.scheduler import Scheduler, Situation, register_scheduler
from metagan_rl.loop.signals import USUAL_BUDGET
from metagan_rl.records import read_record, write_record

FILE = Path(__file__).with_name("schedules") / "identification.json"
KIND = "metagan-rl identification"
SEEN = ("generator_move", "discriminator_move")
TAKEN = FACTS[:-1]
"""The facts of the rule that the formula takes into account. Rows tell nothing of rates."""
FEATURES = ("one", "move", "move squared", "updates", "rate", *TAKEN)
"""What a formula adds up: the signal of the move and its square, log10 of the updates of the interval / 192 and of the
rate that was set / 0.001, and facts of the rule."""
MOST = 1.5
"""Decades by which rates may seem to be off."""


@dataclass(frozen=True)
class Identification:
    """The coefficients of both networks, one for each of ``FEATURES``.

    Attributes:
        generator, discriminator: coefficients.

    Raises:
        InvalidValueError: there is not one finite number for each.
    """

    generator: tuple[float, ...]
    discriminator: tuple[float, ...]

    def __post_init__(self) -> None:
        for name, given in asdict(self).items():
            if len(given) != len(FEATURES) or not np.isfinite(given).all():
                raise InvalidValueError(f"{name} is {given}; it must be {len(FEATURES)} finite numbers")


def features_of(situation: Situation) -> np.ndarray:
    """What the formulas add up for B runs after their first interval, ``[2, B, 10]`` for G and D.

    Raises:
        InvalidValueError: the situation does not have the base rates.
    """
    if situation.rates is None:
        raise InvalidValueError("rates cannot be identified where the situation does not tell the base rates")
    facts = facts_of(situation)[:, : 1 + len(TAKEN)]
    updates = situation.progress * USUAL_BUDGET * 10 ** situation.signals["budget"]
    factors = (situation.controls.generator_lr_factor, situation.controls.discriminator_lr_factor)
    found = []
    for place, (name, factor) in enumerate(zip(SEEN, factors, strict=True)):
        move, rate = situation.signals[name], np.log10(situation.rates[:, place] * factor / 1e-3)
        columns = [facts[:, 0], move, move**2, np.log10(np.maximum(updates, 1) / 192), rate, *facts[:, 1:].T]
        found.append(np.stack(columns, axis=1))
    return np.array(found)


class IdentifiedRule(Scheduler):
    """The rule, with base rates corrected by what the weights' first moves tell of them.

    Args:
        identification: the coefficients.
        metadata: where they come from; kept in the file.
    """

    source = "the rule, and a formula fitted on the training split of wide, by the study identify"
    remembers = ("factors",)
    needs = SEEN

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
        coefficients = np.array([self.identification.generator, self.identification.discriminator])
        logs = np.einsum("nbf,nf->bn", features_of(situation), coefficients)
        return np.asarray(10 ** np.clip(np.nan_to_num(logs, nan=0.0), -MOST, MOST))


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
        formulas = {name: tuple(map(float, record[name])) for name in ("generator", "discriminator")}
        return IdentifiedRule(Identification(**formulas), record["metadata"])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise FileFormatError(f"{path} is not an identification ({brief(error)})") from None


@register_scheduler("identified-rule")
def shipped_identified_rule() -> IdentifiedRule:
    """The rule, at rates that are read off how far the weights went in the first interval."""
    return load_identification(FILE)
