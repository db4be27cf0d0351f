"""``GANScheduler`` runs any scheduler of this package in a user's own PyTorch loop, as those of ``torch.optim`` do."""

import math
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from metagan_rl.agents.plugin.choosing import check_usable, chosen_scheduler
from metagan_rl.agents.plugin.fingerprint import fingerprint
from metagan_rl.agents.plugin.health import STATUSES, Advice, Health
from metagan_rl.agents.plugin.loop_controls import LoopControls, scalars
from metagan_rl.agents.plugin.meter import LoopMeter
from metagan_rl.agents.plugin.options import BOUNDS, INTERVALS, LOOP_KNOBS, RATES, LoopOptions
from metagan_rl.agents.plugin.quality import evaluation_of, quality_parts
from metagan_rl.agents.plugin.ranks import Ranks
from metagan_rl.agents.plugin.rates import Move, Rates
from metagan_rl.errors import InvalidValueError, MetaGANError, SchedulerError
from metagan_rl.loop.controls import Controls
from metagan_rl.loop.knobs import MAX_PENALTY_WEIGHT
from metagan_rl.loop.ledger import Ledger
from metagan_rl.loop.scheduler import Scheduler, Situation
from metagan_rl.losses import LOSSES
from metagan_rl.populations.settings import RATIOS
from metagan_rl.tasks.task import Base

MOVES = ("generator_move", "discriminator_move")
VERSION = 1


class GANScheduler:
    """Sets both learning rates of a GAN before every interval of steps, and whatever else the loop follows.

    A step is one round of the loop: ``ratio`` updates of D and of G. Accumulated batches do not count separately.
    Call :meth:`step` once a round with whatever you have. Between decisions it only adds up on the device, and never
    waits for it. The optimizers are not patched. Only ``lr`` is written, and ``initial_lr`` if it is missing.

    Args:
        scheduler: a name, a policy file, a schedule file, or a :class:`Scheduler` of your own.
        generator_optimizer, discriminator_optimizer: each with the rates to start from. All parameter groups keep
            their ratios; recipes in absolute rates go by the first group.
        total_steps: rounds of the whole run.
        interval: rounds between decisions; by default a sixty-fourth of the run.
        loss, ratio, penalty_weight: what the loop uses without a scheduler, as in ``LOSSES`` and ``RATIOS``.
        knobs: what may be changed. Beyond the two rates, name only what your loop takes from :meth:`step`'s result:
            ``"ratio"``, ``"loss"``, ``"penalty_weight"``, and in mode ``"discriminator"`` ``"adversarial_weight"``.
        mode: ``"both"`` sets both networks; ``"discriminator"`` sets nothing of G but the adversarial weight;
            ``"log"`` sets nothing and only advises.
        bounds: lowest and highest multiplier of both rates (and of the adversarial weight).
        quality: the parts of ``quality=`` that :meth:`step` will be given, out of ``QUALITY_PARTS``.
        safeguard: return to the user's constants at the first decision at which the run is worse than its own past
            (see ``health``). They then hold for the rates and all else, until :meth:`rearm`.
        margin: the factor by which quality may be worse than its best.
        measure_moves: measure how far the weights move, which takes a copy of them; by default only if the scheduler
            sees it.
        seed: for a scheduler that draws at random.
        writer: any object with ``add_scalar``, such as TensorBoard's ``SummaryWriter``.
        strict: raise an error instead of a warning when an input cannot be used or the scheduler fails.
        process_group: of ``torch.distributed``. Every process of it must make a scheduler and step it equally often.

    Raises:
        UnknownNameError: there is no such scheduler, loss, ratio, knob, mode or part of quality.
        InvalidValueError: a value is out of range, or the scheduler cannot work with what is measured.
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
        bounds: tuple[float, float] = BOUNDS,
        quality: Sequence[str] = (),
        safeguard: bool = True,
        margin: float = 1.5,
        measure_moves: bool | None = None,
        seed: int = 0,
        writer: Any = None,
        strict: bool = False,
        process_group: Any = None,
    ) -> None:
        self.options = LoopOptions(
            total_steps=total_steps,
            interval=_default_interval(total_steps) if interval is None else interval,
            penalty_weight=penalty_weight,
            knobs=(knobs,) if isinstance(knobs, str) else tuple(knobs),
            mode=mode,
            bounds=bounds,
            quality=(quality,) if isinstance(quality, str) else tuple(quality),
            margin=margin,
        )
        if generator_optimizer is discriminator_optimizer:
            raise InvalidValueError("both networks have the same optimizer; give each its own")
        self.name, self.scheduler = chosen_scheduler(scheduler)
        check_usable(self.name, self.scheduler, self.options.quality)
        self.safeguard, self.strict, self.writer = safeguard, strict, writer
        self._rates = (
            Rates(generator_optimizer, "generator_optimizer", mode == "both"),
            Rates(discriminator_optimizer, "discriminator_optimizer", mode != "log"),
        )
        self._ranks = Ranks(process_group, self._rates[0].parameters()[0].device)
        # Large images need penalty weights beyond the range of controls: schedulers see them in a larger unit
        self._penalty_unit = max(1.0, penalty_weight / MAX_PENALTY_WEIGHT)
        base = Base(ratio=ratio, loss=loss, penalty_weight=penalty_weight / self._penalty_unit)
        self._base = Controls(**{name: getattr(Controls.base([base]), name) for name in LOOP_KNOBS})
        self._cycle = sum(RATIOS[ratio])
        moves = any(name in self.scheduler.needs for name in MOVES) if measure_moves is None else measure_moves
        self._moves = [Move(rates) for rates in self._rates] if moves and self._ranks.decides else []
        self._meter = LoopMeter(LOSSES[loss].boundary)
        self.ledger = Ledger(self._base, np.array([float(total_steps * self._cycle)]))
        """What is known about the run."""
        self._reward = np.zeros(1)
        self._health = Health(LOSSES[loss].ideal == 0, margin)
        self._identity = {
            "scheduler": self.name, "fingerprint": fingerprint(self.scheduler), "loss": loss, "ratio": ratio,
            "total_steps": total_steps, "interval": self.options.interval, "mode": mode,
            "knobs": list(self.options.knobs), "bounds": list(bounds), "penalty_weight": float(penalty_weight),
        }  # fmt: skip
        self.last_step = 0
        self.proposed: Controls = self._base
        """What the scheduler proposed, before mode, knobs and bounds limit it."""
        self._in_force, self._fallen_back = self._base, False
        self._quality: dict[str, float] = {}
        self._warned: set[str] = set()
        self.scheduler.begin([seed])
        self._decide(Advice())

    @property
    def controls(self) -> LoopControls:
        """The controls that hold now."""
        return self._controls

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
    ) -> LoopControls:
        """Notes that one more round of the loop is done; every argument is optional, and none is kept.

        Args:
            real_logits: D's outputs on a real batch, of any shape; for several discriminators, a list of them.
            fake_logits: the same on a generated batch.
            discriminator_loss: D's adversarial loss: its real and its generated half added, without penalty, not
                scaled for mixed precision. For several discriminators, a list; it is averaged.
            generator_loss: G's adversarial loss, given in the same way and without other terms.
            quality: a distance (lower is better), or parts as in ``QUALITY_PARTS``. The last of an interval counts.
            generator_gradient_norm: G's gradient norm before clipping, not scaled.
            discriminator_gradient_norm: D's, given in the same way.

        Returns:
            What holds until the next step.

        Raises:
            MetaGANError: an input cannot be used, or the scheduler failed; only if ``strict``.
        """
        self.last_step += 1
        scalars = {
            "discriminator_loss": discriminator_loss,
            "generator_loss": generator_loss,
            "generator_gradient": generator_gradient_norm,
            "discriminator_gradient": discriminator_gradient_norm,
        }
        with torch.no_grad():
            unusable = self._note(real_logits, fake_logits, scalars, quality)
            for what, error in unusable.items():
                self._complain(f"step was given {what} that cannot be used, and leaves it out: {error}")
            if self.last_step > self.options.total_steps:
                self._complain(
                    f"more than total_steps={self.options.total_steps} steps; the last controls stay. Is step called "
                    "more than once a round?"
                )
            elif self.last_step % self.options.interval == 0:
                self._decide(self._take_in())
        return self._controls

    def _note(
        self, real: Any, fake: Any, scalars: Mapping[str, Any], quality: "float | Mapping[str, float] | None"
    ) -> dict[str, Exception]:
        """Adds up what one round gave, and returns an error for each input that cannot be used."""
        unusable: dict[str, Exception] = {}

        def note(what: str, use: Callable[[], None]) -> None:
            try:
                use()
            except Exception as error:  # anything may be given, and this is a user's run
                unusable[what] = error

        if real is not None or fake is not None:
            note("logits", lambda: self._meter.logits(real, fake))
        for name, value in scalars.items():
            if value is not None:
                note(name, partial(self._meter.scalar, name, value))
        if quality is not None:
            note("quality", lambda: self._quality.update(quality_parts(quality)))
        return unusable

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group, G's first and then D's."""
        return [rate for rates in self._rates for rate in rates.now()]

    def rearm(self) -> None:
        """Lets the scheduler decide again after the safeguard fell back, for instance once you have rolled back."""
        self._fallen_back = False
        self._health = Health(self._health.critic, self._health.margin)
        self._meter.clear()
        for move in self._moves:
            move.restart()

    def state_dict(self) -> dict[str, Any]:
        """Plain data and tensors from which the run goes on exactly, even in the middle of an interval."""
        kind = type(self.scheduler)
        if kind.begin is not Scheduler.begin and kind.state_dict is Scheduler.state_dict and not kind.remembers:
            self._complain(
                f"{kind.__name__} has begin(), but remembers names no attribute: a resumed run starts it again"
            )
        return {
            "version": VERSION,
            "identity": dict(self._identity),
            "last_step": self.last_step,
            "base_rates": [list(rates.base) for rates in self._rates],
            "advice": dict(vars(self._controls.advice)),
            "fallen_back": self._fallen_back,
            "quality": dict(self._quality),
            "controls": [each.describe(0) for each in (self._base, self._in_force, self.proposed)],
            "scheduler": self.scheduler.state_dict(),
            "ledger": self.ledger.state_dict(),
            "reward": self._reward.tolist(),
            "health": self._health.state_dict(),
            "meter": self._meter.state_dict(),
            "moves": [move.state_dict() for move in self._moves],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a saved state, and writes the learning rates that held then.

        Raises:
            InvalidValueError: the state is damaged, or of another scheduler or run. Nothing is changed then.
        """
        try:
            if state["version"] != VERSION:
                raise InvalidValueError(f"the state is of version {state['version']}; this one reads {VERSION}")
            for name, value in self._identity.items():
                if state["identity"][name] != value:
                    raise InvalidValueError(
                        f"the state is of another run: {name} was {state['identity'][name]!r} and is {value!r}"
                    )
            _, scheduler = chosen_scheduler(self.scheduler)
            scheduler.begin([0])
            scheduler.load_state_dict(state["scheduler"])
            ledger = Ledger(self._base, np.ones(1))
            ledger.load_state_dict(state["ledger"])
            reward = np.array(state["reward"], dtype=np.float64).reshape(1)
            base, in_force, proposed = (Controls.described(each) for each in state["controls"])
            advice = Advice(**state["advice"])
            health, meter = Health(self._health.critic, self._health.margin), LoopMeter(self._meter.boundary)
            health.load_state_dict(state["health"])
            meter.load_state_dict(state["meter"])
            bases = [[float(rate) for rate in each] for each in state["base_rates"]]
            weights = [list(each) for each in state["moves"]]
            if list(map(len, bases)) != [len(rates.base) for rates in self._rates] or len(weights) not in (0, 2):
                raise ValueError("not as many groups of weights as the optimizers have")
            if not isinstance(state["fallen_back"], bool):
                raise ValueError("fallen_back is neither true nor false")
            quality = dict(state["quality"])
            last_step, fallen_back = int(state["last_step"]), state["fallen_back"]
        except InvalidValueError:
            raise
        except Exception as error:  # a damaged state may raise anything
            raise InvalidValueError(f"the state is not a complete state of a GANScheduler ({error!r})") from None
        self.scheduler, self.ledger, self._health, self._meter = scheduler, ledger, health, meter
        self._reward = reward
        self._base, self.proposed, self._quality = base, proposed, quality
        self.last_step, self._fallen_back = last_step, fallen_back
        for move, before in zip(self._moves, weights, strict=False):
            move.load_state_dict(before)
        for rates, rate in zip(self._rates, bases, strict=True):
            rates.resume(rate)
        self._put_in_force(in_force, advice)

    def _take_in(self) -> Advice:
        """Reads and records the interval that just ended; in several processes, only in the one that decides."""
        if not self._ranks.decides:
            self._meter.clear()
            return Advice("ok", "decided by the first process")
        measured, told = self._meter.read()
        told |= {"quality": self._quality["distance"]} if "distance" in self._quality else {}
        for move, name in zip(self._moves, MOVES, strict=False):
            how_far = move.read()
            setattr(measured, name, np.array([how_far]))
            told["bad"] = 1.0 if math.isinf(how_far) else told["bad"]
        lacking = [part for part in self.options.quality if part not in self._quality]
        if lacking and self.scheduler.needs:
            self._complain(f"quality was announced, but an interval went by without: {', '.join(lacking)}")
        quality, floor = evaluation_of(self._quality)
        updates = self.options.interval * self._cycle
        self._reward = self.ledger.record(measured, self._in_force, updates, quality, floor).reward
        self._quality = {}
        signals = {name: float(value[0]) for name, value in self.ledger.seen().items()}
        advice, worse = self._health.judge(self.last_step, signals, told)
        if worse and self.safeguard and self.options.mode != "log" and not self._fallen_back:
            self._fallen_back = True
            warnings.warn(f"step {self.last_step}: {advice}; from here on your own constants hold", stacklevel=3)
        return advice

    def _decide(self, advice: Advice) -> None:
        """Asks the scheduler for the next interval's controls, and applies those that may be changed."""
        failed: MetaGANError | None = None
        if self._ranks.decides and not self._fallen_back and self.last_step < self.options.total_steps:
            rates = np.array([[self._rates[0].base[0], self._rates[1].base[0]]])
            try:
                with torch.autocast("cpu", enabled=False), np.errstate(all="ignore"):
                    situation = Situation(self.ledger.signals(), self._base, self._in_force, self._reward, rates)
                    proposed = self.scheduler.step(situation)
                if not isinstance(proposed, Controls) or len(proposed) != 1:
                    raise InvalidValueError(f"it gave {proposed!r}, which is not the Controls of one run")
                self.proposed = proposed
            except Exception as error:  # a user's scheduler may raise anything, and this is a user's run
                failed = SchedulerError(f"scheduler {self.name} failed at step {self.last_step}: {error}")
                self._fallen_back = True
                advice = Advice(advice.status, f"{failed}; your own constants hold", advice.roll_back_to)
        elif self._fallen_back:
            advice = Advice(advice.status, f"{advice.message}; your own constants hold", advice.roll_back_to)
        wanted = self._base if self._fallen_back else self._allowed(self.proposed)
        roll_back = -1.0 if advice.roll_back_to is None else float(advice.roll_back_to)
        numbers = [float(getattr(wanted, knob)[0]) for knob in LOOP_KNOBS]
        numbers = self._ranks.follow([*numbers, STATUSES.index(advice.status), roll_back, self._fallen_back])
        if self._ranks.several:
            sent = zip(LOOP_KNOBS, numbers, strict=False)
            wanted = Controls(
                **{name: np.array([value], dtype=getattr(self._base, name).dtype) for name, value in sent}
            )
            status, roll_back, fallen = numbers[len(LOOP_KNOBS) :]
            advice = Advice(STATUSES[int(status)], advice.message, None if roll_back < 0 else int(roll_back))
            self._fallen_back = bool(fallen)
        self._put_in_force(wanted, advice)
        self._write()
        if failed is not None and self.last_step == 0:
            raise failed
        if failed is not None:
            self._complain(str(failed), failed)

    def _allowed(self, proposed: Controls) -> Controls:
        """The base with only those knobs changed that may be, and with rates kept within bounds."""
        changes = {knob: getattr(proposed, knob) for knob in LOOP_KNOBS if self.options.may_change(knob)}
        if self.options.mode == "discriminator" and self.options.may_change("adversarial_weight"):
            changes[RATES[0]] = proposed.generator_lr_factor  # stands for the weight: both say how strongly D moves G
        for knob in RATES:
            if knob in changes:
                changes[knob] = np.clip(changes[knob], *self.options.bounds)
        return self._base.replace(**changes)

    def _put_in_force(self, controls: Controls, advice: Advice) -> None:
        self._in_force = controls
        loss = LOSSES.values()[int(controls.loss[0])]
        self._meter.boundary, self._health.critic = loss.boundary, loss.ideal == 0
        self._controls = LoopControls.of(
            controls,
            advice,
            fallen_back=self._fallen_back,
            penalty_unit=self._penalty_unit,
            one_sided=self.options.mode == "discriminator",
        )
        changed = []
        if self.options.mode == "both":
            changed.append(self._rates[0].set(self._controls.generator_lr_factor))
        if self.options.mode != "log":
            changed.append(self._rates[1].set(self._controls.discriminator_lr_factor))
        if any(changed):
            self._complain("something else changes the learning rates too; use one scheduler at a time")

    def _write(self) -> None:
        if self.writer is None or not self._ranks.decides:
            return
        try:
            for name, value in scalars(self._controls, self.proposed, self.ledger.seen()).items():
                self.writer.add_scalar(f"gan_scheduler/{name}", value, self.last_step)
        except Exception as error:  # a full disk must not end a user's run
            self._complain(f"the writer failed: {error}")

    def _complain(self, message: str, error: MetaGANError | None = None) -> None:
        """Warns once about each kind of problem, or raises if strict."""
        if self.strict:
            raise error or InvalidValueError(message)
        kind = message.split(":")[0]
        if kind not in self._warned:
            self._warned.add(kind)
            warnings.warn(message, RuntimeWarning, stacklevel=3)


def _default_interval(total_steps: int) -> int:
    return max(1, round(total_steps / INTERVALS)) if isinstance(total_steps, int) else 1
