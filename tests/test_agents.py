import hashlib
import json
import multiprocessing
import os
import signal
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch
from sb3_contrib import RecurrentPPO
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from metagan_rl.agents import Scheduler, TrainConfig, load_policy, make_scheduler, save_policy, scheduler_names, train
from metagan_rl.agents.learners.run_folder import read_config, read_progress
from metagan_rl.agents.learners.sb3.direct_layer import MemorylessPolicy
from metagan_rl.agents.learners.sb3.fast_recurrent_ppo import FastRecurrentPPO
from metagan_rl.agents.learners.sb3.policies import FastLstmPolicy, SchedulerPolicy
from metagan_rl.agents.learners.validation import Validation
from metagan_rl.envs.sharded import WorkerError
from metagan_rl.errors import FileFormatError, InvalidValueError, OutputError, UnknownNameError
from metagan_rl.loop import drive
from metagan_rl.meta_init import MetaDiscriminator, MetaGenerator, save_meta_init
from metagan_rl.populations import Population
from metagan_rl.records import line_of
from metagan_rl.tasks import get_suite
from metagan_rl.testing import ConformanceError, check_scheduler

TINY = TrainConfig.named(
    updates=3 * 4 * 3 * 12,
    members=4,
    shards=1,
    horizon=3,
    interval_updates=12,
    hidden=8,
    minibatches=2,
    epochs=2,
    validate_every=2,
    validation_tasks=2,
)


class Recall(gym.Env):
    """Shows a bit once, then asks for it: only memory can answer."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (2,))
    action_space = gym.spaces.MultiDiscrete([2])
    length = 4

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.bit, self.time = int(self.np_random.integers(2)), 0
        return np.array([2 * self.bit - 1, -1], dtype=np.float32), {}

    def step(self, action):
        self.time += 1
        asked = self.time == self.length
        reward = float(action[0] == self.bit) if asked else 0.0
        last = self.time == self.length - 1
        return np.array([0, 1 if last else -1], dtype=np.float32), reward, asked, False, {}


def _recall_score(model):
    env, score = Recall(), 0.0
    for episode in range(60):
        observation, _ = env.reset(seed=1000 + episode)
        state, start, over = None, np.array([True]), False
        while not over:
            action, state = model.predict(observation, state=state, episode_start=start, deterministic=True)
            start = np.array([False])
            observation, reward, over, _, _ = env.step(action)
            score += reward
    return score / 60


def test_memory_tells_a_recurrent_policy_from_a_memoryless_one():
    torch.manual_seed(0)
    options = {"n_steps": 32, "batch_size": 128, "gamma": 1.0, "learning_rate": 2e-3, "seed": 0, "device": "cpu"}
    env = DummyVecEnv([Recall] * 16)
    small = {"net_arch": [16]}
    recurrent = RecurrentPPO(SchedulerPolicy, env, policy_kwargs={**small, "lstm_hidden_size": 16}, **options)
    recurrent.learn(32 * 16 * 20)
    memoryless = PPO(MemorylessPolicy, env, policy_kwargs=small, **options)
    memoryless.learn(32 * 16 * 20)
    assert _recall_score(recurrent) > 0.95
    assert _recall_score(memoryless) < 0.75


@pytest.mark.parametrize("inner_start", [False, True])
def test_the_fast_sequence_path_gives_the_same_numbers(inner_start):
    torch.manual_seed(0)
    lstm = torch.nn.LSTM(6, 5)
    features, starts = torch.randn(3 * 7, 6), torch.zeros(3, 7)
    starts[0, 0] = 1.0
    if inner_start:
        starts[1, 4] = 1.0
    states = (torch.randn(1, 3, 5), torch.randn(1, 3, 5))
    slow = RecurrentActorCriticPolicy._process_sequence(features, states, starts.flatten(), lstm)
    fast = FastLstmPolicy._process_sequence(features, states, starts.flatten(), lstm)
    torch.testing.assert_close(fast, slow)


class Ragged(Recall):
    """Three choices, and episodes of 1 to 6 steps."""

    action_space = gym.spaces.MultiDiscrete([2, 5, 3])

    def reset(self, *, seed=None, options=None):
        observation, info = super().reset(seed=seed)
        self.length = int(self.np_random.integers(1, 7))
        return observation, info


@pytest.mark.parametrize("environment", [Recall, Ragged])
def test_the_fast_update_is_the_stock_update(environment):
    """Rollouts, minibatches, losses and weights, over several iterations of both."""
    options = {"n_steps": 16, "batch_size": 24, "n_epochs": 2, "learning_rate": 1e-2, "seed": 3, "device": "cpu"}
    small = {"policy_kwargs": {"net_arch": [8], "lstm_hidden_size": 8}}
    models = [
        algorithm(policy, DummyVecEnv([environment] * 5), **options, **small)
        for algorithm, policy in ((RecurrentPPO, "MlpLstmPolicy"), (FastRecurrentPPO, FastLstmPolicy))
    ]
    batches = []
    for model in models:
        torch.manual_seed(0)
        np.random.seed(0)
        model.learn(3 * 16 * 5)
        batches.append(list(model.rollout_buffer.get(24)))
    for stock, fast in zip(*(model.policy.state_dict().values() for model in models), strict=True):
        torch.testing.assert_close(fast, stock, rtol=1e-3, atol=1e-5)
    for stock, fast in zip(*batches, strict=True):
        for one, other in zip(stock, fast, strict=True):
            for tensor, twin in zip(_tensors(one), _tensors(other), strict=True):
                torch.testing.assert_close(twin, tensor, rtol=1e-3, atol=1e-5)
    assert type(models[1].rollout_buffer) is not type(models[0].rollout_buffer)
    obs = torch.randn(4, 2)
    starts, states = torch.ones(4), tuple(torch.zeros(1, 4, 8) for _ in range(2))
    modes = [model.policy.get_distribution(obs, states, starts)[0].mode() for model in models]
    torch.testing.assert_close(*modes)


def _tensors(value):
    return [value] if isinstance(value, torch.Tensor) else [each for part in value for each in _tensors(part)]


def test_training_writes_a_policy_curves_and_a_checkpoint(tmp_path):
    lines = []
    path = train(TINY, tmp_path / "run", show=lines.append)
    assert path.name == "policy.safetensors" and len(lines) == 3
    assert any("validation distance" in line and "untuned" in line for line in lines)
    records = [json.loads(line) for line in (tmp_path / "run/progress.jsonl").read_text().splitlines()]
    assert {"rollout/return", "controls/generator_lr_factor_log10", "time/updates_per_second"} <= set(records[0])
    assert any(name.startswith("families/") for name in records[0])
    assert list((tmp_path / "run").glob("events.out.tfevents.*"))


def test_a_policy_tells_what_all_of_its_training_cost_also_when_an_early_one_was_best(tmp_path, monkeypatch):
    distances = iter([0.5, 0.7, 0.9])
    others = dict.fromkeys(("validation/distance_constant", "validation/distance_random"), 1.0)
    measured = lambda self, scheduler: {"validation/distance": next(distances), **others}  # noqa: E731
    monkeypatch.setattr(Validation, "measure", measured)
    records = []
    policy = load_policy(train(replace(TINY, validate_every=1), tmp_path, show=records.append))
    assert policy.metadata["iterations"] == 1 < len(records) - 1
    lines = (tmp_path / "progress.jsonl").read_text().splitlines()
    assert policy.cost == json.loads(lines[-1])["gan_updates"] > json.loads(lines[0])["gan_updates"]


def test_training_from_initial_weights_keeps_a_copy_of_them(tmp_path):
    task = get_suite("planar").split("train")[0]
    weights = tmp_path / "weights.safetensors"
    save_meta_init(weights, MetaGenerator.of(task, seed=1), MetaDiscriminator.of(task, seed=1))
    config = replace(TINY, initial_weights=str(weights))
    policy = load_policy(train(config, tmp_path / "run", show=lambda line: None))
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert policy.metadata["training"]["initial_weights"] == f"sha256:{digest}"
    weights.unlink()
    longer = replace(read_config(tmp_path / "run"), updates=2 * TINY.updates)
    train(longer, tmp_path / "run", resume=True, show=lambda line: None)
    records = [json.loads(line) for line in (tmp_path / "run" / "progress.jsonl").read_text().splitlines()]
    train(replace(TINY, updates=2 * TINY.updates), tmp_path / "fresh", show=lambda line: None)
    others = [json.loads(line) for line in (tmp_path / "fresh" / "progress.jsonl").read_text().splitlines()]
    assert len(records) == len(others) == 6
    assert all(one["rollout/distance"] != other["rollout/distance"] for one, other in zip(records, others, strict=True))
    with pytest.raises(FileFormatError, match=r"there is no .* file .*weights\.safetensors"):
        replace(TINY, initial_weights=str(weights))


def test_a_resumed_run_goes_on_exactly(tmp_path):
    train(TINY, tmp_path / "whole", show=lambda line: None)
    stopped = tmp_path / "stopped"

    def stop(line):
        if line.startswith("iteration 2 "):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(TINY, stopped, show=stop)
    train(TINY, stopped, resume=True, show=lambda line: None)
    whole, resumed = (read_progress(path) for path in (tmp_path / "whole", stopped))
    for one, other in zip(whole, resumed, strict=True):
        assert {k: v for k, v in one.items() if "time" not in k} == {k: v for k, v in other.items() if "time" not in k}


def test_a_run_whose_worker_is_killed_names_it_and_can_be_resumed(tmp_path):
    config = replace(TINY, shards=2)

    def kill(line):
        if line.startswith("iteration 2 "):
            worker = next(each for each in multiprocessing.active_children() if each.name.endswith("shard 1"))
            os.kill(worker.pid, signal.SIGKILL)

    with pytest.raises(WorkerError, match=r"shard 1' ended with exit code -9"):
        train(config, tmp_path, show=kill)
    assert not [each for each in multiprocessing.active_children() if "shard" in each.name]
    load_policy(tmp_path / "policy.safetensors")
    train(config, tmp_path, resume=True, show=lambda line: None)
    lines = [json.loads(line) for line in (tmp_path / "progress.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [1, 2, 3]


def test_more_members_than_fit_the_memory_are_refused_before_anything_is_trained(tmp_path, monkeypatch):
    each = Population([get_suite("planar").split("train")[0]], [0]).bytes_per_member()
    monkeypatch.setattr("metagan_rl.populations.population.available_memory", lambda device: 3.5 * 2 * each)
    monkeypatch.setattr(Population, "train", lambda *args: pytest.fail("trained"))
    with pytest.raises(InvalidValueError, match=r"4 members .* at most 3 would"):
        train(TINY, tmp_path / "run", show=lambda line: None)
    assert not list((tmp_path / "run").glob("pr*.jsonl"))


def test_a_finished_run_can_be_made_longer(tmp_path):
    train(TINY, tmp_path, show=lambda line: None)
    train(replace(TINY, updates=2 * TINY.updates), tmp_path, resume=True, show=lambda line: None)
    lines = [json.loads(line) for line in (tmp_path / "progress.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == list(range(1, 7))
    assert json.loads((tmp_path / "config.json").read_text())["updates"] == 2 * TINY.updates


def test_progress_beyond_the_checkpoint_is_written_anew(tmp_path):
    train(TINY, tmp_path, show=lambda line: None)
    progress = tmp_path / "progress.jsonl"
    whole = progress.read_text()
    progress.write_text(whole + line_of({"iteration": 4}))
    train(TINY, tmp_path, resume=True, show=lambda line: None)
    assert progress.read_text() == whole


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": -1}, {"seed": 5_000_000_000}, {"horizon": 0}, {"interval_updates": 50}, {"validation_tasks": 0},
        {"validate_every": -1}, {"clip_range": -1.0}, {"target_kl": 0.0}, {"gae_lambda": 2.0}, {"entropy_start": -0.1},
    ],
)  # fmt: skip
def test_a_bad_configuration_is_refused_before_a_run_directory_is_made(changes, tmp_path):
    (name, value), *_ = changes.items()
    own = {name: value for name, value in changes.items() if hasattr(TINY.learner, name)}
    rest = {name: value for name, value in changes.items() if name not in own}
    with pytest.raises(InvalidValueError, match=f"{name} is {value}"):
        train(
            TrainConfig.named(**{**TINY.to_dict(), "learner": replace(TINY.learner, **own), **rest}), tmp_path / "run"
        )
    assert not (tmp_path / "run").exists()


def test_a_policy_file_gives_the_same_controls_as_the_agent_that_wrote_it(tmp_path):
    train(TINY, tmp_path / "run", show=lambda line: None)
    config = read_config(tmp_path / "run")
    learner = config.kind(config)
    try:
        learner.load_state(torch.load(tmp_path / "run/checkpoint.pt", weights_only=True))
        agent = learner.policy({"training": config.to_dict()})
        model = learner.model
    finally:
        learner.close()
    save_policy(tmp_path / "copy.safetensors", agent)
    loaded = load_policy(tmp_path / "copy.safetensors")
    rng = np.random.default_rng(0)
    observations = rng.uniform(-1, 1, (4, 3, model.observation_space.shape[0])).astype(np.float32)
    state, memory = None, None
    for step in range(4):
        actions, state = model.predict(
            observations[step], state=state, episode_start=np.full(3, step == 0), deterministic=True
        )
        with torch.no_grad():
            logits, memory = loaded.network(torch.from_numpy(observations[step]), memory)
        ours = np.stack([p.argmax(1).numpy() for p in logits.split(loaded.codec.levels.tolist(), dim=1)], axis=1)
        np.testing.assert_array_equal(actions, ours)
    assert loaded.metadata["training"]["suite"] == "planar"
    tasks = get_suite("planar").split("val")[:2]
    first, second = (drive(scheduler, tasks, [1, 2], horizon=2)[0].quality.distance for scheduler in (agent, loaded))
    np.testing.assert_array_equal(first, second)


def test_bad_policy_files_are_refused_with_their_name(tmp_path):
    train(TINY, tmp_path / "run", show=lambda line: None)
    whole = (tmp_path / "run/policy.safetensors").read_bytes()
    bad = tmp_path / "bad.safetensors"
    for content in (
        b"",
        whole[:100],
        whole[:-10],
        b"\x80\x04." + whole,
        whole.replace(b"metagan-rl policy", b"another-xy policy"),
    ):
        bad.write_bytes(content)
        with pytest.raises(FileFormatError, match=r"bad\.safetensors"):
            load_policy(bad)
    with pytest.raises(FileFormatError, match="no policy file"):
        load_policy(tmp_path / "none.safetensors")


def test_run_directories_that_are_none_are_refused(tmp_path):
    with pytest.raises(FileFormatError, match="not a training run"):
        train(TINY, tmp_path, resume=True)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(FileFormatError, match="not a training run"):
        train(TINY, tmp_path, resume=True)
    with pytest.raises(FileFormatError, match="not a training run"):
        train(TINY, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        train(TINY, tmp_path / "file")


def test_a_damaged_checkpoint_is_refused(tmp_path):
    train(TINY, tmp_path / "run", show=lambda line: None)
    checkpoint = tmp_path / "run/checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:500])
    with pytest.raises(FileFormatError, match="damaged"):
        train(TINY, tmp_path / "run", resume=True)


@pytest.mark.parametrize("name", scheduler_names())
def test_every_scheduler_drives_runs_to_the_end_of_the_budget(name):
    tasks = get_suite("planar").split("val")[:3]
    runs, trace = drive(make_scheduler(name), tasks, [1, 2, 3], horizon=4, interval_updates=12)
    assert (runs.updates == 48).all() and len(trace.controls) == 4 and len(trace.distance) == 5
    assert np.isfinite(trace.distance).all()


def test_decays_begin_at_the_base_and_end_near_zero():
    tasks = get_suite("planar").split("val")[:1]
    for name in ("linear", "cosine"):
        _, trace = drive(make_scheduler(name), tasks, [1], horizon=8, interval_updates=12)
        rates = [controls.generator_lr_factor[0] for controls in trace.controls]
        assert rates[0] == 1.0 and rates[-1] < 0.2 and (np.diff(rates) < 0).all()


def test_unknown_schedulers_offer_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean cosine"):
        make_scheduler("cosin")


@pytest.mark.parametrize("name", scheduler_names())
def test_every_scheduler_passes_the_public_check(name):
    check_scheduler(name)


def _broken(propose, **attributes):
    return type("Broken", (Scheduler,), {"propose": propose, "source": "a test", **attributes})


@pytest.mark.parametrize(
    ("scheduler", "words"),
    [
        (_broken(lambda self, s: s.base, source=""), "source"),
        (_broken(lambda self, s: s.base[:1]), "for all runs"),
        (_broken(lambda self, s: None), "must give Controls"),
        (_broken(lambda self, s: s.base.replace(generator_lr_factor=np.full(len(s), np.nan))), "generator_lr_factor"),
        (_broken(lambda self, s: s.base.replace(discriminator_lr_factor=np.full(len(s), 99.0))), "must lie between"),
        (_broken(lambda self, s: s.signals["no_such_signal"]), "KeyError"),
        (_broken(lambda self, s: s.signals["progress"].fill(1.0) or s.base), "changed what it was shown"),
        (
            _broken(lambda self, s: s.base.replace(generator_lr_factor=np.random.uniform(0.5, 1, len(s)))),
            "other controls",
        ),
    ],
)
def test_the_public_check_tells_what_is_wrong_with_a_scheduler(scheduler, words):
    with pytest.raises(ConformanceError, match=words):
        check_scheduler(scheduler)
