"""The scoreboard is what the committed rows say, ordered by budget."""

import importlib.util
import re
from pathlib import Path

import gymnasium as gym
import numpy as np

import metagan_rl  # noqa: F401  (registers the environments)
from metagan_rl.experiments.benchmark.records import append_lines
from metagan_rl.experiments.studies import scoreboard

ROOT = Path(__file__).parent.parent


def test_the_page_is_made_from_the_committed_rows():
    assert scoreboard.page() == scoreboard.PAGE.read_text(encoding="utf-8")
    for row in scoreboard.entries():
        assert gym.spec(row["env"]) and 0 <= row["diverged"] <= 1 and row["runs"] >= 1, row


def test_rows_are_ordered_by_budget_then_by_score(tmp_path, monkeypatch):
    def entry(agent, budget, score, **more):
        about = {"agent": agent, "env": "MetaGAN/Ring8-v2", "budget": budget, "tasks": 2, "runs": 1}
        return {**about, "return": score, "score": score, "score_error": None, "diverged": 0.5, **more}

    def trained(seed, score):
        test = {"tasks": 2, "runs": 1, "return": score, "score": score, "score_error": 0.1, "diverged": 0.0}
        about = {"kind": "evaluation", "environment": "Ring8", "env": "MetaGAN/Ring8-Moves-v2", "algorithm": "dqn"}
        return {**about, "seed": seed, "steps": 10, "budget": 480, "test": test}

    board, curves = tmp_path / "board.jsonl", tmp_path / "curves.jsonl"
    monkeypatch.setattr(scoreboard, "ENTRIES", board)
    monkeypatch.setattr(scoreboard, "CURVES", curves)
    append_lines(board, [entry("secret", None, 0.9), entry("dear", 5000, 0.8), entry("worse", 0, 0.1)])
    append_lines(board, [entry("better", 0, 0.2, note="mine"), entry("other", 0, 0.2, env="MetaGAN/Unknown-v0")])
    append_lines(curves, [trained(0, 0.2), trained(1, 0.4), trained(1, 0.6)])  # a training that was begun anew
    ring, unknown = scoreboard.boards().split("\n\n### ")
    assert ring.startswith("### MetaGAN/Ring8-v2") and unknown.startswith("MetaGAN/Unknown-v0")
    assert re.findall(r"`([a-z]+)`", ring) == ["better", "worse", "dqn", "dear", "secret"]
    assert "stock settings, 2 seeds" in ring and "0.400 ± 0.200" in ring and "`better` (mine)" in ring


def test_curves_are_of_finished_trainings_only():
    about = {"environment": "Ring8", "algorithm": "ppo", "steps": 40}
    parts = [{"kind": "part", "step": step, "return": step / 10, "seed": 0, **about} for step in (10, 20, 30, 40)]
    unfinished = [{**parts[0], "seed": 1}]
    end = {"kind": "evaluation", "seed": 0, **about}
    assert scoreboard.curves([*parts, *unfinished]).count("\n") == 1
    assert scoreboard.curves([*parts, end, *unfinished]).endswith(
        "| Ring8 | `ppo` | 1 | 40 | 1.00 | 2.00 | 3.00 | 4.00 |"
    )


def test_the_agent_of_the_page_runs(tmp_path, monkeypatch):
    from stable_baselines3 import PPO

    (code,) = re.findall(r"```python\n(.*?)```", scoreboard.PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    lines = [line.removeprefix("   ") for line in code.splitlines()]
    (tmp_path / "my_agent.py").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    envs = gym.make_vec("MetaGAN/Ring8-v2", num_envs=2, horizon=2, interval_updates=12)
    PPO("MlpPolicy", gym.make("MetaGAN/Ring8-v2", horizon=2, interval_updates=12), device="cpu").save("agent.zip")
    spec = importlib.util.spec_from_file_location("my_agent", tmp_path / "my_agent.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    observations, _ = envs.reset(seed=0)
    assert envs.action_space.contains(module.make(envs)(observations, np.ones(2, dtype=bool)))
