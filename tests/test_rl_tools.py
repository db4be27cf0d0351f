"""What tools of reinforcement learning expect of environments beyond Gymnasium's checker."""

import json
import os
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported

import metagan_rl  # noqa: F401  (registers the environments)
from metagan_rl.envs import Reward, SB3VecEnv, make_sb3_vec_env
from metagan_rl.errors import InvalidValueError, UnknownNameError
from metagan_rl.loop import KNOBS

SHORT = {"horizon": 3, "interval_updates": 12}
ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    "options",
    [
        {"knobs": ("ratio", "loss=hinge,wgan")},
        {"knobs": {"ratio": ("1:1", "2:1"), "loss": None}},
        {"knobs": (KNOBS["ratio"], KNOBS["loss"].with_levels(["hinge", "wgan"]))},
        {"reward": Reward(saturation=0.5, per="run"), "signals": ("progress", "ratio")},
        {"reward": {"quality": 2.0}, "initial_weights": None},
    ],
)
def test_specs_go_to_json_and_back_and_make_the_same_environment(options):
    env = gym.make("MetaGAN/Ring8-v2", **options, **SHORT)
    text = env.spec.to_json()
    spec = EnvSpec.from_json(text)
    assert spec == env.spec and spec.to_json() == text == json.dumps(json.loads(text))
    again = gym.make(spec)
    assert (again.action_space, again.observation_space) == (env.action_space, env.observation_space)
    for each in (env, again):
        each.reset(seed=0)
    action = env.action_space.sample()
    assert env.step(action)[1] == again.step(action)[1]
    assert gym.make_vec("MetaGAN/Ring8-v2", num_envs=2, **options, **SHORT).spec.to_json()


def test_seeds_can_be_asked_for():
    env = gym.make("MetaGAN/Dirac-v2", **SHORT).unwrapped
    env.reset(seed=5)
    assert env.np_random_seed == 5
    envs = gym.make_vec("MetaGAN/Dirac-v2", num_envs=3, **SHORT)
    envs.reset(seed=5)
    assert envs.np_random_seed == (5, 6, 7)
    assert [type(each) for each in envs.np_random] == [np.random.Generator] * 3


def test_lengths_and_thresholds_are_told():
    assert gym.make("MetaGAN/Planar-v2").unwrapped.max_episode_steps == 64
    assert gym.make_vec("MetaGAN/Planar-v2", num_envs=1, trial_runs=3, horizon=5).max_episode_steps == 15
    assert gym.make_vec("MetaGAN/Planar-v2", num_envs=1, max_episode_steps=7).max_episode_steps == 7
    assert gym.spec("MetaGAN/Dirac-v2").reward_threshold == gym.spec("MetaGAN/Dirac-Box-v2").reward_threshold == 4.5
    assert (
        gym.spec("MetaGAN/Dirac-v1").reward_threshold is gym.spec("MetaGAN/Planar-Trials-v2").reward_threshold is None
    )
    assert gym.spec("MetaGAN/Planar-v2").reward_threshold == 1.63


def test_the_score_is_0_at_the_start_and_1_at_the_floor():
    env = gym.make("MetaGAN/Ring8-v2", **SHORT)
    info = env.reset(seed=0)[1]
    start, floor = info["distance"], info["floor"]
    assert info["score"] == 0
    info = env.step(np.zeros(5, dtype=np.int64))[4]
    assert info["score"] == pytest.approx(np.log(start / info["distance"]) / np.log(start / floor))


def test_flat_info_holds_numbers_on_one_level():
    envs = gym.make_vec("MetaGAN/Ring8-v2", num_envs=2, flat_info=True, **SHORT)
    nested = gym.make_vec("MetaGAN/Ring8-v2", num_envs=2, **SHORT)
    for _, infos in (envs.reset(seed=0), (None, envs.step(np.zeros((2, 5), dtype=np.int64))[4])):
        assert all(isinstance(value, np.ndarray) and value.dtype.kind in "bif" for value in infos.values())
        assert infos["controls/ratio"].tolist() == [2, 2] and "reward_terms/quality" in infos
        assert all(f"_{name}" in infos for name in infos if not name.startswith("_"))
    assert "task" not in infos and "task" in nested.reset()[1]
    single = gym.make("MetaGAN/Ring8-v2", flat_info=True, **SHORT)
    assert all(isinstance(value, (int, float, bool)) for value in single.reset()[1].values())


def test_masks_close_moves_beyond_the_ends_and_nothing_else():
    env = gym.make("MetaGAN/Ring8-Moves-v2", pace=1.0, knobs=["generator_lr_factor", "loss"], **SHORT).unwrapped
    with pytest.raises(InvalidValueError, match="before reset"):
        env.action_masks()
    env.reset(seed=0)
    assert env.action_masks().all() and env.action_masks().shape == (5,)
    env.step(2)
    assert env.action_masks().tolist() == [True, True, False, True, True]
    env.step(1), env.step(1)
    assert env.action_masks().tolist() == [True, False, True, True, True]
    mask = env.action_masks().astype(np.int8)
    assert {int(env.action_space.sample(mask)) for _ in range(50)} == {0, 2, 3, 4}
    joint = gym.make("MetaGAN/Ring8-v2", pace=1.0, knobs=["generator_lr_factor", "loss"], **SHORT).unwrapped
    joint.reset(seed=0)
    joint.step(np.array([1, 2]))
    assert joint.action_masks().tolist() == [True, False, True, True, True, True]
    plain = gym.make("MetaGAN/Ring8-v2", actions="moves", reference=None, knobs=["ratio"], **SHORT).unwrapped
    plain.reset(seed=0)
    for _ in range(2):
        plain.step(1)
    assert plain.action_masks().tolist() == [True, False, True]
    levels = gym.make("MetaGAN/Ring8-Levels-v2", **SHORT).unwrapped
    levels.reset(seed=0)
    assert levels.action_masks().all() and len(levels.action_masks()) == 33 + 33 + 7 + 6 + 17
    box = gym.make("MetaGAN/Ring8-Box-v2", **SHORT).unwrapped
    box.reset(seed=0)
    with pytest.raises(InvalidValueError, match="have no masks"):
        box.action_masks()


@pytest.mark.parametrize("shards", [1, 2])
def test_maskable_ppo_finds_the_masks_of_every_member(shards):
    env = make_sb3_vec_env("MetaGAN/Ring8-Moves-v2", 2, shards=shards, pace=1.0, knobs=["ratio"], **SHORT)
    try:
        env.reset()
        env.step(np.array([2, 0]))
        env.step(np.array([2, 0]))
        env.step(np.array([0, 0]))  # which also begins new runs
        assert is_masking_supported(env)
        np.testing.assert_array_equal(get_action_masks(env), np.ones((2, 3), dtype=bool))
        for _ in range(2):
            env.step(np.array([2, 1]))
        env.env_method("action_masks", indices=[1])
        assert env.env_method("action_masks", indices=1)[0].shape == (3,)
        if shards == 1:
            MaskablePPO("MlpPolicy", env, n_steps=3, batch_size=6, n_epochs=1).learn(6)
    finally:
        env.close()


def test_the_bridge_acts_on_all_members_or_says_so():
    env = make_sb3_vec_env("MetaGAN/Ring8-v2", 2, render_mode="rgb_array", **SHORT)
    assert env.metadata["render_fps"] == 8 and "rgb_array" in env.metadata["render_modes"]
    env.reset()
    for act in (lambda: env.env_method("reset", indices=[0]), lambda: env.set_attr("note", 1, indices=0)):
        with pytest.raises(InvalidValueError, match=r"leave indices out"):
            act()
    env.set_attr("note", 1)
    assert env.get_attr("note", indices=[1]) == [1]
    with pytest.raises(InvalidValueError, match="step_async first"):
        env.step_wait()
    env.step(np.zeros((2, 5), dtype=np.int64))
    with pytest.raises(InvalidValueError, match="step_async first"):
        env.step_wait()


@pytest.mark.parametrize("mask", [np.array([1, 0]), [1, 0], np.array([False, False]), np.array([True])])
def test_reset_masks_are_booleans_of_all_members(mask):
    env = gym.make_vec("MetaGAN/Ring8-v2", num_envs=2, **SHORT)
    env.reset(seed=0)
    with pytest.raises(InvalidValueError, match="reset_mask must be 2 booleans"):
        env.reset(options={"reset_mask": mask})


@pytest.mark.parametrize("env_id", ["MetaGAN/Dirac-v2", "MetaGAN/Ring8-v2", "MetaGAN/Digits-v2"])
def test_torchs_defaults_are_the_users_own_affair(env_id):
    def run():
        env = gym.make(env_id, reference="default", **SHORT)
        found = [env.reset(seed=3)[0], *(env.step(np.zeros(5, dtype=np.int64))[0] for _ in range(2))]
        assert all(each.dtype == np.float32 for each in found)
        return found

    usual = run()
    torch.set_default_dtype(torch.float64)
    try:
        np.testing.assert_array_equal(run(), usual)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    with torch.device("meta"):
        np.testing.assert_array_equal(run(), usual)
        assert torch.zeros(1).device.type == "meta"


def test_workers_of_an_unguarded_script_end_in_one_line_that_names_the_guard(tmp_path):
    script = tmp_path / "unguarded.py"
    script.write_text(
        "from metagan_rl.envs import make_sb3_vec_env\nmake_sb3_vec_env('MetaGAN/Ring8-v2', 2, shards=2)\n", "utf-8"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1 and "bootstrapping" not in done.stderr
    assert done.stderr.splitlines()[-1].endswith("under: if __name__ == '__main__':")


def test_vector_environments_can_be_called_as_gymnasiums_own():
    envs = gym.make_vec("MetaGAN/Ring8-Moves-v2", num_envs=2, render_mode="rgb_array", **SHORT)
    envs.reset(seed=4)
    assert [frame.dtype for frame in envs.call("render")] == [np.uint8] * 2
    assert [mask.shape for mask in envs.call("action_masks")] == [(11,)] * 2
    assert envs.call("np_random_seed") == (4, 5) and envs.call("max_episode_steps") == (3, 3)
    with pytest.raises(InvalidValueError, match=r"write env\.reset"):
        envs.call("reset")
    with pytest.warns(UserWarning, match="without render_mode"):
        assert gym.make_vec("MetaGAN/Ring8-v2", num_envs=2, **SHORT).call("render") == (None, None)


@pytest.mark.parametrize("make", [gym.make, lambda env_id, **options: gym.make_vec(env_id, num_envs=2, **options)])
def test_a_keyword_that_nothing_takes_is_a_type_error_in_pythons_words(make):
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'horizn'.*did you mean horizon\?") as caught:
        make("MetaGAN/Ring8-v2", horizn=3)
    assert isinstance(caught.value, UnknownNameError)


def test_the_bridge_passes_on_observations_and_actions_of_several_parts():
    class Parts(gym.Env):
        observation_space = gym.spaces.Dict({"a": gym.spaces.Box(0, 9, (2,)), "b": gym.spaces.Discrete(3)})
        action_space = gym.spaces.Tuple([gym.spaces.Discrete(2), gym.spaces.Box(0, 1, (2,))])

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return {"a": np.zeros(2, np.float32), "b": 0}, {}

        def step(self, action):
            return {"a": action[1], "b": int(action[0])}, float(action[1].sum()), True, False, {}

    env = SB3VecEnv(gym.vector.SyncVectorEnv([Parts, Parts], autoreset_mode=AutoresetMode.SAME_STEP))
    assert {name: part.shape for name, part in env.reset().items()} == {"a": (2, 2), "b": (2,)}
    ones = np.ones(2, np.float32)
    observations, rewards, dones, infos = env.step([(1, ones), (0, 0 * ones)])
    assert dones.all() and rewards.tolist() == [2, 0] and observations["b"].tolist() == [0, 0]
    assert [info["terminal_observation"]["b"] for info in infos] == [1, 0]
