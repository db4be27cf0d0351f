"""``GANScheduler`` runs any scheduler of this package in a user's own PyTorch loop, as those of ``torch.optim`` do."""

import math
import os
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import nn

from metagan_rl.agents.plugin.choosing import check_usable, chosen_scheduler, turned_knobs
from metagan_rl.agents.plugin.deciding import Decisions
from metagan_rl.agents.plugin.facts import facts_of_loop
from metagan_rl.agents.plugin.fingerprint import fingerprint
from metagan_rl.agents.plugin.health import Advice, Health
from metagan_rl.agents.plugin.inputs import lacking_inputs
from metagan_rl.agents.plugin.intake import Intake, halves
from metagan_rl.agents.plugin.limits import Limits, follows_the_clock, usual_limits
from metagan_rl.agents.plugin.loop_controls import LoopControls, scalars
from metagan_rl.agents.plugin.momentum import Momentum
from metagan_rl.agents.plugin.moves import Move
from metagan_rl.agents.plugin.options import INTERVALS, LOOP_KNOBS, RATES, LoopOptions, checked_loss, checked_names
from metagan_rl.agents.plugin.quality import evaluation_of
from metagan_rl.agents.plugin.ranks import Ranks
from metagan_rl.agents.plugin.rates import Rates, unshare
from metagan_rl.agents.plugin.saved import VERSION, Saved
from metagan_rl.agents.plugin.steady import SteadyPolicy, checks_rates, steadied
from metagan_rl.agents.plugin.watching import Watch
from metagan_rl.errors import InvalidValueError, MetaGANError, SchedulerError
from metagan_rl.loop.controls import Controls
from metagan_rl.loop.knobs import MAX_PENALTY_WEIGHT
from metagan_rl.loop.ledger import Ledger
from metagan_rl.loop.scheduler import Scheduler, Situation
from metagan_rl.losses import LOSSES
from metagan_rl.populations.settings import RATIOS
from metagan_rl.tasks.task import Base

MOVES = ("generator_move", "discriminator_move")
_WATCHING: "weakref.WeakKeyDictionary[nn.Module, weakref.WeakMethod[Callable[[], None]]]" = weakref.WeakKeyDictionary()
"""What ends the watch over a discriminator, which one scheduler has at a time."""


class GANScheduler:
    """Multiplies both learning rates of a GAN before every interval of steps, and sets whatever else the loop follows.

    It works on top of the loop's own rates: a constant, a warm-up, a scheduler of torch, or rates that the loop writes
    itself. A step is one round of the loop: ``ratio`` updates of D and of G. Accumulated batches do not count
    separately. Call :meth:`step` once a round with whatever you have, or :meth:`watch` once. Between decisions it only
    adds up on the device, and never waits for it. No method of an optimizer is patched. Only ``lr`` is written, and
    ``initial_lr`` if it is missing; ``betas`` if you give ``beta1``.

    Args:
        scheduler: a name, a policy file, a schedule file, or a :class:`Scheduler` of your own. Tuned schedules, which
            have absolute rates, take the same course relative to yours.
        generator_optimizer, discriminator_optimizer: one optimizer, or a sequence of them. All parameter groups keep
            their ratios, also those added later.
        total_steps: rounds of the whole run.
        interval: rounds between decisions; by default a sixty-fourth of the run, or a sixteenth for policies that were
            trained to decide 16 times in a run.
        loss, ratio, penalty_weight: what the loop uses without a scheduler, as in ``LOSSES`` and ``RATIOS``.
        knobs: what may be changed. Beyond the two rates, name only what your loop takes from :meth:`step`'s result:
            ``"ratio"``, ``"loss"``, ``"penalty_weight"``, and in mode ``"discriminator"`` ``"adversarial_weight"``.
        mode: ``"both"`` sets both networks; ``"discriminator"`` sets nothing of G but the adversarial weight;
            ``"log"`` sets nothing, advises, and tells what it would set.
        bounds: lowest and highest factor of both rates (and of the adversarial weight). By default 1/3 and 3, and 1/30
            and 3 for schedules that follow the clock alone and for policies trained on top of users' schedules. 1/30
            and 10 for ``"rate-check"`` and for policies that stand on it.
        change: the most that a factor is multiplied or divided by at one decision; ``math.inf`` for no limit. By
            default 1.1, or 1.46 for policies that decide 16 times in a run, or 3.2 for ``"rate-check"`` and policies on
            it. It does not limit schedules that follow the clock alone.
        replace: count the factors from ``initial_lr`` and overrule whatever else writes rates.
        quality: the parts of ``quality=`` that :meth:`step` will be given, out of ``QUALITY_PARTS``.
        safeguard: take back what raised a rate at the first decision at which the run is worse than its own past (see
            ``health``). Until :meth:`rearm`, factors are at most 1 and no higher than they were; all else is as yours.
        margin: the factor by which quality may be worse than its best.
        measure_moves: measure how far the weights move, from a sample of them, for the scheduler and for advice.
        deterministic: let learned policies take the mean of their distribution instead of draws.
        seed: for a scheduler that draws at random.
        batch_size: real samples in an update, for schedulers that take it into account.
        beta1: decay rate of Adam's first moment, in [0, 1), for the optimizers whose rates may be set. 0 turns
            momentum off. By default yours stays.
        writer: any object with ``add_scalar``, such as TensorBoard's ``SummaryWriter``.
        strict: raise an error instead of a warning when an input cannot be used or the scheduler fails.
        process_group: of ``torch.distributed``. Every process of it must make a scheduler.
        wait: seconds to wait for the other processes at a decision. After that, and if one has ended, all keep what
            was last agreed on.

    Raises:
        UnknownNameError: there is no such scheduler, loss, ratio, knob, mode or part of quality.
        InvalidValueError: a value is out of range, what is written would not arrive, or the scheduler cannot work with
            what is measured.
        SchedulerError: a scheduler of your own failed at its first decision.
        FileFormatError: the file is missing, damaged, or of another kind or version.
    """

    def __init__(
        self,
        scheduler: "str | os.PathLike[str] | Scheduler",
        generator_optimizer: Any,
        discriminator_optimizer: Any,
        *,
        total_steps: int,
        interval: int | None = None,
        loss: str = "non-saturating",
        ratio: str = "1:1",
        penalty_weight: float = 0.0,
        knobs: Sequence[str] = RATES,
        mode: str = "both",
        bounds: tuple[float, float] | None = None,
        change: float | None = None,
        replace: bool = False,
        quality: Sequence[str] = (),
        safeguard: bool = True,
        margin: float = 1.5,
        measure_moves: bool = True,
        deterministic: bool = True,
        seed: int = 0,
        batch_size: int | None = None,
        beta1: float | None = None,
        writer: Any = None,
        strict: bool = False,
        process_group: Any = None,
        wait: float = 60.0,
    ) -> None:
        self.name, chosen = chosen_scheduler(scheduler)
        self.scheduler = steadied(chosen, deterministic=deterministic)
        by_clock = follows_the_clock(self.scheduler)
        decisions = self.scheduler.decisions or INTERVALS
        on_top = isinstance(self.scheduler, SteadyPolicy) and self.scheduler.on_top
        usual_bounds, usual_change = usual_limits(
            decisions, by_clock=by_clock, on_top=on_top, checks=checks_rates(self.scheduler)
        )
        change = usual_change if change is None else change
        self.options = LoopOptions(
            total_steps=total_steps,
            interval=_default_interval(total_steps, decisions) if interval is None else interval,
            penalty_weight=penalty_weight,
            knobs=checked_names(knobs, "knobs"),
            mode=mode,
            bounds=usual_bounds if bounds is None else bounds,
            change=change,
            quality=checked_names(quality, "quality"),
            margin=margin,
            wait=wait,
        )
        check_usable(self.name, self.scheduler, self.options.quality)
        # Large images need penalty weights beyond the range of controls: schedulers see them in a larger unit
        self._penalty_unit = max(1.0, penalty_weight / MAX_PENALTY_WEIGHT)
        base = Base(ratio=ratio, loss=checked_loss(loss), penalty_weight=penalty_weight / self._penalty_unit)
        self._base = Controls(**{name: getattr(Controls.base([base]), name) for name in LOOP_KNOBS})
        self.safeguard, self.strict, self.writer = safeguard, strict, writer
        self._warned: set[str] = set()
        turned = turned_knobs(self.scheduler)
        if turned and not set(turned) & set(self.options.knobs):
            self._complain(
                f"scheduler {self.name!r} does nothing here: it sets {', '.join(turned)}, which knobs= leaves "
                "out; name them there and follow what step returns, or choose another"
            )
        self._rates = (
            Rates(generator_optimizer, "generator_optimizer", write=mode == "both", replace=replace),
            Rates(discriminator_optimizer, "discriminator_optimizer", write=mode != "log", replace=replace),
        )
        if {id(each) for each in self._rates[0].optimizers} & {id(each) for each in self._rates[1].optimizers}:
            raise InvalidValueError("both networks have the same optimizer; give each its own")
        if unshare(self._rates):
            self._complain("both optimizers share one tensor of learning rates; D's now has a copy of it")
        decays = isinstance(self.scheduler, SteadyPolicy) and not on_top
        limits = Limits(self.options.bounds, math.inf if by_clock else change, decays=decays)
        self._decisions = Decisions(self.options, self._base, limits, by_clock=by_clock)
        self._by_clock = by_clock
        self._ranks = Ranks(process_group, wait)
        self._ranks.agree([total_steps, self.options.interval], "total_steps and interval")
        self._cycle = sum(RATIOS[ratio])
        self._moves = [Move(rates) for rates in self._rates] if measure_moves and self._ranks.decides else []
        self._intake, self._misfit = Intake(loss), False
        self._momentum = Momentum((each for rates in self._rates if rates.write for each in rates.each), beta1)
        facts = facts_of_loop((each.optimizers for each in self._rates), batch_size)
        self.ledger = Ledger(self._base, np.array([float(total_steps * self._cycle)]), setup=facts)
        """What is known about the run."""
        self._reward = np.zeros(1)
        self._health = Health(LOSSES[loss].ideal == 0, margin)
        self._identity = {
            "scheduler": self.name, "fingerprint": fingerprint(self.scheduler), "loss": loss, "ratio": ratio,
            "penalty_weight": float(penalty_weight),
        }  # fmt: skip
        self.last_step = self._recorded = 0
        self._watch: Watch | None = None
        self._controls: LoopControls
        self.scheduler.begin([seed])
        self._decide(Advice(), acts=by_clock or not self.scheduler.needs)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_watch": None}  # a copy watches nothing until it is told to

    @property
    def controls(self) -> LoopControls:
        """The controls that hold now."""
        return self._controls

    @property
    def proposed(self) -> Controls:
        """What the scheduler proposed, before knobs, bounds and the limit of change."""
        return self._decisions.proposed

    def step(
        self,
        *,
        real_logits: Any = None,
        fake_logits: Any = None,
        discriminator_loss: Any = None,
        generator_loss: Any = None,
        quality: "float | Mapping[str, float] | None" = None,
        generator_gradient_norm: Any = None,
        discriminator_gradient_norm: Any = None,
        logit_differences: Any = None,
        samples: Any = None,
        real_samples: Any = None,
    ) -> LoopControls:
        """Notes that one more round of the loop is done; every argument is optional, and none is kept.

        Args:
            real_logits: D's outputs on a real batch before any sigmoid, of any shape; for several discriminators, a
                list of them.
            fake_logits: the same on a generated batch.
            discriminator_loss: D's adversarial loss: its real and its generated half added, without penalty, not
                scaled for mixed precision. For several discriminators, a list; it is averaged. If there are logits, the
                loss is computed from them, and this one only compared with it.
            generator_loss: G's adversarial loss, given in the same way and without other terms.
            quality: a distance (lower is better), or parts as in ``QUALITY_PARTS``. The last of an interval counts.
            generator_gradient_norm: G's gradient norm before clipping, not scaled.
            discriminator_gradient_norm: D's, given in the same way.
            logit_differences: real minus generated logits, for relativistic losses that have nothing else.
            samples: a generated batch ``[N, ...]``, for advice on how varied and complete they are. A few are kept
                until the next decision.
            real_samples: a real batch, to compare them with.

        Returns:
            What holds until the next step.

        Raises:
            MetaGANError: an input cannot be used, or the scheduler failed; only if ``strict``.
        """
        given = {
            "discriminator_loss": discriminator_loss,
            "generator_loss": generator_loss,
            "generator_gradient": generator_gradient_norm,
            "discriminator_gradient": discriminator_gradient_norm,
        }
        with torch.no_grad():
            if logit_differences is not None:
                try:
                    real_logits, fake_logits = halves(logit_differences)
                except Exception as error:  # anything may be given, and this is a user's run
                    self._complain(f"step was given logit_differences that cannot be used, and leaves it out: {error}")
            self._note(real_logits, fake_logits, given, {"generated": samples, "real": real_samples}, quality)
            if self._watch is None:
                self._end_round()
        return self._controls

    def watch(
        self,
        *,
        discriminator: "nn.Module | Sequence[nn.Module]",
        generator: "nn.Module | Sequence[nn.Module]",
        logits: Callable[[Any], Any] | None = None,
        first: str | None = None,
    ) -> "GANScheduler":
        """Reads logits and rounds by hooks from now on, so that the loop needs no call of :meth:`step`.

        A round ends with as many steps of G's optimizer as the ratio has. Logits are those of the first real and the
        first generated batch before each step of D's optimizer. :meth:`step` may still be called, for instance with
        ``quality``; it then counts no rounds. Losses are computed from the logits.

        Args:
            discriminator: D as the loop calls it, or several, each with outputs of its own.
            generator: G as the loop calls it, or several.
            logits: makes logits of D's output, if they are not its first tensor: a tensor, or a tuple of real and
                generated ones where D gets both and gives both. A sigmoid at D's end is undone without it.
            first: whether D is called on ``"real"`` or on ``"fake"`` samples first, for loops in which that cannot be
                seen: both kinds are augmented, say, and G is not called in between.

        Returns:
            This scheduler.

        Raises:
            InvalidValueError: something is not a network, an optimizer has no hooks or moves none of its networks'
                weights, or ``first`` is neither.
        """
        steps = 0

        def tell(real: list[Any], fake: list[Any], samples: Mapping[str, Any]) -> None:
            with torch.no_grad():
                self._note(real, fake, {}, samples)

        def generator_stepped() -> None:
            nonlocal steps
            steps += 1
            if steps >= self._controls.generator_steps:
                steps = 0
                with torch.no_grad():
                    self._end_round()

        def puzzled(what: str) -> None:
            self._complain(
                f"watch does not see the logits: {what}; say first= or logits=, or call step() instead",
                kind=what.split(":")[0],
            )

        watch = Watch(
            _listed(discriminator), _listed(generator), self._rates,
            tell=tell, generator_stepped=generator_stepped, puzzled=puzzled, logits=logits, first=first,
            undoes_sigmoid=self._base.loss[0] == list(LOSSES).index("non-saturating"),
        )  # fmt: skip
        self.unwatch()
        for network in _listed(discriminator):
            earlier = _WATCHING[network]() if network in _WATCHING else None
            if earlier is not None:
                earlier()
            _WATCHING[network] = weakref.WeakMethod(self.unwatch)
        self._watch = watch
        for each in (each for rates in self._rates for each in rates.each):
            each.when_released = weakref.WeakMethod(self.unwatch)
        return self

    def unwatch(self) -> None:
        """Takes the hooks of :meth:`watch` away. Rounds are then counted by :meth:`step` again."""
        if self._watch is not None:
            self._watch.remove()
        self._watch = None

    def _note(self, *given: Any) -> None:
        """Takes in what one round gave, and complains of what cannot be used."""
        for what, error in self._intake.note(*given).items():
            self._complain(f"step was given {what} that cannot be used, and leaves it out: {error}")

    def _end_round(self) -> None:
        self.last_step += 1
        for rates in self._rates:
            rates.refresh()
        if self.last_step > self.options.total_steps:
            self._complain(
                f"more than total_steps={self.options.total_steps} steps; the last controls stay. Is step called more "
                "than once a round?"
            )
        elif self.last_step % self.options.interval == 0:
            self._decide(*self._judged())

    def get_last_lr(self) -> list[float]:
        """The learning rate that each group is trained with, G's first and then D's."""
        return [rate for rates in self._rates for rate in rates.now()]

    def rearm(self) -> None:
        """Lets the scheduler decide again after the safeguard fell back, for instance once you have rolled back."""
        self._decisions.fallen_back = False
        self._controls = replace(self.controls, fallen_back=False)
        self._health = Health(self._health.critic, self._health.margin)
        self._intake.clear()
        for move in self._moves:
            move.restart()

    def state_dict(self) -> dict[str, Any]:
        """Plain data and small tensors from which the run goes on exactly, even in the middle of an interval."""
        kind = type(self.scheduler)
        if kind.begin is not Scheduler.begin and kind.state_dict is Scheduler.state_dict and not kind.remembers:
            self._complain(
                f"{kind.__name__} has begin(), but remembers names no attribute: a resumed run starts it again"
            )
        return {
            "version": VERSION,
            "identity": dict(self._identity),
            "last_step": self.last_step,
            "recorded": self._recorded,
            "rates": [rates.state_dict() for rates in self._rates],
            "advice": dict(vars(self._controls.advice)),
            "misfit": self._misfit,
            "decisions": self._decisions.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "ledger": self.ledger.state_dict(),
            "reward": self._reward.tolist(),
            "health": self._health.state_dict(),
            "intake": self._intake.state_dict(),
            "moves": [move.state_dict() for move in self._moves],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a saved state: with the rates that held then, or with those that a new stage began with.

        The run may be longer than it was, have other bounds, another mode, and more groups of weights. Load the
        optimizers' states first. If they were made with other rates than the saved run's, these are multiplied.

        Raises:
            InvalidValueError: the state is damaged, or of another scheduler, loss or ratio. Nothing is changed then.
        """
        saved = Saved.of(
            state,
            self._identity,
            scheduler=self.scheduler,
            ledger=Ledger(self._base, self.ledger.budget.copy(), setup=self.ledger.setup),
            decisions=self._decisions,
            health=Health(self._health.critic, self._health.margin),
            intake=Intake(self._intake.loss),
        )
        self.scheduler, self.ledger, self._health, self._intake = (
            saved.scheduler, saved.ledger, saved.health, saved.intake,
        )  # fmt: skip
        self._reward, self._decisions, self._misfit = saved.reward, saved.decisions, saved.misfit
        self.last_step, self._recorded = saved.last_step, saved.recorded
        for move, before in zip(self._moves, saved.moves, strict=False):
            move.load_state_dict(before)
        for each, rates in zip(self._rates, saved.rates, strict=True):
            each.resume(rates)
        self._put_in_force(saved.decisions.acting, saved.advice)

    def _judged(self) -> tuple[Advice, bool]:
        """What :meth:`_take_in` returns; where that fails, nothing is known and nothing changes."""
        try:
            return self._take_in()
        except MetaGANError:
            raise
        except Exception as error:  # a device or a kind of tensor that cannot be read must not end a user's run
            if self.strict:
                raise
            self._intake.clear()
            self._complain(f"an interval cannot be judged: {error}; the rates stay as they are")
            return Advice("ok", f"the last interval could not be judged ({error})"), False

    def _take_in(self) -> tuple[Advice, bool]:
        """Reads and records the interval that just ended; in several processes, only in the one that decides.

        Returns:
            Advice, and whether enough was given for the scheduler to act on.
        """
        if not self._ranks.decides:
            self._intake.clear()
            return Advice("ok", "decided by the first process"), True
        measured, told, given = self._intake.read()
        for move, name in zip(self._moves, MOVES, strict=False):
            how_far = move.read()
            setattr(measured, name, np.array([how_far]))
            told["bad"] = 1.0 if math.isinf(how_far) else told["bad"]
            told[name] = how_far
        parts = self._intake.quality
        lacking = [part for part in self.options.quality if part not in parts]
        if lacking and self.scheduler.needs:
            self._complain(f"quality was announced, but an interval went by without: {', '.join(lacking)}")
        misfit = self._intake.misfit(measured, told)
        if misfit is not None:
            self._misfit = misfit.unusable
            held = "; the rates stay as they are" if misfit.unusable and not self._by_clock else ""
            self._complain(f"what step was given does not fit together: {misfit.message}{held}")
        quality, floor = evaluation_of(parts)
        steps = self.last_step - self._recorded
        told |= {"steps": float(steps), "run": float(self.options.total_steps)}
        updates = steps * self._cycle
        self._recorded = self.last_step
        self._reward = self.ledger.record(measured, self._decisions.acting, updates, quality, floor).reward
        self._intake.quality = {}
        signals = {name: float(value[0]) for name, value in self.ledger.seen().items()}
        acts = self._by_clock or not (self._misfit or self._intake.fit.doubts)
        missing = [] if self._by_clock else lacking_inputs(self.scheduler, signals, given)
        if missing and not told["bad"]:
            self._complain(f"nothing to act on: step was not given {missing[0]}; the rates stay as they are")
        advice, worse = self._health.judge(self.last_step, signals, told)
        if worse and self.safeguard and self.options.mode != "log" and not self._decisions.fallen_back:
            self._decisions.fallen_back = True
            since = advice.roll_back_to
            lost = "" if since is None else f" What was trained since step {since} is not undone."
            warnings.warn(
                f"step {self.last_step}: {advice}; from here on no rate is above your own, and none is raised.{lost}",
                stacklevel=4,
            )
        return advice, acts and not missing

    def _decide(self, advice: Advice, acts: bool) -> None:
        """Asks the scheduler for the next interval's controls, and applies those that may be changed."""
        failed: MetaGANError | None = None
        decisions, over = self._decisions, self.last_step >= self.options.total_steps
        if self._ranks.decides and not over and (self._by_clock or not decisions.fallen_back):
            try:
                decisions.ask(self.scheduler, self._situation())
            except Exception as error:  # a user's scheduler may raise anything, and this is a user's run
                failed = SchedulerError(f"scheduler {self.name} failed at step {self.last_step}: {error}")
                decisions.fallen_back = True
                advice = replace(advice, message=f"{failed}; your own settings hold")
        if decisions.fallen_back and failed is None:
            advice = replace(advice, message=f"{advice.message}; no rate is above your own")
        wanted = decisions.wanted(self.last_step / self.options.total_steps, acts=acts)
        wanted, advice = decisions.agree(self._ranks, wanted, advice)
        if self._ranks.lost:
            self._complain(f"the other processes are not heard any more; the last controls stay: {self._ranks.lost}")
        self._put_in_force(wanted, advice)
        self._write()
        if failed is not None and self.last_step == 0:
            raise failed
        if failed is not None:
            self._complain(str(failed), failed)

    def _situation(self) -> Situation:
        """What the scheduler may see now."""
        rates = np.array([[each.own()[0] or each.first for each in self._rates]])
        return Situation(self.ledger.signals(), self._base, self._decisions.acting, self._reward, rates)

    def _put_in_force(self, controls: Controls, advice: Advice) -> None:
        self._decisions.acting = controls
        loss = list(LOSSES)[int(controls.loss[0])]
        watching = self.options.mode == "log"
        if not watching:
            self._intake.loss = loss
            self._health.critic = LOSSES[loss].ideal == 0
        self._controls = LoopControls.of(
            self._base if watching else controls,
            controls,
            advice,
            fallen_back=self._decisions.fallen_back,
            penalty_unit=self._penalty_unit,
            one_sided=self.options.mode == "discriminator",
        )
        self._momentum.put()
        if self.options.mode == "both":
            self._rates[0].set(self._controls.generator_lr_factor)
        if not watching:
            self._rates[1].set(self._controls.discriminator_lr_factor)
        for rates in self._rates:
            self._tell_of(rates)

    def _tell_of(self, rates: Rates) -> None:
        """Complains of what keeps the rates from being what they should be."""
        if rates.retired:
            self._complain(f"another GANScheduler has taken over {rates.name}; this one only watches it")
        elif rates.disturbed and rates.write:
            self._complain(f"something else changes the learning rates too, in {rates.name}: {rates.says()}")

    def _write(self) -> None:
        if self.writer is None or not self._ranks.decides:
            return
        try:
            for name, value in scalars(self._controls, self.proposed, self.ledger.seen()).items():
                self.writer.add_scalar(f"gan_scheduler/{name}", value, self.last_step)
        except Exception as error:  # a full disk must not end a user's run
            self._complain(f"the writer failed: {error}")

    def _complain(self, message: str, error: MetaGANError | None = None, kind: str | None = None) -> None:
        """Warns once about each kind of problem, or raises if strict."""
        if self.strict:
            raise error or InvalidValueError(message)
        kind = message.split(":")[0] if kind is None else kind
        if kind not in self._warned:
            self._warned.add(kind)
            warnings.warn(message, RuntimeWarning, stacklevel=3)


def _listed(networks: Any) -> list[nn.Module]:
    return list(networks) if isinstance(networks, (list, tuple, nn.ModuleList)) else [networks]


def _default_interval(total_steps: int, decisions: int) -> int:
    return max(1, round(total_steps / decisions)) if isinstance(total_steps, Integral) else 1
