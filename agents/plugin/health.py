"""Advice on how a run is doing, judged from what its loop reports and from the run's own past.

| cause | status | sign |
|---|---|---|
| not finite | diverged | losses or logits in half of the steps of an interval, or weights, are not finite |
| generator, discriminator stands still | stalled | in 2 intervals its weights did not move, and the other's did |
| rates too high | unstable | weights moved by 0.4 of their size, times the root of the steps, in one interval |
| rates too low | stalled | at its fastest, weights move by a fifth of their size in the run (first quarter) |
| one sample | collapsing | samples of a batch differ by a fiftieth of what real ones do, and not by more and more |
| lost modes | narrow | in 5 intervals half of the samples look real, and cover 0.3 as much; 16 times: collapsing |
| narrow logits | collapsing | the spread of generated logits, relative to real ones, is a tenth of the usual |
| generator's gradient dies | collapsing | G's gradient norm is below a hundredth of its first interval's |
| quality falls | collapsing | quality is worse than its best by the margin |
| running in circles | unstable | D ordered most pairs (60 %) wrongly in 3 of the last 10 intervals, not before |
| discriminator ahead | saturated | D orders 99 % of pairs rightly, or its loss is an eighth of its ideal (no critics) |

Unless stated otherwise a sign must be seen in 3 intervals in a row, and one of samples for 40 rounds. An interval does
not count for a sign that was not measured in it. The usual is the median over at least 10 intervals of the run's own
past. The first cause in this order is told. ``experiments/studies/detector_study.py`` measures how often it is right.
"""

import math
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

STATUSES = ("ok", "stalled", "saturated", "narrow", "unstable", "collapsing", "diverged")
PATIENCE = 3
"""How many intervals in a row must show a sign."""
PAST = 10
"""Intervals needed before anything is usual. An untrained D orders pairs at random, so its start is no standard."""
LONGEST_PAST = 64
WRONG = -0.2
"""The pair accuracy, as a signal in [-1, 1], of a D that orders 60 % of the pairs wrongly."""
STILL = 1e-7
TOO_FAST, ENOUGH_STEPS = 0.4, 4
"""A relative move, divided by the root of the number of steps, that no network survives; the first steps of some
optimizers are large."""
TOO_SLOW = 0.2
"""A relative move in a whole run with which no network gets anywhere."""
ALIKE = 0.02
"""Distance within a generated batch, relative to real ones, of samples that are all one."""
WIDE = 0.5
"""Distance within a generated batch, relative to real ones, of samples that are about as wide as the data."""
LASTING = 16
"""Intervals after which a run that covers little is collapsing."""
FEW = 0.3
"""Coverage, relative to precision, of samples that look real but leave most of the data out."""
WINDOW = 5
"""Intervals over which precision and coverage are averaged: few samples tell little."""


@dataclass(frozen=True)
class Cause:
    """What may be wrong.

    Attributes:
        status: one of ``STATUSES``.
        remedy: what to try.
        patience: intervals in a row that must show the sign.
        rounds: rounds in a row that must show it: in a short run an interval is but a few.
        spans: intervals that the sign looks at.
        lasting: intervals in a row after which the run is collapsing; 0 if it never is. GANs on their way may leave out
            most of the data for a time.
    """

    status: str
    remedy: str
    patience: int = PATIENCE
    rounds: int = 0
    spans: int = 1
    lasting: int = 0

    def needed(self, steps: float) -> int:
        """Intervals in a row that must show the sign, if each has so many rounds."""
        return max(self.patience, math.ceil(self.rounds / steps) - self.spans + 1)


CAUSES = {
    "not finite": Cause("diverged", "lower both rates, clip gradients, or look for a division by 0", 1),
    "generator stands still": Cause(
        "stalled", "see that G's loss reaches G, and that its optimizer holds G's weights at a rate above 0", 2
    ),
    "discriminator stands still": Cause(
        "stalled", "see that D's loss reaches D, and that its optimizer holds D's weights at a rate above 0", 2
    ),
    "rates too high": Cause("unstable", "start anew with a tenth of the rate", 1),
    "rates too low": Cause("stalled", "raise the rate three to ten times, or train longer"),
    "one sample": Cause("collapsing", "see that noise reaches G; else lower G's rate, or give D a penalty", rounds=40),
    "lost modes": Cause(
        "narrow", "lower G's rate, give D a penalty, or let it see several samples at once", 2, 40, WINDOW, LASTING
    ),
    "narrow logits": Cause("collapsing", "look at samples; if they are all alike, lower G's rate"),
    "generator's gradient dies": Cause("collapsing", "slow D down, or choose a loss that does not saturate"),
    "quality falls": Cause("collapsing", "lower both rates"),
    "running in circles": Cause("unstable", "lower both rates, or give D a penalty", 1),
    "discriminator ahead": Cause("saturated", "slow D down, or give it a penalty"),
}
"""What may be wrong, the first that applies first."""
WORSE = ("diverged", "collapsing", "unstable")
"""Statuses of a run that is worse than its own past."""


@dataclass(frozen=True)
class Advice:
    """How a run is doing.

    Attributes:
        status: one of ``STATUSES``.
        message: what was seen, and what to try.
        roll_back_to: the last step without a sign of trouble, if the advice is to go back; otherwise ``None``.
        cause: what is wrong, one of ``CAUSES``; empty if nothing is.
        evidence: what was seen; empty if nothing is wrong.
        remedy: what to try; empty if nothing is wrong.
    """

    status: str = "ok"
    message: str = "nothing has been measured yet"
    roll_back_to: int | None = None
    cause: str = ""
    evidence: str = ""
    remedy: str = ""

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
        self._past: dict[str, list[float]] = {
            name: []
            for name in ("spread", "saturation", "order", "precision", "coverage", "diversity", "pace", "whole")
        }
        self._streaks = dict.fromkeys(CAUSES, 0)
        self._best = float("inf")
        self._last_good = 0

    def judge(self, step: int, signals: dict[str, float], told: dict[str, float]) -> tuple[Advice, bool]:
        """Returns advice after an interval, and whether the run is worse than its own past.

        Args:
            step: the step at which the interval ended.
            signals: the interval's known signals, before clipping.
            told: ``bad``, ``spread`` and ``pairs`` from :class:`LoopMeter`; ``quality`` if it was given; ``diversity``,
                ``precision`` and ``coverage`` from :class:`SampleKeeper`; ``generator_move`` and
                ``discriminator_move``; ``steps``, rounds of the interval, and ``run``, those of the whole run.
        """
        found = self._found(step, signals, told)
        for name, sign in found.items():
            if sign is not None:  # a sign that was not measured leaves its streak as it is
                self._streaks[name] = self._streaks[name] + 1 if sign else 0
        for name, cause in CAUSES.items():
            sign = found.get(name)
            if sign and self._streaks[name] >= cause.needed(told.get("steps", math.inf)):
                worse = cause.status in WORSE
                if cause.status == "saturated":
                    past = self._past["saturation"]
                    worse = len(past) >= PAST and median(past) < 0.5
                if 0 < cause.lasting <= self._streaks[name]:
                    return self._advice(name, sign, "collapsing"), True
                return self._advice(name, sign), worse
        if "saturation" in signals and not found["discriminator ahead"]:
            self._remember("saturation", signals["saturation"])
        if not told["bad"] and not any(found.values()) and signals.get("pair_accuracy", 0.0) >= WRONG:
            self._last_good = step
        if not signals:
            return Advice("ok", "nothing was given to judge by"), False
        note = f"; {told['bad']:.0%} of the steps were not finite" if told["bad"] else ""
        return Advice("ok", f"no sign of trouble{note}"), False

    def state_dict(self) -> dict[str, Any]:
        """Everything that is remembered."""
        return {
            "past": {name: list(values) for name, values in self._past.items()},
            "streaks": dict(self._streaks),
            "best": self._best,
            "last_good": self._last_good,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from a saved state.

        Raises:
            KeyError, TypeError, ValueError: it is damaged.
        """
        self._past = {name: [float(value) for value in state["past"][name]] for name in self._past}
        self._streaks = {name: int(state["streaks"][name]) for name in CAUSES}
        self._best, self._last_good = float(state["best"]), int(state["last_good"])

    def _found(self, step: int, signals: dict[str, float], told: dict[str, float]) -> dict[str, str | None]:
        """For each cause, a sentence on what was seen in this interval: empty if nothing, ``None`` if unmeasured."""
        found: dict[str, str | None] = dict.fromkeys(CAUSES)
        bad = told["bad"]
        what = f"losses or logits were not finite in {bad:.0%} of the last interval's steps"
        found["not finite"] = what if bad >= 0.5 else ""
        if bad < 0.5:
            self._look_at_moves(found, step, told)
            self._look_at_samples(found, told)
            self._look_at_logits(found, signals, told)
        return found

    def _look_at_moves(self, found: dict[str, str | None], step: int, told: dict[str, float]) -> None:
        moves = {name: told.get(f"{name}_move", math.nan) for name in ("generator", "discriminator")}
        moves = {name: move for name, move in moves.items() if move == move}  # not NaN
        if not moves or not told.get("steps"):
            return
        for name, move in moves.items():
            still = f"{name}'s weights did not move"
            found[f"{name} stands still"] = still if move < STILL and max(moves.values()) >= STILL else ""
        fastest, pace = max(moves, key=lambda name: moves[name]), max(moves.values()) / math.sqrt(told["steps"])
        seen = f"{fastest}'s weights moved by {moves[fastest]:.2g} times their size in {told['steps']:.0f} steps"
        found["rates too high"] = seen if pace > TOO_FAST and told["steps"] >= ENOUGH_STEPS else ""
        self._remember("pace", pace)
        slowest = min(moves, key=lambda name: moves[name])
        self._remember("whole", moves[slowest] * told["run"] / told["steps"])
        whole = max(self._past["whole"])  # a decay is no sign of rates that are too low
        # Neither a decay nor a warm-up: told in the first quarter, and from then on while it stays so
        begun = step <= told["run"] / 4 or self._streaks["rates too low"] >= CAUSES["rates too low"].patience
        early = begun and pace < 1.5 * self._past["pace"][0]
        seen = f"at the fastest pace so far {slowest}'s weights move by {whole:.2g} of their size in the whole run"
        found["rates too low"] = seen if early and moves[slowest] >= STILL and whole < TOO_SLOW else ""

    def _look_at_samples(self, found: dict[str, str | None], told: dict[str, float]) -> None:
        diversity = told.get("diversity", math.nan)
        if diversity == diversity:
            self._remember("diversity", diversity)
            wider = diversity > 1.5 * self._past["diversity"][-PATIENCE:][0] > 0
            seen = f"samples of a batch differ by {diversity:.1%} of what real ones do"
            found["one sample"] = seen if diversity < ALIKE and not wider else ""
        if "precision" in told:
            for name in ("precision", "coverage"):
                self._remember(name, told[name])
            window = {name: self._past[name][-WINDOW:] for name in ("precision", "coverage")}
            precision, coverage = (mean(values) for values in window.values())
            # A G on its way passes amid the data too, but does not stay there; one that begins small is not wide
            stays = len(window["precision"]) == WINDOW and min(window["precision"]) >= 0.4
            was_wider = diversity >= WIDE or coverage <= max(self._past["coverage"]) / 2
            lost = (
                stays and precision >= 0.5 and coverage <= FEW * precision and was_wider and found["one sample"] == ""
            )
            seen = f"{precision:.0%} of the samples look real, but {coverage:.0%} of the real ones are covered"
            found["lost modes"] = seen if lost else ""

    def _look_at_logits(self, found: dict[str, str | None], signals: dict[str, float], told: dict[str, float]) -> None:
        spread, quality = told["spread"], told.get("quality", math.nan)
        if quality > 0:
            self._best = min(self._best, quality)
            worse = quality > self.margin * self._best
            found["quality falls"] = (
                f"quality is {quality:.4g}, {quality / self._best:.2g} times its best" if worse else ""
            )
        if spread == spread:
            past, found["narrow logits"] = self._past["spread"], ""
            if len(past) >= PAST and spread < median(past) - 1:
                part = 10 ** (spread - median(past))
                found["narrow logits"] = (
                    f"generated logits are spread {part:.1%} as wide as usual; samples may be all alike"
                )
            else:
                self._remember("spread", spread)
        if "vanishing" in signals:
            gone = "G's gradient has fallen below a hundredth of its first interval's"
            found["generator's gradient dies"] = gone if signals["vanishing"] >= 0.5 else ""
        if "pair_accuracy" in signals:
            # With few pairs, chance alone orders many wrongly: 2.5 deviations count as much as WRONG
            certainty = min(1.0, -WRONG * math.sqrt(told.get("pairs", math.inf)) / 2.5)
            self._remember("order", signals["pair_accuracy"] * certainty)
            orders = self._past["order"]
            wrong = sum(order < WRONG for order in orders[-PAST:])
            seen = f"D ordered most pairs wrongly in {wrong} of the last {PAST} intervals; G runs in circles"
            learned = len(orders) >= 2 * PAST and max(orders[:-PAST]) >= -WRONG  # else it may only be untrained
            found["running in circles"] = seen if learned and wrong >= PATIENCE else ""
        if self.critic:
            found["discriminator ahead"] = ""
        elif "saturation" in signals:
            ordered = "D orders more than 99 % of real and generated pairs rightly"
            found["discriminator ahead"] = ordered if signals["saturation"] >= 0.9 else ""
        elif "discriminator_loss" in signals:
            low = "D's loss is below an eighth of its ideal"
            found["discriminator ahead"] = low if signals["discriminator_loss"] < -0.9 else ""

    def _remember(self, name: str, value: float) -> None:
        self._past[name] = [*self._past[name], value][-LONGEST_PAST:]

    def _advice(self, name: str, seen: str, status: str = "") -> Advice:
        cause = CAUSES[name]
        status = status or cause.status
        back = self._last_good if status in ("diverged", "collapsing") else None
        rolled = "" if back is None else f"; roll back to step {back}"
        return Advice(status, f"{name}: {seen}{rolled}; {cause.remedy}", back, name, seen, cause.remedy)
