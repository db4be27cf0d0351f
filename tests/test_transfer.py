"""The study of transfer: its conditions, its rows, and its table."""

import json
import math

import pytest

from metagan_rl.experiments.studies.transfer.conditions import CONDITIONS, find_condition, find_conditions
from metagan_rl.experiments.studies.transfer.room_table import room_table
from metagan_rl.experiments.studies.transfer.study import TransferStudy, study
from metagan_rl.experiments.studies.transfer.table import ratios, table
from metagan_rl.tasks import get_suite


@pytest.mark.parametrize("condition", CONDITIONS, ids=[each.name for each in CONDITIONS])
def test_every_condition_has_tasks_that_no_training_has(condition):
    tasks = condition.tasks("test", 2)
    assert 1 <= len(tasks) <= 2
    trained = {(task.family, repr(task.parameters), task.seed) for task in get_suite(condition.suite).split("train")}
    assert not trained & {(task.family, repr(task.parameters), task.seed) for task in tasks}


def test_a_condition_changes_what_it_says_and_nothing_else():
    (usual,), (hidden,) = (find_condition(name).tasks("test", 1) for name in ("as trained", "G's rate x8, hidden"))
    assert hidden.hidden.factors(0.0) == (8.0, 1.0) and usual.hidden is None
    assert (hidden.base, hidden.networks, hidden.seed) == (usual.base, usual.networks, usual.seed)
    (short,) = find_condition("beta1 .9, batch 32, 768 updates").tasks("test", 1)
    assert (short.base.beta1, short.base.batch_size, short.budget) == (0.9, 32, 768)


def test_only_tests_have_what_is_held_out():
    names = {each.name for each in find_conditions("val")}
    assert "as trained" in names and "held-out families" not in names and "wide: other-width" not in names
    assert [each.name for each in find_conditions("test", ("own loops: well",))] == ["own loops: well set"]
    assert not any(each.name.startswith("own loops") for each in find_conditions("test"))


def row(scheduler, task, seed, distance, condition="as trained"):
    return {"scheduler": scheduler, "task": task, "seed": seed, "distance": distance, "condition": condition}


def test_ratios_are_paired_by_task_and_seed():
    rows = [row("tuned-decay", task, seed, task + 1.0) for task in range(9) for seed in (0, 1)]
    rows += [row("rule", task, seed, (task + 1.0) * (0.5 if seed else 0.8)) for task in range(9) for seed in (0, 1)]
    found = ratios(rows, "rule", "tuned-decay", "as trained")
    assert found.value == pytest.approx(math.sqrt(0.4)) and found.low == pytest.approx(found.high)
    lines = table(rows, ("tuned-decay", "rule", "none")).splitlines()
    assert lines[-1].startswith("| as trained | 9 x 2 |") and "| 0.63 [0.63, 0.63] |" in lines[-1]


def test_the_share_of_the_room_is_in_logarithms_and_on_the_same_tasks():
    oracle = [
        {"suite": name, "task": task, "tuned-decay": 0.0, "oracle": math.log(room)}
        for name, room in (("as trained", 0.95), ("batch 32", 0.25))
        for task in range(9)
    ]
    rows = [row("tuned-decay", task, seed, 2.0, name) for name in ("as trained", "batch 32") for task in range(12)
            for seed in (0, 1)]  # fmt: skip
    rows += [{**each, "scheduler": "rule", "distance": 1.0 if each["task"] < 9 else 50.0} for each in rows]
    lines = room_table(oracle, rows, ["rule"]).splitlines()[2:]
    assert lines[0] == "| as trained | 9 | 0.95 [0.95, 0.95] | 0.50 [0.50, 0.50] |"
    assert lines[1] == "| batch 32 | 9 | 0.25 [0.25, 0.25] | 0.50 [0.50, 0.50], 50% |"


def test_a_study_goes_on_where_it_stopped(tmp_path, capsys):
    options = TransferStudy(schedulers=("constant", "cosine"), only=("768 updates",), tasks=1, seeds=1, decisions=2,
                            workers=0, reference="constant", out=tmp_path)  # fmt: skip
    study(options)
    first = (tmp_path / "rows.jsonl").read_text()
    rows = [json.loads(line) for line in first.splitlines()]
    assert {each["scheduler"] for each in rows} == {"constant", "cosine"} and all(each["distance"] > 0 for each in rows)
    capsys.readouterr()
    study(options)
    assert (tmp_path / "rows.jsonl").read_text() == first
    told = capsys.readouterr().out
    assert "1/" not in told and "| condition | tasks x seeds | `constant` | `cosine` |" in told
