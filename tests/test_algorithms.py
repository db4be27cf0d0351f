"""What must hold of every algorithm that trains schedulers, and what tells them apart."""

import json
from dataclasses import replace

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch

from metagan_rl.agents import LEARNERS, TrainConfig, load_policy, save_policy, train
from metagan_rl.agents.learners.catalogue import learner_names
from metagan_rl.agents.learners.imitation import features, fit
from metagan_rl.agents.learners.policy import PolicyConfig, PolicyScheduler
from metagan_rl.agents.learners.run_folder import read_config
from metagan_rl.agents.learners.sb3.dqn import DQNConfig
from metagan_rl.cli import main
from metagan_rl.errors import FileFormatError, InvalidValueError, UnknownNameError
from metagan_rl.experiments import BenchmarkConfig, run_benchmark
from metagan_rl.loop import Controls, Runs, Situation, choose_knobs, choose_signals, drive
from metagan_rl.records import write_record
from metagan_rl.tasks import Base, Suite, get_suite, register_suite

RUN = {
    "updates": 4 * 2 * 3 * 12, "members": 2, "shards": 1, "horizon": 3, "interval_updates": 12, "validate_every": 0,
}  # fmt: skip
OWN = {
    "recurrent-ppo": {"epochs": 2, "minibatches": 2},
    "ppo": {"epochs": 2, "minibatches": 2},
    "dqn": {"epochs": 2},
    "autoloss": {"epochs": 2, "minibatches": 2},
    "evolution-strategies": {},
    "imitation": {"reference": "constant", "branches": 2, "passes": 2, "updates": 4 * 2 * (3 + 4 * 3) * 2 * 12},
}
NAMES = tuple(OWN)
RECURRENT = ("recurrent-ppo", "imitation")
RATES = ("generator_lr_factor", "discriminator_lr_factor")


def tiny(algorithm, **changes):
    return TrainConfig.named(algorithm=algorithm, **{**RUN, "hidden": 8, **OWN[algorithm], **changes})


def resumed(directory):
    """The learner of a run that was trained."""
    config = read_config(directory)
    learner = config.kind(config)
    learner.load_state(torch.load(directory / "checkpoint.pt", weights_only=True))
    return learner


def test_there_are_no_other_algorithms():
    assert set(learner_names()) == set(NAMES) == set(LEARNERS)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run directory of each algorithm."""
    out = tmp_path_factory.mktemp("trained")
    for name in NAMES:
        train(tiny(name), out / name, show=lambda line: None)
    return out


def _records(directory):
    lines = [json.loads(line) for line in (directory / "progress.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if "time" not in k and k != "check"} for line in lines]


@pytest.mark.parametrize("name", NAMES)
def test_a_run_writes_all_of_its_files_and_a_policy_that_drives_runs(name, trained):
    assert len(_records(trained / name)) == 4
    assert list((trained / name).glob("events.out.tfevents.*"))
    policy = load_policy(trained / name / "policy.safetensors")
    assert policy.metadata["training"]["algorithm"] == name
    assert (policy.config.hidden > 0) == (name in RECURRENT)
    tasks = get_suite("planar").split("val")[:2]
    runs, trace = drive(policy, tasks, [1, 2], horizon=4, interval_updates=12)
    assert (runs.updates == 48).all() and np.isfinite(trace.distance).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_stopped_run_ends_with_the_very_same_weights(name, trained, tmp_path):
    config = tiny(name)

    def stop(line):
        if line.startswith("iteration 2 "):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path, show=stop)
    train(None, tmp_path, resume=True, show=lambda line: None)
    assert _records(tmp_path) == _records(trained / name)
    one, other = (
        safetensors.torch.load_file(directory / "policy.safetensors") for directory in (tmp_path, trained / name)
    )
    assert one.keys() == other.keys()
    for key, values in one.items():
        assert torch.equal(values, other[key]), key
    before, after = (torch.load(d / "checkpoint.pt", weights_only=True) for d in (trained / name, tmp_path))
    assert _same(before, {**after, "seconds": before["seconds"]})


def _same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


@pytest.mark.parametrize("name", ["recurrent-ppo", "ppo", "dqn", "autoloss"])
def test_a_policy_file_tells_what_the_agent_would(name, trained):
    learner = resumed(trained / name)
    try:
        model, agent = learner.model, learner.policy({})
    finally:
        learner.close()
    rng = np.random.default_rng(0)
    observations = rng.uniform(-1, 1, (3, *model.observation_space.shape)).astype(np.float32)
    actions, _ = model.predict(observations, episode_start=np.ones(3, dtype=bool), deterministic=True)
    with torch.no_grad():
        outputs, _ = agent.network(torch.from_numpy(observations), None)
    ours = [part.numpy().argmax(axis=1) for part in outputs.split(agent.codec.choices, dim=1)]
    np.testing.assert_array_equal(actions.reshape(3, -1), np.stack(ours, axis=1))


def test_policies_go_into_the_benchmark_by_their_files(trained, tmp_path):
    policies = tuple((f"my-{name}", str(trained / name / "policy.safetensors")) for name in NAMES)
    config = BenchmarkConfig("dirac", "val", ("constant",), policies, seeds=1, tasks=1)
    run_benchmark(config, tmp_path, workers=0, show=lambda line: None)
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert {row["scheduler"] for row in rows} == {"constant", *(f"my-{name}" for name in NAMES)}
    assert all(np.isfinite(row["distance"]) for row in rows)


def test_memory_is_what_a_policy_with_an_lstm_has_and_others_have_not(trained):
    for name in NAMES:
        network = load_policy(trained / name / "policy.safetensors").network
        observation = torch.zeros(1, network.direct.in_features)
        with torch.no_grad():
            first, state = network(observation, None)
            second, _ = network(observation, state)
        assert torch.equal(first, second) == (name not in RECURRENT)


def test_a_run_whose_configuration_names_no_algorithm_goes_on_as_recurrent_ppo(trained, tmp_path):
    record = json.loads((trained / "recurrent-ppo" / "config.json").read_text())
    for new in ("sha256", "algorithm", "reward", "actions", "initial_weights"):
        del record[new]
    write_record(tmp_path / "config.json", record)
    train(None, tmp_path, resume=True, show=lambda line: None)
    assert _records(tmp_path) == _records(trained / "recurrent-ppo")


def test_policy_files_of_earlier_and_later_formats_are_refused_with_both_numbers(trained, tmp_path):
    path = trained / "recurrent-ppo" / "policy.safetensors"
    with safetensors.safe_open(path, framework="pt") as file:
        record = json.loads(file.metadata()["metagan_rl"])
    assert record["version"] == 3
    other = tmp_path / "other.safetensors"
    for version in (1, 2, 4):
        header = {"metagan_rl": json.dumps({**record, "version": version})}
        safetensors.torch.save_file(safetensors.torch.load_file(path), other, metadata=header)
        with pytest.raises(FileFormatError, match=f"format {version}; this version reads 3"):
            load_policy(other)


def test_autoloss_sets_the_ratio_alone_from_its_few_signals(trained):
    config = load_policy(trained / "autoloss" / "policy.safetensors").config
    assert tuple(knob.name for knob in config.knobs) == ("ratio",)
    assert config.signals == choose_signals("autoloss") and len(config.signals) == 5
    assert not config.trial_memory and config.layers == (8, 8)
    assert TrainConfig(algorithm="autoloss").settled().learner.hidden == 16
    assert TrainConfig(algorithm="ppo").settled() == TrainConfig(algorithm="ppo")
    chosen = TrainConfig(algorithm="autoloss", knobs=("ratio", "loss")).settled()
    assert chosen.knobs == ("ratio", "loss") and chosen.signals == "autoloss"
    for record in _records(trained / "autoloss"):
        assert record["controls/generator_lr_factor_log10"] == record["controls/discriminator_lr_factor_log10"] == 0


def test_moves_of_a_greedy_policy_go_on_from_the_controls_in_force(tmp_path):
    config = PolicyConfig(choose_knobs(), choose_signals("loop"), True, 0, (4,), "moves", True)
    policy = PolicyScheduler(config, _weights(config, best=2), {})
    save_policy(tmp_path / "up.safetensors", policy)
    policy = load_policy(tmp_path / "up.safetensors")
    runs = Runs(get_suite("planar").split("val")[:2], [0, 1], interval_updates=12, horizon=3)
    policy.begin([0, 1])
    rates = []
    for _ in range(3):
        controls = policy.step(
            Situation(runs.signals(), runs.base_controls(), runs.controls, np.zeros(2), runs.base_rates())
        )
        rates.append(controls.generator_lr_factor[0])
        runs.advance(controls)
    assert rates == pytest.approx([30 ** (1 / 16), 30 ** (2 / 16), 30 ** (3 / 16)])


def test_the_first_of_equal_values_is_taken():
    config = PolicyConfig(choose_knobs(), choose_signals("loop"), True, 0, (4,), "moves", True)
    policy = PolicyScheduler(config, _weights(config), {})
    runs = Runs(get_suite("planar").split("val")[:1], [0], interval_updates=12, horizon=3)
    controls = policy.step(Situation(runs.signals(), runs.base_controls(), runs.controls, np.zeros(1)))
    assert isinstance(controls, Controls) and controls.describe(0) == runs.controls.describe(0)


def _weights(config, best=None):
    inputs, moves = len(config.signals) + len(config.knobs) + 2, 1 + 2 * len(config.knobs)
    bias = torch.zeros(moves)
    if best is not None:
        bias[best] = 1.0
    return {
        "layers.0.weight": torch.zeros(4, inputs),
        "layers.0.bias": torch.zeros(4),
        "head.weight": torch.zeros(moves, 4),
        "head.bias": bias,
        "direct.weight": torch.zeros(moves, inputs),
    }


def test_a_fresh_dqn_keeps_the_controls_and_its_members_explore_each_for_themselves():
    config = tiny("dqn", members=16).settled()
    learner = config.kind(config)
    model = learner.model
    observation = np.zeros((16, *model.observation_space.shape), dtype=np.float32)
    assert (model.predict(observation, deterministic=True)[0] == 0).all()
    np.random.seed(0)
    shares = []
    for done in (0.0, 0.25, 0.5, 1.0):
        learner.schedule(done)
        moves = np.stack([model.predict(observation)[0] for _ in range(60)])
        shares.append((moves != 0).mean() * 11 / 10)
        assert done == 0.0 or ((moves != 0).mean(axis=1) < 1).all()
    np.testing.assert_allclose(shares, [1.0, 0.525, 0.05, 0.05], atol=0.06)


def test_dqn_sums_no_rewards_across_the_end_of_an_iteration():
    config = tiny("dqn").settled()
    learner = config.kind(config)
    buffer = learner.model.replay_buffer
    one = np.ones((2, *buffer.obs_shape), dtype=np.float32)
    for place in range(4):
        reward = np.full(2, 10.0**place)
        buffer.add(one, one, np.zeros((2, 1)), reward, np.zeros(2), [{}, {}])
        if place == 1:  # the next episodes begin here
            learner.end_iteration()
    returns = buffer._get_samples(np.arange(4)).rewards.flatten().tolist()
    assert returns == [11.0, 10.0, 1100.0, 1000.0]


def test_evolution_begins_at_the_reference_and_finds_what_pays(tmp_path):
    """Rates of both networks are a tenth of what suits: a few iterations of tiny runs are enough to raise them."""
    low = Base(generator_lr=1e-3, discriminator_lr=1e-3)
    tasks = tuple(replace(task, base=low) for task in get_suite("planar").split("train")[:4])
    register_suite(Suite("low-rates", 1, "", {"train": tasks}))
    config = TrainConfig.named(
        algorithm="evolution-strategies", suite="low-rates", reference="constant", actions="continuous",
        knobs=RATES, members=32, shards=1, horizon=3, interval_updates=24, updates=12 * 32 * 3 * 24, validate_every=0,
        learning_rate=0.03, hidden=8,
    )  # fmt: skip
    train(config, tmp_path, show=lambda line: None)
    first, *_, last = _records(tmp_path)
    for name in RATES:
        assert abs(first[f"controls/{name}_log10"]) < 0.1 < last[f"controls/{name}_log10"]
    assert last["rollout/return"] > first["rollout/return"]


def test_a_policy_of_evolution_can_be_trained_further(trained, tmp_path):
    start = trained / "evolution-strategies" / "policy.safetensors"
    train(tiny("evolution-strategies", start=str(start), learning_rate=1e-9), tmp_path, show=lambda line: None)
    one, other = (load_policy(each) for each in (start, tmp_path / "policy.safetensors"))
    assert other.cost == 2 * one.cost
    for key, values in one.network.state_dict().items():
        torch.testing.assert_close(other.network.state_dict()[key], values)


@pytest.mark.parametrize("target", ["cost", "best"])
def test_imitation_begins_at_the_reference_and_finds_what_pays(tmp_path, target):
    """As for evolution: the oracle says that higher rates pay, and a few lessons are enough to follow it."""
    low = Base(generator_lr=1e-3, discriminator_lr=1e-3)
    tasks = tuple(replace(task, base=low) for task in get_suite("planar").split("train")[:4])
    register_suite(Suite(f"low-rates-{target}", 1, "", {"train": tasks}))
    config = TrainConfig.named(
        algorithm="imitation", suite=f"low-rates-{target}", reference="constant", pace=0.3, target=target, knobs=RATES,
        members=4, shards=1, horizon=4, interval_updates=24, updates=4 * 2 * (4 + 5 * 7) * 4 * 24, validate_every=0,
        deviation=0.0, hidden=8, learning_rate=1e-2, passes=40,
    )  # fmt: skip
    train(config, tmp_path, show=lambda line: None)
    first, *_, last = _records(tmp_path)
    for name in RATES:
        assert first[f"controls/{name}_log10"] == 0 < last[f"controls/{name}_log10"]
    assert first["train/own_cost"] == 0 > last["train/own_cost"]
    assert [first["train/lessons"], last["train/lessons"]] == [16, 64]


def test_what_an_oracle_says_is_a_surface_with_its_lowest_move():
    rng = np.random.default_rng(0)
    tried = rng.uniform(-1, 1, size=(4, 10, 2))
    moves = np.concatenate([np.zeros((4, 1, 2)), tried, -tried], axis=1)
    costs = 0.5 * moves[..., 0] - 0.2 * moves[..., 1] + 0.3 * moves[..., 1] ** 2 + np.arange(4)[:, None]
    surfaces, best = fit(moves, costs)
    values = (features(torch.from_numpy(moves).float()) * surfaces[:, None]).sum(dim=-1).numpy()
    for own, found in zip(costs, values, strict=True):
        assert np.corrcoef(own, found)[0, 1] > 0.99
    assert (best.numpy() == moves[np.arange(4), values.argmin(axis=1)].astype(np.float32)).all()
    costs[0, 3] = 1e6  # this one diverged
    again, _ = fit(moves, costs)
    assert torch.equal(again[1:], surfaces[1:]) and again[0].abs().max() < 1


def test_ppo_goes_on_from_a_policy_of_imitation(trained, tmp_path):
    start = trained / "imitation" / "policy.safetensors"
    options = {"reference": "constant", "actions": "continuous-moves", "trial_runs": 0, "learning_rate": 1e-9}
    train(tiny("recurrent-ppo", start=str(start), **options), tmp_path, show=lambda line: None)
    one, other = (load_policy(each).network.state_dict() for each in (start, tmp_path / "policy.safetensors"))
    for key, values in one.items():
        torch.testing.assert_close(other[key], values)


def test_the_balance_reward_is_learned_from_and_told(tmp_path):
    train(tiny("ppo", reward="balance"), tmp_path, show=lambda line: None)
    for record in _records(tmp_path):
        assert record["reward/balance"] < 0 and record["reward/quality"] == 0
        assert record["rollout/return"] == pytest.approx(3 * record["reward/balance"], rel=1e-3)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"algorithm": "dqm"}, UnknownNameError, "unknown algorithm 'dqm'; did you mean dqn"),
        ({"pace": 0.3}, InvalidValueError, "pace is 0.3 without a reference to depart from"),
        ({"reward": "qualty"}, UnknownNameError, "did you mean quality"),
        ({"algorithm": "dqn", "epsilon": 1.5}, InvalidValueError, "epsilon is 1.5"),
        ({"algorithm": "dqn", "replay": 0}, InvalidValueError, "replay is 0"),
        ({"algorithm": "dqn", "learning_rate": 0.0}, InvalidValueError, "learning_rate is 0.0"),
        ({"algorithm": "dqn", "clip_range": 0.2}, UnknownNameError, "unknown option of training 'clip_range'"),
        ({"algorithm": "ppo", "epochz": 2}, UnknownNameError, "did you mean epochs"),
        ({"algorithm": "ppo", "learner": DQNConfig()}, InvalidValueError, "the options of ppo are a PPOConfig"),
        ({"algorithm": "evolution-strategies", "deviation": 0.0}, InvalidValueError, "deviation is 0.0"),
        (
            {"algorithm": "evolution-strategies", "actions": "moves"},
            InvalidValueError,
            "continuous or continuous-moves",
        ),
        (
            {"algorithm": "imitation", "reference": "constant", "branches": 3},
            InvalidValueError,
            "branches is 3; it must be even",
        ),
        (
            {"algorithm": "imitation", "reference": "constant", "target": "bets"},
            UnknownNameError,
            "unknown target 'bets'; did you mean best",
        ),
        ({"algorithm": "autoloss", "trial_runs": 2}, InvalidValueError, "trial_runs is 2; it must be 1 with autoloss"),
    ],
)
def test_a_bad_configuration_is_refused(changes, error, words):
    with pytest.raises(error, match=words):
        TrainConfig.named(**{**RUN, **changes})


def test_a_replay_buffer_too_small_for_the_members_leaves_no_run_behind(tmp_path):
    with pytest.raises(InvalidValueError, match="replay is 1; it must be at least 2, one for each member"):
        train(tiny("dqn", replay=1), tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()


def test_evolution_wants_its_members_in_pairs(tmp_path):
    with pytest.raises(InvalidValueError, match="members is 3; evolution-strategies needs pairs"):
        train(tiny("evolution-strategies", members=3), tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()


def test_imitation_wants_a_reference(tmp_path):
    with pytest.raises(InvalidValueError, match="without a reference"):
        train(tiny("imitation", reference=None), tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()


def test_the_command_offers_the_nearest_algorithm(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--algorithm", "recurent-ppo"]) == 2
    assert "did you mean recurrent-ppo" in capsys.readouterr().err
