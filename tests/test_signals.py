"""What must hold of signals: in range, never NaN, and the same whatever units a training loop counts in."""

import math
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch

from metagan_rl.agents.plugin.quality import evaluation_of
from metagan_rl.errors import InvalidValueError
from metagan_rl.loop import KNOBS, SIGNALS, Controls, Ledger, Signal, choose_signals, register_signal
from metagan_rl.loop.knobs import KNOWN_LOSSES, LR_FACTOR, MAX_PENALTY_WEIGHT, default_knobs
from metagan_rl.loop.signals import AUTOLOSS, FURTHER, SIGNAL_SETS, as_matrix
from metagan_rl.losses import LOSSES
from metagan_rl.metrics import STABILITY_TERMS
from metagan_rl.populations import Measurements, Population
from metagan_rl.populations.settings import RATIOS, Settings
from metagan_rl.tasks import Base, Networks, Task

EXTREMES = (0.0, -0.0, 1e-45, -1e-30, 1.0, -1.0, 1e10, -1e38, 3e38, 1.7e308, np.inf, -np.inf, np.nan)
ALL, LOOP = choose_signals("all"), choose_signals("loop")
QUALITY = tuple(signal for signal in ALL if signal not in LOOP)
FURTHER_SIGNALS = tuple(SIGNALS[name] for name in FURTHER)
TRAINING = LOOP + FURTHER_SIGNALS
NAMES = {signal.name for signal in ALL}
OF_ONE_INTERVAL = (
    "discriminator_loss", "generator_loss", "real_accuracy", "fake_accuracy", "pair_accuracy", "logit_gap",
    "logit_centre", "gradient_ratio", "generator_move", "discriminator_move",
)  # fmt: skip
"""Signals that depend on nothing but what was measured in the interval, and on the loss."""


def controls(members: int, loss: str = "non-saturating", **changes: Any) -> Controls:
    return Controls.base([Base(loss=loss)] * members).replace(**changes)


def measured(**values: Any) -> Measurements:
    """A GAN at equilibrium, but for the values given."""
    ideal = {
        "discriminator_loss": math.log(4),
        "generator_loss": math.log(2),
        "real_logit": 0.0,
        "fake_logit": 0.0,
        "logit_deviation": 1.0,
        "real_accuracy": 0.5,
        "fake_accuracy": 0.5,
        "pair_accuracy": 0.5,
        "generator_gradient": 1.0,
        "discriminator_gradient": 1.0,
        "generator_move": 0.01,
        "discriminator_move": 0.01,
        "diverged": 0.0,
    }
    return Measurements(**{name: np.atleast_1d(np.asarray(v, dtype=float)) for name, v in {**ideal, **values}.items()})


def training_signals(measured: Measurements, controls: Controls) -> dict[str, np.ndarray]:
    """What a ledger tells after one interval in which no quality was measured."""
    ledger = Ledger(controls, np.full(len(controls), 3072.0))
    ledger.record(measured, controls, 48, evaluation_of({})[0])
    return ledger.seen()


def control_signals(controls: Controls) -> dict[str, np.ndarray]:
    """What a ledger tells of controls that every agent may have."""
    told = Ledger(controls, np.full(len(controls), 3072.0)).signals()
    return {each.name: told[each.name] for name in default_knobs() for each in KNOBS[name].signals}


def assert_in_range(matrix: np.ndarray, which: tuple[Any, ...], members: int) -> None:
    assert matrix.shape == (members, len(which)) and matrix.dtype == np.float32
    assert np.isfinite(matrix).all()
    for column, signal in enumerate(which):
        assert (matrix[:, column] >= signal.low).all() and (matrix[:, column] <= signal.high).all(), signal.name


# --- names and ranges ------------------------------------------------------------------------------------------------


def test_names_are_unique_identifiers_with_a_range_and_a_meaning() -> None:
    assert len({signal.name for signal in ALL + FURTHER_SIGNALS}) == len(ALL + FURTHER_SIGNALS)
    for signal in ALL + FURTHER_SIGNALS:
        assert signal.name.isidentifier() and signal.low < signal.high and signal.meaning
    assert {"loop", "outputs", "all", "watched", "setup", "autoloss"} == set(SIGNAL_SETS)
    assert ALL[: len(LOOP)] == LOOP and tuple(signal.name for signal in choose_signals("autoloss")) == AUTOLOSS
    left_out = {signal.name for signal in LOOP} - {signal.name for signal in choose_signals("outputs")}
    assert left_out == {"gradient_ratio", "gradient_decline", "vanishing"}


def test_what_is_worked_out_has_a_signal() -> None:
    worked_out = {*control_signals(controls(1)), *training_signals(measured(), controls(1))}
    assert worked_out == {signal.name for signal in TRAINING} - {"progress", "budget"}
    assert set(OF_ONE_INTERVAL) < worked_out
    assert set(STABILITY_TERMS) <= NAMES
    assert tuple(LOSSES)[: len(KNOWN_LOSSES)] == KNOWN_LOSSES


def test_signals_that_need_a_metric_are_not_among_those_of_any_loop() -> None:
    for signal in LOOP:
        assert not any(word in signal.name for word in ("distance", "precision", "coverage", "wasserstein", "mode"))


def test_signals_of_any_measurements_are_in_range_and_never_nan() -> None:
    rng, members = np.random.default_rng(0), 20000

    def draw() -> np.ndarray:
        kinds = [
            rng.choice(EXTREMES, members),
            rng.normal(0, 3, members),
            rng.choice([-1, 1], members) * 10.0 ** rng.uniform(-45, 308, members),
        ]
        return np.choose(rng.integers(len(kinds), size=members), kinds)

    values = Measurements(**{field.name: draw() for field in fields(Measurements)})
    told = training_signals(values, controls(members).replace(loss=rng.integers(len(LOSSES), size=members)))
    assert_in_range(as_matrix(told, ALL, members), ALL, members)


@pytest.mark.parametrize("loss", LOSSES)
def test_signals_of_every_pair_of_extreme_measurements_are_in_range(loss: str) -> None:
    pairs = np.array([(a, b) for a in EXTREMES for b in EXTREMES])
    names = [field.name for field in fields(Measurements)]
    for first, second in zip(names, names[1:] + names[:1], strict=True):
        one = {name: np.full(len(pairs), getattr(measured(), name)[0]) for name in names}
        values = Measurements(**{**one, first: pairs[:, 0], second: pairs[:, 1]})
        told = training_signals(values, controls(len(pairs), loss))
        assert_in_range(as_matrix(told, TRAINING, len(pairs)), TRAINING, len(pairs))


def test_controls_at_both_ends_reach_both_ends_of_their_signals_and_the_base_is_in_the_middle() -> None:
    ends = np.array([1 / LR_FACTOR, 1.0, LR_FACTOR])
    one_to_one, five_to_one = RATIOS.index("1:1"), RATIOS.index("5:1")
    told = control_signals(
        controls(
            3,
            generator_lr_factor=ends,
            discriminator_lr_factor=ends[::-1].copy(),
            ratio=np.array([one_to_one, RATIOS.index("1:3"), five_to_one]),
            penalty_weight=np.array([0.0, 0.1, MAX_PENALTY_WEIGHT]),
        )
    )
    np.testing.assert_allclose(told["generator_lr_factor"], [-1, 0, 1], atol=1e-12)
    np.testing.assert_allclose(told["discriminator_lr_factor"], [1, 0, -1], atol=1e-12)
    np.testing.assert_allclose(told["ratio"], [0, -math.log(3) / math.log(5), 1])
    np.testing.assert_allclose(told["penalty_weight"], [0, math.log(101) / math.log(100001), 1])
    assert_in_range(as_matrix(told, LOOP, 3), LOOP, 3)


def test_loss_is_told_as_one_of_several() -> None:
    told = control_signals(controls(len(LOSSES)).replace(loss=np.arange(len(LOSSES))))
    columns = [told[f"loss_{name.replace('-', '_')}"] for name in KNOWN_LOSSES]
    np.testing.assert_array_equal(np.array(columns).T, np.eye(len(KNOWN_LOSSES)))


# --- formulas --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_equilibrium_is_zero_whatever_the_loss(loss: str) -> None:
    at = LOSSES[loss].boundary
    ideals = {"discriminator_loss": LOSSES[loss].ideal, "generator_loss": LOSSES[loss].generator_ideal}
    values = measured(**ideals, real_logit=at, fake_logit=at)
    for name, value in training_signals(values, controls(1, loss)).items():
        assert value[0] == pytest.approx(0, abs=1e-12), name


def test_signals_are_what_their_formulas_say() -> None:
    values = measured(
        discriminator_loss=math.log(4) / 100,
        generator_loss=10 * math.log(2),
        real_logit=5.0,
        fake_logit=1.0,
        logit_deviation=2.0,
        real_accuracy=1.0,
        fake_accuracy=0.25,
        pair_accuracy=0.75,
        generator_gradient=0.01,
        discriminator_gradient=1.0,
        generator_move=1.0,
        discriminator_move=1e-4,
    )
    told = {name: training_signals(values, controls(1))[name][0] for name in OF_ONE_INTERVAL}
    expected = {
        "discriminator_loss": -2.0,
        "generator_loss": 1.0,
        "real_accuracy": 1.0,
        "fake_accuracy": -0.5,
        "pair_accuracy": 0.5,
        "logit_gap": math.tanh(2 / 3),
        "logit_centre": math.tanh(1.5 / 3),
        "gradient_ratio": -2 / 3,
        "generator_move": 1.0,
        "discriminator_move": -1.0,
    }
    assert told == pytest.approx(expected)
    critic = training_signals(values, controls(1, "wgan"))
    assert critic["discriminator_loss"][0] == pytest.approx(-2 / 3)
    assert critic["generator_loss"][0] == pytest.approx(-0.5 / 1.5)
    assert training_signals(values, controls(1, "lsgan"))["logit_centre"][0] == pytest.approx(math.tanh(2.5 / 2 / 3))


@pytest.mark.parametrize("loss", LOSSES)
def test_the_ideal_of_generators_is_their_loss_when_d_is_undecided(loss: str) -> None:
    undecided = torch.full((1, 3), LOSSES[loss].boundary)
    assert LOSSES[loss].generator(undecided, undecided).item() == pytest.approx(LOSSES[loss].generator_ideal)


def test_critics_signals_do_not_depend_on_the_units_of_their_logits() -> None:
    told = [
        training_signals(
            measured(
                discriminator_loss=-2.0 * k,
                real_logit=3.0 * k,
                fake_logit=1.0 * k,
                logit_deviation=1.5 * k,
                generator_gradient=0.2 * k,
                discriminator_gradient=0.7 * k,
            ),
            controls(1, "wgan"),
        )
        for k in (1.0, 1e-3, 50.0)
    ]
    for other in told[1:]:
        for name, value in told[0].items():
            np.testing.assert_allclose(other[name], value, rtol=1e-9, err_msg=name)


def test_matrix_is_in_the_order_asked_for_clipped_and_zero_where_nothing_is_known() -> None:
    values = {"progress": np.array([0.25, 7.0]), "budget": np.array([-9.0, np.nan]), "unheard_of": np.ones(2)}
    which = (LOOP[1], QUALITY[0], LOOP[0])
    matrix = as_matrix(values, which, 2)
    assert matrix.tolist() == [[-1.0, 0.0, 0.25], [0.0, 0.0, 1.0]] and matrix.dtype == np.float32
    assert as_matrix({}, ALL, 3).tolist() == np.zeros((3, len(ALL))).tolist()


# --- in training -----------------------------------------------------------------------------------------------------


def task(loss: str = "non-saturating", lr: float = 1e-3) -> Task:
    base = Base(generator_lr=lr, discriminator_lr=lr, loss=loss, batch_size=16)
    return Task("ring8/0", "ring8", 2, networks=Networks(latent_dim=3, width=8, depth=1), base=base)


def test_base_rates_in_other_units_with_multipliers_that_make_up_for_it_train_the_very_same() -> None:
    one, four = (Population([task(lr=lr)], [1]) for lr in (1e-3, 4e-3))
    quarter = controls(1, generator_lr_factor=np.array([0.25]), discriminator_lr_factor=np.array([0.25]))
    seen = [
        training_signals(p.train(c.settings([t.base for t in p.tasks]), 24), c)
        for p, c in ((one, controls(1)), (four, quarter))
    ]
    for name, values in one.state.to_dict().items():
        assert (values == four.state.to_dict()[name]).all(), name
    for name in seen[0]:
        assert seen[0][name] == seen[1][name], name


@pytest.mark.parametrize("factor", [1.0, LR_FACTOR])
def test_signals_of_training_and_of_exploding_members_are_in_range(factor: float) -> None:
    tasks = [task(loss, lr=10.0 if factor > 1 else 1e-3) for loss in LOSSES]
    population, rates = Population(tasks, range(len(tasks))), np.full(len(tasks), factor)
    chosen = Controls.base([task.base for task in tasks]).replace(
        generator_lr_factor=rates, discriminator_lr_factor=rates
    )
    for _ in range(6):
        told = {
            **training_signals(population.train(chosen.settings([task.base for task in tasks]), 48), chosen),
            **control_signals(chosen),
        }
        assert_in_range(as_matrix(told, TRAINING, len(tasks)), TRAINING, len(tasks))
    assert population.state.diverged.any() == (factor > 1)


def test_signals_tell_nothing_of_a_member_that_is_frozen() -> None:
    population = Population([task()], [0])
    population.state.diverged[:] = True
    told = training_signals(population.train(Settings.of([task().base]), 12), controls(1))
    assert (as_matrix(told, TRAINING, 1) == 0).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"needs": "eyes"}, "signal 'odd' needs 'eyes'; it must be one of clock, setup, "),
        ({"low": 2.0}, "the range 2.0 to 1.0; give two finite numbers"),
        ({"high": math.nan}, "the range 0.0 to nan"),
    ],
)
def test_signals_that_cannot_be_are_refused_where_they_are_registered(changes: dict[str, Any], words: str) -> None:
    given: dict[str, Any] = {"name": "odd", "low": 0.0, "high": 1.0, "meaning": "none", "needs": "clock", **changes}
    with pytest.raises(InvalidValueError, match=words):
        register_signal(Signal(**given, formula=lambda known: known.measured.real_logit))
    assert "odd" not in SIGNALS
