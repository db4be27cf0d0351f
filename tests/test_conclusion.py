"""The conclusion of a report: what to use and how sure that is, and honest words where nothing can be said."""

import numpy as np
import pytest

from metagan_rl.agents.catalogue import is_settled, kind_of, make_scheduler, scheduler_names
from metagan_rl.experiments.benchmark.row import Row, RunKey
from metagan_rl.experiments.report.conclusion import Conclusion, conclude
from metagan_rl.experiments.report.ranking import rank
from metagan_rl.experiments.report.statistics import UNKNOWN

FIXED = {"constant", "cosine", "tuned-decay"}
Tasks = dict[str, dict[str, float]]
"""Distances by scheduler and task."""


def rows_of(distances: Tasks, seeds: int = 1, error: tuple[str, ...] = ()) -> list[Row]:
    return [
        Row(RunKey("planar", "test", task, seed, name), "real" if task > "t5" else "known-family", "ring",
            {} if name in error else {"distance": value}, error="broke" if name in error else None)
        for name, tasks in distances.items()
        for task, value in tasks.items()
        for seed in range(seeds)
    ]  # fmt: skip


def of(distances: Tasks, fixed: set[str] = FIXED, **options) -> Conclusion:
    rows = rows_of(distances, **options)
    return conclude(rows, rank(rows), fixed)


def made_up(factor: float, noise: float = 0.03, seed: int = 0, tasks: int = 10) -> dict[str, float]:
    """Distances on tasks of very different difficulty, about a factor apart from those of other calls."""
    level, own = np.random.default_rng(99).normal(0, 1, tasks), np.random.default_rng(seed).normal(0, noise, tasks)
    return {f"t{place}": float(factor * np.exp(level[place] + own[place])) for place in range(tasks)}


def test_a_learned_scheduler_that_is_clearly_ahead_is_the_one_to_use():
    found = of({"constant": made_up(1.0), "cosine": made_up(1.2, seed=1), "mine": made_up(0.7, seed=2)})
    assert found.sentence.startswith("Use mine: its final distance is 0.7")
    assert "] of that of constant, the best fixed schedule, over 10 tasks." in found.sentence
    assert found.sentence.endswith("It is clearly better than everything else.")
    assert (found.reference, found.settled, found.pair) == ("constant", True, ("mine", "constant"))
    assert list(found.ratios) == ["mine", "constant", "cosine"] and found.ratios["constant"] == UNKNOWN
    assert found.ratios["mine"].high < 1 < found.ratios["cosine"].low
    assert {tag: count for tag, (_, count) in found.tiers.items()} == {"known-family": 6, "real": 4}


def test_what_is_not_clearly_worse_than_the_best_is_named():
    close = {f"own{place}": made_up(0.7, 0.2, seed=place) for place in range(2, 8)}
    found = of({"constant": made_up(1.0), **close})
    assert found.sentence.startswith("Use own")
    assert "and 2 more are not clearly worse; everything else is." in found.sentence
    one = of({"constant": made_up(1.0), "one": made_up(0.7, 0.2, seed=1), "two": made_up(0.71, 0.2, seed=2)})
    assert one.sentence.endswith(" is not clearly worse; everything else is.")


def test_a_fixed_schedule_that_is_clearly_ahead_is_the_one_to_use():
    found = of({"constant": made_up(1.0), "tuned-decay": made_up(0.5, seed=1), "mine": made_up(0.8, seed=2)})
    assert found.sentence.startswith("Use tuned-decay, a fixed schedule: its final distance is 0.6")
    assert "of that of mine, the next best, over 10 tasks" in found.sentence
    assert found.reference == "tuned-decay" and found.pair == ("tuned-decay", "mine")


def test_a_lead_that_noise_could_make_is_none():
    found = of({"constant": made_up(1.0, 0.5), "mine": made_up(0.8, 0.5, seed=1)})
    assert found.sentence.startswith("These schedulers cannot be told apart over 10 tasks. mine comes to ")
    assert "Use" not in found.sentence and found.ratios["mine"].value < 0.9 < 1 < found.ratios["mine"].high
    three = of({"constant": made_up(1.0, 0.5), "mine": made_up(0.8, 0.5, seed=1), "cosine": made_up(3.0)})
    assert three.sentence.startswith("Use constant, the best fixed schedule, over 10 tasks: nothing is clearly better.")
    assert "mine cannot be told from it; mine comes to" in three.sentence


def test_a_single_task_tells_nothing():
    found = of({"constant": {"t0": 1.0}, "mine": {"t0": 0.1}})
    assert found.sentence == (
        "These schedulers cannot be told apart over 1 task. mine comes to 0.10 of the distance of constant, "
        "the best fixed schedule."
    )


def test_without_a_fixed_schedule_the_lowest_distance_is_what_others_are_held_against():
    found = of({"one": made_up(1.0), "two": made_up(1.5, seed=1)}, fixed=set())
    assert found.sentence.startswith("Use one: its final distance is 0.6") and not found.settled
    tied = of({"one": made_up(1.0, 0.5), "two": made_up(1.0, 0.5, seed=1)}, fixed=set())
    assert tied.sentence.endswith(", which has the lowest distance.")


def test_one_scheduler_alone_is_compared_with_nothing():
    found = of({"mine": made_up(1.0)})
    assert found.sentence == "Only mine was run, so there is nothing to compare it with."
    assert (found.reference, found.pair, dict(found.ratios)) == ("", (), {})
    oracle = of({"mine": made_up(1.0), "oracle": made_up(0.5)})
    assert oracle.sentence == found.sentence, "nobody can use an oracle"


def test_an_oracle_is_shown_and_never_recommended():
    found = of({"constant": made_up(1.0), "mine": made_up(0.7, seed=1), "oracle": made_up(0.3, seed=2)})
    assert found.sentence.startswith("Use mine") and found.sentence.endswith("better than everything else.")
    assert list(found.ratios) == ["oracle", "mine", "constant"]


def test_schedulers_on_different_tasks_are_not_compared():
    easy, hard = {f"t{place}": 0.1 for place in range(5)}, {f"t{place}": 1.0 for place in range(5, 10)}
    assert of({"mine": easy, "constant": hard}).sentence == (
        "Nothing can be concluded: these schedulers have no task in common."
    )
    lacking = of({"constant": made_up(1.0), "cosine": made_up(1.3, seed=1), "mine": {"t0": 0.001}})
    assert "mine" not in lacking.sentence and "mine" not in lacking.ratios
    assert lacking.sentence.startswith("Use constant, a fixed schedule") and lacking.tasks == 10


def test_only_tasks_that_all_have_count():
    whole = made_up(1.0)
    first = dict(list(whole.items())[:7])
    last = {task: distance / 2 for task, distance in list(made_up(1.0, seed=1).items())[3:]}
    found = of({"constant": {**first, "t0": 1e-6, "t1": 1e-6}, "mine": last})
    assert found.sentence.startswith("Use mine: its final distance is 0.4") and "over 4 tasks" in found.sentence
    assert list(found.ratios) == ["mine", "constant"], "the tasks that only one has do not make it better"


def test_schedulers_with_different_seeds_are_not_compared():
    rows = rows_of({"constant": made_up(1.0)})
    rows += [Row(row.key._replace(scheduler="mine", seed=1), row.tag, row.family, row.metrics) for row in rows]
    assert conclude(rows, rank(rows), FIXED).sentence == (
        "Nothing can be concluded: these schedulers have no run in common."
    )


def test_failed_runs_leave_nothing_to_conclude():
    found = of({"constant": made_up(1.0), "mine": made_up(1.0)}, error=("constant", "mine"))
    assert found.sentence == "Nothing can be concluded: no run ended without an error."
    assert of({}).sentence == found.sentence


@pytest.mark.parametrize("name", scheduler_names())
def test_what_is_settled_beforehand_needs_no_signals_of_training(name):
    scheduler = make_scheduler(name)
    if is_settled(name):
        assert scheduler.needs == () and scheduler.members == 1
    else:
        assert kind_of(name) in ("reactive", "searching", "learned")
