"""Training takes any id, with the options that the id has, and its policies act as they did in the environment."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from metagan_rl.agents import TrainConfig, load_policy, save_policy, train
from metagan_rl.agents.searches.tuned import save_schedule, tuned_decay
from metagan_rl.envs import make_sb3_vec_env, register_environment
from metagan_rl.errors import FileFormatError, InvalidValueError, UnknownNameError
from metagan_rl.loop import drive
from metagan_rl.tasks import get_suite

RUN = {
    "updates": 2 * 2 * 3 * 12, "members": 2, "shards": 1, "horizon": 3, "interval_updates": 12, "validate_every": 0,
    "hidden": 8, "epochs": 2,
}  # fmt: skip


def trained(tmp_path, algorithm, **options):
    own = {} if algorithm == "dqn" else {"minibatches": 2}
    config = TrainConfig.named(algorithm=algorithm, **{**RUN, **own, **options})
    return load_policy(train(config, tmp_path / "run", show=lambda line: None))


@pytest.mark.parametrize(
    ("algorithm", "env_id", "kind"),
    [
        ("ppo", "MetaGAN/Ring8-v2", "joint-moves"),
        ("recurrent-ppo", "MetaGAN/Ring8-Moves-v2", "moves"),
        ("recurrent-ppo", "MetaGAN/Ring8-Levels-v2", "discrete"),
        ("ppo", "MetaGAN/Ring8-Box-v2", "continuous-moves"),
        ("recurrent-ppo", "metagan_rl:MetaGAN/Ring8-Box-v2", "continuous-moves"),
        ("dqn", "MetaGAN/Ring8-v2", "moves"),  # whatever the id has, it needs moves
    ],
)
def test_a_policy_of_any_id_acts_in_runs_as_in_the_environment(algorithm, env_id, kind, tmp_path):
    policy = trained(tmp_path, algorithm, env=env_id)
    assert policy.config.actions == kind and policy.config.reference == "constant"
    assert policy.metadata["training"]["reward"] == "steady"
    with torch.no_grad():  # make it do something, and always the same
        policy.network.head.bias.add_(torch.linspace(-0.2, 0.3, len(policy.network.head.bias)))
    if kind != "continuous-moves":
        policy = type(policy)(
            type(policy.config)(**{**vars(policy.config), "greedy": True}), policy.network.state_dict(), {}
        )
    save_policy(tmp_path / "own.safetensors", policy)
    policy = load_policy(tmp_path / "own.safetensors")
    tasks = list(get_suite("ring8").split("val"))[:2]
    _, trace = drive(policy, tasks, [3, 4], horizon=4, interval_updates=12, reward="steady")
    options = {"actions": kind, "trial_runs": 1, "horizon": 4, "interval_updates": 12}
    env = gym.make_vec(env_id, num_envs=2, **options)
    observation, _ = env.reset(options={"tasks": tasks, "gan_seeds": [3, 4]})
    state = None
    for expected in trace.distance[1:]:
        with torch.no_grad():
            outputs, state = policy.network(torch.from_numpy(observation), state)
        if kind == "continuous-moves":
            actions = outputs.numpy()
        else:
            parts = outputs.split(policy.config.outputs, dim=1)
            actions = np.stack([part.numpy().argmax(axis=1) for part in parts], axis=1)
            actions = actions[:, 0] if kind == "moves" else actions
        observation, _, over, _, infos = env.step(actions)
        np.testing.assert_array_equal((infos["final_info"] if over.all() else infos)["distance"], expected)


def test_an_option_that_is_given_beats_the_ids(tmp_path):
    register_environment(
        "Mine/Small-v0", "ring8", knobs=["ratio", "generator_lr_factor"], reference="constant", pace=0.5
    )
    try:
        policy = trained(tmp_path, "ppo", env="Mine/Small-v0", pace=0.25)
        assert [knob.name for knob in policy.config.knobs] == ["generator_lr_factor", "ratio"]
        assert policy.config.pace == 0.25 and policy.config.actions == "discrete"
        env = make_sb3_vec_env("Mine/Small-v0", 2)
        assert env.action_space.shape == (2,)
    finally:
        del gym.registry["Mine/Small-v0"]


def test_a_suite_is_trained_on_around_a_schedule_file_that_the_policy_then_holds(tmp_path):
    save_schedule(tmp_path / "mine.json", tuned_decay())
    policy = trained(tmp_path, "ppo", suite="ring8", reference=str(tmp_path / "mine.json"))
    (tmp_path / "mine.json").unlink()
    assert policy.config.actions == "joint-moves" and policy.config.reference["hold"] == 0.4
    runs, _ = drive(policy, get_suite("ring8").split("val")[:2], [0, 1], horizon=2, interval_updates=12)
    assert (runs.updates == 24).all()
    state = policy.state_dict()
    policy.begin([0, 1])
    policy.load_state_dict(state)
    policy.config.__class__(**vars(policy.config))


def test_tasks_of_several_budgets_are_validated(tmp_path):
    config = TrainConfig.named(
        algorithm="ppo", env="MetaGAN/Wide-v0", updates=1, members=2, shards=1, hidden=8, epochs=1, minibatches=2,
        interval_updates=384, validate_every=1, validation_tasks=4,
    )  # fmt: skip
    budgets = {task.budget for task in list(get_suite("wide").split("val"))[::24]}
    assert budgets == {768, 3072}
    lines = []
    policy = train(config, tmp_path / "run", show=lines.append)
    assert policy.exists() and "validation distance" in lines[-1]


def test_a_policy_cannot_depart_from_a_policys_file(tmp_path):
    policy = trained(tmp_path, "ppo", suite="ring8")
    save_policy(tmp_path / "other.safetensors", policy)
    with pytest.raises(InvalidValueError, match="can hold only a schedule"):
        train(TrainConfig.named(reference=str(tmp_path / "other.safetensors"), **RUN), tmp_path / "second")


def test_a_policy_whose_departures_mean_something_else_is_refused(tmp_path, monkeypatch):
    policy = trained(tmp_path, "ppo", env="MetaGAN/Ring8-v2")
    save_policy(tmp_path / "own.safetensors", policy)
    monkeypatch.setattr("metagan_rl.loop.scales.FactorScale.farthest", 1.0)
    with pytest.raises(FileFormatError, match="a departure means something else"):
        load_policy(tmp_path / "own.safetensors")


def test_the_bridge_takes_an_environment_that_is_not_ours():
    class Counter(gym.Env):
        observation_space = gym.spaces.Box(0, 9, (1,), np.float32)
        action_space = gym.spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.count = 0
            return np.zeros(1, np.float32), {"count": 0}

        def step(self, action):
            self.count += int(action)
            return np.full(1, self.count, np.float32), float(action), self.count >= 2, False, {"count": self.count}

    gym.register("Mine/Counter-v0", Counter)
    try:
        env = make_sb3_vec_env("Mine/Counter-v0", 2)
        env.reset()
        env.step(np.array([1, 0]))
        observation, _, done, infos = env.step(np.array([1, 0]))
        assert done.tolist() == [True, False] and observation[:, 0].tolist() == [0, 0]
        assert infos[0]["terminal_observation"].tolist() == [2] and infos[1]["count"] == 0
        with pytest.raises(InvalidValueError, match="trains no GANs"):
            TrainConfig(env="Mine/Counter-v0")
        with pytest.raises(UnknownNameError, match=r"did you mean .*MetaGAN/Planar-Moves-v2"):
            make_sb3_vec_env("MetaGAN/Planar-Move-v2")
    finally:
        del gym.registry["Mine/Counter-v0"]


def test_a_suite_and_an_environment_are_not_both_trained_on():
    with pytest.raises(InvalidValueError, match="suite is 'dirac' and env is 'MetaGAN/Planar-v2'; give one"):
        TrainConfig(suite="dirac", env="MetaGAN/Planar-v2")
