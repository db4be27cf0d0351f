"""Advice on how a run is doing, judged from what its loop reports and from the run's own past.

| status | sign, seen in 3 intervals in a row unless stated otherwise |
|---|---|
| diverged | losses or logits were not finite in half of the steps of one interval, or weights are not finite |
| collapsing | the spread of generated logits, relative to real ones, is a tenth of the usual |
| collapsing | G's gradient norm is below a hundredth of its first interval's |
| collapsing | D ordered most pairs (60 %) wrongly in 3 of the last 10 intervals, from the 20th on |
| collapsing | quality is worse than its best by the margin |
| saturated | D orders 99 % of pairs rightly, or its loss is below an eighth of its ideal (not judged for critics) |

An interval does not count for a sign that was not measured in it. The usual is the median over at least 10 intervals of
the run's own past. These are rules of thumb. No measurement stands behind their thresholds, and a GAN may lose modes
without any of these signs.
"""

from dataclasses import dataclass
from statistics import median
from typing import Any

STATUSES = ("ok", "saturated", "collapsing", "diverged")
PATIENCE = 3
"""How many intervals in a row must show a sign."""
PAST = 10
"""Intervals needed before anything is usual. An untrained D orders pairs at random, so its start is no standard."""
LONGEST_PAST = 64
WRONG = -0.2
"""The pair accuracy, as a signal in [-1, 1], of a D that orders 60 % of the pairs wrongly."""


@dataclass(frozen=True)
class Advice:
    """How a run is doing.

    Attributes:
        status: one of ``STATUSES``.
        message: a sentence.
        roll_back_to: the last step without a sign of trouble, if the advice is to go back; otherwise ``None``.
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
        critic: whether D is a critic. Its loss has no ideal, so it may order all pairs rightly.
        margin: the factor by which quality (lower is better) may be worse than its best.
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
        """Returns advice after an interval, and whether the run is worse than its own past.

        Args:
            step: the step at which the interval ended.
            signals: the interval's known signals, before clipping.
            told: ``bad`` and ``spread`` from :class:`LoopMeter`, and ``quality`` if it was given.
        """
        if told["bad"] >= 0.5:
            what = f"losses or logits were not finite in {told['bad']:.0%} of the last interval's steps"
            return self._advice("diverged", what), True
        found = self._found(signals, told)
        for name, sign in found.items():
            if sign is not None:  # a sign that was not measured leaves its streak as it is
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
        """Everything that is remembered."""
        return {
            "spreads": list(self._spreads),
            "saturations": list(self._saturations),
            "orders": list(self._orders),
            "streaks": dict(self._streaks),
            "best": self._best,
            "last_good": self._last_good,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a saved state."""
        self._spreads, self._saturations = list(state["spreads"]), list(state["saturations"])
        self._orders, self._streaks = list(state["orders"]), dict(state["streaks"])
        self._best, self._last_good = float(state["best"]), int(state["last_good"])

    def _found(self, signals: dict[str, float], told: dict[str, float]) -> dict[str, str | None]:
        """For each sign, a sentence on what is wrong in this interval: empty if nothing is, ``None`` if unmeasured."""
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
