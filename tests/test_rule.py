"""The rule: a decay whose numbers are a formula of what a loop knows; its file; and the search that fits it."""

import json
from dataclasses import replace

import numpy as np
import pytest

from metagan_rl.agents import make_scheduler
from metagan_rl.agents.catalogue import load_scheduler
from metagan_rl.agents.searches.rule import FACTS, NUMBERS, Formula, Rule, load_rule, save_rule
from metagan_rl.errors import FileFormatError, InvalidValueError
from metagan_rl.experiments.tune import TuneConfig
from metagan_rl.experiments.tune_rule import TRIED, first_formula, lowest, tune_rule
from metagan_rl.loop import Controls, Runs
from metagan_rl.loop.drive import drive, situation_of
from metagan_rl.tasks import Suite, get_suite, register_suite

SHORT = {"decisions": 4}


def tasks(count=3, **changes):
    found = [replace(task, budget=96) for task in list(get_suite("planar").split("val"))[:count]]
    return [replace(task.with_base(**changes), networks=replace(task.networks, width=16)) for task in found]


def situation(*given):
    runs = Runs(list(given), [0] * len(given), **SHORT)
    return situation_of(runs, np.zeros(len(given)))


def test_the_first_formula_is_the_tuned_decay():
    given = tasks()
    controls = {}
    for name, scheduler in (("rule", Rule(first_formula())), ("tuned", make_scheduler("tuned-decay"))):
        _, trace = drive(scheduler, given, [0] * 3, **SHORT)
        controls[name] = trace.controls
    for ours, theirs in zip(controls["rule"], controls["tuned"], strict=True):
        for knob in ("generator_lr_factor", "discriminator_lr_factor", "penalty_weight", "loss", "ratio"):
            np.testing.assert_allclose(getattr(ours, knob), getattr(theirs, knob), rtol=1e-9)


def test_numbers_follow_what_the_loop_knows_and_nothing_else():
    matrix = first_formula().matrix
    matrix[0, 1 + FACTS.index("momentum")] = -1.0
    rule = Rule(Formula.of(matrix))
    told = rule.numbers(situation(*tasks(1, beta1=0.5), *tasks(1, beta1=0.9)))
    usual = 10 ** matrix[0, 0]
    np.testing.assert_allclose(told["generator_lr"], usual * 10 ** -np.array([0.0, 0.5 - 0.1505]), rtol=1e-3)
    assert np.ptp(told["discriminator_lr"]) == 0
    seen = situation(*tasks(1))
    unknown = replace(seen, signals={name: value for name, value in seen.signals.items() if name not in FACTS})
    np.testing.assert_allclose(rule.numbers(unknown)["generator_lr"], usual, rtol=1e-6)


def test_the_shipped_rule_trains_without_momentum():
    rule, given = make_scheduler("rule"), [*tasks(1, beta1=0.5), *tasks(1, beta1=0.9)]
    runs, trace = drive(rule, given, [0, 0], **SHORT)
    assert all((controls.beta1 == 0).all() for controls in trace.controls)
    told = rule.numbers(situation(*given))
    assert all(np.ptp(values) == 0 for values in told.values())  # the momentum that a loop came with counts nothing
    bare, _ = drive(rule, [task.with_base(beta1=0.0) for task in given], [0, 0], **SHORT)
    np.testing.assert_array_equal(runs.quality.distance, bare.quality.distance)


def test_where_momentum_is_no_knob_it_stays_and_counts():
    whole = situation(*tasks(1, beta1=0.9))
    knobs = ("generator_lr_factor", "discriminator_lr_factor", "ratio", "loss", "penalty_weight")
    loop = replace(whole, base=Controls(**{name: getattr(whole.base, name) for name in knobs}))
    rule = make_scheduler("rule")
    assert rule.step(loop).knobs == make_scheduler("tuned-decay-no-momentum").step(loop).knobs
    assert "beta1" not in rule.step(loop).knobs and "beta1" in rule.step(whole).knobs
    own = Rule(rule.formula)
    assert (
        rule.numbers(loop)["generator_lr"] == own.numbers(loop)["generator_lr"] != rule.numbers(whole)["generator_lr"]
    )


def test_numbers_stay_within_their_bounds():
    matrix = np.zeros((len(NUMBERS), 1 + len(FACTS)))
    matrix[:, 0] = 50.0
    wild = Formula.of(matrix)
    told = Rule(wild).numbers(situation(*tasks(1)))
    assert all(np.isfinite(values).all() for values in told.values()) and told["hold"][0] == 0.9
    ended, _ = drive(Rule(wild), tasks(1), [0], **SHORT)
    assert np.isfinite(ended.quality.distance).all()


def test_a_rule_is_read_back_from_its_file(tmp_path):
    rule = Rule(first_formula(), {"gan_updates": 7}, beta1=0.25)
    save_rule(tmp_path / "own.json", rule)
    again = load_scheduler(tmp_path / "own.json")
    assert again.formula == rule.formula and again.cost == 7 and again.beta1 == 0.25
    record = json.loads((tmp_path / "own.json").read_text())
    del record["sha256"]
    (tmp_path / "other.json").write_text(json.dumps({**record, "facts": ["budget"]}))
    (tmp_path / "fast.json").write_text(json.dumps({**record, "beta1": 1.5}))
    del record["formula"]["hold"]
    (tmp_path / "short.json").write_text(json.dumps(record))
    for name in ("other", "fast", "short", "none"):
        with pytest.raises(FileFormatError, match=name):
            load_rule(tmp_path / f"{name}.json")


def test_a_formula_has_a_number_for_each_fact():
    with pytest.raises(InvalidValueError, match="hold of a rule is"):
        Formula(**{**{name: (0.0,) * 7 for name in NUMBERS}, "hold": (0.0,)})


def test_the_shipped_rule_takes_no_more_from_runs_than_their_clock():
    rule = make_scheduler("rule")
    seen = situation(*tasks(2))
    blind = replace(seen, signals={name: seen.signals[name] for name in (*FACTS, "progress")})
    for name in ("generator_lr_factor", "penalty_weight"):
        np.testing.assert_array_equal(getattr(rule.step(seen), name), getattr(rule.step(blind), name))
    assert rule.cost > 0


def test_the_search_finds_the_lowest_point_of_a_surface():
    rng = np.random.default_rng(0)
    facts = np.ones((600, TRIED, 1 + len(FACTS)))
    facts[:, :, 1:] = rng.uniform(-1, 1, (600, 1, len(FACTS)))
    tried = rng.standard_normal((600, TRIED, len(NUMBERS)))
    tried[:, 0] = 0
    best = np.zeros((len(NUMBERS), 1 + len(FACTS)))
    best[0, 0], best[1, 2], best[5, 1] = 0.6, -0.4, 0.5
    away = tried - facts @ best.T
    heights = 0.1 * np.square(away).sum(axis=2) / 2 + rng.normal(size=(600, 1)) + rng.normal(size=(600, TRIED)) * 0.1
    found = lowest(facts, tried, heights)
    np.testing.assert_allclose(found, best, atol=0.15)


def test_a_search_is_kept_and_goes_on(tmp_path):
    few = {split: tuple(tasks(4)) for split in ("train",)}
    few["val"] = tuple(replace(task, seed=task.seed + 1, name=f"other {task.name}") for task in tasks(2))
    register_suite(Suite("few-for-rules", 1, "a few small tasks", few))
    search = TuneConfig(suite="few-for-rules", kind="rule", trials=TRIED, tasks=4, rounds=2, **SHORT)
    rule = tune_rule(search, tmp_path / "whole", workers=0)
    rows = [json.loads(line) for line in (tmp_path / "whole" / "rounds.jsonl").read_text().splitlines()]
    assert [row["round"] for row in rows] == [0, 1, 2]
    best = Formula(**min(rows, key=lambda row: row["validation_distance"])["formula"])
    np.testing.assert_array_equal(rule.formula.matrix[:, 1:], best.matrix[:, 1:])
    np.testing.assert_array_equal(rule.formula.matrix[:, 0], first_formula().matrix[:, 0])  # the tuned decay
    assert Formula(**rows[1]["formula"]) != first_formula()
    (tmp_path / "stopped").mkdir()
    (tmp_path / "stopped" / "rounds.jsonl").write_text(json.dumps(rows[0]) + "\n")
    again = tune_rule(search, tmp_path / "stopped", workers=0)
    assert again.formula == rule.formula


def test_the_shipped_rule_is_the_tuned_decay_at_usual_facts():
    np.testing.assert_allclose(make_scheduler("rule").formula.matrix[:, 0], first_formula().matrix[:, 0])
