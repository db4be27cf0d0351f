"""Advice: how a run is doing, from what its loop tells; and whether it is worse than its own past.

| status | sign, in 3 intervals in a row unless said otherwise |
|---|---|
| diverged | losses or logits were not finite in half of the steps of one interval, or weights are not finite |
| collapsing | the spread of generated logits, beside that of real ones, is a tenth of what is usual |
| collapsing | G's gradient norm is below a hundredth of its first interval's |
| collapsing | D ordered most pairs (60 %) wrongly in 3 of the last 10 intervals, from the 20th on |
| collapsing | quality is worse than its best by the margin |
| saturated | D orders 99 % of pairs rightly, or its loss is below an eighth of its ideal; critics may |

An interval in which a sign was not measured does not count. Usual is the median of the run's own past, of at least 10
intervals. These are rules of thumb: where the lines are drawn was measured nowhere, and a GAN may lose its modes
without any of these signs.
"""

from dataclasses import dataclass
from statistics import median
from typing import Any

STATUSES = ("ok", "saturated", "collapsing", "diverged")
PATIENCE = 3
"""Intervals in a row."""
PAST = 10
"""Intervals before anything is usual. An untrained D orders pairs at random, which is nothing to go back to."""
LONGEST_PAST = 64
WRONG = -0.2
"""Pair accuracy, as a signal in [-1, 1], of a D that orders 60 % of the pairs wrongly."""


@dataclass(frozen=True)
class Advice:
    """How a run is doing.

    Attributes:
        status: one of ``STATUSES``.
        message: a sentence.
        roll_back_to: the last step at which nothing was wrong, if going back is what we advise.
    """

    status: str = "ok"
    message: str = "nothing has been measured yet"
    roll_back_to: int | None = None

    def __str__(self) -> str:
        return f"{self.status}: {self.message}"


@dataclass
class Health:
    """Judges one run, interval by interval.

    Attributes:
        critic: the loss has no ideal, so that D may order all pairs.
        margin: by what factor quality (lower is better) may be worse than its best.
    """

    critic: bool
    margin: float

    def __post_init__(self) -> None:
        self._spreads: list[float] = []
        self._saturations: list[float] = []
        self._orders: list[float] = []
        self._streaks = {"spread": 0, "gradient": 0, "quality": 0, "chase": 0, "saturated": 0}
        self._best = float("inf")
        self._last_good = 0

    def judge(self, step: int, signals: dict[str, float], told: dict[str, float]) -> tuple[Advice, bool]:
        """Advice after the interval that ended at a step, and whether the run is worse than its own past.

        Args:
            step: now.
            signals: known ones of the interval, before clipping.
            told: ``bad`` and ``spread`` of :class:`LoopMeter`, and ``quality`` if given.
        """
        if told["bad"] >= 0.5:
            what = f"losses or logits were not finite in {told['bad']:.0%} of the last interval's steps"
            return self._advice("diverged", what), True
        found = self._found(signals, told)
        for name, sign in found.items():
            if sign is not None:  # what was not measured in this interval ends nothing
                self._streaks[name] = self._streaks[name] + 1 if sign else 0
        for name, sign in found.items():
            if (self._streaks[name] >= PATIENCE or name == "chase") and sign and name != "saturated":
                return self._advice("collapsing", sign), True
        if self._streaks["saturated"] >= PATIENCE and found["saturated"]:
            usual = median(self._saturations) if len(self._saturations) >= PAST else 1.0
            return Advice("saturated", f"{found['saturated']}; slow D down or regularise it more"), usual < 0.5
        if "saturation" in signals and not found["saturated"]:
            self._saturations = [*self._saturations, signals["saturation"]][-LONGEST_PAST:]
        if not told["bad"] and not any(found.values()) and signals.get("pair_accuracy", 0.0) >= WRONG:
            self._last_good = step
        if not signals:
            return Advice("ok", "nothing was given to judge by"), False
        note = f"; {told['bad']:.0%} of the steps were not finite" if told["bad"] else ""
        return Advice("ok", f"no sign of trouble{note}"), False

    def state_dict(self) -> dict[str, Any]:
        """All that is remembered."""
        return {
            "spreads": list(self._spreads),
            "saturations": list(self._saturations),
            "orders": list(self._orders),
            "streaks": dict(self._streaks),
            "best": self._best,
            "last_good": self._last_good,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from there."""
        self._spreads, self._saturations = list(state["spreads"]), list(state["saturations"])
        self._orders, self._streaks = list(state["orders"]), dict(state["streaks"])
        self._best, self._last_good = float(state["best"]), int(state["last_good"])

    def _found(self, signals: dict[str, float], told: dict[str, float]) -> dict[str, str | None]:
        """What is wrong in this interval by itself, by sign: a sentence, empty for nothing, ``None`` if unmeasured."""
        found: dict[str, str | None] = dict.fromkeys(("quality", "spread", "gradient", "chase", "saturated"))
        spread, quality = told["spread"], told.get("quality", float("nan"))
        if quality > 0:
            self._best, found["quality"] = min(self._best, quality), ""
            if quality > self.margin * self._best:
                found["quality"] = f"quality is {quality:.4g}, {quality / self._best:.2g} times its best"
        if spread == spread:  # not NaN
            found["spread"] = ""
            if len(self._spreads) >= PAST and spread < median(self._spreads) - 1:
                part = 10 ** (spread - median(self._spreads))
                found["spread"] = f"generated logits are spread {part:.1%} as wide as usual; samples may be all alike"
            else:
                self._spreads = [*self._spreads, spread][-LONGEST_PAST:]
        if "vanishing" in signals:
            gone = signals["vanishing"] >= 0.5
            found["gradient"] = "G's gradient has fallen below a hundredth of its first interval's" if gone else ""
        if "pair_accuracy" in signals:
            found["chase"] = ""
            self._orders = [*self._orders, signals["pair_accuracy"]][-2 * PAST :]
            wrong = sum(order < WRONG for order in self._orders[-PAST:])
            if len(self._orders) == 2 * PAST and wrong >= PATIENCE:
                found["chase"] = (
                    f"D ordered most pairs wrongly in {wrong} of the last {PAST} intervals; G runs in circles"
                )
        if self.critic:
            found["saturated"] = ""
        elif "saturation" in signals:
            ordered = signals["saturation"] >= 0.9
            found["saturated"] = "D orders more than 99 % of real and generated pairs rightly" if ordered else ""
        elif "discriminator_loss" in signals:
            low = signals["discriminator_loss"] < -0.9
            found["saturated"] = "D's loss is below an eighth of its ideal" if low else ""
        return found

    def _advice(self, status: str, what: str) -> Advice:
        return Advice(status, f"{what}; roll back to step {self._last_good}", self._last_good)
