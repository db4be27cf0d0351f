import os
import signal

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from metagan_rl.envs import SB3VecEnv, make_sb3_vec_env
from metagan_rl.errors import InvalidValueError, UnknownNameError, WorkerError

pytestmark = pytest.mark.filterwarnings("ignore:.*is out of date")  # the levels of version 1
SHORT = {"horizon": 2, "interval_updates": 12, "knobs": ("generator_lr_factor", "ratio")}


def test_the_bridge_gives_what_dummy_vec_env_gives():
    ours = make_sb3_vec_env("MetaGAN/Planar-v1", 3, **SHORT)
    theirs = DummyVecEnv([lambda: Monitor(gym.make("MetaGAN/Planar-v1", **SHORT)) for _ in range(3)])
    for env in (ours, theirs):
        env.seed(11)
    np.testing.assert_allclose(ours.reset(), theirs.reset(), atol=1e-4)
    assert [info["task"] for info in ours.reset_infos] == [info["task"] for info in theirs.reset_infos]
    rng = np.random.default_rng(1)
    for step in range(4):
        actions = rng.integers([12, 0], [21, 6], size=(3, 2))
        a, b = ours.step(actions), theirs.step(actions)
        assert a[1].dtype == np.float32
        np.testing.assert_array_equal(a[2], b[2])
        for info, other in zip(a[3], b[3], strict=True):
            assert info["TimeLimit.truncated"] == other["TimeLimit.truncated"]
            assert info["task"] == other["task"]
            assert ("terminal_observation" in info) == ("terminal_observation" in other) == bool(step % 2)
        if step == 0:
            np.testing.assert_allclose(a[0], b[0], atol=0.02)
            np.testing.assert_allclose(a[1], b[1], atol=0.02)
        if step == 1:  # the first observation of the next episode depends on no rounding
            np.testing.assert_allclose(a[0], b[0], atol=1e-4)
            assert a[3][0]["episode"]["l"] == 2
            assert a[3][0]["episode"]["r"] == pytest.approx(b[3][0]["episode"]["r"], abs=0.05)


def test_infos_are_fresh_every_step():
    env = make_sb3_vec_env("MetaGAN/Planar-v1", 2, **SHORT)
    env.reset()
    first = env.step(np.zeros((2, 2), dtype=np.int64))[3]
    distance = first[0]["distance"]
    env.step(np.full((2, 2), 4))
    assert first[0]["distance"] == distance


def test_the_bridge_needs_same_step_autoreset():
    env = gym.make_vec("MetaGAN/Planar-v1", num_envs=2, autoreset_mode=AutoresetMode.NEXT_STEP)
    with pytest.raises(InvalidValueError, match="SAME_STEP"):
        SB3VecEnv(env)
    with pytest.raises(UnknownNameError, match=r"did you mean .*MetaGAN/Planar-v"):
        make_sb3_vec_env("MetaGAN/Planer-v1")


def test_shards_give_the_same_members_in_the_same_order():
    whole = gym.make_vec("MetaGAN/Planar-v1", num_envs=5, **SHORT)
    sharded = make_sb3_vec_env("MetaGAN/Planar-v1", 5, shards=2, **SHORT)
    try:
        expected, infos = whole.reset(seed=4)
        sharded.seed(4)
        np.testing.assert_allclose(sharded.reset(), expected, atol=1e-4)
        assert [info["task"] for info in sharded.reset_infos] == list(infos["task"])
        actions = np.array([[12, 0], [16, 1], [20, 2], [16, 3], [12, 5]])
        for _ in range(2):
            expected, _, terminated, _, infos = whole.step(actions)
            observations, _, dones, records = sharded.step(actions)
            np.testing.assert_array_equal(dones, terminated)
        assert dones.all() and all("terminal_observation" in record for record in records)
        np.testing.assert_allclose(observations, expected, atol=1e-4)
    finally:
        sharded.close()


def test_shards_take_moves():
    env = make_sb3_vec_env("MetaGAN/Planar-v1", 3, shards=2, actions="moves", **SHORT)
    try:
        assert env.action_space == gym.spaces.Discrete(5)
        env.reset()
        records = env.step(np.array([0, 2, 3]))[3]
        assert [info["controls"]["generator_lr_factor"] > 1 for info in records] == [False, True, False]
        with pytest.raises(InvalidValueError, match=r"5.* for the move"):
            env.step(np.array([0, 5, 0]))
    finally:
        env.close()


def test_a_killed_worker_is_named_at_once():
    env = make_sb3_vec_env("MetaGAN/Planar-v1", 2, shards=2, **SHORT)
    try:
        env.reset()
        os.kill(env.venv._workers[1].pid, signal.SIGKILL)
        with pytest.raises(WorkerError, match="shard 1"):
            env.step(np.zeros((2, 2), dtype=np.int64))
    finally:
        env.close()


def test_a_users_mistake_in_a_worker_is_the_users_mistake():
    with pytest.raises(UnknownNameError, match="did you mean test"):
        make_sb3_vec_env("MetaGAN/Planar-v1", 2, shards=2, split="tset")
