import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metagan_rl.experiments.studies import oracle
from metagan_rl.experiments.studies.oracle import (
    OracleSearch,
    best_of,
    draw,
    in_turns,
    make_references,
    reference,
    schedules_for,
)
from metagan_rl.tasks import SUITES, Suite, get_suite, register_suite


def test_best_of_is_the_mean_over_all_subsets() -> None:
    rng = np.random.default_rng(0)
    seen, judged = rng.normal(size=7), rng.normal(size=7)
    for count in (1, 2, 3, 7):
        subsets = list(combinations(range(7), count))
        expected = np.mean([judged[min(subset, key=lambda place: seen[place])] for subset in subsets])
        assert best_of(seen, judged, count) == pytest.approx(expected)


def test_the_oracle_is_judged_on_runs_that_did_not_choose_it() -> None:
    # The first trial looks best wherever it was chosen, yet it is worth what the judging runs say.
    trials = {
        "kinds": ["constant", "constant", "decay", "decay"],
        "seen": [[0.1, 0.1], [0.4, 0.4], [0.5, 0.5], [0.6, 0.6]],
        "distance": [[0.1, 0.1], [0.4, 0.9], [0.5, 0.5], [0.6, 0.6]],
    }
    made = reference(trials, {"judged": [0.2, 0.8], "schedule": {}, "chosen": "trial 0"})
    assert made["oracle"] == pytest.approx(0.4)  # geometric mean of the judged, not .1
    assert made["untuned"] == pytest.approx(np.sqrt(0.1 * 0.6))  # median in logarithm over the two constants
    assert [count for count, _ in made["curve"]] == [1, 2]
    assert made["curve"][0][1] == pytest.approx(np.exp(np.log(trials["distance"][:2]).mean()), rel=1e-5)
    assert made["curve"][-1][1] == pytest.approx(0.1)


def test_seeds_that_choose_are_not_seeds_that_judge() -> None:
    groups = [set(oracle.SEARCH_SEEDS), set(oracle.FINAL_SEEDS), set(oracle.JUDGE_SEEDS), set(range(1000))]
    assert sum(map(len, groups)) == len(set().union(*groups))


def test_drawn_schedules_are_valid_and_of_their_kind() -> None:
    rng = np.random.default_rng(1)
    constants = [draw(rng, "constant") for _ in range(50)]
    decays = [draw(rng, "decay") for _ in range(50)]
    assert all(s.generator_lr[0] == s.generator_lr[1] and s.switch is None for s in constants)
    assert all(s.generator_lr[0] >= s.generator_lr[1] and s.switch is not None for s in decays)
    assert len({s.loss for s in constants}) == 5 and {s.penalty_weight > 0 for s in constants} == {False, True}
    task, other = get_suite("planar").split("test")[:2]
    assert schedules_for(task, 4, 0) == schedules_for(task, 4, 0) != schedules_for(other, 4, 0)


def test_tasks_come_in_turns() -> None:
    tasks = in_turns(list(get_suite("planar").split("test")))
    assert len({task.name.partition("/")[0] for task in tasks[:11]}) == 11
    assert sorted(task.name for task in tasks) == sorted(task.name for task in get_suite("planar").split("test"))


@pytest.fixture
def short_suite() -> Iterator[str]:
    """Two planar tasks of four intervals."""
    planar = get_suite("planar")
    splits = {s: [replace(task, budget=192) for task in planar.split(s)[:2]] for s in ("train", "val", "test")}
    register_suite(Suite("searched", 1, "short tasks", splits))
    yield "searched"
    SUITES.remove("searched")


def test_a_search_goes_on_where_it_was_stopped(
    short_suite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched, decided = [], []

    def counted(job: oracle.SearchJob) -> dict[str, Any]:
        (searched if job.stage == "search" else decided).append(job.task)
        return original(job)

    original = oracle.SearchJob.run
    monkeypatch.setattr(oracle.SearchJob, "run", counted)
    options = OracleSearch(short_suite, "val", trials=4, tasks=1, workers=0, out=tmp_path)
    first = json.loads(make_references(options, show=lambda line: None).read_text())
    assert len(first["tasks"]) == len(searched) == len(decided) == 1
    with (tmp_path / "trials.jsonl").open("a") as file:
        file.write('{"half')  # stopped in the middle of a line
    second = json.loads(make_references(replace(options, tasks=None), show=lambda line: None).read_text())
    assert len(second["tasks"]) == len(searched) == len(decided) == 2
    finals = [json.loads(line) for line in (tmp_path / "trials.jsonl").read_text().splitlines() if '"final"' in line]
    assert all(set(line["finalists"][-2:]) == {"tuned-constant", "tuned-decay"} for line in finals)
    name = next(iter(first["tasks"]))
    assert second["tasks"][name] == first["tasks"][name]
    assert second["suite_sha256"] == get_suite(short_suite).sha256
    make_references(replace(options, seed=1), show=lambda line: None)  # another search takes nothing up
    assert len(searched) == 3
