"""What a scheduler proposes for a user's loop, and how much of it holds."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from metagan_rl.agents.plugin.health import STATUSES, Advice
from metagan_rl.agents.plugin.limits import Limits
from metagan_rl.agents.plugin.options import LOOP_KNOBS, RATES, LoopOptions
from metagan_rl.agents.plugin.ranks import Ranks
from metagan_rl.errors import InvalidValueError
from metagan_rl.loop.controls import Controls
from metagan_rl.loop.scheduler import Scheduler, Situation


class Decisions:
    """The controls of one loop, decision by decision, within what its options allow.

    Args:
        options: which knobs may be changed, how far and how fast.
        base: what the loop uses without a scheduler.
        limits: of both rates' factors.
        by_clock: whether the scheduler follows the clock alone; then its decay goes on whatever happens.
    """

    def __init__(self, options: LoopOptions, base: Controls, limits: Limits, *, by_clock: bool) -> None:
        self._options, self._base, self._limits, self._by_clock = options, base, limits, by_clock
        self.proposed = self.acting = base
        """What the scheduler proposed last, and what holds of it."""
        self.fallen_back = False
        """Whether the safeguard keeps all rates at or below the user's own."""

    def ask(self, scheduler: Scheduler, situation: Situation) -> None:
        """Lets the scheduler propose.

        Raises:
            InvalidValueError: it gives no controls of one run. A user's scheduler may raise anything else.
        """
        with torch.autocast("cpu", enabled=False), np.errstate(all="ignore"):
            proposed = scheduler.step(situation)
        if not isinstance(proposed, Controls) or len(proposed) != 1:
            raise InvalidValueError(f"it gave {proposed!r}, which is not the Controls of one run")
        self.proposed = proposed

    def wanted(self, progress: float, *, acts: bool) -> Controls:
        """What should hold next, at a progress in [0, 1]; without ``acts``, what holds now."""
        if self.fallen_back:
            return self._fallen(progress)
        return self._allowed(progress) if acts else self.acting

    def agree(self, ranks: Ranks, wanted: Controls, advice: Advice) -> tuple[Controls, Advice]:
        """What the first process wants and advises, which all follow; what holds now if they have lost each other."""
        roll_back = -1.0 if advice.roll_back_to is None else float(advice.roll_back_to)
        numbers = [float(getattr(wanted, knob)[0]) for knob in LOOP_KNOBS]
        agreed = ranks.follow([*numbers, STATUSES.index(advice.status), roll_back, self.fallen_back])
        if agreed is None:
            return self.acting, advice
        if not ranks.several:
            return wanted, advice
        kinds = {knob: getattr(self._base, knob).dtype for knob in LOOP_KNOBS}
        sent = zip(LOOP_KNOBS, agreed, strict=False)
        status, roll_back, fallen = agreed[len(LOOP_KNOBS) :]
        self.fallen_back = bool(fallen)
        back = None if roll_back < 0 else int(roll_back)
        advice = replace(advice, status=STATUSES[int(status)], roll_back_to=back)
        return Controls(**{knob: np.array([value], dtype=kinds[knob]) for knob, value in sent}), advice

    def state_dict(self) -> dict[str, Any]:
        """Plain data to go on from."""
        return {
            "controls": [each.describe(0) for each in (self.acting, self.proposed)],
            "fallen_back": self.fallen_back,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from saved data.

        Raises:
            ValueError: they are damaged. Other errors of damaged data pass through, and nothing is changed by any.
        """
        acting, proposed = (Controls.described(each) for each in state["controls"])
        if not isinstance(state["fallen_back"], bool):
            raise ValueError(f"fallen_back is {state['fallen_back']!r}, neither true nor false")
        self.acting, self.proposed, self.fallen_back = acting, proposed, state["fallen_back"]

    def _allowed(self, progress: float) -> Controls:
        """The base with only those knobs changed that may be, and with rates kept within their limits."""
        changes = {knob: getattr(self.proposed, knob) for knob in LOOP_KNOBS if self._options.may_change(knob)}
        if self._options.mode == "discriminator" and self._options.may_change("adversarial_weight"):
            # stands for the weight: both say how strongly D moves G
            changes[RATES[0]] = self.proposed.generator_lr_factor
        for knob in RATES:
            if knob in changes:
                before = float(getattr(self.acting, knob)[0])
                changes[knob] = np.array([self._limits.limited(float(changes[knob][0]), before, progress)])
        return self._base.replace(**changes)

    def _fallen(self, progress: float) -> Controls:
        """The base, with rates no higher than that and no higher than they were. A decay by the clock goes on."""
        factors = {knob: np.minimum(getattr(self.acting, knob), 1.0) for knob in RATES}
        if self._by_clock:
            allowed = self._allowed(progress)
            factors = {knob: np.minimum(factor, getattr(allowed, knob)) for knob, factor in factors.items()}
        return self._base.replace(**factors)
