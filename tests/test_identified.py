"""``identified-rule`` reads rates off the weights' first moves and follows the rule; its formula can be fitted anew."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from metagan_rl import GANScheduler
from metagan_rl.agents import make_scheduler
from metagan_rl.agents.searches.identified import FEATURES, FILE, load_identification
from metagan_rl.agents.searches.reading import Reading, terms_of
from metagan_rl.errors import FileFormatError, InvalidValueError
from metagan_rl.experiments.studies.identify import Identify, study
from metagan_rl.loop import Runs
from metagan_rl.loop.drive import situation_of
from metagan_rl.tasks import get_suite
from metagan_rl.tasks.hidden import Hidden

TERMS = terms_of(np.zeros((1, len(FEATURES)))).shape[1]


def begun(hidden, decisions=16):
    tasks = [
        replace(task, hidden=hidden, shots=None, budget=768) for task in list(get_suite("wide").split("val"))[::12]
    ]
    runs, scheduler = Runs(tasks, range(len(tasks)), decisions=decisions), make_scheduler("identified-rule")
    scheduler.begin(list(range(len(tasks))))
    first = scheduler.step(situation_of(runs, np.zeros(len(tasks))))
    runs.advance(first)
    return runs, scheduler, first


@pytest.mark.parametrize("factors", [(8.0, 1.0), (1 / 8, 8.0)])
def test_hidden_factors_are_read_off_the_first_moves(factors):
    runs, scheduler, _ = begun(Hidden(*factors))
    scheduler.step(situation_of(runs, np.zeros(len(runs))))
    errors = np.log10(scheduler.factors) - np.log10(factors)
    assert np.sqrt(np.square(errors).mean()) < np.log10(2.5)


def test_it_is_the_rule_at_the_rates_that_it_found():
    runs, scheduler, first = begun(None)
    rule = make_scheduler("rule")
    np.testing.assert_array_equal(first.generator_lr_factor, rule.step(_before(runs)).generator_lr_factor)
    now = situation_of(runs, np.zeros(len(runs)))
    then = scheduler.step(now)
    expected = rule.step(replace(now, rates=now.rates * scheduler.factors))
    np.testing.assert_array_equal(then.generator_lr_factor, expected.generator_lr_factor)
    np.testing.assert_array_equal(then.penalty_weight, expected.penalty_weight)
    found = scheduler.factors.copy()
    runs.advance(then)
    scheduler.step(situation_of(runs, np.zeros(len(runs))))
    np.testing.assert_array_equal(scheduler.factors, found)  # the first moves alone tell


def _before(runs):
    fresh = Runs(runs.tasks, range(len(runs)), decisions=16)
    return situation_of(fresh, np.zeros(len(runs)))


def test_where_moves_are_not_measured_it_is_the_rule():
    runs, scheduler, _ = begun(None)
    now = situation_of(runs, np.zeros(len(runs)))
    blind = replace(now, signals={**now.signals, "generator_move": np.full(len(runs), np.nan)})
    scheduler.step(blind)
    assert (scheduler.factors == 1).all()


def test_a_loop_of_ones_own_is_not_given_rates_of_other_networks():
    optimizers = [torch.optim.Adam(torch.nn.Linear(2, 2).parameters()) for _ in range(2)]
    with pytest.raises(InvalidValueError, match="'identified-rule' aims at absolute rates"):
        GANScheduler("identified-rule", *optimizers, total_steps=64)


def test_a_formula_can_be_fitted_and_read(tmp_path, capsys):
    study(Identify(tasks=8, usual=8, lengths=(64,), out=tmp_path / "own.json"))
    assert capsys.readouterr().out.count("off by a factor") == 2
    own = load_identification(tmp_path / "own.json")
    assert len(own.identification.generator.coefficients) == TERMS and own.metadata["tasks"] == 8


def test_what_may_be_an_error_alone_is_taken_for_nothing():
    rate = FEATURES.index("rate")
    one = np.zeros(TERMS)
    one[rate] = 1.0
    wide = (-9.0,) * len(FEATURES), (9.0,) * len(FEATURES)
    reading = Reading(tuple(one), *wide, error=0.12)
    found = reading(np.eye(len(FEATURES))[[rate] * 3] * np.array([[0.1], [0.5], [-1.2]]))
    assert 0 < found[0] < 0.03 and found[1] == pytest.approx(0.5, abs=0.02) and found[2] == pytest.approx(-1.2)


def test_features_beyond_those_of_training_count_as_the_farthest():
    one = np.zeros(TERMS)
    one[FEATURES.index("rate")] = 1.0
    reading = Reading(tuple(one), (-1.0,) * len(FEATURES), (1.0,) * len(FEATURES), error=0.01)
    far = np.zeros((1, len(FEATURES)))
    far[0, FEATURES.index("rate")] = 1.4
    assert reading(far)[0] == pytest.approx(1.0)


def test_what_is_no_formula_is_refused(tmp_path):
    wide = (0.0,) * len(FEATURES)
    with pytest.raises(InvalidValueError, match="coefficients of a reading"):
        Reading((1.0,), wide, wide, 0.1)
    with pytest.raises(InvalidValueError, match="error of a reading is 0"):
        Reading((1.0,) * TERMS, wide, wide, 0)
    record = json.loads(FILE.read_text(encoding="utf-8"))
    record["generator"]["error"] = 0.5
    (tmp_path / "x.json").write_text(json.dumps(record))
    with pytest.raises(FileFormatError, match="was changed"):
        load_identification(tmp_path / "x.json")
