"""Signals: what a scheduler may see. Unit-free numbers, each with a name, a range, a formula and the formula's version.

No signal tells which data set is trained, nor an absolute learning rate or loss: a scheduler must work on data that it
has never seen. Each signal names what it needs: what any training loop has, or a quality metric as well.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from metagan_rl.errors import InvalidValueError, UnknownNameError
from metagan_rl.loop.controls import Controls
from metagan_rl.loop.knobs import KNOBS, Knob, default_knobs
from metagan_rl.loop.setup import Setup
from metagan_rl.losses import LOSSES
from metagan_rl.populations.measurements import Measurements
from metagan_rl.registry import Registry

USUAL_BUDGET = 3072
HUGE = 1e30
"""Measurements are clipped to plus or minus this."""

Need = Literal["clock", "setup", "controls", "outputs", "gradients", "quality"]
"""What a loop must provide: only its clock; what it knows of itself before it begins; only its controls; D's outputs,
the losses and how far weights move; gradient norms; a quality metric."""


@dataclass(frozen=True)
class Known:
    """What signals are made from: all that is known of B runs, ``[B]`` each, NaN where nothing was measured.

    Attributes:
        measured: measurements of the last interval, without infinities.
        controls: controls of the last interval; before the first, those of the base.
        before: values of the signals that have a slope, one interval earlier.
        setup: what the loops know of themselves.
        updates, budget: updates done, and updates in all.
        gradient_decline: log10 of G's gradient norm relative to its norm in the first interval.
        stability: stability terms by name, in [0, 1].
        distance, distance_before, start, best, floor: the quality distance now, one interval ago, before training, at
            its best, and from real points to other real points.
        sliced_wasserstein, precision, coverage: the parts of the quality distance.
    """

    measured: Measurements
    controls: Controls
    before: Mapping[str, np.ndarray]
    setup: Setup
    updates: np.ndarray
    budget: np.ndarray
    gradient_decline: np.ndarray
    stability: Mapping[str, np.ndarray]
    distance: np.ndarray
    distance_before: np.ndarray
    start: np.ndarray
    best: np.ndarray
    floor: np.ndarray
    sliced_wasserstein: np.ndarray
    precision: np.ndarray
    coverage: np.ndarray

    def of_loss(self, attribute: str) -> np.ndarray:
        """A number that belongs to each run's loss, for example ``ideal``."""
        return np.array([getattr(loss, attribute) for loss in LOSSES.values()])[self.controls.loss]

    @property
    def deviation(self) -> np.ndarray:
        """Standard deviation of the logits within real and within generated batches, never 0."""
        return np.maximum(self.measured.logit_deviation, 1e-12)

    @property
    def gap(self) -> np.ndarray:
        """(mean real - mean generated logit) / deviation within."""
        return (self.measured.real_logit - self.measured.fake_logit) / self.deviation

    def slope(self, name: str) -> np.ndarray:
        """Change of a signal during this interval."""
        return np.clip(SIGNALS[name].formula(self), -1, 1) - np.clip(self.before.get(name, 0.0), -1, 1)


@dataclass(frozen=True)
class Signal:
    """One number that a scheduler may see.

    Attributes:
        name: identifier.
        low, high: range; values outside are clipped.
        meaning: the formula in words.
        needs: what a loop must provide for it.
        formula: computes the values ``[B]``, not clipped, from what is known.
        version: version of the formula. A policy trained on another version is refused.
    """

    name: str
    low: float
    high: float
    meaning: str
    needs: Need
    formula: Callable[[Known], np.ndarray] = field(compare=False, repr=False)
    version: int = 1

    def __reduce__(self) -> Any:
        """Copies and pickles a registered signal by its name, as its formula has none."""
        if self.name in SIGNALS and SIGNALS[self.name].formula is self.formula:
            return _registered, (self.name,)
        if isinstance(self.formula, _OfKnob):
            return _signal_of, (self.formula.knob, self.formula.place)
        return super().__reduce__()


SIGNALS: Registry[Signal] = Registry("signal", words="_")
"""All signals except those of knobs, which :func:`knob_signals` gives."""


def register_signal(signal: Signal) -> Signal:
    """Adds a signal under its name. Environments show it if ``signals=`` names it.

    Raises:
        InvalidValueError: its name is malformed or taken, its range is none, or nothing provides what it needs.
    """
    if signal.needs not in get_args(Need):
        known = ", ".join(get_args(Need))
        raise InvalidValueError(f"signal {signal.name!r} needs {signal.needs!r}; it must be one of {known}")
    if not -np.inf < signal.low < signal.high < np.inf:
        raise InvalidValueError(
            f"signal {signal.name!r} has the range {signal.low} to {signal.high}; give two finite numbers, the lower "
            "one first"
        )
    return SIGNALS.register(signal.name, signal)


def _registered(name: str) -> Signal:
    return SIGNALS[name]


def _add(needs: Need, *rows: tuple[str, float, str, Callable[[Known], np.ndarray]]) -> tuple[str, ...]:
    for name, low, meaning, formula in rows:
        register_signal(Signal(name, low, 1.0, meaning, needs, formula))
    return tuple(name for name, *_ in rows)


def _relative(loss: np.ndarray, ideal: np.ndarray) -> np.ndarray:
    return np.log10(np.maximum(loss, 1e-12) / np.where(ideal > 0, ideal, 1.0))


def _discriminator_loss(known: Known) -> np.ndarray:
    ideal, gap = known.of_loss("ideal"), known.gap
    relative = _relative(known.measured.discriminator_loss, ideal)
    return np.where(ideal > 0, relative, -gap / (1 + np.abs(gap)))


def _generator_loss(known: Known) -> np.ndarray:
    ideal, fake = known.of_loss("generator_ideal"), known.measured.fake_logit / known.deviation
    relative = _relative(known.measured.generator_loss, ideal)
    return np.where(ideal > 0, relative, -fake / (1 + np.abs(fake)))


def _logit_centre(known: Known) -> np.ndarray:
    middle = (known.measured.real_logit + known.measured.fake_logit) / 2
    return np.tanh((middle - known.of_loss("boundary")) / known.deviation / 3)


def _gradient_ratio(known: Known) -> np.ndarray:
    generator, discriminator = known.measured.generator_gradient, known.measured.discriminator_gradient
    return np.log10(np.maximum(generator, 1e-30) / np.maximum(discriminator, 1e-30)) / 3


def _move(relative: np.ndarray) -> np.ndarray:
    return (np.log10(np.maximum(relative, 1e-12)) + 2) / 2


CLOCK = _add(
    "clock",
    ("progress", 0, "updates done / budget", lambda known: known.updates / known.budget),
    ("budget", -1, "log10(budget / 3072)", lambda known: np.log10(known.budget / USUAL_BUDGET)),
)
SETUP = _add(
    "setup",
    ("momentum", 0, "-log10(1 - beta1) / 2 of Adam", lambda known: -np.log10(1 - known.setup.beta1) / 2),
    ("batch", -1, "log10(batch size / 128)", lambda known: np.log10(known.setup.batch_size / 128)),
    ("size", -1, "log10(weights of both networks / 10,000) / 3", lambda known: np.log10(known.setup.weights / 1e4) / 3),
    ("columns", -1, "log10(columns of the data / 2) / 3", lambda known: np.log10(known.setup.columns / 2) / 3),
    ("rows", -1, "log10(rows to train on / 4096) / 3", lambda known: np.log10(known.setup.rows / 4096) / 3),
)
"""What a loop knows of itself before it begins. Only the set ``setup`` has them."""
_OUTPUTS_FIRST = _add(
    "outputs",
    ("discriminator_loss", -1, "log10(D's loss / its ideal); for critics -gap / (1 + |gap|)", _discriminator_loss),
    ("discriminator_loss_slope", -1, "change of the above in this interval", lambda k: k.slope("discriminator_loss")),
    (
        "real_accuracy",
        -1,
        "2 x share of real logits on the right side - 1",
        lambda known: 2 * known.measured.real_accuracy - 1,
    ),
    (
        "fake_accuracy",
        -1,
        "2 x share of generated logits on the right side - 1",
        lambda known: 2 * known.measured.fake_accuracy - 1,
    ),
    (
        "pair_accuracy",
        -1,
        "2 x share of real-generated pairs ordered rightly - 1",
        lambda known: 2 * known.measured.pair_accuracy - 1,
    ),
    (
        "logit_gap",
        -1,
        "tanh(gap / 3); gap = (mean real - mean generated logit) / deviation within",
        lambda known: np.tanh(known.gap / 3),
    ),
    ("logit_gap_slope", -1, "change of the above in this interval", lambda known: known.slope("logit_gap")),
    ("logit_centre", -1, "tanh(c / 3); c = (middle of the two means - boundary) / deviation within", _logit_centre),
)
_GRADIENTS = _add(
    "gradients",
    ("gradient_ratio", -1, "log10(G's gradient norm / D's) / 3", _gradient_ratio),
    (
        "gradient_decline",
        -1,
        "log10(G's gradient norm / that of its first interval) / 3",
        lambda known: known.gradient_decline / 3,
    ),
)
_OUTPUTS_LAST = _add(
    "outputs",
    (
        "generator_move",
        -1,
        "(log10(|change of G's weights| / |weights|) + 2) / 2",
        lambda known: _move(known.measured.generator_move),
    ),
    (
        "discriminator_move",
        -1,
        "(log10(|change of D's weights| / |weights|) + 2) / 2",
        lambda known: _move(known.measured.discriminator_move),
    ),
    (
        "saturation",
        0,
        "stability term: D orders (almost) all pairs rightly",
        lambda known: known.stability["saturation"],
    ),
)
_VANISHING = _add(
    "gradients",
    ("vanishing", 0, "stability term: G's gradient is dying", lambda known: known.stability["vanishing"]),
)
TRAINING = (*_OUTPUTS_FIRST, *_GRADIENTS, *_OUTPUTS_LAST, *_VANISHING)
QUALITY = _add(
    "quality",
    (
        "distance_from_start",
        -1,
        "log(distance / distance before training) / 3",
        lambda known: np.log(known.distance / known.start) / 3,
    ),
    (
        "distance_to_floor",
        -1,
        "log(distance / distance of real to real points) / 3",
        lambda known: np.log(known.distance / known.floor) / 3,
    ),
    (
        "distance_change",
        -1,
        "2 log(distance / distance one interval ago)",
        lambda known: 2 * np.log(known.distance / known.distance_before),
    ),
    (
        "distance_from_best",
        0,
        "log(distance / best distance so far) / 2",
        lambda known: np.log(known.distance / known.best) / 2,
    ),
    (
        "sliced_wasserstein",
        -1,
        "log10(sliced Wasserstein distance) / 2",
        lambda known: np.log10(np.maximum(known.sliced_wasserstein, 1e-12)) / 2,
    ),
    ("precision", 0, "precision", lambda known: known.precision),
    ("coverage", 0, "coverage", lambda known: known.coverage),
    (
        "oscillation",
        0,
        "stability term: log distance goes to and fro",
        lambda known: known.stability["oscillation"],
    ),
    ("mode_loss", 0, "stability term: best coverage so far - coverage", lambda known: known.stability["mode_loss"]),
)
FURTHER = _add(
    "outputs",
    (
        "generator_loss",
        -1,
        "log10(G's loss / its ideal); for hinge and WGAN -c / (1 + |c|), c = generated logit / deviation",
        _generator_loss,
    ),
)
"""Computed, but only the set ``autoloss`` has it."""
SLOPES = ("discriminator_loss", "logit_gap")
"""Signals whose change during an interval is a signal too."""
AUTOLOSS = ("progress", "gradient_ratio", "generator_loss", "discriminator_loss", "distance_to_floor")
"""The signals nearest to what AutoLoss sees of a GAN (Xu et al. 2018, arXiv:1810.02442). AutoLoss sees the share of
training done, the log ratio of the gradient norms, and moving averages of both losses; ours are means over the
interval. It also sees the inception score relative to 8; ours is the distance relative to the floor."""
SIGNAL_SETS = ("all", "loop", "outputs", "watched", "setup", "autoloss")
"""Named sets: all signals of a run; those without a quality metric; of these, those without gradient norms; of these,
those without the controls in force; what a loop knows of itself before it begins; AutoLoss's."""


def knob_signals(knob: Knob) -> tuple[Signal, ...]:
    """The signals that show a knob's value."""
    return tuple(_signal_of(knob, place) for place in range(len(knob.signals)))


@dataclass(frozen=True)
class _OfKnob:
    """The formula of a knob's signal."""

    knob: Knob
    place: int

    def __call__(self, known: Known) -> np.ndarray:
        return self.knob.signals[self.place].tell(getattr(known.controls, self.knob.name))


def _signal_of(knob: Knob, place: int) -> Signal:
    each = knob.signals[place]
    return Signal(each.name, each.low, 1.0, each.meaning, "controls", _OfKnob(knob, place))


def choose_signals(which: str | Sequence[str] = "all", knobs: Sequence[Knob] = ()) -> tuple[Signal, ...]:
    """The signals of a set, in order, or the named signals.

    Args:
        which: one of ``SIGNAL_SETS``; several sets or signals joined by ``+``, as in ``"loop+setup"``; or names.
        knobs: the agent's knobs. A set also shows the default knobs that the agent does not have, as the tasks' bases
            may differ in them. If the agent's knob has levels of its own, the signals are those of these levels.

    Raises:
        UnknownNameError: no such set or signal.
    """
    own = {knob.name: knob for knob in knobs}
    told = [own.get(name, KNOBS[name]) for name in (*default_knobs(), *(n for n in own if n not in default_knobs()))]
    of_knobs = {signal.name: signal for knob in told for signal in knob_signals(knob)}
    if not isinstance(which, str):
        further = {signal.name: signal for knob in KNOBS.values() for signal in knob_signals(knob)}
        return tuple(_find(name, {**further, **of_knobs}) for name in which)
    parts = which.split("+")
    if len(parts) == 1 and which not in SIGNAL_SETS:
        raise UnknownNameError("set of signals", which, SIGNAL_SETS)
    names = [name for part in parts for name in (_names(part, of_knobs) if part in SIGNAL_SETS else [part])]
    return tuple(_find(name, of_knobs) for name in dict.fromkeys(names))


def _names(which: str, of_knobs: Mapping[str, Signal]) -> list[str]:
    """The names of the signals of one set, in order."""
    if which in ("autoloss", "setup"):
        return list(AUTOLOSS if which == "autoloss" else SETUP)
    names = [*CLOCK, *of_knobs, *TRAINING, *(QUALITY if which == "all" else ())]
    left_out = {"outputs": ("gradients",), "watched": ("gradients", "controls")}.get(which, ())
    return [name for name in names if _find(name, of_knobs).needs not in left_out]


def _find(name: str, of_knobs: Mapping[str, Signal]) -> Signal:
    if name in of_knobs:
        return of_knobs[name]
    if name not in SIGNALS:
        raise UnknownNameError("signal", name, [*SIGNALS, *of_knobs])
    return SIGNALS[name]


def bounded(measured: Measurements) -> Measurements:
    """Measurements without infinities, whose differences and ratios are not numbers. NaN (not measured) stays."""
    return Measurements(**{name: np.clip(values, -HUGE, HUGE) for name, values in vars(measured).items()})


def as_matrix(values: Mapping[str, np.ndarray], which: Sequence[Signal], members: int) -> np.ndarray:
    """Signals in order, clipped to their ranges, float32 ``[B, S]``. What is not known yet is 0, never NaN."""
    matrix = np.zeros((members, len(which)))
    for column, signal in enumerate(which):
        if signal.name in values:
            matrix[:, column] = values[signal.name]
    low, high = [signal.low for signal in which], [signal.high for signal in which]
    return np.clip(np.nan_to_num(matrix, nan=0.0), low, high).astype(np.float32)
