import warnings
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import metagan_rl  # noqa: F401  (registers the environments)
from metagan_rl.engine import NoLibrary, load_library
from metagan_rl.envs import ActionCodec, MetaGANEnv, MetaGANVectorEnv
from metagan_rl.envs.registration import ENVIRONMENTS, TABLE
from metagan_rl.errors import InvalidValueError, UnknownNameError
from metagan_rl.loop import Controls, Runs, choose_knobs
from metagan_rl.loop.knobs import KNOWN_LOSSES
from metagan_rl.populations.settings import RATIOS
from metagan_rl.tasks import Base, get_suite

IDS = [each.id for each in TABLE]
"""Of the latest versions."""
OLD = [each.id.replace("-v2", "-v0") for each in TABLE if each.id.endswith("-v2")]
SHORT = {"horizon": 3, "interval_updates": 12}
pytestmark = pytest.mark.filterwarnings("ignore:.*is out of date")  # many tests speak of the levels of version 1


@pytest.mark.usefixtures("data_there")
@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("actions", ["joint-moves", "continuous-moves"])
def test_gymnasiums_and_sb3s_checkers_pass_without_warnings(env_id, actions):
    env = gym.make(env_id, actions=actions, render_mode="rgb_array", **SHORT).unwrapped
    # Gymnasium's checker makes the spec's other render modes by itself, at the full horizon; ours is looked at below.
    check_env(env, skip_render_check=True)
    sb3_check_env(env, warn=True, skip_render_check=True)


@pytest.mark.parametrize("env_id", ["MetaGAN/Dirac-v1", "MetaGAN/Planar-v1"])
@pytest.mark.parametrize("trial_runs", [None, 2])
def test_the_checkers_pass_with_moves_too(env_id, trial_runs):
    env = gym.make(env_id, actions="moves", trial_runs=trial_runs, **SHORT).unwrapped
    check_env(env, skip_render_check=True)
    sb3_check_env(env, warn=True, skip_render_check=True)


@pytest.mark.parametrize("env_id", ENVIRONMENTS)
def test_specs_can_be_written_as_json_and_imported_by_module_prefix(env_id):
    spec = gym.spec(env_id)
    assert gym.envs.registration.EnvSpec.from_json(spec.to_json()).id == env_id
    env = gym.make(f"metagan_rl:{env_id}", **SHORT)
    assert isinstance(env.unwrapped, MetaGANEnv)


@pytest.mark.parametrize("env_id", OLD)
def test_version_0_still_has_nine_levels_of_learning_rates_and_says_that_there_is_a_newer_one(env_id):
    with pytest.warns(DeprecationWarning, match="out of date"):
        env = gym.make(env_id, **SHORT)
    assert env.action_space == gym.spaces.MultiDiscrete([9, 9, 6, 5, 5])
    factors = [knob.levels for knob in env.unwrapped.vector.codec.knobs[:2]]
    np.testing.assert_allclose(factors, [30 ** np.linspace(-1, 1, 9)] * 2, rtol=1e-15)
    new = gym.make(env_id.replace("-v0", "-v1"), **SHORT)
    assert new.action_space == gym.spaces.MultiDiscrete([33, 33, 6, 5, 5])
    assert new.observation_space == env.observation_space
    for level, factor in enumerate(factors[0]):  # every level that there was is still there
        assert new.unwrapped.vector.codec.knobs[0].levels[4 * level] == pytest.approx(factor, rel=1e-12)


def test_a_run_of_version_0_is_that_of_version_1_under_the_same_factors():
    old, new = (gym.make_vec(f"MetaGAN/Planar-v{version}", num_envs=2, **SHORT) for version in (0, 1))
    np.testing.assert_array_equal(old.reset(seed=3)[0], new.reset(seed=3)[0])
    actions = np.array([[3, 5, 2, 0, 1], [4, 1, 4, 2, 0]])
    finer = np.concatenate([4 * actions[:, :2], actions[:, 2:]], axis=1)
    for _ in range(2):
        np.testing.assert_allclose(old.step(actions)[0], new.step(finer)[0], atol=1e-3)


def test_nine_levels_are_a_keyword_of_every_version():
    env = gym.make("MetaGAN/Planar-v1", lr_levels=9, knobs=("generator_lr_factor=0.5,1,2", "discriminator_lr_factor"))
    assert env.action_space == gym.spaces.MultiDiscrete([3, 9])
    with pytest.raises(InvalidValueError, match="lr_levels is 1"):
        gym.make("MetaGAN/Planar-v1", lr_levels=1)


@pytest.mark.usefixtures("data_there")
@pytest.mark.parametrize("env_id", IDS)
def test_member_i_follows_the_single_environment_seeded_seed_plus_i(env_id):
    vector = gym.make_vec(env_id, num_envs=3, **SHORT)
    assert isinstance(vector, MetaGANVectorEnv)
    observations, infos = vector.reset(seed=7)
    rng = np.random.default_rng(0)
    actions = rng.integers(3, size=(2, *vector.action_space.shape))
    singles = [gym.make(env_id, **SHORT) for _ in range(3)]
    for member, single in enumerate(singles):
        observation, info = single.reset(seed=7 + member)
        np.testing.assert_allclose(observation, observations[member], atol=2e-3)
        assert info["task"] == infos["task"][member]
    for step in range(2):
        observations, rewards, *_ = vector.step(actions[step])
        for member, single in enumerate(singles):
            observation, reward, *_ = single.step(actions[step, member])
            if step == 0:  # later, rounding of batched products grows with the chaos of training
                np.testing.assert_allclose(observation, observations[member], atol=0.02)
                assert reward == pytest.approx(rewards[member], abs=0.02)


@pytest.mark.parametrize("env_id", ["MetaGAN/Planar-v2", "MetaGAN/PlanarMixed-v2", "MetaGAN/Wide-v0"])
def test_the_native_engine_gives_a_single_environment_the_very_numbers_of_a_member(env_id):
    if isinstance(load_library(), NoLibrary):
        pytest.skip("for want of the native engine")
    vector = gym.make_vec(env_id, num_envs=3, engine="native", **SHORT)
    vector.reset(seed=7)
    singles = [gym.make(env_id, engine="native", **SHORT) for _ in range(3)]
    for member, single in enumerate(singles):
        single.reset(seed=7 + member)
    rng = np.random.default_rng(0)
    for _ in range(2):
        actions = rng.integers(3, size=vector.action_space.shape)
        observations, rewards, *_ = vector.step(actions)
        for member, single in enumerate(singles):
            observation, reward, *_ = single.step(actions[member])
            np.testing.assert_array_equal(observation, observations[member])
            assert reward == rewards[member]


def test_two_runs_with_one_seed_are_the_same():
    trajectories = []
    for _ in range(2):
        env = gym.make_vec("MetaGAN/Planar-v1", num_envs=4, **SHORT)
        env.reset(seed=3)
        env.action_space.seed(0)
        trajectories.append([env.step(env.action_space.sample())[:2] for _ in range(4)])
    for first, second in zip(*trajectories, strict=True):
        np.testing.assert_array_equal(first[0], second[0])
        np.testing.assert_array_equal(first[1], second[1])


def test_a_reset_without_seed_goes_on_to_another_task():
    env = gym.make("MetaGAN/Planar-v1", **SHORT)
    names = {env.reset(seed=0)[1]["task"], *(env.reset()[1]["task"] for _ in range(4))}
    assert len(names) > 2


@pytest.mark.parametrize("env_id", IDS)
def test_splits_of_the_registered_environments_are_disjoint(env_id):
    seen = [
        {
            gym.make(env_id, split=split, **SHORT).unwrapped.vector.split[i].name
            for i in range(len(gym.make(env_id, split=split, **SHORT).unwrapped.vector.split))
        }
        for split in ("train", "val", "test")
    ]
    assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])


def _zeros(env):
    return np.zeros(env.action_space.shape, dtype=np.int64) + 2


def test_same_step_autoreset_gives_the_last_observation_beside_the_first():
    env = gym.make_vec("MetaGAN/Planar-v1", num_envs=2, **SHORT)
    env.reset(seed=0)
    for _ in range(2):
        assert not env.step(_zeros(env))[2].any()
    observations, _, terminated, truncated, infos = env.step(_zeros(env))
    assert terminated.all() and not truncated.any()
    assert infos["_final_obs"].all() and infos["_final_info"].all()
    assert env.single_observation_space.contains(infos["final_obs"][0])
    assert infos["final_obs"][0][0] == 1.0  # progress at the end
    assert observations[0][0] == 0.0  # progress at the beginning
    assert (infos["final_info"]["updates"] == 36).all() and (infos["updates"] == 0).all()


def test_next_step_autoreset_resets_in_a_step_of_its_own():
    env = gym.make_vec("MetaGAN/Planar-v1", num_envs=2, autoreset_mode=AutoresetMode.NEXT_STEP, **SHORT)
    env.reset(seed=0)
    for _ in range(3):
        observations, _, terminated, _, _ = env.step(_zeros(env))
    assert terminated.all() and observations[0][0] == 1.0
    observations, rewards, terminated, truncated, _ = env.step(_zeros(env))
    assert not rewards.any() and not terminated.any() and not truncated.any()
    assert observations[0][0] == 0.0


def test_disabled_autoreset_leaves_resets_to_the_caller():
    env = gym.make_vec("MetaGAN/Planar-v1", num_envs=2, autoreset_mode=AutoresetMode.DISABLED, **SHORT)
    env.reset(seed=0)
    for _ in range(3):
        env.step(_zeros(env))
    with pytest.raises(InvalidValueError, match="reset them"):
        env.step(_zeros(env))
    observations, _ = env.reset(options={"reset_mask": np.array([True, False])})
    assert observations[0][0] == 0.0 and observations[1][0] == 1.0
    env.reset(options={"reset_mask": np.array([False, True])})
    env.step(_zeros(env))


def test_truncation_comes_only_from_max_episode_steps():
    env = gym.make_vec("MetaGAN/Planar-v1", num_envs=2, max_episode_steps=2, **SHORT)
    env.reset(seed=0)
    env.step(_zeros(env))
    _, _, terminated, truncated, _ = env.step(_zeros(env))
    assert truncated.all() and not terminated.any()


def test_a_trial_is_k_runs_on_one_task_with_memory_in_the_observation():
    env = gym.make("MetaGAN/Planar-v1", trial_runs=2, horizon=2, interval_updates=12)
    plain = gym.make("MetaGAN/Planar-v1", horizon=2, interval_updates=12)
    assert env.observation_space.shape[0] == plain.observation_space.shape[0] + 5 + 2
    observation, info = env.reset(seed=1)
    assert observation[-1] == 1.0 and not observation[-7:-1].any()
    action = np.array([32, 0, 2, 0, 0])
    boundaries, terminated = [], []
    for _ in range(4):
        observation, reward, done, _, later = env.step(action)
        assert later["task"] == info["task"]
        assert observation[-2] == pytest.approx(np.tanh(reward), abs=1e-6)
        np.testing.assert_allclose(observation[-7:-5], [1.0, -1.0])
        boundaries.append(observation[-1])
        terminated.append(done)
    assert boundaries == [0.0, 1.0, 0.0, 1.0]
    assert terminated == [False, False, False, True]


@pytest.mark.parametrize("knobs", [("generator_lr_factor",), ("ratio", "loss")])
def test_knobs_leave_the_rest_at_the_base(knobs):
    env = gym.make("MetaGAN/Planar-v1", knobs=knobs, **SHORT)
    assert env.action_space.shape == (len(knobs),)
    env.reset(seed=0)
    controls = env.step(np.zeros(len(knobs), dtype=np.int64))[4]["controls"]
    assert controls["discriminator_lr_factor"] == 1.0 and controls["penalty_weight"] == 0.0
    assert (controls["generator_lr_factor"] == 1.0) == ("generator_lr_factor" not in knobs)


def test_control_of_one_side_leaves_the_other_to_the_environment():
    generator = gym.make("MetaGAN/Planar-v1", control="generator", **SHORT)
    assert generator.unwrapped.vector.codec.names == ("generator_lr_factor",)
    discriminator = gym.make("MetaGAN/Planar-v1", control="discriminator", **SHORT)
    assert discriminator.unwrapped.vector.codec.names == ("discriminator_lr_factor", "penalty_weight")


def test_loop_signals_are_those_without_a_quality_metric():
    every = gym.make("MetaGAN/Planar-v1", **SHORT).unwrapped.vector.which
    loop = gym.make("MetaGAN/Planar-v1", signals="loop", **SHORT).unwrapped.vector.which
    assert set(loop) < set(every)
    assert not {"precision", "coverage", "distance_to_floor"} & {signal.name for signal in loop}


def test_returns_telescope_to_log_start_over_end():
    env = gym.make_vec(
        "MetaGAN/Planar-v1",
        num_envs=4,
        reward={"saturation": 0, "vanishing": 0, "oscillation": 0, "mode_loss": 0},
        **SHORT,
    )
    _, infos = env.reset(seed=5)
    total = np.zeros(4)
    for _ in range(3):
        _, rewards, _, _, later = env.step(_zeros(env))
        total += rewards
    end = later["final_info"]["distance"]
    np.testing.assert_allclose(total, np.log(infos["distance"] / end), rtol=1e-9)


def test_divergence_ends_the_episode_flagged_and_never_pays():
    task = get_suite("planar").split("train")[0].with_base(generator_lr=10.0, discriminator_lr=10.0, loss="lsgan")
    env = gym.make("MetaGAN/Planar-v1", knobs=("generator_lr_factor", "discriminator_lr_factor"), interval_updates=48)
    _, info = env.reset(seed=0, options={"task": task, "gan_seed": 1})
    worst_carrying_on = np.log(info["distance"] / 20.0) - 64 * 4 * 0.005
    total, terminated = 0.0, False
    while not terminated:
        observation, reward, terminated, truncated, info = env.step(np.array([32, 32]))
        total += reward
        assert np.isfinite(reward) and np.isfinite(observation).all() and not truncated
    assert info["diverged"] and info["distance"] == 20.0
    assert total <= worst_carrying_on + 1e-9


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"split": "tset"}, UnknownNameError, "did you mean test"),
        ({"knobs": ("lr",)}, UnknownNameError, "unknown knob 'lr'"),
        ({"actions": "discreet"}, UnknownNameError, "did you mean discrete"),
        ({"signals": "lop"}, UnknownNameError, "did you mean loop"),
        ({"control": "none"}, UnknownNameError, "unknown control"),
        ({"interval_updates": 50}, InvalidValueError, "multiple of 12"),
        ({"horizon": 0}, InvalidValueError, "horizon is 0"),
        ({"trial_runs": -1}, InvalidValueError, "trial_runs is -1"),
        ({"reward": "balnce"}, UnknownNameError, "did you mean balance"),
        ({"reward": {"qualty": 1.0}}, UnknownNameError, "did you mean quality"),
        ({"reward": {"quality": float("nan")}}, InvalidValueError, "quality is nan"),
        ({"device": "cuda"}, InvalidValueError, "device is 'cuda'"),
        ({"render_mode": "ansi"}, UnknownNameError, "rgb_array"),
    ],
)
def test_bad_arguments_give_one_error_that_names_the_value(options, error, words):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Gymnasium warns about unknown render modes before we do
        with pytest.raises(error, match=words):
            env = gym.make("MetaGAN/Planar-v1", **options)
            env.reset(seed=0)


@pytest.mark.parametrize("action", [[33, 0, 0, 0, 0], [-1, 0, 0, 0, 0], [0, 0, 0, 0, 5], [0.5, 0, 0, 0, 0], [0, 0]])
def test_actions_outside_the_space_are_refused(action):
    env = MetaGANEnv("planar", **SHORT)
    env.reset(seed=0)
    with pytest.raises(InvalidValueError, match="action"):
        env.step(np.array(action))


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_continuous_actions_that_are_no_numbers_are_refused(value):
    env = MetaGANEnv("planar", actions="continuous", **SHORT)
    env.reset(seed=0)
    with pytest.raises(InvalidValueError, match="outside the space"):
        env.step(np.array([value, 0, 0, 0, 0]))


def test_finite_actions_outside_the_box_are_clipped():
    found = []
    for value in (1.0, 1.5, 1e30):
        env = MetaGANEnv("planar", actions="continuous", knobs=("discriminator_lr_factor",), **SHORT)
        env.reset(seed=0)
        observation, *_, info = env.step(np.array([value]))
        found.append((observation.tolist(), info["controls"]["discriminator_lr_factor"]))
    assert found[0] == found[1] == found[2] and found[0][1] == 30


@pytest.mark.parametrize("action", [11, -1, 0.5, [0]])
def test_moves_outside_the_space_are_refused(action):
    env = MetaGANEnv("planar", actions="moves", **SHORT)
    env.reset(seed=0)
    with pytest.raises(InvalidValueError, match="action"):
        env.step(action)


def test_moves_start_from_the_controls_in_force_and_change_one_by_a_level():
    env = gym.make("MetaGAN/Planar-v1", actions="moves", **SHORT).unwrapped
    assert env.action_space == gym.spaces.Discrete(11)
    _, info = env.reset(seed=0)
    before = info["controls"]
    after = env.step(0)[4]["controls"]
    assert after == before
    for move, name, factor in (
        (1, "generator_lr_factor", 30 ** (-1 / 16)),
        (4, "discriminator_lr_factor", 30 ** (1 / 16)),
    ):
        before, after = after, env.step(move)[4]["controls"]
        assert after.pop(name) == pytest.approx(factor * before.pop(name))
        assert after == before
        after = env.vector.runs.controls.describe(0)
    assert env.reset()[1]["controls"]["generator_lr_factor"] == 1.0  # the next run starts at its base
    assert env.step(0)[4]["controls"]["generator_lr_factor"] == 1.0


def test_moves_snap_to_the_nearest_level_stop_at_the_ends_and_go_round_the_losses():
    codec = ActionCodec(actions="moves")
    base = Controls.base([Base()] * 11)
    between = base.replace(
        generator_lr_factor=np.full(11, 1.1), ratio=np.full(11, len(RATIOS) - 1), penalty_weight=np.full(11, 0.02)
    )
    moved = codec.decode(np.arange(11), base, between)
    assert moved[[0]].describe(0) == between[[0]].describe(0)
    assert moved.generator_lr_factor[[1, 2]] == pytest.approx([30 ** (-1 / 16), 30 ** (1 / 16)])
    assert moved.ratio[[5, 6]].tolist() == [len(RATIOS) - 2, len(RATIOS) - 1]
    assert moved.loss[[7, 8]].tolist() == [len(KNOWN_LOSSES) - 1, 1]
    assert moved.penalty_weight[[9, 10]].tolist() == [0.0, 0.1]
    others = {"generator_lr_factor": [1, 2], "ratio": [5, 6], "loss": [7, 8], "penalty_weight": [9, 10]}
    for name, own in others.items():
        kept = np.delete(getattr(moved, name), own)
        assert (kept == np.delete(getattr(between, name), own)).all()
    signs = codec.normalised(np.arange(11))
    assert signs.shape == (11, 5) and (signs[0] == 0).all()
    np.testing.assert_array_equal(signs[1::2], -np.eye(5))
    np.testing.assert_array_equal(signs[2::2], np.eye(5))
    with pytest.raises(InvalidValueError, match="stands for no controls"):
        codec.encode(base)


def test_only_the_knobs_one_has_are_moved():
    codec = ActionCodec(choose_knobs(["ratio"]), "moves")
    base = Controls.base([Base()] * 3)
    moved = codec.decode(
        np.array([0, 1, 2]), base, base.replace(ratio=np.full(3, 2), generator_lr_factor=np.full(3, 2.0))
    )
    assert moved.ratio.tolist() == [2, 1, 3] and (moved.generator_lr_factor == 1.0).all()


def test_the_balance_reward_wants_equal_losses_and_shows_its_term_only_then():
    from metagan_rl.envs import REWARDS, Reward
    from metagan_rl.loop.reward import LARGEST_IMBALANCE

    calm = {name: np.zeros(5) for name in ("saturation", "vanishing", "oscillation", "mode_loss")}
    apart = np.array([0.0, -0.5, 2.0, 1e30, np.nan])
    rest = (np.ones(5), np.full(5, 0.5), calm, np.array([False] * 4 + [True]), np.full(5, 3))
    assert "balance" not in Reward().terms(*rest, apart)
    terms = REWARDS["balance"].terms(*rest, apart)
    weight = REWARDS["balance"].balance
    assert terms["balance"].tolist() == pytest.approx([0, -0.5 * weight, -2 * weight, -10 * weight, -30 * weight])
    assert LARGEST_IMBALANCE == 10 and all((terms[name] == 0).all() for name in terms if name != "balance")
    envs = gym.make_vec("MetaGAN/Planar-v1", num_envs=2, reward="balance", horizon=1, interval_updates=12)
    _, infos = envs.reset(seed=0)
    assert (infos["reward_terms"]["balance"] == 0).all()
    _, rewards, _, _, infos = envs.step(envs.action_space.sample())
    assert (rewards < 0).all()
    np.testing.assert_array_equal(infos["final_info"]["reward_terms"]["balance"], rewards)
    envs = gym.make_vec("MetaGAN/Planar-v1", num_envs=1, **SHORT)
    assert "balance" not in envs.reset(seed=0)[1]["reward_terms"]


def test_step_before_reset_is_refused():
    with pytest.raises(InvalidValueError, match="reset"):
        MetaGANVectorEnv("planar", 2).step(np.zeros((2, 5), dtype=np.int64))


def test_unknown_tasks_and_too_few_tasks_are_refused():
    env = MetaGANVectorEnv("planar", 2, **SHORT)
    with pytest.raises(UnknownNameError, match="ring/train"):
        env.reset(seed=0, options={"tasks": ["ring/train/9999", "ring/train/0000"]})
    with pytest.raises(InvalidValueError, match="1 tasks for 2 members"):
        env.reset(seed=0, options={"tasks": ["ring/train/0000"]})


def test_better_generators_get_better_rewards():
    from metagan_rl.envs import Reward

    nothing = {name: np.zeros(3) for name in ("saturation", "vanishing", "oscillation", "mode_loss")}
    after = np.array([0.2, 0.5, 1.0])
    terms = Reward().terms(np.ones(3), after, nothing, np.zeros(3, dtype=bool), np.full(3, 10))
    assert (np.diff(sum(terms.values())) < 0).all() and terms["quality"][2] == 0
    for name in nothing:
        unstable = {**nothing, name: np.array([0.0, 0.5, 1.0])}
        terms = Reward().terms(np.ones(3), np.ones(3), unstable, np.zeros(3, dtype=bool), np.full(3, 10))
        assert (np.diff(sum(terms.values())) < 0).all()


def test_actions_are_the_callers_and_stay_as_they_are():
    env = gym.make("MetaGAN/Dirac-v1", actions="continuous", trial_runs=1, horizon=1, interval_updates=12)
    env.reset(seed=0)
    action = np.full(5, 0.5, dtype=np.float32)
    env.step(action)
    env.reset()
    assert action.tolist() == [0.5] * 5


def test_numpy_numbers_seed_as_pythons_do():
    envs = gym.make_vec("MetaGAN/Ring8-v1", num_envs=2, **SHORT)
    first, _ = envs.reset(seed=3)
    for seed in (np.int64(3), np.array([3, 4]), (3, 4)):
        np.testing.assert_array_equal(envs.reset(seed=seed)[0], first)
    for bad in (-1, [1], [1.5, 2]):
        with pytest.raises(InvalidValueError, match="seed"):
            envs.reset(seed=bad)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"gan_seed": -1}, "gan_seed is -1"),
        ({"gan_seed": "x"}, "gan_seed is 'x'"),
        ({"gan_seed": 2**70}, "at most"),
        ({"task": 3}, "3 is not a task"),
        ({"tasks": []}, "did you mean task"),
        ({"task": get_suite("planar").split("val")[0].with_base(ratio="4:1")}, "4:1"),
    ],
)
def test_bad_reset_options_are_refused_and_leave_the_environment_usable(options, words):
    env = gym.make("MetaGAN/Planar-v1", **SHORT).unwrapped
    env.reset(seed=0)
    with pytest.raises((InvalidValueError, UnknownNameError), match=words):
        env.reset(options=options)
    env.step(env.action_space.sample())


def test_reward_terms_of_a_resetting_step_are_zero():
    envs = gym.make_vec("MetaGAN/Ring8-v1", num_envs=2, autoreset_mode="NextStep", horizon=1, interval_updates=12)
    envs.reset(seed=0)
    for step in range(3):
        _, rewards, _, _, infos = envs.step(envs.action_space.sample())
        terms = sum(values for name, values in infos["reward_terms"].items() if not name.startswith("_"))
        np.testing.assert_allclose(terms, rewards, atol=1e-12)
        assert (rewards == 0).all() == (step == 1)


@pytest.mark.parametrize("switch", [torch.no_grad, torch.inference_mode])
def test_gans_train_where_an_agent_has_switched_gradients_off(switch):
    env = gym.make_vec("MetaGAN/Planar-v1", num_envs=2, horizon=2, interval_updates=12)
    twin = gym.make_vec("MetaGAN/Planar-v1", num_envs=2, horizon=2, interval_updates=12)
    twin.reset(seed=0)
    with switch():
        env.reset(seed=0)
        for _ in range(3):  # past the end of an episode, where new runs are begun
            actions = np.tile([16, 16, 2, 0, 3], (2, 1))
            np.testing.assert_array_equal(env.step(actions)[0], twin.step(actions)[0])
    env.step(actions)


def test_too_many_members_are_refused_before_anything_is_made_for_them() -> None:
    with pytest.raises(InvalidValueError, match=r"1000000000000 members of .* MB each do not fit .* at most \d+ would"):
        gym.make_vec("MetaGAN/Planar-v2", num_envs=10**12)


def test_decisions_give_runs_of_every_budget_the_same_number_of_intervals() -> None:
    task = get_suite("planar").split("train")[0]
    tasks = [replace(task, budget=budget) for budget in (768, 3072, 96)]
    runs = Runs(tasks, [1, 2, 3], decisions=16)
    assert runs.interval_updates.tolist() == [48, 192, 12] and runs.horizons.tolist() == [16, 16, 8]
    runs.advance(runs.base_controls())
    assert runs.updates.tolist() == [48, 192, 12] and runs.done_intervals.tolist() == [1, 1, 1]
    short = Runs(tasks, [1, 2, 3], decisions=16, horizon=4)
    assert short.interval_updates.tolist() == [48, 192, 12] and short.horizons.tolist() == [4, 4, 4]
    with pytest.raises(InvalidValueError, match="decisions is 0"):
        Runs(tasks, [1, 2, 3], decisions=0)
