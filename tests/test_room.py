"""The study of the room for reacting: its parts do what its page says, on runs of a few updates."""

from dataclasses import replace

import numpy as np

from metagan_rl.agents import make_scheduler
from metagan_rl.experiments.studies.room import (
    BRANCHING,
    DESIGN,
    JUDGING,
    Follower,
    RoomStudy,
    branched,
    judge_fixed,
    measure,
    surface,
    table,
    tasks_of,
)  # fmt: skip
from metagan_rl.loop import drive
from metagan_rl.tasks import get_suite


def tasks(suite="unknown", budget=48):
    return [replace(task, budget=budget) for task in list(get_suite(suite).split("val"))[::20]]


def test_no_departure_is_the_tuned_decay():
    follower = Follower(tasks(), [5, 6], 4)
    ends = follower.finish(np.zeros((2, 3)))
    runs, _ = drive(make_scheduler("tuned-decay"), tasks(), [5, 6], decisions=4)
    np.testing.assert_array_equal(np.exp(ends), runs.quality.distance)


def test_branches_go_on_from_their_run_on_noise_of_their_own():
    main = Follower(tasks("faults"), [JUDGING, JUDGING + 1], 4)
    main.advance(np.zeros((2, 3)))
    rows, seeds = [0, 0, 1, 1, 1], list(range(BRANCHING, BRANCHING + 5))
    branches = Follower([main.runs.tasks[row] for row in rows], seeds, 4)
    branches.runs.load_state_dict(branched(main.runs.state_dict(), rows, seeds))
    assert branches.runs.updates.tolist() == [12] * 5
    np.testing.assert_array_equal(branches.runs.quality.distance, main.runs.quality.distance[rows])
    ends = branches.finish(np.zeros((5, 3)))
    assert len(set(ends)) == 5
    assert np.ptp(ends[:2]) < 1 and np.ptp(ends[2:]) < 1


def test_the_surface_finds_the_best_departure_through_noise():
    truth = (DESIGN[:, 0] + 1.4) ** 2 + 0.5 * DESIGN[:, 1]
    noisy = truth[:, None] * 0.3 + np.random.default_rng(0).normal(size=(13, 4)) * 0.1
    assert DESIGN[surface(noisy).argmin()][0] < 0


def test_fixed_schedules_are_judged_on_the_same_noise():
    values = judge_fixed(tasks(), np.array([[0.0] * 5, [0.0] * 5, [2.0] * 5]), JUDGING, 1, 4)
    np.testing.assert_array_equal(values[0], values[1])
    assert (values[2] != values[0]).all()


def test_a_study_gives_a_row_for_each_task_and_a_table_of_them():
    options = RoomStudy(fixed=2, decisions=2, rollouts=1, judged=1, intervals=2)
    rows = measure("unknown", [*tasks()[:1], *tasks(budget=24)[1:]], options)
    assert len(rows) == 2 and all(np.isfinite(row["oracle"]) for row in rows)
    lines = table(rows).splitlines()
    assert len(lines) == 3 and lines[2].startswith("| `unknown` | 2 |")


def test_the_tasks_are_those_of_a_suite_or_of_a_condition():
    assert {task.hidden.changes for task in tasks_of(RoomStudy(suite="drift", tasks=4))} <= {1, 8}
    found = tasks_of(RoomStudy(condition="beta1 .9", split="test", tasks=4))
    assert len(found) == 4 and {task.base.beta1 for task in found} == {0.9}
