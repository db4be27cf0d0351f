"""States: an environment goes on from one as if nothing had been in between, here, in a branch or from a file."""

import copy
import pickle

import gymnasium as gym
import numpy as np
import pytest
import torch

import metagan_rl  # noqa: F401  (registers the environments)
from metagan_rl.agents import Scheduler, register_scheduler
from metagan_rl.envs.sharded import ShardedVectorEnv
from metagan_rl.errors import FileFormatError, InvalidValueError
from metagan_rl.loop import KNOBS, SCHEDULERS, Runs, load_snapshot, save_snapshot
from metagan_rl.tasks import get_suite

SHORT = {"horizon": 3, "interval_updates": 12}


def stepped(env, steps, seed=0):
    """What some random steps give, runs that end and begin again among them."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(steps):
        actions = rng.integers(3, size=env.action_space.shape)
        observation, reward, terminated, _, infos = env.step(actions)
        found.append([observation.copy(), np.copy(reward), np.copy(terminated), np.copy(infos["distance"])])
    return found


def assert_same(one, other):
    for first, second in zip(one, other, strict=True):
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("env_id", "options"),
    [
        ("MetaGAN/Planar-v2", {}),
        ("MetaGAN/PlanarMixed-v2", {"trial_runs": 2}),
        ("MetaGAN/Ring8-v2", {"reference": "default"}),  # a policy with memory, of its own and of a trial
        ("MetaGAN/Dirac-v2", {"reference": None, "actions": "discrete", "knobs": ["ratio", "penalty_weight"]}),
    ],
)
def test_a_vector_environment_goes_on_as_if_nothing_had_been_in_between(env_id, options, tmp_path):
    env = gym.make_vec(env_id, num_envs=3, **options, **SHORT)
    env.reset(seed=4)
    stepped(env, 2)
    state = env.get_state()
    save_snapshot(tmp_path / "own.safetensors", state)
    expected = stepped(env, 4, seed=1)
    observation, infos = env.set_state(state)
    assert observation.shape == env.observation_space.shape and set(infos["updates"]) == {24}
    assert_same(stepped(env, 4, seed=1), expected)
    other = gym.make_vec(env_id, num_envs=3, **options, **SHORT)
    other.set_state(load_snapshot(tmp_path / "own.safetensors"))
    assert_same(stepped(other, 4, seed=1), expected)


def test_a_reference_that_looks_at_the_reward_goes_on_too():
    @register_scheduler("by-reward")
    class ByReward(Scheduler):
        """Sets G's rate by what the last interval earned."""

        def propose(self, situation):
            return situation.base.replace(generator_lr_factor=np.exp(np.clip(situation.reward, -1, 1)))

    try:
        env = gym.make_vec("MetaGAN/Ring8-v2", num_envs=2, reference="by-reward", **SHORT)
        env.reset(seed=0)
        stepped(env, 2)
        branch = env.clone()
        assert_same(stepped(branch, 1), stepped(env, 1))
    finally:
        SCHEDULERS.remove("by-reward")


def test_one_gan_is_branched_under_two_schedules():
    env = gym.make("MetaGAN/Ring8-v2", horizon=4, interval_updates=12).unwrapped
    env.reset(seed=0)
    env.step(np.array([2, 0, 0, 0, 0]))
    branch = env.clone(reference="tuned-decay", actions="moves")
    twin = env.clone()
    mine, keep = env.step(np.zeros(5, dtype=np.int64)), twin.step(np.zeros(5, dtype=np.int64))
    np.testing.assert_array_equal(mine[0], keep[0])
    assert mine[4]["distance"] == keep[4]["distance"]
    other = branch.step(0)
    assert other[4]["distance"] != mine[4]["distance"] and not other[0][-5:].any()  # it is on its own reference
    assert other[4]["task"] == mine[4]["task"] and other[4]["updates"] == 24
    assert branch.np_random_seed == env.np_random_seed == 0
    assert branch.np_random.integers(1000) == env.np_random.integers(1000)


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("members", [None, 2])
def test_environments_can_be_pickled_and_copied(begun, members):
    options = {"knobs": (KNOBS["ratio"], KNOBS["loss"].with_levels(["hinge", "wgan"])), **SHORT}
    made = (
        gym.make("MetaGAN/Ring8-v2", **options) if members is None else gym.make_vec("MetaGAN/Ring8-v2", 2, **options)
    )
    env = made.unwrapped
    zero = np.zeros(env.action_space.shape, dtype=np.int64)
    if begun:
        env.reset(seed=0)
        env.step(zero + 1)
    copies = [pickle.loads(pickle.dumps(env)), copy.deepcopy(env)]
    expected = [*([env.step(zero)[0]] if begun else []), env.reset()[0], env.step(zero)[0]]
    for each in copies:
        assert each.spec == env.spec and each.action_space == env.action_space
        found = [*([each.step(zero)[0]] if begun else []), each.reset()[0], each.step(zero)[0]]
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_shards_have_a_state_too():
    env = ShardedVectorEnv("MetaGAN/Ring8-v2", 3, 2, **SHORT)
    other = None
    try:
        env.reset(seed=0)
        stepped(env, 2)
        state = env.get_state()
        other = env.clone()
        expected = stepped(env, 3, seed=1)
        assert_same(stepped(other, 3, seed=1), expected)
        env.set_state(state)
        assert_same(stepped(env, 3, seed=1), expected)
        with pytest.raises(InvalidValueError, match="of 1 shards; this environment has 2"):
            env.set_state({"shards": state["shards"][:1]})
    finally:
        env.close()
        if other is not None:
            other.close()


def test_runs_of_other_tasks_take_the_states_tasks():
    tasks = list(get_suite("planar").split("val"))
    runs, other = Runs(tasks[:2], [0, 1], **SHORT), Runs(tasks[5:7], [8, 9], **SHORT)
    runs.advance(runs.base_controls())
    other.load_state_dict(runs.state_dict())
    assert other.tasks == runs.tasks and other.updates.tolist() == [12, 12]
    for each in (runs, other):
        each.advance(each.base_controls())
    np.testing.assert_array_equal(runs.quality.distance, other.quality.distance)
    np.testing.assert_array_equal(runs.observe(), other.observe())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: state.pop("rngs"),
        lambda state: state["runs"].pop("ledger"),
        lambda state: state["runs"]["populations"][0].pop("seed"),
        lambda state: state["runs"]["populations"][0].update(generator=torch.zeros(2, 3)),
        lambda state: state.update(version=99),
        lambda state: state.update(seeds=[1]),
    ],
)
def test_a_damaged_state_is_refused_and_changes_nothing(spoil):
    env = gym.make_vec("MetaGAN/Ring8-v2", num_envs=2, **SHORT)
    with pytest.raises(InvalidValueError, match="before reset"):
        env.get_state()
    env.reset(seed=0)
    twin = env.clone()
    state = env.get_state()
    spoil(state)
    with pytest.raises(InvalidValueError, match="state"):
        env.set_state(state)
    assert_same(stepped(env, 2), stepped(twin, 2))


def test_snapshots_are_read_without_code_and_damaged_ones_are_refused(tmp_path):
    path = tmp_path / "own.safetensors"
    save_snapshot(
        path, {"numbers": [1, float("nan"), float("-inf")], "deep": {"tensor": torch.arange(3)}, "none": None}
    )
    read = load_snapshot(path)
    assert read["none"] is None and read["deep"]["tensor"].tolist() == [0, 1, 2]
    np.testing.assert_array_equal(read["numbers"], [1, np.nan, -np.inf])
    with pytest.raises(InvalidValueError, match="no snapshot can"):
        save_snapshot(path, {"thing": object()})
    content = path.read_bytes()
    for damaged in (content[:-5], content[:40], b"", b"\x80\x04pickle"):
        path.write_bytes(damaged)
        with pytest.raises(FileFormatError, match="not a complete snapshot"):
            load_snapshot(path)
    with pytest.raises(FileFormatError, match="there is no snapshot"):
        load_snapshot(tmp_path / "nowhere")
    import safetensors.torch

    safetensors.torch.save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(FileFormatError, match="is no snapshot file"):
        load_snapshot(path)
