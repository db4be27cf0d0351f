"""The fixed evaluation: the same tasks and seeds for every agent, a score for each run of a trial."""

import gymnasium as gym
import numpy as np
import pytest

import metagan_rl  # noqa: F401  (registers the environments)
from metagan_rl.agents import make_scheduler
from metagan_rl.cli import main
from metagan_rl.envs import register_environment
from metagan_rl.errors import InvalidValueError, UnknownNameError
from metagan_rl.experiments import evaluate_agent, sb3_agent
from metagan_rl.experiments.benchmark.records import read_lines
from metagan_rl.experiments.benchmark.references import load_references, share_of_room

SHORT = {"horizon": 2, "interval_updates": 12}


def zeros(observations, begun):
    return np.zeros((len(observations), 5), dtype=np.int64)


def test_every_run_of_a_trial_has_a_score_of_its_own():
    begins = []

    def act(observations, begun):
        begins.append(begun.copy())
        return zeros(observations, begun)

    test = evaluate_agent(act, "MetaGAN/Ring8-Trials-v2", tasks=3, trial_runs=2, **SHORT)
    assert test.scores.shape == test.distances.shape == (3, 2) and test.returns.shape == (3,)
    assert [begun.tolist() for begun in begins] == [[True] * 3] + [[False] * 3] * 3
    assert (test.scores[:, 0] != test.scores[:, 1]).all() and len(set(test.tasks)) == 3
    record = test.record()
    assert record["runs"] == 2 and len(record["score_by_run"]) == 2 and record["share_by_run"] is None
    assert record["score"] == pytest.approx(np.mean(record["score_by_run"]))


def test_a_score_is_what_the_environment_tells_at_the_end_of_the_run():
    test = evaluate_agent(zeros, "MetaGAN/Ring8-v2", tasks=2, **SHORT)
    env = gym.make("MetaGAN/Ring8-v2", split="test", **SHORT)
    env.reset(seed=4_000_000, options={"task": test.tasks[0]})
    rewards = [env.step(np.zeros(5, dtype=np.int64)) for _ in range(2)]
    info = rewards[-1][4]
    assert test.scores[0, 0] == pytest.approx(info["score"], abs=1e-3)
    assert test.distances[0, 0] == pytest.approx(info["distance"], rel=1e-3)
    assert test.returns[0] == pytest.approx(sum(step[1] for step in rewards), abs=1e-3)


def test_members_side_by_side_change_rounding_only():
    whole, single = (evaluate_agent(zeros, "MetaGAN/Ring8-v2", tasks=3, members=n, **SHORT) for n in (3, 1))
    np.testing.assert_allclose(single.scores, whole.scores, atol=1e-3)
    assert whole.tasks == single.tasks
    other = evaluate_agent(zeros, "MetaGAN/Ring8-v2", tasks=3, seed=1, **SHORT)
    assert np.abs(other.scores - whole.scores).min() > 1e-6


def test_a_schedule_is_followed_as_the_reference():
    constant = evaluate_agent("constant", "MetaGAN/Ring8-v2", tasks=2, **SHORT)
    np.testing.assert_array_equal(constant.scores, evaluate_agent(zeros, "MetaGAN/Ring8-v2", tasks=2, **SHORT).scores)
    tuned, drawn = (evaluate_agent(name, "MetaGAN/Ring8-v2", tasks=2, **SHORT) for name in ("tuned-decay", "random"))
    assert len({each.returns.sum() for each in (constant, tuned, drawn)}) == 3
    assert (constant.budget, drawn.budget) == (0, 0) and tuned.budget == make_scheduler("tuned-decay").cost > 10**6


def test_shares_are_those_of_the_committed_references():
    test = evaluate_agent(zeros, "MetaGAN/Planar-v2", tasks=4, **SHORT)
    rooms = load_references("planar", "test").rooms
    known = [place for place, name in enumerate(test.tasks) if name in rooms and rooms[name].enough]
    assert known and np.isfinite(test.shares).all(axis=1).nonzero()[0].tolist() == known
    first = known[0]
    assert test.shares[first, 0] == share_of_room(test.distances[first, 0], rooms[test.tasks[first]])
    assert test.record()["share_by_run"] == [pytest.approx(test.shares[known].mean())]


def test_a_model_of_sb3_keeps_its_memory_within_an_episode_only():
    class Model:
        def predict(self, observations, state, episode_start, deterministic):
            states.append((None if state is None else state[0], episode_start.tolist(), deterministic))
            return np.zeros((len(observations), 5), dtype=np.int64), (len(states),)

    states = []
    evaluate_agent(sb3_agent(Model()), "MetaGAN/Ring8-v2", tasks=2, members=1, **SHORT)
    assert states == [(None, [True], True), (1, [False], True), (None, [True], True), (3, [False], True)]


def test_a_scheduler_by_module_and_attribute_is_a_schedule():
    named, own = (
        evaluate_agent(name, "MetaGAN/Ring8-v2", tasks=2, **SHORT)
        for name in ("constant", "metagan_rl.agents.rules.clock:Constant")
    )
    np.testing.assert_array_equal(named.scores, own.scores)


def test_mistakes_are_told():
    with pytest.raises(UnknownNameError, match="did you mean constant"):
        evaluate_agent("konstant", "MetaGAN/Ring8-v2")
    with pytest.raises(UnknownNameError, match="environment or suite 'MetaGAN/Rings-v2'"):
        evaluate_agent(zeros, "MetaGAN/Rings-v2")
    with pytest.raises(InvalidValueError, match="trains no GANs"):
        evaluate_agent(zeros, "CartPole-v1")
    with pytest.raises(InvalidValueError, match="tasks is 0"):
        evaluate_agent(zeros, "MetaGAN/Ring8-v2", tasks=0)


AGENT = """\
import numpy as np

def make(envs):
    return lambda observations, begun: np.ones(envs.action_space.shape, dtype=np.int64)
"""


def test_the_command_evaluates_and_adds_a_row(tmp_path, monkeypatch, capsys):
    name = "Small/Trials-v0"
    register_environment(name, "ring8", actions="joint-moves", reference="constant", trial_runs=2, **SHORT)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_agent.py").write_text(AGENT, encoding="utf-8")
    for agent in ("constant", "own_agent:make"):
        options = ["--env", name, "--tasks", "2", "--budget", "7", "--out", "out/rows.jsonl"]
        assert main(["evaluate", "--agent", agent, *options]) == 0
    first, second = read_lines(tmp_path / "out" / "rows.jsonl")
    assert (first["agent"], second["agent"], second["budget"], second["tasks"]) == ("constant", "own_agent:make", 7, 2)
    assert first["budget"] == 7 and first["note"] == "" and (tmp_path / "out" / "rows.jsonl").is_file()
    assert first["return"] != second["return"] and second["command"].startswith("metagan-rl evaluate")
    said = capsys.readouterr().out
    assert "| 2 | " in said and "over 2 tasks" in said
    assert main(["evaluate", "--agent", "konstant", *options]) == 2
    assert "did you mean constant" in capsys.readouterr().err
    del gym.registry[name]
