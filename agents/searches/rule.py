"""``rule``: one decay whose numbers are a formula of what a loop knows of itself. It looks at nothing in the run.

It trains without momentum: it sets Adam's beta1 to 0.

The formula is log-linear. For each of the six numbers of a decay, the logarithm to base ten is a sum: one number, and
one for each fact times that fact. ``metagan-rl tune --kind rule`` fits the numbers on training tasks.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metagan_rl.agents.searches.tuned import at_rates, share_of_fall
from metagan_rl.errors import FileFormatError, InvalidValueError, brief
from metagan_rl.loop.controls import Controls
from metagan_rl.loop.knobs import KNOBS
from metagan_rl.loop.scheduler import Scheduler, Situation, register_scheduler
from metagan_rl.records import read_json, read_record, write_record

FILE = Path(__file__).with_name("schedules") / "rule.json"
KIND = "metagan-rl rule"
FACTS = ("budget", "batch", "size", "columns", "momentum", "rows")
"""Signals that the formula takes into account. A loop that does not know one is taken for a usual one."""
USUAL = np.array([0.0, 0.0, 0.0, 0.0, 0.1505, 0.0])
"""Values of the facts at which they change nothing: 3,072 updates, batches of 128, 10,000 weights, two columns, beta1
0.5, 4,096 rows."""
NUMBERS = ("generator_lr", "discriminator_lr", "generator_fall", "discriminator_fall", "hold", "penalty_weight")
"""What the formula gives: both rates while they are held; what they are divided by at the end; the share of the budget
during which they are held, which is not a logarithm; the penalty's weight."""
CHOSEN = {"ratio": "1:1", "loss": "non-saturating"}
"""What the rule sets everywhere, as ``tuned-decay`` does."""
BETA1 = 0.0
"""Decay rate of Adam's first moment that the shipped rule sets everywhere."""
MOMENTUM = 1 + FACTS.index("momentum")
"""Column of the momentum in the formula."""
LOWEST = np.array([-5.0, -5.0, 0.0, 0.0, 0.0, -4.0])
HIGHEST = np.array([-0.5, -0.5, 3.0, 3.0, 0.9, 1.0])
"""Bounds of the numbers before powers are taken."""


@dataclass(frozen=True)
class Formula:
    """The coefficients of the rule: for each of ``NUMBERS`` one at usual facts, then one for each of ``FACTS``.

    Attributes:
        generator_lr, discriminator_lr, generator_fall, discriminator_fall, hold, penalty_weight: coefficients.

    Raises:
        InvalidValueError: there is not one finite number for each.
    """

    generator_lr: tuple[float, ...]
    discriminator_lr: tuple[float, ...]
    generator_fall: tuple[float, ...]
    discriminator_fall: tuple[float, ...]
    hold: tuple[float, ...]
    penalty_weight: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in NUMBERS:
            given = getattr(self, name)
            if len(given) != 1 + len(FACTS) or not np.isfinite(given).all():
                raise InvalidValueError(f"{name} of a rule is {given}; it must be {1 + len(FACTS)} finite numbers")

    @property
    def matrix(self) -> np.ndarray:
        """The coefficients, ``[6, 7]``."""
        return np.array([getattr(self, name) for name in NUMBERS])

    @classmethod
    def of(cls, matrix: np.ndarray) -> "Formula":
        """The formula with these coefficients ``[6, 7]``."""
        return cls(**{name: tuple(row) for name, row in zip(NUMBERS, matrix.tolist(), strict=True)})


def facts_of(situation: Situation) -> np.ndarray:
    """A one and the facts of B runs, less their usual values, ``[B, 7]``."""
    facts = np.ones((len(situation), 1 + len(FACTS)))
    for column, name in enumerate(FACTS):
        facts[:, 1 + column] = situation.signals.get(name, np.nan) - USUAL[column]
    return np.nan_to_num(facts, nan=0.0)


class Rule(Scheduler):
    """One decay of both rates whose numbers are a log-linear formula of what a loop knows of itself.

    The rates are held, then fall exponentially to the end. Loss and ratio are always ``CHOSEN``. It sees the
    absolute base rates, in order to set its own.

    Args:
        formula: the coefficients.
        metadata: where they come from; kept in the file.
        departures: what to add to the numbers of each run, ``[B, 6]``, for a search; by default nothing.
        beta1: decay rate of Adam's first moment that it sets, in [0, 1). The formula's term of the momentum then
            counts nothing, as all runs have the same. ``None`` leaves each run its own, which that term answers. So
            does a user's loop, whose momentum is no knob.
    """

    source = "a log-linear formula fitted on the training split of wide, by metagan-rl tune --kind rule"

    def __init__(
        self,
        formula: Formula,
        metadata: Mapping[str, Any] | None = None,
        departures: np.ndarray | None = None,
        beta1: float | None = None,
    ) -> None:
        self.formula, self.metadata, self.beta1 = formula, dict(metadata or {}), beta1
        self.cost = int(self.metadata.get("gan_updates", 0))
        self._departures = departures

    def numbers(self, situation: Situation) -> dict[str, np.ndarray]:
        """The numbers of each run's decay by name, ``[B]`` each."""
        facts = facts_of(situation)
        if self._sets_beta1(situation):
            facts[:, MOMENTUM] = 0
        values = facts @ self.formula.matrix.T
        values = np.clip(values if self._departures is None else values + self._departures, LOWEST, HIGHEST)
        return {name: column if name == "hold" else 10**column for name, column in zip(NUMBERS, values.T, strict=True)}

    def propose(self, situation: Situation) -> Controls:
        """The decay's controls.

        Raises:
            InvalidValueError: the situation does not have the base rates.
        """
        told = self.numbers(situation)
        along = share_of_fall(situation, told["hold"])
        rates = [told[f"{name}_lr"] * told[f"{name}_fall"] ** -along for name in ("generator", "discriminator")]
        chosen = {**CHOSEN, "beta1": self.beta1} if self._sets_beta1(situation) else CHOSEN
        choices = {name: np.full(len(situation), KNOBS[name].value(value)) for name, value in chosen.items()}
        return at_rates(situation, *rates).replace(penalty_weight=told["penalty_weight"], **choices)

    def _sets_beta1(self, situation: Situation) -> bool:
        return self.beta1 is not None and "beta1" in situation.base.knobs


def save_rule(path: str | Path, rule: Rule) -> None:
    """Writes a rule as JSON.

    Raises:
        OutputError: it cannot be written.
    """
    record = {"kind": KIND, "facts": list(FACTS), "beta1": rule.beta1, "formula": asdict(rule.formula)}
    write_record(Path(path), {**record, "metadata": rule.metadata})


def is_rule(path: str | Path) -> bool:
    """Whether a file says that it holds a rule."""
    try:
        record = read_json(Path(path), "a rule")
    except FileFormatError:
        return False
    return isinstance(record, dict) and record.get("kind") == KIND


def load_rule(path: str | Path) -> Rule:
    """Reads a rule's file.

    Raises:
        FileFormatError: the file is missing, damaged or of another kind.
    """
    record = read_record(Path(path), "a rule", kind=KIND, known=("facts", "beta1", "formula", "metadata"), strict=False)
    try:
        if record["facts"] != list(FACTS):
            raise ValueError(f"its facts are {record['facts']}")
        formula = Formula(**{name: tuple(row) for name, row in record["formula"].items()})
        beta1 = record.get("beta1")
        if beta1 is not None:
            KNOBS["beta1"].checked(np.array([KNOBS["beta1"].value(beta1)]))
        return Rule(formula, record["metadata"], beta1=beta1)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise FileFormatError(f"{path} is not a rule ({brief(error)})") from None


@register_scheduler("rule")
def shipped_rule() -> Rule:
    """One decay without momentum, whose numbers are a formula of a loop's budget, batch, size, columns and rows."""
    return load_rule(FILE)
