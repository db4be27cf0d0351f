"""Schedulers as a single run needs them: without chance, and in factors of the loop's own rates."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn.functional import one_hot

from metagan_rl.agents.catalogue import make_scheduler, scheduler_names
from metagan_rl.agents.learners.policy import PolicyScheduler
from metagan_rl.agents.rules.clock import TwoTimeScale
from metagan_rl.agents.rules.own import OWN
from metagan_rl.agents.rules.scaling import scaled
from metagan_rl.agents.searches.identified import IDENTIFIED, IdentifiedRule
from metagan_rl.agents.searches.own_or_rule import OWN_OR_RULE
from metagan_rl.agents.searches.rate_check import CHECKED_OWN, RATE_CHECK, RateCheck
from metagan_rl.agents.searches.rule import Rule
from metagan_rl.agents.searches.tuned import SWITCHED, Tuned, schedule_from
from metagan_rl.errors import InvalidValueError
from metagan_rl.loop.controls import Controls
from metagan_rl.loop.knobs import LR_FACTOR, Knob
from metagan_rl.loop.reference import CONSTANT
from metagan_rl.loop.scheduler import Scheduler, Situation

TTUR = 4.0
"""How much faster than G the rule of two time scales lets D learn."""
ON_TOP = {OWN: CONSTANT, CHECKED_OWN: RATE_CHECK, OWN_OR_RULE: RATE_CHECK}
"""What a policy departs from in a loop, if it was trained on top of users' schedules: what the loop does by itself."""
IN_LOOPS = {**ON_TOP, IDENTIFIED: "rule"}
"""The same for all references that are another in a loop. Rates are not identified there: they are the user's."""
DIGITS = 9
"""Decimals of the logarithm of a factor that a policy gives."""


class SteadyPolicy(PolicyScheduler):
    """A policy in a single run, that takes the mean of its distribution instead of a draw.

    For a factor of a rate this is the mean of its logarithm. For other controls, of which there is no mean, it is the
    likeliest level. Of moves, a rate makes the mean one, and another control one that is likelier than not. Of what
    departs from a reference it takes the likeliest. A reference in absolute rates takes the same course from the loop's
    own. A policy that was trained on top of users' schedules departs from what the loop does by itself.

    It computes in double precision and rounds the mean. So it decides alike wherever its weights lie in memory, and a
    run that is resumed goes on exactly.

    Args:
        policy: the policy, which is not changed.
        means: take means; otherwise draws.
    """

    def __init__(self, policy: PolicyScheduler, *, means: bool = True) -> None:
        trained = policy.metadata.get("training") or {}
        reference = str(trained.get("reference")) if policy.config.reference is not None else ""
        self.on_top = reference in ON_TOP
        """Whether it was trained on top of users' schedules, and so knows how to end a run."""
        self.checks = ON_TOP.get(reference) == RATE_CHECK
        """Whether the rates that it departs from are checked first."""
        policy = policy.around(IN_LOOPS[reference]) if reference in IN_LOOPS else policy
        super().__init__(policy.config, policy.network.state_dict(), policy.metadata)
        self.means = means
        if means:
            self.network.double()
        self._starts = _starts(policy.config.reference)

    def propose(self, situation: Situation) -> Controls:
        """The policy's controls."""
        if self._starts is not None:
            situation = replace(situation, rates=self._starts(situation))
        return super().propose(situation)

    def decided(self, parts: Sequence[Tensor], situation: Situation) -> Controls:
        """The mean controls for these outputs."""
        if not self.means or self.config.greedy or "continuous" in self.codec.kind:  # no chance in the last two
            return super().decided(parts, situation)
        if self.codec.around:  # the likeliest choice
            return super().decided([one_hot(part.argmax(1), part.shape[1]).double().log() for part in parts], situation)
        shares = [part.double().softmax(dim=1).numpy() for part in parts]
        if self.codec.kind == "moves":
            return self._moved(shares[0], situation)
        columns = {}
        for knob, share in zip(self.codec.knobs, shares, strict=True):
            if getattr(knob, "factor", False):
                columns[knob.name] = np.exp(np.round(share @ np.log(_levels(knob)), DIGITS))
            else:
                columns[knob.name] = knob.at_level(share.argmax(axis=1))
        controls = situation.base.replace(**columns)
        self._actions = self.codec.encode(controls)
        return controls

    def _moved(self, share: np.ndarray, situation: Situation) -> Controls:
        columns = {}
        for place, knob in enumerate(self.codec.knobs):
            now, (down, up) = getattr(situation.controls, knob.name), share[:, [1 + 2 * place, 2 + 2 * place]].T
            if getattr(knob, "factor", False):
                levels = np.log(_levels(knob))
                moved = np.log(now) + (up - down) * np.diff(levels).mean()
                columns[knob.name] = np.exp(np.clip(np.round(moved, DIGITS), levels[0], levels[-1]))
            else:
                columns[knob.name] = knob.moved(now, (up > 0.5).astype(np.int64) - (down > 0.5))
        self._actions = share.argmax(axis=1)
        return situation.base.replace(**columns)


class RelativeSchedule(Tuned):
    """A tuned schedule whose rates are factors of the loop's own: they begin at 1 and take the same course.

    Its absolute rates suit the points of the plane that it was tuned on, and no other network.
    """

    def __init__(self, tuned: Tuned) -> None:
        schedule = tuned.schedule
        generator, discriminator = (end / start for start, end in (schedule.generator_lr, schedule.discriminator_lr))
        relative = replace(schedule, generator_lr=(1.0, generator), discriminator_lr=(1.0, discriminator))
        super().__init__(relative, tuned.metadata)
        moves = generator != 1 or discriminator != 1
        self.turned = (*(("generator_lr_factor", "discriminator_lr_factor") if moves else ()), *SWITCHED)

    def propose(self, situation: Situation) -> Controls:
        """The schedule's controls."""
        return super().propose(replace(situation, rates=np.ones((len(situation), 2))))


class RelativeRule(Rule):
    """The rule whose rates are factors of the loop's own: they begin at 1 and fall as the formula says."""

    turned = ("generator_lr_factor", "discriminator_lr_factor", *SWITCHED)

    def propose(self, situation: Situation) -> Controls:
        """The rule's controls."""
        return super().propose(replace(situation, rates=_starting_rates(self, situation)))


class RemainingTwoTimeScale(TwoTimeScale):
    """Two time scales for a loop that may have them already: D's rate is raised to four times G's, and never beyond."""

    def propose(self, situation: Situation) -> Controls:
        """The base with what is missing to a factor of four."""
        if situation.rates is None:
            raise InvalidValueError(
                "two time scales need the absolute base rates, and the situation does not tell them"
            )
        missing = np.clip(TTUR * situation.rates[:, 0] / situation.rates[:, 1], 1, TTUR)
        return scaled(situation.base, missing**-0.5, missing**0.5)


def checks_rates(scheduler: Scheduler) -> bool:
    """Whether a scheduler reads the loop's rates and corrects them, or stands on what does."""
    return isinstance(scheduler, RateCheck) or (isinstance(scheduler, SteadyPolicy) and scheduler.checks)


def steadied(scheduler: Scheduler, *, deterministic: bool) -> Scheduler:
    """The same scheduler as a single run needs it.

    Args:
        scheduler: any scheduler; those that need no change are returned as they are.
        deterministic: whether policies take means instead of draws.

    Raises:
        InvalidValueError: it aims at absolute rates that it finds in the run, and cannot be made relative.
    """
    if isinstance(scheduler, IdentifiedRule):
        raise InvalidValueError(
            "'identified-rule' aims at absolute rates, which suit the small networks that its formula was fitted on; "
            "choose 'rule', which takes its course from your own rates"
        )
    if isinstance(scheduler, PolicyScheduler):
        return SteadyPolicy(scheduler, means=deterministic)
    if isinstance(scheduler, Tuned) and not isinstance(scheduler, RelativeSchedule):
        return RelativeSchedule(scheduler)
    if isinstance(scheduler, Rule) and not isinstance(scheduler, RelativeRule):
        return RelativeRule(scheduler.formula, scheduler.metadata, beta1=scheduler.beta1)
    if type(scheduler) is TwoTimeScale:
        return RemainingTwoTimeScale()
    return scheduler


def _starts(reference: Any) -> Callable[[Situation], np.ndarray] | None:
    """Tells the rates ``[B, 2]`` at which a policy's reference begins, if that is a schedule in absolute rates."""
    if isinstance(reference, Mapping):
        made: Any = Tuned(schedule_from(reference))
    else:
        made = make_scheduler(reference) if isinstance(reference, str) and reference in scheduler_names() else None
    if isinstance(made, Rule):
        return lambda situation: _starting_rates(made, situation)
    if not isinstance(made, Tuned):
        return None
    rates = np.array([made.schedule.generator_lr[0], made.schedule.discriminator_lr[0]])
    return lambda situation: np.tile(rates, (len(situation), 1))


def _starting_rates(rule: Rule, situation: Situation) -> np.ndarray:
    told = rule.numbers(situation)
    return np.stack([told["generator_lr"], told["discriminator_lr"]], axis=1)


def _levels(knob: Knob) -> np.ndarray:
    return np.clip(np.array(knob.levels, dtype=np.float64), 1 / LR_FACTOR, LR_FACTOR)
