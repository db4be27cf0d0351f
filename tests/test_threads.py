"""GANs and small agents train with one thread, whatever the user's process has, and it gets its threads back."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
import torch

import metagan_rl  # noqa: F401  (registers the environments)
from metagan_rl import runtime
from metagan_rl.envs import make_sb3_vec_env
from metagan_rl.loop import runs

SHORT = {"horizon": 2, "interval_updates": 12}


@pytest.fixture
def two_threads():
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.mark.usefixtures("two_threads")
def test_an_environment_uses_one_thread_and_leaves_the_others_to_its_user(monkeypatch):
    seen, original = [], runs.evaluate

    def watched(*arguments, **options):
        seen.append(torch.get_num_threads())
        return original(*arguments, **options)

    monkeypatch.setattr(runs, "evaluate", watched)
    env = gym.make("MetaGAN/Dirac-v2", **SHORT)
    for _ in range(2):
        env.reset(seed=0)
        assert torch.get_num_threads() == 2
        env.step(env.action_space.sample())
        assert torch.get_num_threads() == 2
    assert seen == [1] * 4


@pytest.mark.usefixtures("two_threads")
def test_the_bridge_limits_the_agent_too_until_it_is_closed():
    for threads, expected in ((1, 1), (None, 2)):
        env = make_sb3_vec_env("MetaGAN/Dirac-v2", 2, threads=threads, **SHORT)
        assert torch.get_num_threads() == expected
        env.reset()
        env.step(np.zeros((2, 5), dtype=np.int64))
        assert torch.get_num_threads() == expected
        env.close()
        assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_one_is_warned_once_where_torch_keeps_its_threads(monkeypatch):
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)
    monkeypatch.setattr(runtime, "_warned", False)
    with pytest.warns(RuntimeWarning, match="OMP_NUM_THREADS=1"), runtime.limited_threads():
        pass
    with warnings.catch_warnings(), runtime.limited_threads():
        pass
    monkeypatch.undo()
