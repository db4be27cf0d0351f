"""The study from run to run: who chooses, how the best run is chosen and judged, rows, list, table and picture."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from metagan_rl.errors import FileFormatError, UnknownNameError
from metagan_rl.experiments.benchmark.backends import Workers
from metagan_rl.experiments.studies.command import until
from metagan_rl.experiments.studies.run_to_run import methods, portfolio
from metagan_rl.experiments.studies.run_to_run import study as study_module
from metagan_rl.experiments.studies.run_to_run.methods import METHODS, Place
from metagan_rl.experiments.studies.run_to_run.portfolio import Learning, greedy, load_list, save_list
from metagan_rl.experiments.studies.run_to_run.study import PLANAR, SHOWN, RunToRun, study, tasks_of
from metagan_rl.experiments.studies.run_to_run.table import best_so_far, curve, picture, ratios, table
from metagan_rl.experiments.studies.transfer.conditions import Condition
from metagan_rl.records import write_record

DIRAC = Condition("dirac", "dirac", change=lambda task: replace(task, budget=24))


def test_the_best_run_so_far_never_gets_worse_by_what_chooses_it():
    rng = np.random.default_rng(0)
    for _ in range(50):
        seen = rng.integers(0, 6, size=12).astype(float)
        places = best_so_far(seen)
        assert (places <= np.arange(12)).all()
        assert (seen[places] == np.minimum.accumulate(seen)).all()
        assert (np.diff(places) >= 0).all(), "an equal run takes nobody's place"


def row(name, task, judged, seen=None, condition="one", **other):
    logs = [round(math.log(each), 9) for each in judged]
    seen = logs if seen is None else seen
    return {"name": name, "method": name, "task": task, "condition": condition, "repetition": 0, "judged": logs,
            "seen": seen, "at": list(range(1, len(logs) + 1)), **other}  # fmt: skip


def test_a_curve_takes_what_was_chosen_and_tells_what_was_judged():
    in_order = row("tpe", "a", (1.0, 4.0, 2.0), seen=[0.5, 0.1, 0.3])
    assert curve(in_order, (1, 2, 4)) == pytest.approx({1: 0.0, 2: math.log(4)})
    any_order = row("rule", "a", (1.0, 4.0, 2.0), seen=[0.5, 0.1, 0.3])
    mean = (math.log(4) + math.log(2)) / 3
    assert curve(any_order, (1, 2)) == pytest.approx({1: mean, 2: (2 * math.log(4) + math.log(2)) / 3})
    searches = row("pbt", "a", (3.0, 2.0), at=[4, 8])
    assert curve(searches, (1, 4, 8, 16)) == pytest.approx({4: math.log(3), 8: math.log(2)})


def test_the_table_is_relative_to_one_run_of_the_tuned_decay():
    rows = [row("tuned-decay", task, (2.0, 8.0)) for task in range(9)]  # one run: 4
    rows += [row("tpe", task, (2.0, 1.0, 3.0, 0.5), repetition=0) for task in range(9)]
    rows += [row("tpe", task, (2.0, 4.0, 3.0, 2.0), repetition=1) for task in range(9)]
    rows += [row("pbt", task, (1.0,), at=[4]) for task in range(9)]
    assert ratios(rows, "tpe", (1, 2, 4))[2].value == pytest.approx(math.sqrt(0.25 * 0.5))
    lines = table(rows).splitlines()
    assert lines[2].startswith("| one | 9 | `tuned-decay` again and again | 1.00 [1.00, 1.00] | 0.50")
    assert lines[3] == ("| one | 9 | TPE from the rule | 0.50 [0.50, 0.50] | 0.35 [0.35, 0.35] | 0.25 [0.25, 0.25] "
                        "|  |  |  |")  # fmt: skip
    assert lines[4] == "| one | 9 | PBT |  |  | 0.25 [0.25, 0.25] |  |  |  |"
    assert len(table([]).splitlines()) == 2


def test_the_picture_has_a_panel_for_each_condition(tmp_path):
    pytest.importorskip("matplotlib")
    rows = [row(name, task, (2.0, 1.0, 3.0), condition=condition) for name in ("tuned-decay", "random") for task in "ab"
            for condition in ("one", "other")]  # fmt: skip
    assert picture(rows, tmp_path / "runs.png").stat().st_size > 10_000


def test_a_list_takes_what_helps_most_beside_the_rest():
    seen = np.array([[0.0, 5.0, 1.0, 1.0], [5.0, 0.0, 1.0, 2.0], [0.0, 5.0, 1.0, 1.0]])
    assert greedy(seen, 3) == [2, 0, 1] and greedy(seen, 9) == [2, 0, 1, 3]


def test_a_damaged_list_is_refused(tmp_path):
    write_record(tmp_path / "list.json", {"kind": portfolio.KIND, "departures": [[0.0] * 5]})
    with pytest.raises(FileFormatError, match="no list of decays: each must have 6 numbers"):
        load_list(tmp_path / "list.json")


def place(count, **other):
    return Place(tuple(DIRAC.tasks("test", 2)), 0, count, 2, **other)


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.needs is None])
def test_every_method_plays_its_runs(name):
    if name == "tpe":
        pytest.importorskip("optuna")
    count = {"pbt": 4, "mf-pbt": 8}.get(name, 2)
    played = METHODS[name].play(place(count))
    assert played.runs == ((count,) if METHODS[name].searches else (1, 2))
    assert played.seen.shape == played.judged.shape == (2, len(played.runs)) and np.isfinite(played.judged).all()


def test_tpe_and_the_list_begin_at_the_rule(tmp_path):
    pytest.importorskip("optuna")
    learning = Learning("dirac", tasks=2, candidates=3, length=3, decisions=2)
    rows = learning.try_all(learning.names())
    assert [len(each["seen"]) for each in rows] == [3, 3] and not learning.departures()[0].any()
    save_list(tmp_path / "list.json", learning, rows)
    chosen = greedy(np.array([each["seen"] for each in rows]), 3)
    assert load_list(tmp_path / "list.json") == pytest.approx(learning.departures()[chosen], abs=1e-5)
    write_record(tmp_path / "rule.json", {"kind": portfolio.KIND, "departures": [[0.0] * 6]})
    first = METHODS["rule"].play(place(1)).seen
    assert METHODS["tpe"].play(place(2)).seen[:, :1] == pytest.approx(first)
    assert METHODS["list"].play(place(1, file=tmp_path / "rule.json")).seen == pytest.approx(first)


def test_a_policy_is_told_of_its_runs_before(monkeypatch, tmp_path):
    told = []
    original = methods.run

    def noted(scheduler, tasks, seeds, decisions, after=None):
        told.append(after)
        return original(scheduler, tasks, seeds, decisions, after)

    monkeypatch.setattr(methods, "run", noted)
    monkeypatch.setattr(methods, "load_scheduler", lambda path: methods.make_scheduler("rule"))
    METHODS["trial"].play(place(3, file=tmp_path))
    assert told[0] is None and all(each.shape == (2,) for each in told[1:])


def test_a_study_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(study_module, "tasks_of", lambda condition, split, count: DIRAC.tasks(split, count))
    monkeypatch.setattr(RunToRun, "learning", Learning("dirac", 2, 3, 2, 2))
    options = RunToRun(only=("dirac",), methods=("tuned-decay", "list"), tasks=2, repetitions=1, most=2, decisions=2,
                       workers=0, out=tmp_path)  # fmt: skip
    study(replace(options, minutes=0))
    assert not (tmp_path / "rows.jsonl").exists()
    study(replace(options, tasks=1))
    study(options)
    told = capsys.readouterr().out
    first = (tmp_path / "rows.jsonl").read_text()
    rows = [json.loads(line) for line in first.splitlines()]
    assert sorted((each["name"], each["task"]) for each in rows) == sorted(
        (name, task.name) for name in options.methods for task in DIRAC.tasks("test", 2)
    )
    assert all(len(each["seen"]) == 2 for each in rows) and "| dirac | 2 | list learned on other tasks |" in told
    study(options)
    assert (tmp_path / "rows.jsonl").read_text() == first


def test_a_method_that_is_none_is_refused():
    with pytest.raises(UnknownNameError, match="did you mean random"):
        RunToRun(methods=("randon",))


def test_the_conditions_have_tasks():
    assert all(len(tasks_of(condition, "test", 12)) == 12 for condition in SHOWN)
    rates = {task.base.generator_lr for task in tasks_of(PLANAR.name, "test", 12)}
    assert len(rates) == 12


def test_no_job_begins_when_the_time_is_over():
    assert list(until(range(3), None)) == [0, 1, 2] and list(until(range(3), 0)) == []
    taken = []

    def jobs():
        for number in range(3):
            taken.append(number)
            yield number

    with Workers(abs, workers=0) as crew:
        results = crew.run(jobs())
        next(results)
        assert taken == [0]
        assert [value for _, value in results] == [1, 2]
