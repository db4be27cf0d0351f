"""The ledger of some runs: measurements go in; signals, stability terms and the reward come out.

Environments, the benchmark and the plug-in for a user's own loop all keep what they know of a run in this class. What
was not measured is NaN. It gives no signal and earns no reward.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from metagan_rl.errors import InvalidValueError
from metagan_rl.evaluation import Evaluation
from metagan_rl.loop.controls import Controls
from metagan_rl.loop.knobs import KNOBS
from metagan_rl.loop.reward import Reward
from metagan_rl.loop.setup import Setup
from metagan_rl.loop.signals import SIGNALS, SLOPES, Known, bounded, knob_signals
from metagan_rl.metrics.stability import STABILITY_TERMS, StabilityMonitor
from metagan_rl.populations.measurements import Measurements

VERSION = 1
BEFOREHAND = ("clock", "setup")
"""What signals need that are known before the first interval."""
WITHOUT = {
    "vanishing": "generator_gradient",
    "gradient_decline": "generator_gradient",
    "saturation": "pair_accuracy",
}
"""Signals and the measurement each is made of. Without it the signal would be 0, which would look healthy."""


@dataclass(frozen=True)
class Outcome:
    """What one interval did, ``[B]`` each.

    Attributes:
        reward: sum of the terms; 0 where quality was not measured.
        terms: the weighted terms of the reward, by name.
        stability: the unweighted stability terms in [0, 1], by name.
        diverged: the run blew up in this interval.
        finished: the budget is spent.
    """

    reward: np.ndarray
    terms: dict[str, np.ndarray]
    stability: dict[str, np.ndarray]
    diverged: np.ndarray
    finished: np.ndarray


class Ledger:
    """What is known of B runs, carried from one interval to the next.

    Args:
        controls: the controls of each run's base.
        budget: total number of updates, ``[B]``.
        reward: weights of the reward.
        setup: what the loops know of themselves; by default nothing is known.
    """

    def __init__(
        self, controls: Controls, budget: np.ndarray, reward: Reward | None = None, setup: Setup | None = None
    ) -> None:
        count = len(controls)
        self.reward = reward or Reward()
        self.setup = setup or Setup.unknown(count)
        """What the loops know of themselves."""
        self.controls = controls
        """Controls of the last interval; before the first, those of the base."""
        self.budget = np.asarray(budget, dtype=np.float64)
        self.updates = np.zeros(count)
        self.quality = Evaluation(*(np.full(count, np.nan) for _ in fields(Evaluation)))
        """The latest evaluation."""
        self.floor, self.start, self.best = (np.full(count, np.nan) for _ in range(3))
        self.monitor = StabilityMonitor(count)
        self._measured = Measurements.empty(count)
        self._distance_before = np.full(count, np.nan)
        self._decline = np.full(count, np.nan)
        self._stability: dict[str, np.ndarray] = {}
        self._latest: dict[str, np.ndarray] = {}
        self._before: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.budget)

    def begin(
        self, members: np.ndarray, controls: Controls, budget: np.ndarray, quality: Evaluation, floor: np.ndarray
    ) -> None:
        """Starts new runs in some places.

        Args:
            members: indices of the places, ``[b]``.
            controls: controls of the new runs' bases.
            budget: total number of updates, ``[b]``.
            quality: evaluation before any training.
            floor: quality distance from real points to other real points, ``[b]``.
        """
        self.controls = self.controls.put(members, controls)
        merged = {name: values.copy() for name, values in vars(self.quality).items()}
        for name, values in merged.items():
            values[members] = getattr(quality, name)
        self.quality = Evaluation(**merged)
        self.budget[members], self.updates[members] = budget, 0
        self.floor[members] = floor
        self.start[members] = self.best[members] = quality.distance
        self.monitor.restart(members, np.log(quality.distance), quality.coverage)
        self._distance_before[members] = self._decline[members] = np.nan
        self._measured.put(members, Measurements.empty(len(members)))
        for values in (*self._stability.values(), *self._latest.values(), *self._before.values()):
            values[members] = 0.0

    def record(
        self,
        measured: Measurements,
        controls: Controls,
        updates: float | np.ndarray,
        quality: Evaluation,
        floor: np.ndarray | None = None,
    ) -> Outcome:
        """Records one interval.

        Args:
            measured: measurements of the B runs; NaN where nothing was measured.
            controls: the controls that were in force.
            updates: updates done in the interval.
            quality: evaluation after the interval; NaN where not measured.
            floor: as in :meth:`begin`, if it was not known before.
        """
        left = np.maximum((self.budget - self.updates) / updates, 1)
        self._measured, self.controls = bounded(measured), controls
        self.updates = self.updates + updates
        self._distance_before, self.quality = self.quality.distance, quality
        self.floor = self.floor if floor is None else floor
        self.start = np.where(np.isnan(self.start), quality.distance, self.start)
        self.best = np.fmin(self.best, quality.distance)
        diverged = measured.diverged > 0
        stability = self.monitor.update(self._measured, np.log(quality.distance), np.nan_to_num(quality.coverage))
        self._decline = self.monitor.gradient_decline(self._measured)
        self._stability, self._before = stability, self._latest
        self._latest = {name: SIGNALS[name].formula(self._known()) for name in SLOPES}
        imbalance = self._measured.generator_loss - self._measured.discriminator_loss
        terms = self.reward.terms(
            self._distance_before, quality.distance, stability, diverged, left, imbalance,
            share=updates / self.budget, start=self.start,
        )  # fmt: skip
        judged = ~np.isnan(self._distance_before + quality.distance)
        total = np.sum(list(terms.values()), axis=0)
        return Outcome(
            reward=np.where(judged, np.nan_to_num(total), 0.0),
            terms=terms,
            stability=dict(stability),
            diverged=diverged,
            finished=self.updates >= self.budget,
        )

    def seen(self) -> dict[str, np.ndarray]:
        """Signals made from measurements, by name, ``[B]`` each, not clipped. Signals that no run has are left out."""
        if not self._stability and np.isnan(self.quality.distance).all():
            return {}
        known = self._known()
        values = {
            name: signal.formula(known)
            for name, signal in zip(SIGNALS, SIGNALS.values(), strict=True)
            if signal.needs not in BEFOREHAND
            and (self._stability or signal.needs == "quality")
            and self._is_there(name)
        }
        for name, source in WITHOUT.items():
            if name in values:
                values[name] = np.where(np.isnan(getattr(self._measured, source)), np.nan, values[name])
        for name, needed in (("oscillation", self.quality.distance), ("mode_loss", self.quality.coverage)):
            if name in values:
                values[name] = np.where(np.isnan(needed), np.nan, values[name])
        return {name: value for name, value in values.items() if not np.isnan(value).all()}

    def _is_there(self, name: str) -> bool:
        return bool(self._stability) or name not in ("oscillation", "mode_loss")

    def signals(self) -> dict[str, np.ndarray]:
        """All signals by name, ``[B]`` each, not clipped. Signals that are not known for any run are left out."""
        known = self._known()
        knobs = [KNOBS[name].with_all_levels() for name in self.controls.knobs]
        of_knobs = [signal for knob in knobs for signal in knob_signals(knob)]
        beforehand = [signal for signal in SIGNALS.values() if signal.needs in BEFOREHAND]
        told = {signal.name: signal.formula(known) for signal in (*of_knobs, *beforehand)}
        return {**self.seen(), **{name: values for name, values in told.items() if not np.isnan(values).all()}}

    def take(self, sources: np.ndarray) -> None:
        """Replaces all that is known of each run with what is known of its source, after runs were copied."""
        self.monitor.take(sources)
        for name in ("budget", "updates", "floor", "start", "best", "_distance_before", "_decline"):
            setattr(self, name, getattr(self, name)[sources])
        self.controls = self.controls[sources]
        self.setup = self.setup.take(sources)
        self.quality = Evaluation(**{name: values[sources] for name, values in vars(self.quality).items()})
        self._measured = Measurements(**{name: values[sources] for name, values in vars(self._measured).items()})
        self._stability = {name: values[sources] for name, values in self._stability.items()}
        self._latest = {name: values[sources] for name, values in self._latest.items()}
        self._before = {name: values[sources] for name, values in self._before.items()}

    def state_dict(self) -> dict[str, Any]:
        """Everything it remembers except the reward's weights, as numbers, words and lists of them."""
        return {
            "version": VERSION,
            "controls": [self.controls.describe(member) for member in range(len(self))],
            "quality": _lists(vars(self.quality)),
            "measured": _lists(vars(self._measured)),
            "stability": _lists(self._stability),
            "latest": _lists(self._latest),
            "before": _lists(self._before),
            "monitor": self.monitor.state_dict(),
            **{name: getattr(self, name).tolist() for name in NUMBERS},
            **{name: getattr(self, f"_{name}").tolist() for name in OWN_NUMBERS},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues from a saved state.

        Raises:
            InvalidValueError: it is damaged, or of another version or number of runs. Nothing is changed then.
        """
        try:
            if state["version"] != VERSION:
                raise InvalidValueError(f"the ledger is of version {state['version']}; this one reads {VERSION}")
            count = len(state["controls"])
            if count != len(self):
                raise InvalidValueError(f"the ledger is of {count} runs, not of {len(self)}")
            fresh = Ledger(Controls.described(*state["controls"]), np.ones(count), self.reward, self.setup)
            fresh.quality = Evaluation(**_arrays(state["quality"], count))
            fresh._measured = Measurements(**_arrays(state["measured"], count))
            for name, known in (("stability", STABILITY_TERMS), ("latest", SLOPES), ("before", SLOPES)):
                held = _arrays(state[name], count)
                if held and set(held) != set(known):
                    raise ValueError(f"{name} holds {', '.join(held)}")
                setattr(fresh, f"_{name}", held)
            fresh.monitor.load_state_dict(state["monitor"])
            for name in NUMBERS:
                setattr(fresh, name, _array(name, state[name], count))
            for name in OWN_NUMBERS:
                setattr(fresh, f"_{name}", _array(name, state[name], count))
        except InvalidValueError:
            raise
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise InvalidValueError(f"the ledger is damaged ({error})") from None
        vars(self).update(vars(fresh))

    def _known(self) -> Known:
        return Known(
            measured=self._measured,
            controls=self.controls,
            before=self._before,
            setup=self.setup,
            updates=self.updates,
            budget=self.budget,
            gradient_decline=self._decline,
            stability=self._stability,
            distance=self.quality.distance,
            distance_before=self._distance_before,
            start=self.start,
            best=self.best,
            floor=self.floor,
            sliced_wasserstein=self.quality.sliced_wasserstein,
            precision=self.quality.precision,
            coverage=self.quality.coverage,
        )


NUMBERS = ("budget", "updates", "floor", "start", "best")
OWN_NUMBERS = ("distance_before", "decline")


def _lists(arrays: Mapping[str, np.ndarray]) -> dict[str, list[float]]:
    return {name: values.tolist() for name, values in arrays.items()}


def _arrays(lists: Mapping[str, Any], count: int) -> dict[str, np.ndarray]:
    return {name: _array(name, values, count) for name, values in lists.items()}


def _array(name: str, values: Any, count: int) -> np.ndarray:
    array: np.ndarray = np.array(values, dtype=np.float64)
    if array.shape != (count,):
        raise ValueError(f"{name} is of shape {array.shape}, for {count} runs")
    return array
