"""The study of learning curves trains, writes rows as they come, and goes on where it was stopped."""

import gymnasium as gym
import pytest

from metagan_rl.errors import UnknownNameError
from metagan_rl.experiments.benchmark.records import ROWS, append_lines, read_lines
from metagan_rl.experiments.studies import learning_curves
from metagan_rl.experiments.studies.learning_curves import KINDS, LearningCurves, rows_of, study, to_do


@pytest.fixture
def small(monkeypatch):
    """Two members and rollouts of 8 steps, on short runs on the ring."""
    from metagan_rl.envs import register_environment

    ids = {}
    for ending, actions in (("", "joint-moves"), ("-Moves", "moves"), ("-Box", "continuous-moves")):
        ids[ending] = f"Tiny/Ring{ending}-v0"
        short = {"horizon": 2, "interval_updates": 12, "reference": "constant", "reward": "steady"}
        register_environment(ids[ending], "ring8", actions=actions, **short)
    monkeypatch.setattr(learning_curves, "ENVIRONMENTS", {"Small": ids})
    monkeypatch.setattr(learning_curves, "MEMBERS", 2)
    monkeypatch.setattr(learning_curves, "PART", 16)
    rollout, replay = {"n_steps": 8, "batch_size": 8}, {"learning_starts": 4, "batch_size": 4, "buffer_size": 50}
    sizes = {"ppo": rollout, "recurrent-ppo": rollout, "dqn": replay, "sac": replay, "tqc": replay}
    monkeypatch.setattr(learning_curves, "SIZES", sizes)
    monkeypatch.setattr(learning_curves, "CLEANRL_STEPS", 8)
    yield
    for name in ids.values():
        del gym.registry[name]


@pytest.mark.parametrize("algorithm", KINDS)
def test_every_algorithm_trains_and_is_evaluated(small, algorithm):
    parts, (end,) = list(rows_of(("Small", algorithm, 1, 32), 2))
    assert [row["step"] for row in parts] == [16, 32]
    assert all(row["episodes"] == 8 and row["return"] is not None for row in parts)
    assert end["budget"] == 32 * 12 and end["test"]["tasks"] == 2 and end["algorithm"] == algorithm
    assert end["env"] == f"Tiny/Ring{KINDS[algorithm]}-v0"


def test_a_study_that_was_stopped_goes_on(small, tmp_path, capsys):
    options = LearningCurves(("Small",), ("ppo",), seeds=(0, 1), steps=16, tasks=1, out=tmp_path)
    study(options)
    rows = read_lines(tmp_path / ROWS)
    assert [(row["kind"], row["seed"]) for row in rows] == [
        ("part", 0), ("evaluation", 0), ("part", 1), ("evaluation", 1)
    ]  # fmt: skip
    assert to_do(options, rows) == []
    assert to_do(options, rows[:3]) == [("Small", "ppo", 1, 16)]  # it was stopped before the evaluation
    (tmp_path / ROWS).unlink()
    append_lines(tmp_path / ROWS, rows[:3])
    study(options)
    again = read_lines(tmp_path / ROWS)
    assert again[3] == rows[2] and again[4]["test"] == rows[3]["test"]  # the same training
    assert "Small ppo 1 16: test return" in capsys.readouterr().out


def test_no_training_begins_when_the_time_is_up(small, tmp_path, capsys):
    study(LearningCurves(("Small",), ("ppo",), minutes=0, out=tmp_path))
    assert not (tmp_path / ROWS).exists() and "call again" in capsys.readouterr().out


def test_unknown_names_are_told(tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean Ring8"):
        study(LearningCurves(environments=("Ring",), out=tmp_path))
    with pytest.raises(UnknownNameError, match="unknown algorithm 'a3c'"):
        study(LearningCurves(algorithms=("a3c",), out=tmp_path))
