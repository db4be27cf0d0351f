"""What each rule does, on made-up situations: every test names a property that its paper's formula has."""

import numpy as np
import pytest

from metagan_rl.agents import SCHEDULERS, make_scheduler, scheduler_names
from metagan_rl.agents.learners.shipped import COMPARED, LOOP, ON_TOP, WITHOUT_QUALITY, shipped_policies, shipped_policy
from metagan_rl.agents.searches.tuned import tuned_constant
from metagan_rl.errors import InvalidValueError
from metagan_rl.loop import Controls, Situation, choose_signals
from metagan_rl.loop.knobs import LR_FACTOR
from metagan_rl.losses import LOSSES
from metagan_rl.populations.settings import RATIOS
from metagan_rl.tasks import get_suite
from metagan_rl.tasks.task import Base

RECIPES = ("dcgan", "wgan-gp", "sagan", "sngan", "r3gan")
COURSES = ("step", "warm-up")
REACTIVE = ("gap-aware", "accuracy-gate", "began", "ada", "loss-ratio", "plateau")
NEW = (*RECIPES, *COURSES, *REACTIVE)
INTERVALS, UPDATES = 64, 3072
LOWEST = 1 / LR_FACTOR
OF_DISCRIMINATOR = UPDATES / INTERVALS / 2
"""Updates of D in an interval at 1:1."""


def situation(interval, base=None, members=1, **signals):
    """Before an interval of a run of 64, with the given signals (a number for all members, or one for each)."""
    base = Controls.base([base or Base()] * members)
    seen = {"progress": interval / INTERVALS, "budget": 0.0, **signals}
    seen = {name: np.broadcast_to(np.asarray(value, dtype=float), members).copy() for name, value in seen.items()}
    return Situation(seen, base, base, np.zeros(members))


def values_of(controls):
    return {name: getattr(controls, name) for name in controls.knobs}


def begun(name, members=1, **options):
    scheduler = make_scheduler(name, **options)
    scheduler.begin(range(members))
    return scheduler


def course(name, field, intervals=INTERVALS, scheduler=None, **signals):
    """What a control of one run is in every interval, while the signals stay as they are."""
    scheduler = scheduler or begun(name)
    return np.array([getattr(scheduler.step(situation(i, **signals)), field)[0] for i in range(intervals)])


# All of them


@pytest.mark.parametrize("name", NEW)
def test_every_scheduler_is_listed_with_its_source_and_one_line_on_what_it_does(name):
    assert name in scheduler_names()
    line = SCHEDULERS[name].__doc__.splitlines()[0]
    assert line.endswith(".") and len(line) < 115
    assert make_scheduler(name).source


def test_every_shipped_policy_is_a_scheduler_with_a_model_card_and_a_cost():
    assert set(shipped_policies()) == {"default", WITHOUT_QUALITY, LOOP, ON_TOP, *COMPARED}
    card = shipped_policy().with_name("README.md").read_text(encoding="utf-8")
    for name in shipped_policies():
        assert f"`{name}`" in card and make_scheduler(name).cost > 1_000_000
    assert {make_scheduler(name).cost for name in COMPARED} == {tuned_constant().cost}


def _random_signals(rng, members, interval):
    names = [signal.name for signal in choose_signals() if signal.name not in ("progress", "budget")]
    return {name: rng.uniform(-1, 1, members) for name in names} if interval else {}


@pytest.mark.parametrize("name", NEW)
def test_a_run_is_scheduled_the_same_whoever_else_is(name):
    rng, members = np.random.default_rng(0), 5
    together, alone = begun(name, members), [begun(name) for _ in range(members)]
    changed = False
    for interval in range(20):
        signals = _random_signals(rng, members, interval)
        controls = together.step(situation(interval, members=members, **signals))
        for member, scheduler in enumerate(alone):
            own = {key: values[member] for key, values in signals.items()}
            single = scheduler.step(situation(interval, **own))
            assert controls.describe(member) == single.describe(0)
        changed |= any(len(np.unique(values)) > 1 for values in values_of(controls).values())
    assert changed == (name in REACTIVE)


@pytest.mark.parametrize("name", REACTIVE)
def test_begin_forgets_the_last_runs(name):
    rng = np.random.default_rng(1)
    seen = [situation(i, members=3, **_random_signals(rng, 3, i)) for i in range(30)]
    scheduler = begun(name, 3)
    first = [scheduler.step(each) for each in seen]
    scheduler.begin(range(3))
    for one, other in zip(first, map(scheduler.step, seen), strict=True):
        assert all(np.array_equal(value, getattr(other, key)) for key, value in values_of(one).items())


@pytest.mark.parametrize("name", REACTIVE)
def test_a_diverged_run_whose_signals_are_not_numbers_spoils_no_other(name):
    rng, pair = np.random.default_rng(2), begun(name, 2)
    single = begun(name)
    for interval in range(10):
        signals = _random_signals(rng, 1, interval)
        spoilt = {key: np.array([values[0], np.nan]) for key, values in signals.items()}
        both, own = pair.step(situation(interval, members=2, **spoilt)), single.step(situation(interval, **signals))
        assert both.describe(0) == own.describe(0)


@pytest.mark.parametrize("name", REACTIVE)
def test_reactive_rules_begin_at_the_base(name):
    base = Base(ratio="2:1", loss="hinge", penalty_weight=0.3)
    seen = situation(0, base)
    assert begun(name).step(seen).describe(0) == seen.base.describe(0)


@pytest.mark.parametrize("name", REACTIVE)
def test_reactive_rules_need_no_quality_metric_nor_any_signal_but_the_clock(name):
    scheduler = begun(name)
    for interval in range(10):
        seen = situation(interval)
        assert scheduler.step(seen).describe(0) == seen.base.describe(0) or name == "began"


# Recipes


@pytest.mark.parametrize(
    ("name", "ratio", "loss", "first", "last"),
    [  # (G's rate, D's rate, penalty weight) in the first and after the last interval
        ("dcgan", "1:1", "non-saturating", (1, 1, 0), (1, 1, 0)),
        ("wgan-gp", "5:1", "wgan", (1, 1, 0.1), (1, 1, 0.1)),
        ("sagan", "1:1", "hinge", (0.5, 2, 0), (0.5, 2, 0)),
        ("sngan", "5:1", "hinge", (1, 1, 0), (LOWEST, LOWEST, 0)),
        ("r3gan", "1:1", "rpgan", (1, 1, 1), (0.25, 0.25, 0.1)),
    ],
)
def test_recipes_are_what_their_papers_say_whatever_the_base(name, ratio, loss, first, last):
    base = Base(ratio="3:1", loss="lsgan", penalty_weight=7.0)
    for interval, expected in ((0, first), (INTERVALS, last)):
        controls = begun(name).step(situation(interval, base)).describe(0)
        assert (controls["ratio"], controls["loss"]) == (ratio, loss)
        found = [controls[key] for key in ("generator_lr_factor", "discriminator_lr_factor", "penalty_weight")]
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_ttur_and_sagan_let_d_learn_four_times_as_fast_around_the_base():
    for name in ("ttur", "sagan"):
        controls = make_scheduler(name).step(situation(0))
        assert controls.discriminator_lr_factor[0] == 4 * controls.generator_lr_factor[0]
        assert controls.discriminator_lr_factor[0] * controls.generator_lr_factor[0] == 1


def test_dcgan_is_the_base_of_the_suites():
    for suite in ("planar", "digits"):
        base = Controls.base([task.base for task in get_suite(suite).split("val")])
        signals = {"progress": np.zeros(len(base))}
        controls = make_scheduler("dcgan").step(Situation(signals, base, base, np.zeros(len(base))))
        assert all(np.array_equal(value, getattr(base, key)) for key, value in values_of(controls).items())


def test_sngan_falls_linearly_to_the_smallest_rate():
    for field in ("generator_lr_factor", "discriminator_lr_factor"):
        rates = course("sngan", field)
        np.testing.assert_allclose(np.diff(rates[:-3]), -1 / INTERVALS)
        assert rates[-1] == LOWEST


def test_r3gan_lowers_rates_to_a_quarter_and_penalty_tenfold_along_half_a_cosine():
    for field, end in (("generator_lr_factor", 0.25), ("discriminator_lr_factor", 0.25), ("penalty_weight", 0.1)):
        values = course("r3gan", field, INTERVALS + 1)
        np.testing.assert_allclose(values[[0, INTERVALS // 2, INTERVALS]], [1, (1 + end) / 2, end])
        share = (values - end) / (1 - end)
        np.testing.assert_allclose(np.arccos(2 * share - 1), np.linspace(0, np.pi, INTERVALS + 1), atol=1e-6)


def test_penalty_weights_of_recipes_are_given_for_other_data():
    assert begun("wgan-gp", penalty_weight=10.0).step(situation(0)).penalty_weight[0] == 10
    assert begun("r3gan", penalty_weight=50.0).step(situation(INTERVALS)).penalty_weight[0] == pytest.approx(5)


def test_step_divides_by_ten_at_one_half_and_at_three_quarters():
    expected = np.repeat([1, 0.1, LOWEST], [INTERVALS // 2, INTERVALS // 4, INTERVALS // 4])
    for field in ("generator_lr_factor", "discriminator_lr_factor"):
        np.testing.assert_allclose(course("step", field), expected)


def test_warm_up_rises_linearly_and_stays():
    for field in ("generator_lr_factor", "discriminator_lr_factor"):
        rates = course("warm-up", field, scheduler=begun("warm-up", share=0.125))
        np.testing.assert_allclose(rates[:9], [LOWEST, *np.arange(1, 9) / 8])
        assert (rates[8:] == 1).all()
    assert (course("warm-up", "generator_lr_factor") < 1).sum() == 4  # 64 * 5 / 90 = 3.6
    with pytest.raises(InvalidValueError, match="share is 0"):
        make_scheduler("warm-up", share=0.0)


# Gap-aware


def _gap_aware(relative_loss, interval=30, **given):
    """D's multiplier after the loss was a multiple of its ideal for long."""
    return course(
        "gap-aware", "discriminator_lr_factor", interval, discriminator_loss=np.log10(relative_loss), **given
    )[-1]


def test_gap_aware_is_one_at_the_ideal_and_goes_to_its_limits_at_ten_per_cent():
    found = [_gap_aware(loss) for loss in (0.5, 0.9, 0.95, 1.0, 1.05, 1.1, 3.0)]
    np.testing.assert_allclose(found, [0.1, 0.1, 0.1**0.5, 1, 2**0.5, 2, 2], rtol=1e-6)


def test_gap_aware_averages_the_loss_over_updates_of_d():
    scheduler = begun("gap-aware")
    found = [
        scheduler.step(situation(i, discriminator_loss=np.log10(0.95))).discriminator_lr_factor[0] for i in (0, 1, 2, 5)
    ]
    gaps = 0.05 * (1 - 0.95 ** (OF_DISCRIMINATOR * np.array([0, 1, 2, 5])))
    np.testing.assert_allclose(found, 0.1 ** (gaps / 0.1))


def test_gap_aware_touches_nothing_but_ds_rate_and_leaves_critics_alone():
    base = Base(loss="wgan", ratio="5:1", penalty_weight=0.1)
    assert _gap_aware(0.2, base=base) == _gap_aware(5.0, base=base) == 1
    base, scheduler = Base(ratio="2:1", loss="rpgan", penalty_weight=2.0), begun("gap-aware")
    for interval in range(3):
        seen = situation(interval, base, discriminator_loss=0.5)
        controls = scheduler.step(seen)
    assert controls.discriminator_lr_factor[0] == 2
    assert controls.replace(discriminator_lr_factor=seen.base.discriminator_lr_factor).describe(
        0
    ) == seen.base.describe(0)


# Accuracy gate


@pytest.mark.parametrize(("real", "fake", "rests"), [(0.9, 0.9, True), (1.0, 0.5, False), (0.7, 0.95, True)])
def test_the_gate_shuts_while_d_is_right_more_than_four_times_in_five(real, fake, rests):
    seen = situation(3, Base(ratio="2:1"), real_accuracy=2 * real - 1, fake_accuracy=2 * fake - 1, pair_accuracy=0)
    controls = begun("accuracy-gate").step(seen).describe(0)
    assert controls["discriminator_lr_factor"] == (LOWEST if rests else 1)
    assert controls["ratio"] == ("1:3" if rests else "2:1")
    assert controls["generator_lr_factor"] == 1


@pytest.mark.parametrize("loss", ["rpgan", "wgan"])
def test_the_gate_judges_by_pairs_where_single_logits_have_no_right_side(loss):
    sure = {"real_accuracy": 1.0, "fake_accuracy": 1.0, "pair_accuracy": 0.0}
    assert begun("accuracy-gate").step(situation(3, Base(loss=loss), **sure)).discriminator_lr_factor[0] == 1
    sure = {"real_accuracy": -1.0, "fake_accuracy": 1.0, "pair_accuracy": 0.9}
    assert begun("accuracy-gate").step(situation(3, Base(loss=loss), **sure)).discriminator_lr_factor[0] == LOWEST


# BEGAN


def test_began_integrates_the_imbalance_of_wins():
    rates = course("began", "discriminator_lr_factor", 12, pair_accuracy=1.0)  # D wins all: -gamma an update
    np.testing.assert_allclose(rates, np.maximum(1 - 0.01 * 0.5 * OF_DISCRIMINATOR * np.arange(12), LOWEST))


@pytest.mark.parametrize("gamma", [0.5, 0.75])
def test_began_is_at_rest_where_g_wins_gamma_times_as_often_and_turns_around_there(gamma):
    balance = 2 / (1 + gamma) - 1
    for pair_accuracy, direction in ((balance, 0), (balance + 0.1, -1), (balance - 0.1, 1)):
        scheduler = begun("began", gamma=gamma)
        before = course("began", "discriminator_lr_factor", 5, scheduler, pair_accuracy=0.8)[-1]
        for interval in (5, 6):
            seen = situation(interval, pair_accuracy=pair_accuracy)
            rate = scheduler.step(seen).discriminator_lr_factor[0]
        assert np.sign(np.round(rate - before, 9)) == direction
    assert (course("began", "discriminator_lr_factor", pair_accuracy=-1.0) == 1).all()


# ADA


def test_ada_raises_the_penalty_while_d_is_too_sure_and_lowers_it_again():
    scheduler = begun("ada")
    rising = course("ada", "penalty_weight", 7, scheduler, real_accuracy=0.61)
    assert rising[0] == 0 and (np.diff(rising) > 0).all()
    falling = [scheduler.step(situation(i, real_accuracy=0.59)).penalty_weight[0] for i in range(7, INTERVALS)]
    assert falling[0] < rising[-1] and (np.diff(falling) <= 0).all() and falling[-1] == 0
    held = [scheduler.step(situation(i, real_accuracy=0.6)).penalty_weight[0] for i in range(3)]
    assert held == [0, 0, 0]


def test_ada_goes_from_none_to_ten_in_a_tenth_of_the_budget_in_equal_ratios():
    weights = course("ada", "penalty_weight", real_accuracy=1.0)
    assert (weights[:7] < 10).all() and weights[7:] == pytest.approx(10)  # 64 / 10 = 6.4 intervals
    np.testing.assert_allclose(np.diff(np.log(weights[:7] + 1e-3)), 10 / INTERVALS * np.log(10001))


def test_ada_adds_to_the_bases_penalty_and_sets_nothing_else():
    base, scheduler = Base(penalty_weight=95.0, ratio="3:1"), begun("ada")
    for interval in range(10):
        seen = situation(interval, base, real_accuracy=1.0)
        controls = scheduler.step(seen)
    assert controls.penalty_weight[0] == 100
    assert controls.replace(penalty_weight=seen.base.penalty_weight).describe(0) == seen.base.describe(0)


def test_ada_judges_by_pairs_where_single_logits_have_no_right_side():
    for loss in ("rpgan", "wgan"):
        signals = {"base": Base(loss=loss), "real_accuracy": -1.0, "pair_accuracy": 0.9}
        assert course("ada", "penalty_weight", 9, **signals)[-1] > 1
        assert course("ada", "penalty_weight", 9, **{**signals, "real_accuracy": 1.0, "pair_accuracy": 0.5})[-1] == 0


# Loss ratio


@pytest.mark.parametrize(
    ("relative_loss", "ratio"),
    [(0.01, "1:3"), (1 / 3, "1:3"), (0.5, "1:2"), (0.8, "1:1"), (1.3, "1:1"), (2, "2:1"), (3.3, "3:1"), (9, "5:1")],
)
def test_loss_ratio_trains_d_as_often_as_its_loss_is_times_the_ideal(relative_loss, ratio):
    controls = begun("loss-ratio").step(situation(5, Base(ratio="5:1"), discriminator_loss=np.log10(relative_loss)))
    assert controls.describe(0)["ratio"] == ratio
    assert controls.generator_lr_factor[0] == controls.discriminator_lr_factor[0] == 1


def test_loss_ratio_leaves_critics_at_their_base():
    controls = begun("loss-ratio").step(situation(5, Base(loss="wgan", ratio="5:1"), discriminator_loss=-0.9))
    assert list(RATIOS)[controls.ratio[0]] == "5:1" and list(LOSSES)[controls.loss[0]] == "wgan"


# Plateau


@pytest.mark.parametrize("patience", [1, 3, 6])
def test_plateau_halves_both_rates_after_exactly_as_many_flat_intervals(patience):
    for field in ("generator_lr_factor", "discriminator_lr_factor"):
        rates = course("plateau", field, scheduler=begun("plateau", patience=patience), distance_from_start=-0.2)
        np.testing.assert_allclose(rates, np.maximum(0.5 ** (np.arange(INTERVALS) // patience), LOWEST))


def test_plateau_waits_anew_after_every_best_and_counts_each_run_for_itself():
    scheduler = begun("plateau", 3, patience=4)
    rates = []
    for interval in range(12):
        log_distance = -0.1 * np.array([interval, min(interval, 5), interval % 2])
        controls = scheduler.step(situation(interval, members=3, distance_from_start=log_distance))
        rates.append(controls.generator_lr_factor)
    steady, stopped, swinging = np.transpose(rates)
    assert (steady == 1).all()
    assert stopped.tolist() == [1] * 9 + [0.5] * 3  # best in interval 5, four without a better one
    assert swinging.tolist() == [1] * 5 + [0.5] * 4 + [0.25] * 3  # best in interval 1, never better


def test_plateau_takes_no_hairs_breadth_for_better():
    for smaller, halved in ((0.99995, True), (0.9998, False)):
        scheduler = begun("plateau", patience=3)
        for interval in range(4):
            seen = situation(interval, distance_from_start=(interval > 0) * np.log(smaller) / 3)
            rate = scheduler.step(seen).generator_lr_factor[0]
        assert (rate == 0.5) == halved


def test_plateau_looks_at_ds_loss_where_there_is_no_quality_metric():
    for change, halved in ((0.0, True), (0.05, False)):
        scheduler = begun("plateau", patience=4)
        assert scheduler.step(situation(0)).generator_lr_factor[0] == 1
        for interval in range(1, 6):
            rate = scheduler.step(situation(interval, discriminator_loss=change * interval - 0.5)).generator_lr_factor[
                0
            ]
        assert (rate == 0.5) == halved
    with pytest.raises(InvalidValueError, match="patience is 0"):
        make_scheduler("plateau", patience=0)
