"""The study of meta-initialisation: what it measures, what it chooses, and that it goes on where it was stopped."""

import itertools
import json

import numpy as np
import pytest
import torch

from metagan_rl.errors import DataError, InvalidValueError
from metagan_rl.experiments.studies.meta_init import combining, study
from metagan_rl.experiments.studies.meta_init.adapting import MOMENTS, adapt, geometric, repetition
from metagan_rl.experiments.studies.meta_init.kinds import ADAPTATIONS, KINDS, Adaptation, adapted
from metagan_rl.experiments.studies.meta_init.tables import as_markdown, panels
from metagan_rl.loop.controls import Controls
from metagan_rl.meta_init.command import settings_for
from metagan_rl.populations import MixedPopulation
from metagan_rl.records import write_record


def row(start, updates, distance, task="rose/1", seed=0, **more):
    names = {"kind": "planar", "start": start, "task": task, "seed": seed, "shots": None, "updates": updates}
    return {**names, "distance": distance, "repetition": None, "settings": {}, "adaptation": 1.0, "scale": 1.0, **more}


def fresh_curve(values, start="fresh"):
    return [row(start, moment, value, task) for moment, value in zip(MOMENTS, values, strict=True) for task in "ab"]


def test_the_tasks_to_adapt_to_are_of_families_and_digits_that_nothing_was_learned_or_chosen_on():
    planar, digits = KINDS["planar"](), KINDS["digits"]()
    assert not {task.family for task in planar.new(0)} & {task.family for task in (*planar.learned, *planar.choosing)}
    digit = [{tuple(task.parameters["classes"]) for task in some} for some in (digits.learned, digits.choosing)]
    new = {tuple(task.parameters["classes"]) for task in digits.new(0)}
    assert not new & digit[0] and not new & digit[1] and not digit[0] & digit[1]
    assert [len(task.data().train) for task in digits.new(0)][:2] == [4, 32]
    usual, slow, sgd = (
        adapted(digits.new(0)[0], Adaptation(*how)).base for how in (("adam", 1.0), ("adam", 0.1), ("sgd", 0.02))
    )
    assert slow.generator_lr == pytest.approx(0.1 * usual.generator_lr) and usual == adapted(digits.new(0)[0]).base
    assert (sgd.optimizer, sgd.generator_lr, sgd.discriminator_lr) == ("sgd", 0.02, 0.02)
    assert usual.ema_decay == sgd.ema_decay == 0.0


def test_few_shots_are_the_first_rows_and_everything_else_stays():
    few, many = KINDS["digits"]().new(3)[0], KINDS["digits"]().new(3)[2]
    assert torch.equal(few.data().train, many.data().train[:4])
    assert torch.equal(few.data().report_reference, many.data().report_reference)
    assert (few.data().mean == many.data().mean).all()
    with pytest.raises(InvalidValueError, match="shots is 0"):
        type(few).from_dict({**few.to_dict(), "shots": 0})
    with pytest.raises(DataError, match="fewer than its 5000 shots"):
        type(few).from_dict({**few.to_dict(), "shots": 5000}).data()


def test_adapting_stops_after_single_updates_and_goes_on():
    tasks = [adapted(task) for task in KINDS["planar"]().new(0)[:2]]
    weights = [
        population.sample([torch.zeros(1, 8)] * 2, [0, 1], average=False)
        for _, population in adapt(None, tasks, [0, 1])
        if not population.diverged.any()
    ][:4]
    assert len({str(points) for points in weights}) == 4
    with pytest.raises(InvalidValueError, match=r"an interval of 3 updates; with these ratios .* multiple of 2"):
        MixedPopulation(tasks, [0, 1]).train(Controls.base([task.base for task in tasks]), 3)


def test_copies_of_the_training_points_are_told_from_new_ones():
    task = KINDS["digits"]().new(0)[1]
    data = task.data()
    assert repetition(data.train, task) == pytest.approx(1.0, abs=1e-3)
    assert repetition(data.report_reference, task) == pytest.approx(0.0, abs=1e-6)
    assert repetition(data.train + 10, task) < 0
    assert repetition(data.train * float("nan"), task) == float("-inf")


def test_what_a_start_is_worth_is_read_from_the_curve_of_fresh_weights():
    values = [2 * 0.8**place for place in range(len(MOMENTS))]
    [panel] = panels([*fresh_curve(values), *fresh_curve([values[5]] * len(MOMENTS), "reptile")])
    assert panel.worth("reptile") == pytest.approx(MOMENTS[5])
    [panel] = panels([*fresh_curve(values), *fresh_curve([np.sqrt(values[5] * values[6])] * len(MOMENTS), "maml")])
    assert panel.worth("maml") == pytest.approx((MOMENTS[5] + MOMENTS[6]) / 2)
    [panel] = panels([*fresh_curve(values), *fresh_curve([0.01] * len(MOMENTS), "maml")])
    assert panel.worth("maml") == float("inf")
    adaptations = {
        ("planar", "maml"): {0: Adaptation("sgd", 0.1), 1: Adaptation("adam", 0.3), 2: Adaptation("sgd", 0.1)}
    }
    text = as_markdown([panel], {}, {("planar", "maml"): {"inner_lr": 0.1}}, adaptations, "make study")
    assert "| maml | 0.01" in text and ">1,000" in text and "`make study`" in text
    assert "* planar, maml: inner_lr 0.1, adapted by SGD 0.1 (2x) or Adam 0.3 of `tuned-constant` (1x)" in text


def test_intervals_are_over_seeds_where_these_are_more_than_tasks():
    rows = [{**row("fresh", 0, 1.0 + seed), "seed": seed, "task": "one"} for seed in range(5)]
    rows = [{**each, "updates": moment} for each in rows for moment in MOMENTS]
    [panel] = panels(rows)
    assert panel.title.endswith("(1 task, 5 seeds; intervals over seeds)")
    estimate = panel.curve("fresh")[0]
    assert estimate.value == pytest.approx(120 ** (1 / 5))
    assert estimate.low < estimate.value < estimate.high


def test_the_settings_of_the_lowest_distance_are_chosen():
    rows = [
        row("joint", 10, distance, settings={"inner_lr": rate}, adaptation=factor)
        for rate, factor, distance in ((0.1, 1.0, 0.9), (0.1, 0.3, 0.5), (0.2, 1.0, 0.6))
    ]
    assert study.chosen_settings(rows) == {("planar", "joint"): {"inner_lr": 0.1}}
    assert study.chosen_distance(rows) == {("planar", "joint"): pytest.approx(0.5)}


def test_the_best_method_is_the_one_whose_chosen_settings_came_out_lowest():
    rows = [
        row(start, 10, distance, settings={"inner_lr": rate})
        for start, rate, distance in (("fresh", 0.1, 0.1), ("maml", 0.1, 0.5), ("maml", 0.2, 0.9), ("joint", 0.1, 0.6))
    ]
    assert combining.best_start(rows) == "maml"


def test_combinations_are_held_against_fresh_weights_under_the_tuned_constant(tmp_path):
    assert combining.combinations(tmp_path) == {}
    factors = {"tuned-constant": 1.0, "tuned-decay": 0.9, "recurrent-ppo": 2.0, "learned-on-learned": 0.5}
    for where, better in (("from-fresh", 1.0), ("from-learned", 0.8)):
        rows = [
            {
                "suite": "planar",
                "split": "test",
                "task": f"ring/{task}",
                "seed": seed,
                "scheduler": name,
                "tag": "known",
            }
            | {"family": "ring", "distance": better * factor * (1 + task)}
            for name, factor in factors.items()
            for task in range(3)
            for seed in range(2)
        ]
        (tmp_path / where).mkdir()
        write_record(tmp_path / where / "benchmark.json", {"kind": "metagan-rl benchmark"})
        (tmp_path / where / "rows.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    [combined] = combining.combinations(tmp_path).values()
    ratios = [each.ratio and each.ratio.value for each in combined]
    assert ratios == [None, *(pytest.approx(value) for value in (0.9, 2.0, 0.8, 0.72, 0.4, 1.6))]
    assert combined[0].distance.value == pytest.approx(6 ** (1 / 3))
    assert "schedule learned on fresh weights | 2.91" in as_markdown([], {"known": combined}, {}, {}, "x")


@pytest.mark.parametrize("kind", KINDS)
def test_all_methods_spend_the_same_number_of_updates(kind):
    updates = KINDS[kind]().updates
    for start, grid in study.GRIDS.items():
        for values in itertools.product(*grid.values()) if start != "fresh" else ():
            settings = settings_for(start, updates, **dict(zip(grid, values, strict=True)))
            spent = settings.outer_steps * settings.updates_per_step
            assert abs(spent - updates) <= settings.updates_per_step < 0.02 * updates


def _of(rows, start, adaptation):
    return [
        each
        for each in rows
        if (each["start"], each["optimizer"], each["adaptation"]) == (start, adaptation.optimizer, adaptation.rate)
    ]


def test_results_of_other_choices_are_never_mixed(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "GRIDS", {"fresh": {}, "joint": {"inner_lr": (1e-3,)}})
    monkeypatch.setattr(study, "STARTS", ("fresh", "joint"))
    monkeypatch.setattr(study, "MOMENTS", (0, 1))
    monkeypatch.setattr(study, "CHOOSING_MOMENTS", (1,))
    options = {"kinds": ["digits"], "seeds": 1, "workers": 0, "scale": 0.01, "show": lambda line: None}
    study.run_study(tmp_path, **options)
    monkeypatch.setattr(study, "GRIDS", {"fresh": {}, "joint": {"inner_lr": (3e-3,)}})
    (tmp_path / "choosing.jsonl").unlink()
    with pytest.raises(InvalidValueError, match="settings that you did not ask for"):
        study.run_study(tmp_path, **options)
    (tmp_path / "rows.jsonl").unlink()
    with pytest.raises(InvalidValueError, match="learned by other settings"):
        study.run_study(tmp_path, **options)


def test_a_stopped_study_goes_on_and_leaves_all_it_needs(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "GRIDS", {"fresh": {}, "reptile": {"inner_lr": (1e-3, 3e-3)}})
    monkeypatch.setattr(study, "STARTS", ("fresh", "reptile"))
    monkeypatch.setattr(study, "MOMENTS", (0, 1))
    monkeypatch.setattr(study, "CHOOSING_MOMENTS", (1,))
    lines = []

    def stop(line):
        lines.append(line)
        if len(lines) == 2:
            raise KeyboardInterrupt

    options = {"kinds": ["digits"], "seeds": 1, "workers": 0, "scale": 0.01}
    with pytest.raises(KeyboardInterrupt):
        study.run_study(tmp_path, show=stop, **options)
    with (tmp_path / "choosing.jsonl").open("a") as file:
        file.write('{"half a line')
    study.run_study(tmp_path, show=lines.append, **options)
    assert len(lines) == 5  # three to choose, of which two were there, and two cells
    rows = study.read(tmp_path / "rows.jsonl")
    assert {(each["start"], each["updates"]) for each in rows} == {
        (start, moment) for start in ("fresh", "reptile") for moment in (0, 1)
    }
    assert all(each["meta_updates"] > 0 for each in rows if each["start"] == "reptile")
    assert study.weights_of(tmp_path, "digits", "reptile", 0).metadata["settings"]["seed"] == 0
    tried = study.read(tmp_path / "adapting.jsonl")
    assert {(each["optimizer"], each["adaptation"]) for each in tried} == {(a.optimizer, a.rate) for a in ADAPTATIONS}
    assert {each["task"].split("/")[1] for each in tried} == {"7"}  # nothing is chosen by the new digits
    best = min(ADAPTATIONS, key=lambda a: geometric(_of(tried, "reptile", a)))
    assert study.chosen_adaptations(rows)["digits", "reptile"] == {0: best}
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows if each["start"] == "fresh"))
    study.run_study(tmp_path, show=lines.append, **options)  # learned weights are there: only adapting is run again
    assert len(lines) == 6 and study.read(tmp_path / "rows.jsonl") == rows
    with pytest.raises(InvalidValueError, match=r"rows of scale 0\.01, not 0\.5; .*another directory"):
        study.run_study(tmp_path, show=lines.append, **{**options, "scale": 0.5})
    study.run_study(tmp_path, show=lines.append, **options)
    assert len(lines) == 6 and json.dumps(rows) == json.dumps(study.read(tmp_path / "rows.jsonl"))
