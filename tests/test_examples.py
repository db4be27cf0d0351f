import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from elsewhere import sealed

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "docs" / "examples"


def _load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_examples_are_those_that_are_tested():
    assert {path.name for path in EXAMPLES.glob("*.py")} == {
        "cleanrl_ppo.py",
        "own_loop.py",
        "rllib_ppo.py",
        "sb3_ppo.py",
    }


def test_cleanrl_ppo_runs_as_a_script(tmp_path):
    sizes = {"gan_updates": 300, "num_envs": 3, "num_steps": 4, "horizon": 2, "interval_updates": 12}
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in sizes.items()]
    command = [sys.executable, "-W", "error", str(EXAMPLES / "cleanrl_ppo.py"), *arguments, "--evaluation-tasks=2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, f"--log-dir={tmp_path}"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("validation return at the start: agent") and "at the end" in lines[-1]
    assert lines[1].startswith("144 GAN updates: mean return") and lines[1].endswith("of 6 episodes")
    assert list(tmp_path.glob("MetaGAN-Planar-v2__cleanrl_ppo__1__*/events*"))


def test_cleanrl_ppo_gives_credit_within_episodes_only():
    import torch

    example = _load("cleanrl_ppo")
    args = example.Args(num_steps=3, gamma=0.5, gae_lambda=0.5)
    rewards, values = torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([[0.5], [1.0], [1.5]])
    starts, one = torch.tensor([[1.0], [0.0], [1.0]]), torch.ones(1)  # the third step begins an episode
    advantages = example.advantages_of(args, rewards, values, starts, last_value=one, last_start=0 * one)
    third = 4.0 + 0.5 * 1.0 - 1.5
    second = 2.0 - 1.0
    first = 1.0 + 0.5 * 1.0 - 0.5 + 0.25 * second
    assert advantages.flatten().tolist() == [first, second, third]


@pytest.mark.skipif(
    tuple(map(int, gym.__version__.split(".")[:2])) < (1, 4),
    reason="before, Gymnasium takes every mode for NEXT_STEP and leaves out the first reward of later episodes",
)
def test_gymnasiums_episode_statistics_are_those_of_the_episode():
    envs = gym.make_vec("MetaGAN/Planar-v2", num_envs=2, horizon=2, interval_updates=12)
    envs = gym.wrappers.vector.RecordEpisodeStatistics(envs)
    envs.reset(seed=0)
    for _ in range(2):
        actions = np.zeros((2, 5), dtype=np.int64)
        _, first, _, _, infos = envs.step(actions)
        assert "final_info" not in infos
        _, second, terminated, _, infos = envs.step(actions)
        assert terminated.all() and infos["_final_info"].all()
        np.testing.assert_allclose(infos["episode"]["r"], first + second, rtol=1e-6)
        assert infos["episode"]["l"].tolist() == [2, 2]


def test_sb3_ppo_trains_and_saves(tmp_path):
    example = _load("sb3_ppo")
    agent = example.main(example.Args(num_envs=2, horizon=2, steps=16, num_steps=4, out=str(tmp_path)))
    assert agent.num_timesteps == 16
    assert (tmp_path / "agent.zip").exists() and list(tmp_path.glob("PPO_1/events*"))


@sealed("ray", "tree")  # tree is what RLlib brings besides
def test_rllib_ppo_runs_as_a_script(tmp_path):
    sizes = ["--num-env-runners=1", "--num-envs=2", "--horizon=4", "--batch=64", "--iterations=2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(EXAMPLES / "rllib_ppo.py"), *sizes]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("iteration")]
    assert len(lines) == 2
    assert all(np.isfinite(json.loads(line.rsplit(" ", 1)[1])) for line in lines), lines


def test_own_loop_runs_and_is_the_plain_loop_under_constant(capsys, monkeypatch):
    example = _load("own_loop")
    example.main(["--steps=20", "--scheduler=constant", "--beta1=0.5"])
    scheduled = capsys.readouterr().out
    assert "of them reached" in scheduled and "1.00e-03 and 1.00e-03" in scheduled

    class Nothing:
        def __init__(self, *args, **options):
            self.advice = "ok: no sign of trouble"

        def step(self, **given):
            return type("Controls", (), {"advice": self.advice})

        def get_last_lr(self):
            return [1e-3, 1e-3]

    monkeypatch.setattr(example, "GANScheduler", Nothing)
    example.main(["--steps=20", "--scheduler=constant", "--beta1=0.5"])
    plain = capsys.readouterr().out
    assert _losses(plain) == _losses(scheduled) and len(_losses(plain)) == 5


def _losses(output):
    return re.findall(r"D's loss ([0-9.]+)", output)


def test_the_readmes_loop_runs_with_three_lines_and_with_none_in_the_loop():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", readme, flags=re.MULTILINE | re.DOTALL)
    (code,) = (block for block in blocks if "GANScheduler" in block)
    before, loop = code.split("for step in range(200):")
    without = "for step in range(200):" + loop[: loop.index("    scheduler.step(")]
    watching = re.findall(r"`(scheduler\.watch\(.*?\))`", readme)[0]
    for whole in (code, f"{before}{watching}\n{without}"):
        names = {}
        torch.manual_seed(0)
        exec(whole, names)
        assert names["scheduler"].last_step == 200
        assert "pair_accuracy" in names["scheduler"].ledger.seen()


def test_the_page_of_the_plug_in_adds_three_lines_and_they_work():
    page = (ROOT / "docs" / "plug-in.md").read_text(encoding="utf-8")
    before, after, watched = re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    added = [line for line in after.splitlines() if line not in before.splitlines()]
    assert len(added) == 3 and [line for line in after.splitlines() if line not in added] == before.splitlines()
    for code in (after, watched):
        names = {}
        torch.manual_seed(0)
        exec(code, names)
        assert names["scheduler"].last_step == 200
        assert "pair_accuracy" in names["scheduler"].ledger.seen()
