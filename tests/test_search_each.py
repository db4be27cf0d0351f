"""CMA-ES for each task: it improves, it never judges on the seeds that it searched on, it goes on, and its table."""

import json
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from metagan_rl.agents import make_scheduler
from metagan_rl.errors import InvalidValueError
from metagan_rl.experiments.studies import search_each
from metagan_rl.experiments.studies.decays import around_rule, run, tuned_departures
from metagan_rl.experiments.studies.search_each import FINAL_RUNS, NAME, Search, SearchEach, study, table
from metagan_rl.experiments.studies.transfer.conditions import Condition, find_condition
from metagan_rl.loop.drive import drive

DIRAC = Condition("dirac", "dirac", change=lambda task: replace(task, budget=48))


@pytest.fixture
def cheap(monkeypatch, tmp_path):
    """A small search on the Dirac-GAN, which trains in no time."""
    pytest.importorskip("cma")
    monkeypatch.setattr(search_each, "find_condition", lambda name: DIRAC)
    return SearchEach(
        only=("dirac",), tasks=2, runs=FINAL_RUNS + 24, population=8, decisions=2, workers=0, out=tmp_path
    )


def test_a_search_comes_near_the_lowest_point():
    pytest.importorskip("cma")
    search, lowest = Search(seed=0, population=16), np.array([1.0, -1.0, 0.5, 0.0, 2.0, -0.5])
    for generation in range(20):
        places = search.ask()
        shifted = 100.0 * generation  # generations differ in height, as they have other seeds
        search.tell(shifted + ((places - lowest) ** 2).sum(axis=1))
    assert np.abs(search.centres[-1] - lowest).max() < 0.3
    (best,) = search.best(1)
    assert ((best - lowest) ** 2).sum() < (lowest**2).sum() / 4


def test_the_global_generator_is_left_alone():
    pytest.importorskip("cma")
    np.random.seed(3)
    before = np.random.get_state()[1].tolist()
    asked = [Search(seed=5, population=4).ask() for _ in range(2)]
    assert np.random.get_state()[1].tolist() == before and (asked[0] == asked[1]).all()


def test_a_study_improves_and_judges_on_seeds_that_no_search_saw(cheap, monkeypatch):
    used = []

    def noted(scheduler, tasks, seeds, decisions):
        used.append(set(seeds))
        return run(scheduler, tasks, seeds, decisions)

    monkeypatch.setattr(search_each, "run", noted)
    study(replace(cheap, chunk=2))
    judged = used[-cheap.seeds :]
    assert len(used) == cheap.generations + 1 + cheap.seeds and all(len(each) == 2 for each in judged)
    assert not set().union(*judged) & set().union(*used[: -cheap.seeds])
    assert all(not one & other for one, other in pairwise(used))
    rows = [json.loads(line) for line in (cheap.out / "rows.jsonl").read_text().splitlines()]
    assert [(row["scheduler"], row["seed"]) for row in rows] == [(NAME, 0), (NAME, 0), (NAME, 1), (NAME, 1)]
    tasks = DIRAC.tasks("test", 2)
    rule = run(around_rule(np.zeros((2, 6))), tasks, [0, 1], 2).judged
    assert np.mean(np.log([row["distance"] for row in rows])) < rule.mean() - 0.1


def test_a_study_goes_on_with_the_tasks_that_are_missing(cheap, capsys):
    study(replace(cheap, tasks=1))
    study(replace(cheap, minutes=0))
    assert "/1 " not in capsys.readouterr().out.partition("1/1 ")[2]
    study(cheap)
    lines = (cheap.out / "rows.jsonl").read_text().splitlines()
    assert len({json.loads(line)["task"] for line in lines}) == 2 and len(lines) == 4
    together = replace(cheap, chunk=2, out=cheap.out / "together")
    study(together)
    both = [sorted((row["task"], row["seed"], row["chosen"]) for row in map(json.loads, text)) for text in
            (lines, (together.out / "rows.jsonl").read_text().splitlines())]  # fmt: skip
    assert both[0] == both[1], "what is found does not depend on what is searched beside it"


def test_tuned_decay_is_a_departure_from_the_rule():
    tasks = [replace(task, budget=24) for task in find_condition("as trained").tasks("test", 2)]
    runs, _ = drive(make_scheduler("tuned-decay"), tasks, [0, 1], decisions=2)
    own = run(around_rule(tuned_departures(tasks, 2), None), tasks, [0, 1], 2)
    assert own.seen == pytest.approx(np.log(runs.quality.distance), abs=1e-5)


def test_too_few_runs_are_refused():
    with pytest.raises(InvalidValueError, match="runs is 40; a generation of 16"):
        SearchEach(runs=40)


def test_the_table_has_the_tiers_on_the_tasks_that_were_searched():
    def row(scheduler, task, distance):
        return {"scheduler": scheduler, "condition": "as trained", "task": task, "seed": 0, "distance": distance}

    others = [row("tuned-decay", task, task + 1.0) for task in range(12)]
    others += [row("rule", task, (task + 1.0) * (0.8 if task < 9 else 7.0)) for task in range(12)]
    rows = [row(NAME, task, (task + 1.0) * 0.5) for task in range(9)]
    oracle = [
        {"suite": "as trained", "task": task, "tuned-decay": 0.0, "fixed": math.log(0.9), "oracle": math.log(0.4)}
        for task in range(12)
    ]
    lines = table(rows, others, oracle, ("rule", "default")).splitlines()
    base = math.exp(np.mean(np.log(np.arange(9) + 1.0)))
    tiers = "0.90 [0.90, 0.90] | 0.50 [0.50, 0.50] | 0.40 [0.40, 0.40] | 0.80 [0.80, 0.80] |  |"
    assert lines[2] == f"| as trained | 9 | {base:.3f} | {tiers}"
    untried = [{**each, "fixed": each["tuned-decay"]} for each in oracle]
    assert "| 4.147 |  | 0.50" in table(rows, others, untried, ()).splitlines()[2]
