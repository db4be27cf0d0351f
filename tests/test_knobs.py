"""Every knob says the same of its values whichever way it is asked: levels, units, words, draws and signals."""

from typing import Any

import numpy as np
import pytest

from metagan_rl.errors import InvalidValueError, UnknownNameError
from metagan_rl.loop import KNOBS, Controls, Knob, choose_knobs, choose_signals, register_knob
from metagan_rl.loop.knobs import LR_LEVELS, ChoiceKnob, NumberKnob, default_knobs
from metagan_rl.loop.scales import DecayScale, FactorScale, LinearScale, Scale, WeightScale
from metagan_rl.losses import LOSSES
from metagan_rl.populations.settings import RATIOS, Settings
from metagan_rl.tasks import Base

EVERY = KNOBS.values()
NUMBERS = [knob for knob in EVERY if isinstance(knob, NumberKnob)]
CHOICES = [knob for knob in EVERY if isinstance(knob, ChoiceKnob)]


def name(knob: Any) -> str:
    return knob.name if isinstance(knob, Knob) else repr(knob)


def levels_of(knob: Knob) -> np.ndarray:
    return knob.at_level(np.arange(len(knob.levels)))


every_knob = pytest.mark.parametrize("knob", EVERY, ids=name)


def test_there_are_seven_of_which_five_are_agents_unless_they_are_told() -> None:
    assert list(KNOBS) == [
        "generator_lr_factor", "discriminator_lr_factor", "ratio", "loss", "penalty_weight", "beta1", "ema_decay",
    ]  # fmt: skip
    assert default_knobs() == tuple(KNOBS)[:5]
    assert tuple(knob.name for knob in choose_knobs()) == default_knobs()
    assert KNOBS["generator_lr_factor"].levels == LR_LEVELS and len(LR_LEVELS) == 33
    np.testing.assert_allclose(LR_LEVELS, 30 ** np.linspace(-1, 1, 33), rtol=1e-15)


@every_knob
def test_every_level_is_within_the_range_and_nearest_to_itself(knob: Knob) -> None:
    values = levels_of(knob)
    np.testing.assert_array_equal(knob.checked(values), values)
    np.testing.assert_array_equal(knob.nearest_level(values), np.arange(len(values)))
    assert len(Controls(**{knob.name: values})) == len(values)


@every_knob
def test_levels_go_to_units_and_back(knob: Knob) -> None:
    values = levels_of(knob)
    units = knob.to_unit(values)
    assert (units >= -1 - 1e-12).all() and (units <= 1 + 1e-12).all()
    back = knob.checked(knob.from_unit(units))
    there = values > 0.005 if knob.name == "penalty_weight" else np.full(len(values), True)
    np.testing.assert_allclose(back[there], values[there], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(back[~there], 0)


@every_knob
def test_every_unit_is_a_value_within_the_range_and_what_lies_beyond_is_cut_off(knob: Knob) -> None:
    values = knob.checked(knob.from_unit(np.linspace(-1, 1, 401)))
    np.testing.assert_allclose(knob.from_unit(np.array([-7.0, 7.0])), values[[0, -1]])
    if knob in NUMBERS:
        assert (np.diff(values) >= 0).all()
    else:
        assert set(values) == set(levels_of(knob))


@every_knob
def test_values_can_be_told_and_read_again(knob: Knob) -> None:
    for value in levels_of(knob):
        described = knob.describe(value)
        assert isinstance(described, str if knob in CHOICES else float)
        assert knob.value(described) == value
    controls = Controls(**{knob.name: levels_of(knob)})
    again = Controls.described(*(controls.describe(member) for member in range(len(controls))))
    np.testing.assert_array_equal(getattr(again, knob.name), getattr(controls, knob.name))


@every_knob
def test_draws_are_within_the_range_depend_on_the_generator_alone_and_reach_far(knob: Knob) -> None:
    drawn, again = (knob.draw(np.random.default_rng(3), 4000) for _ in range(2))
    np.testing.assert_array_equal(drawn, again)
    assert drawn.shape == (4000,) and np.array_equal(knob.checked(drawn), drawn)
    units = knob.to_unit(drawn)
    assert np.histogram(units, bins=4, range=(-1, 1))[0].min() > 0.05 * 4000


@every_knob
def test_signals_are_within_their_range_at_every_level_and_draw_and_tell_levels_apart(knob: Knob) -> None:
    for values in (levels_of(knob), knob.draw(np.random.default_rng(0), 500)):
        for signal in knob.signals:
            told = signal.tell(values)
            assert told.shape == values.shape and signal.meaning
            assert (told >= signal.low - 1e-9).all() and (told <= 1 + 1e-9).all(), signal.name
    told = np.stack([signal.tell(levels_of(knob)) for signal in knob.signals], axis=1)
    assert len(np.unique(told.round(6), axis=0)) == len(knob.levels)


@every_knob
def test_the_base_is_what_unscheduled_runs_train_with(knob: Knob) -> None:
    bases = [Base(), Base(ratio="5:1", loss="wgan", penalty_weight=3.0, beta1=0.1, ema_decay=0.5)]
    settings = knob.apply(Settings.of(bases), knob.base_values(bases))
    for field, values in vars(Settings.of(bases)).items():
        np.testing.assert_array_equal(getattr(settings, field), values, err_msg=field)


@every_knob
def test_a_knob_changes_the_settings_that_it_should_and_no_other(knob: Knob) -> None:
    bases = [Base(), Base()]
    before = Settings.of(bases)
    after = knob.apply(before, levels_of(knob)[[1, -1]])
    changed = {field for field, values in vars(before).items() if not np.array_equal(values, getattr(after, field))}
    assert changed == {knob.name.removesuffix("_factor")}
    field = changed.pop()
    expected = levels_of(knob)[[1, -1]] * (getattr(before, field) if knob.name.endswith("_factor") else 1)
    np.testing.assert_allclose(getattr(after, field), expected)


@every_knob
def test_moves_go_a_level_up_and_down_and_numbers_stop_at_the_ends(knob: Knob) -> None:
    values, count = levels_of(knob), len(knob.levels)
    up, down = (knob.moved(values, np.full(count, step)) for step in (1, -1))
    np.testing.assert_array_equal(knob.moved(values, np.zeros(count, dtype=int)), values)
    np.testing.assert_array_equal(up[:-1], values[1:])
    np.testing.assert_array_equal(down[1:], values[:-1])
    assert up[-1] == (values[0] if knob.cyclic else values[-1])
    assert down[0] == (values[-1] if knob.cyclic else values[0])
    assert knob.cyclic == (knob.name == "loss")


@every_knob
def test_what_a_knob_means_can_be_kept_as_json(knob: Knob) -> None:
    import json

    record = knob.to_dict()
    assert json.loads(json.dumps(record)) == record
    assert record["name"] == knob.name and tuple(record["levels"]) == knob.levels
    assert ("scale" in record) == (knob in NUMBERS)


@pytest.mark.parametrize(
    ("knob", "levels", "error", "words"),
    [
        ("ratio", ["1:1"], InvalidValueError, r"levels of ratio are \['1:1'\]; give two or more"),
        ("ratio", "1:1", InvalidValueError, "levels of ratio are '1:1'"),
        ("ratio", ["1:1", "2:1", "1:1"], InvalidValueError, "each once"),
        ("ratio", ["1:1", "4:1"], UnknownNameError, "unknown ratio '4:1'"),
        ("loss", ["hinge", "hing"], UnknownNameError, "did you mean hinge"),
        ("generator_lr_factor", [1.0, 31.0], InvalidValueError, "generator_lr_factor of member 1 is 31.0"),
        ("penalty_weight", [-0.1, 0.0], InvalidValueError, "penalty_weight of member 0 is -0.1"),
        ("beta1", [0.0, 1.0], InvalidValueError, "beta1 of member 1 is 1.0"),
        ("beta1", ["fast", "slow"], InvalidValueError, "beta1 is 'fast'; it must be a number"),
        ("beta1", [0.5, None], InvalidValueError, "beta1 is None; it must be a number"),
        ("ratio", [["1:1"], ["2:1"]], UnknownNameError, "did you mean 1:1"),
        ("ratio", [1, 2], UnknownNameError, "unknown ratio"),
        ("ema_decay", [float("nan"), 0.5], InvalidValueError, "ema_decay of member 0 is nan"),
    ],
)
def test_levels_that_are_none_are_refused_and_named(knob: str, levels: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        KNOBS[knob].with_levels(levels)


def test_other_levels_keep_all_else() -> None:
    knob = KNOBS["loss"].with_levels(["wgan", "hinge"])
    assert [LOSSES.index(level) for level in knob.levels] == levels_of(knob).tolist()
    assert [signal.name for signal in knob.signals] == ["loss_wgan", "loss_hinge"]
    assert knob.from_unit(np.array([-0.5, 0.5])).tolist() == levels_of(knob).tolist()
    assert knob.with_all_levels().levels == tuple(LOSSES) and KNOBS["loss"].levels != knob.levels
    assert KNOBS["beta1"].with_all_levels() == KNOBS["beta1"]


def test_knobs_are_chosen_by_name_by_name_with_levels_by_mapping_or_as_they_are() -> None:
    assert choose_knobs("ratio") == choose_knobs(["ratio"]) == (KNOBS["ratio"],)
    both = choose_knobs(["loss", "ratio=1:1,2:1"])
    assert [knob.name for knob in both] == ["ratio", "loss"], "in the order of KNOBS"
    assert both[0].levels == ("1:1", "2:1") and both[1] == KNOBS["loss"]
    assert choose_knobs({"ratio": ["1:1", "2:1"], "loss": None}) == both == choose_knobs(both)
    (factor,) = choose_knobs(["generator_lr_factor=0.5, 1,2"])
    assert factor.levels == (0.5, 1.0, 2.0)
    assert [knob.name for knob in choose_knobs(None, "discriminator")] == ["discriminator_lr_factor", "penalty_weight"]
    assert [knob.name for knob in choose_knobs(list(KNOBS), "generator")] == ["generator_lr_factor", "ema_decay"]


@pytest.mark.parametrize(
    ("knobs", "control", "error", "words"),
    [
        (["rato"], "both", UnknownNameError, "did you mean ratio"),
        (["generator_lr"], "both", UnknownNameError, "did you mean generator_lr_factor"),
        ({"losss": None}, "both", UnknownNameError, "did you mean loss"),
        (["ratio=1:1,9:1"], "both", UnknownNameError, "unknown ratio '9:1'"),
        (["generator_lr_factor=1,fast"], "both", InvalidValueError, "levels of generator_lr_factor are '1,fast'"),
        (["ratio"], "generator", InvalidValueError, "leave nothing to control"),
        ([], "both", InvalidValueError, "leave nothing to control"),
        (None, "generater", UnknownNameError, "did you mean generator"),
    ],
)
def test_knobs_that_are_none_are_refused(knobs: Any, control: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        choose_knobs(knobs, control)


def test_signals_of_knobs_that_are_off_by_default_are_told_to_agents_that_have_them() -> None:
    names = [signal.name for signal in choose_signals("loop")]
    assert "beta1" not in names
    with_it = [signal.name for signal in choose_signals("loop", choose_knobs(["beta1"]))]
    assert [each for each in with_it if each not in names] == ["beta1"]
    assert [signal.name for signal in choose_signals(["beta1", "progress"])] == ["beta1", "progress"]
    with pytest.raises(UnknownNameError, match="did you mean ema_decay"):
        choose_signals(["ema_decy"])


def test_a_knob_that_is_registered_is_a_control_until_it_is_removed() -> None:
    knob = NumberKnob(
        name="beta2",
        meaning="decay rate of Adam's second moment",
        side="shared",
        default=False,
        levels=(0.9, 0.99, 0.999),
        scale=DecayScale(0.5, 0.9999),
        base=lambda base: base.beta2,
        apply=lambda settings, values: settings.replace(beta2=values),
    )
    register_knob(knob)
    try:
        base = [Base(beta2=0.95)]
        assert Controls.base(base).describe(0)["beta2"] == 0.95
        controls = Controls.base(base).replace(beta2=np.array([0.5]))
        assert controls.settings(base).beta2.tolist() == [0.5]
        with pytest.raises(InvalidValueError, match="registered already"):
            register_knob(knob)
    finally:
        KNOBS.remove("beta2")
    assert "beta2" not in Controls.base([Base()]).knobs
    with pytest.raises(InvalidValueError, match="lower-case words joined by underscores"):
        KNOBS.register("beta-2", knob)


@pytest.mark.parametrize(
    "scale",
    [FactorScale(30.0), WeightScale(100.0, (-3.0, 1.0), 1e-3), LinearScale(-2.0, 5.0), DecayScale(0.0, 0.9999)],
    ids=lambda scale: type(scale).__name__,
)
def test_scales_go_from_units_to_values_and_back(scale: Scale) -> None:
    units = np.linspace(-0.79, 1, 50)  # below -0.8 a weight is 0
    values = scale.from_unit(units)
    np.testing.assert_allclose(scale.to_unit(values), units, atol=1e-9)
    assert (values >= scale.low).all() and (values <= scale.high * (1 + 1e-12)).all()
    steps = np.diff(scale.coordinate(values))
    assert (steps > 0).all() or (steps < 0).all()
    assert scale.to_dict()["kind"] == type(scale).__name__


def test_ratios_lie_where_the_logarithm_of_their_updates_does() -> None:
    (signal,) = KNOBS["ratio"].signals
    told = signal.tell(np.arange(len(RATIOS)))
    np.testing.assert_allclose(told, [np.log(d / g) / np.log(5) for d, g in RATIOS.values()])
