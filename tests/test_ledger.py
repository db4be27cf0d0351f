"""What is known of runs: of each by itself, whole through JSON, forgotten where a new run begins."""

import copy
import json
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from metagan_rl.errors import InvalidValueError
from metagan_rl.evaluation import Evaluation
from metagan_rl.loop import Controls, Ledger, Outcome, Reward, choose_signals
from metagan_rl.loop.signals import as_matrix
from metagan_rl.populations import Measurements
from metagan_rl.tasks import Base

BASES = [Base(), Base(loss="wgan", ratio="5:1", penalty_weight=0.1), Base(loss="hinge"), Base(ratio="1:2")]
B = len(BASES)
BUDGET = np.array([480.0, 960.0, 480.0, 3072.0])


def measured(rng: np.random.Generator, count: int = B) -> Measurements:
    shares = ("real_accuracy", "fake_accuracy", "pair_accuracy")
    values = {
        field.name: rng.uniform(0, 1, count) if field.name in shares else np.exp(rng.normal(0, 2, count))
        for field in fields(Measurements)
    }
    return Measurements(**{**values, "diverged": np.zeros(count)})


def quality(rng: np.random.Generator, count: int = B) -> Evaluation:
    shares = ("precision", "coverage")
    return Evaluation(**{
        field.name: rng.uniform(0, 1, count) if field.name in shares else np.exp(rng.normal(-1, 0.5, count))
        for field in fields(Evaluation)
    })  # fmt: skip


def unmeasured(count: int = B) -> Evaluation:
    return Evaluation(**{field.name: np.full(count, np.nan) for field in fields(Evaluation)})


def part(values: Any, members: Any) -> Any:
    return type(values)(**{name: each[members] for name, each in vars(values).items()})


def controls(rng: np.random.Generator, bases: list[Base]) -> Controls:
    count = len(bases)
    return Controls.base(bases).replace(
        generator_lr_factor=np.exp(rng.normal(0, 1, count)), ratio=rng.integers(6, size=count)
    )


def fresh(bases: list[Base] | None = None, budget: np.ndarray = BUDGET, reward: Reward | None = None) -> Ledger:
    return Ledger(Controls.base(BASES if bases is None else bases), budget.copy(), reward)


def begun(rng: np.random.Generator) -> Ledger:
    ledger = fresh()
    ledger.begin(np.arange(B), Controls.base(BASES), BUDGET, quality(rng), np.full(B, 0.05))
    return ledger


def interval(ledger: Ledger, rng: np.random.Generator) -> Outcome:
    return ledger.record(measured(rng), controls(rng, BASES), 48, quality(rng))


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


def assert_outcomes_same(one: Outcome, other: Outcome) -> None:
    np.testing.assert_array_equal(one.reward, other.reward)
    np.testing.assert_array_equal(one.diverged, other.diverged)
    np.testing.assert_array_equal(one.finished, other.finished)
    assert_same(one.terms, other.terms)
    assert_same(one.stability, other.stability)


# --- runs do not depend on each other --------------------------------------------------------------------------------


def test_a_ledger_of_several_runs_is_as_many_ledgers_of_one() -> None:
    rng = np.random.default_rng(0)
    together, alone = fresh(), [fresh([base], BUDGET[[run]]) for run, base in enumerate(BASES)]
    start, floor = quality(rng), rng.uniform(0.01, 0.1, B)
    together.begin(np.arange(B), Controls.base(BASES), BUDGET, start, floor)
    for run, ledger in enumerate(alone):
        of_run = [run]
        ledger.begin(np.array([0]), Controls.base([BASES[run]]), BUDGET[of_run], part(start, of_run), floor[of_run])
    for _ in range(8):
        seen, given, now = measured(rng), controls(rng, BASES), quality(rng)
        outcome = together.record(seen, given, 48, now)
        for run, ledger in enumerate(alone):
            of_run = [run]
            own = ledger.record(part(seen, of_run), given[of_run], 48, part(now, of_run))
            for name, values in own.terms.items():
                np.testing.assert_array_equal(values[0], outcome.terms[name][run], err_msg=name)
            assert own.reward[0] == outcome.reward[run] and own.finished[0] == outcome.finished[run]
        told = together.signals()
        for run, ledger in enumerate(alone):
            assert_same({name: values[[run]] for name, values in told.items()}, ledger.signals())
    assert len(told) >= len(choose_signals("all"))


def test_outcomes_say_when_a_run_diverges_and_when_its_budget_is_spent() -> None:
    rng = np.random.default_rng(1)
    ledger = begun(rng)
    seen = measured(rng)
    seen.diverged[2] = 1
    outcome = ledger.record(seen, controls(rng, BASES), 480, quality(rng))
    assert outcome.diverged.tolist() == [False, False, True, False]
    assert outcome.finished.tolist() == [True, False, True, False]
    np.testing.assert_allclose(sum(outcome.terms.values()), outcome.reward)
    assert ledger.signals()["progress"].tolist() == [1.0, 0.5, 1.0, 480 / 3072]


# --- state -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("done", [0, 1, 3])
def test_a_ledger_goes_on_exactly_from_its_state_through_json(done: int) -> None:
    rng = np.random.default_rng(2)
    ledger = begun(rng)
    for _ in range(done):
        interval(ledger, rng)
    state = json.loads(json.dumps(ledger.state_dict()))
    again = fresh()
    again.load_state_dict(state)
    assert json.dumps(again.state_dict()) == json.dumps(state)
    assert_same(again.signals(), ledger.signals())
    other = copy.deepcopy(rng)
    for _ in range(6):
        assert_outcomes_same(interval(ledger, rng), interval(again, other))
        assert_same(again.signals(), ledger.signals())


def test_a_state_is_not_tied_to_the_ledger_that_gave_it() -> None:
    rng = np.random.default_rng(3)
    ledger = begun(rng)
    interval(ledger, rng)
    state = ledger.state_dict()
    before = json.dumps(state)
    again = fresh()
    again.load_state_dict(state)
    for _ in range(2):
        interval(ledger, rng)
        interval(again, rng)
    assert json.dumps(state) == before


def test_weights_of_the_reward_are_the_ledgers_own() -> None:
    rng = np.random.default_rng(4)
    ledger = fresh(reward=Reward(quality=2.0))
    ledger.load_state_dict(begun(rng).state_dict())
    assert ledger.reward == Reward(quality=2.0)


DAMAGE = {
    "version": [2, None, "1"],
    "controls": [None, [], 3, [{"ratio": "1:1"}], [{"ratio": "9:1"}] * B, [{"generator_lr_factor": 99.0}] * B, "abcd"],
    "quality": [None, {}, {"distance": [1.0] * B}, 3],
    "measured": [None, {}, {"more": [1.0] * B}],
    "stability": [None, 3, {"saturation": ["much"] * B}],
    "latest": [None, 3],
    "before": [None, "abc"],
    "monitor": [None, {}, [], {"first_gradient": [1.0]}],
    "budget": [None, "long", [1.0], [1.0] * (B + 1), {"object": 1}],
    "updates": [None, "many", {}],
    "floor": [None, "low", [["x"]]],
    "start": [None, {"object": {"x": 1}}],
    "best": [None, {"object": {"x": 1}}],
    "distance_before": [None, "near"],
    "decline": [None, ["a"] * B],
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_state_is_refused_and_nothing_has_changed(name: str) -> None:
    rng = np.random.default_rng(5)
    ledger = begun(rng)
    for _ in range(2):
        interval(ledger, rng)
    good = ledger.state_dict()
    before = json.dumps(good)
    assert set(good) == set(DAMAGE)
    for bad in ({key: good[key] for key in good if key != name}, *({**good, name: each} for each in DAMAGE[name])):
        with pytest.raises(InvalidValueError):
            ledger.load_state_dict(bad)
        assert json.dumps(ledger.state_dict()) == before, bad.get(name)
    ledger.load_state_dict(good)


@pytest.mark.parametrize("name", ["updates", "floor", "start", "best", "distance_before", "decline"])
def test_a_state_with_another_number_of_values_is_refused(name: str) -> None:
    rng = np.random.default_rng(5)
    ledger = begun(rng)
    interval(ledger, rng)
    good = ledger.state_dict()
    for bad in (good[name][:1], [*good[name], 1.0], [good[name]], []):
        with pytest.raises(InvalidValueError):
            ledger.load_state_dict({**good, name: bad})
    for inner in ("quality", "measured", "stability", "latest", "before", "monitor"):
        for key, values in good[inner].items():
            with pytest.raises(InvalidValueError):
                ledger.load_state_dict({**good, inner: {**good[inner], key: values[:1]}})
    assert ledger.state_dict()[name] == good[name]


def test_a_state_of_another_number_of_runs_is_refused() -> None:
    rng = np.random.default_rng(6)
    with pytest.raises(InvalidValueError, match="of 4 runs, not of 1"):
        fresh([Base()], np.ones(1)).load_state_dict(begun(rng).state_dict())


# --- new runs, and copies --------------------------------------------------------------------------------------------


def test_runs_that_begin_in_some_places_are_forgotten_and_no_others() -> None:
    rng = np.random.default_rng(7)
    ledger, undisturbed, new = (begun(np.random.default_rng(8)) for _ in range(3))
    for _ in range(4):
        seen, given, now = measured(rng), controls(rng, BASES), quality(rng)
        for each in (ledger, undisturbed):
            each.record(seen, given, 48, now)
    places, kept = np.array([1, 3]), [0, 2]
    bases, start = [Base(loss="lsgan"), Base()], quality(rng, 2)
    ledger.begin(places, Controls.base(bases), np.array([96.0, 192.0]), start, np.array([0.1, 0.2]))
    new = fresh(bases, np.ones(2))
    new.begin(np.arange(2), Controls.base(bases), np.array([96.0, 192.0]), start, np.array([0.1, 0.2]))
    which = choose_signals("all")
    now = as_matrix(ledger.signals(), which, B)
    np.testing.assert_array_equal(now[kept], as_matrix(undisturbed.signals(), which, B)[kept])
    np.testing.assert_array_equal(now[places], as_matrix(new.signals(), which, 2))
    for _ in range(4):
        seen, given, later = measured(rng), controls(rng, BASES), quality(rng)
        outcome, others = ledger.record(seen, given, 48, later), undisturbed.record(seen, given, 48, later)
        fresh_ones = new.record(part(seen, places), given[places], 48, part(later, places))
        np.testing.assert_array_equal(outcome.reward[kept], others.reward[kept])
        np.testing.assert_array_equal(outcome.reward[places], fresh_ones.reward)
        now = as_matrix(ledger.signals(), which, B)
        np.testing.assert_array_equal(now[kept], as_matrix(undisturbed.signals(), which, B)[kept])
        np.testing.assert_array_equal(now[places], as_matrix(new.signals(), which, 2))


def test_what_is_taken_is_all_that_is_known_and_leaves_its_source_alone() -> None:
    rng = np.random.default_rng(9)
    ledger, undisturbed = begun(np.random.default_rng(10)), begun(np.random.default_rng(10))
    for _ in range(3):
        seen, given, now = measured(rng), controls(rng, BASES), quality(rng)
        for each in (ledger, undisturbed):
            each.record(seen, given, 48, now)
    sources = np.array([2, 1, 2, 0])
    ledger.take(sources)
    assert_same(ledger.signals(), {name: values[sources] for name, values in undisturbed.signals().items()})
    for _ in range(6):  # beyond what the stability terms look back on
        seen, given, now = measured(rng), controls(rng, BASES), quality(rng)
        outcome = ledger.record(part(seen, sources), given[sources], 48, part(now, sources))
        expected = undisturbed.record(seen, given, 48, now)
        np.testing.assert_array_equal(outcome.reward, expected.reward[sources])
        assert_same(ledger.signals(), {name: values[sources] for name, values in undisturbed.signals().items()})


def test_fewer_runs_may_be_kept() -> None:
    rng = np.random.default_rng(11)
    ledger = begun(rng)
    interval(ledger, rng)
    told = ledger.signals()
    ledger.take(np.array([3, 1]))
    assert len(ledger) == 2
    assert_same(ledger.signals(), {name: values[[3, 1]] for name, values in told.items()})


# --- what is not measured --------------------------------------------------------------------------------------------


def test_before_anything_was_measured_only_clock_and_controls_are_told() -> None:
    ledger = fresh()
    assert ledger.seen() == {}
    told = ledger.signals()
    assert {"progress", "budget", "generator_lr_factor", "loss_wgan", "penalty_weight", "beta1"} <= set(told)
    assert not {"saturation", "logit_gap", "distance_from_start"} & set(told)
    assert (as_matrix(told, choose_signals("all"), B)[:, :1] == 0).all()


def test_quality_is_told_as_soon_as_there_is_one_and_what_training_tells_later() -> None:
    ledger = begun(np.random.default_rng(12))
    seen = ledger.seen()
    assert {"distance_from_start", "distance_to_floor", "precision", "coverage"} <= set(seen)
    assert (seen["distance_from_start"] == 0).all() and (seen["distance_from_best"] == 0).all()
    assert not {"saturation", "logit_gap", "oscillation", "mode_loss"} & set(seen)


@pytest.mark.parametrize(
    ("given", "told", "silent"),
    [
        (("discriminator_loss",), {"discriminator_loss", "discriminator_loss_slope"}, {"saturation", "vanishing"}),
        (("pair_accuracy",), {"pair_accuracy", "saturation"}, {"discriminator_loss", "gradient_decline"}),
        (("generator_gradient",), {"gradient_decline", "vanishing"}, {"gradient_ratio", "saturation"}),
        (("generator_gradient", "discriminator_gradient"), {"gradient_ratio"}, {"generator_move"}),
        (("real_logit", "fake_logit", "logit_deviation"), {"logit_gap", "logit_centre"}, {"saturation"}),
        ((), set(), {"saturation", "vanishing", "oscillation", "mode_loss", "logit_gap"}),
    ],
)  # fmt: skip
def test_what_is_not_measured_makes_no_signal(given: tuple[str, ...], told: set[str], silent: set[str]) -> None:
    ledger, rng = fresh([Base()], BUDGET[:1]), np.random.default_rng(13)
    for _ in range(2):
        all_of_it, nothing = measured(rng, 1), Measurements.empty(1)
        for name in given:
            setattr(nothing, name, getattr(all_of_it, name))
        outcome = ledger.record(nothing, Controls.base([Base()]), 48, unmeasured(1))
        assert outcome.reward.tolist() == [0.0] and not outcome.diverged.any()
    seen = ledger.seen()
    assert told <= set(seen) and not silent & set(seen)
    assert not {signal.name for signal in choose_signals("all") if signal.needs == "quality"} & set(seen)
    assert not any(np.isnan(values).any() for values in seen.values())
    assert np.isfinite(as_matrix(ledger.signals(), choose_signals("all"), 1)).all()


def test_a_distance_alone_makes_its_own_signals_and_a_reward_from_the_second_on() -> None:
    ledger = fresh([Base()], BUDGET[:1])
    rewards = []
    for distance in (1.0, 0.5, np.nan, 0.25):
        now = unmeasured(1)
        now.distance[:] = distance
        rewards.append(ledger.record(Measurements.empty(1), Controls.base([Base()]), 48, now).reward[0])
    assert rewards == pytest.approx([0.0, np.log(2.0), 0.0, 0.0], abs=0.02)
    seen = ledger.seen()
    assert seen["distance_from_start"][0] == pytest.approx(np.log(0.25) / 3)
    assert seen["distance_from_best"][0] == 0
    assert not {"distance_to_floor", "precision", "coverage", "mode_loss"} & set(seen)


def test_one_run_may_be_measured_while_another_is_not() -> None:
    rng, ledger = np.random.default_rng(14), fresh(BASES[:2], BUDGET[:2])
    half = measured(rng, 2)
    for values in vars(half).values():
        values[1] = np.nan
    ledger.record(half, Controls.base(BASES[:2]), 48, unmeasured(2))
    seen = ledger.seen()
    assert np.isnan(seen["pair_accuracy"]).tolist() == [False, True] and np.isnan(seen["saturation"][1])
    matrix = as_matrix(ledger.signals(), choose_signals("loop"), 2)
    assert np.isfinite(matrix).all()
