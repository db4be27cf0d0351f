"""Trials of several runs: what they may earn, and that a policy goes on outside an environment as it does inside."""

import numpy as np
import pytest
import torch
from gymnasium.utils import seeding

from metagan_rl.agents import TrainConfig
from metagan_rl.agents.learners.policy import PolicyConfig, PolicyNetwork, PolicyScheduler
from metagan_rl.agents.learners.validation import Validation
from metagan_rl.envs import MetaGANVectorEnv
from metagan_rl.errors import InvalidValueError, UnknownNameError
from metagan_rl.loop.drive import drive
from metagan_rl.loop.knobs import choose_knobs
from metagan_rl.loop.reward import Reward
from metagan_rl.loop.signals import choose_signals

SHORT = {"horizon": 2, "interval_updates": 12}
AROUND = {"actions": "continuous-moves", "reference": "constant", "knobs": ("generator_lr_factor", "penalty_weight")}


def test_only_what_is_taken_off_the_best_earns():
    reward, best = Reward(), np.array([1.0, 1.0, np.inf])
    before, after, fine = np.array([3.0, 2.0, 4.0]), np.array([2.0, 0.5, 2.0]), np.zeros(3, dtype=bool)
    assert reward.gain(before, after, fine, best=best) == pytest.approx(np.log([1.0, 2.0, 2.0]))
    assert reward.gain(after, before, ~fine, best=best)[:2] == pytest.approx(np.log([1.0, 0.5]))
    assert reward.gain(before, after, fine) == pytest.approx(np.log(before / after))


@pytest.mark.parametrize("trial_reward", ["each", "best"])
def test_a_trial_earns_what_it_says(trial_reward):
    weights = {"saturation": 0.0, "vanishing": 0.0, "oscillation": 0.0, "mode_loss": 0.0}
    env = MetaGANVectorEnv("dirac", 3, trial_runs=3, trial_reward=trial_reward, reward=weights,
                           autoreset_mode="Disabled", **SHORT, **AROUND)  # fmt: skip
    _, infos = env.reset(seed=0)
    starts, ends, earned = [infos["distance"]], [], np.zeros(3)
    rng = np.random.default_rng(1)
    for step in range(6):
        _, rewards, over, _, infos = env.step(rng.uniform(-1, 1, size=(3, 2)).astype(np.float32))
        earned += rewards
        assert infos["reward_terms"]["quality"] == pytest.approx(rewards)
        if step % 2:
            ends.append(infos["distance"].copy())
            starts.append(env.runs.quality.distance.copy())
    assert over.all()
    wanted = np.log(starts[0]) - np.min(np.log(ends), axis=0)
    if trial_reward == "each":
        wanted = np.sum(np.log(starts[:3]) - np.log(ends), axis=0)
    assert earned == pytest.approx(wanted)


def test_the_best_of_a_trial_of_one_run_is_refused():
    with pytest.raises(InvalidValueError, match="trial_reward is 'best', but trial_runs is None; give 2 runs or more"):
        MetaGANVectorEnv("dirac", trial_reward="best")
    with pytest.raises(UnknownNameError, match="did you mean best"):
        MetaGANVectorEnv("dirac", trial_runs=2, trial_reward="bets")


def remembering_policy():
    knobs, signals = choose_knobs(AROUND["knobs"]), choose_signals("all", choose_knobs(AROUND["knobs"]))
    config = PolicyConfig(knobs, signals, True, 8, (8,), actions="continuous-moves", reference="constant")
    torch.manual_seed(0)
    network = PolicyNetwork(len(signals) + 2 * len(knobs) + 2, config, config.outputs)
    return PolicyScheduler(config, network.state_dict(), {})


def test_a_policy_goes_on_outside_an_environment_as_inside_one():
    policy = remembering_policy()
    env = MetaGANVectorEnv("dirac", 2, trial_runs=2, trial_reward="best", price=0.1, autoreset_mode="Disabled",
                           **SHORT, **AROUND)  # fmt: skip
    observations, infos = env.reset(seed=[0, 1])
    tasks, memory, inside = list(env.runs.tasks), None, []
    for step in range(4):
        with torch.no_grad():
            actions, memory = policy.network(torch.from_numpy(observations), memory)
        observations, *_, infos = env.step(np.clip(actions.numpy(), -1, 1))
        if step % 2:
            inside.append(infos["distance"].copy())
    drawn = [seeding.np_random(seed)[0] for seed in (0, 1)]
    for rng in drawn:
        env.split.sample(rng)
    seeds = [[int(rng.integers(2**31)) for rng in drawn] for _ in "ab"]
    first, trace = drive(policy, tasks, seeds[0], **SHORT)
    second, _ = drive(policy, tasks, seeds[1], after=trace.reward[-1], **SHORT)
    assert np.array(inside) == pytest.approx(np.array([first.quality.distance, second.quality.distance]), rel=1e-5)
    afresh, _ = drive(policy, tasks, seeds[1], **SHORT)
    assert np.abs(afresh.quality.distance - second.quality.distance).max() > 1e-6


def test_validation_counts_the_best_run_of_a_trial():
    options = {"suite": "dirac", "validation_tasks": 3, **SHORT}
    one, three = (Validation(TrainConfig(trial_runs=runs, **options)).measure(remembering_policy()) for runs in (1, 3))
    for name in ("", "_constant", "_random"):
        assert three[f"validation/distance{name}"] <= one[f"validation/distance{name}"] + 1e-9
    assert three["validation/distance_random"] < one["validation/distance_random"]
