"""A critic that is told what is hidden, and an actor that is not; departures from the reference that have a price."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from metagan_rl.agents import TrainConfig, load_policy, train
from metagan_rl.envs.privileged import Privileged
from metagan_rl.errors import InvalidValueError
from metagan_rl.loop.signals import choose_signals
from metagan_rl.tasks import get_suite
from metagan_rl.tasks.hidden import Event, Hidden

SHORT = {"horizon": 4, "interval_updates": 12}
RUN = {
    "env": "MetaGAN/Faults-Box-v0", "members": 4, "shards": 1, "updates": 1, "hidden": 8, "epochs": 2, "minibatches": 2,
    "validate_every": 0, "trial_runs": 0, **SHORT,
}  # fmt: skip


def facts_of(suite, split, shown):
    return Privileged(get_suite(suite).split(split), shown)


def made(**options):
    return gym.make_vec("MetaGAN/Faults-Box-v0", num_envs=2, split="val", **SHORT, **options)


def test_hidden_facts_stand_at_the_end_of_the_observation():
    plain, told = made(), made(privileged=True)
    facts = len(facts_of("faults", "val", plain.unwrapped.which))
    shape = plain.single_observation_space.shape[0]
    assert told.single_observation_space.shape == (shape + facts,)
    one, other = plain.reset(seed=3)[0], told.reset(seed=3)[0]
    np.testing.assert_array_equal(one, other[:, :shape])
    still = np.zeros(plain.action_space.shape)
    np.testing.assert_array_equal(plain.step(still)[0], told.step(still)[0][:, :shape])


def test_the_critic_is_told_what_is_in_force_and_what_comes():
    from dataclasses import replace

    usual = get_suite("planar").split("val")[0]
    jump = replace(usual, hidden=Hidden(discriminator_lr=0.5, events=(Event(0.5, generator_lr=4.0),)))
    env = gym.make_vec("MetaGAN/Planar-Box-v2", num_envs=2, split="val", privileged=True, **SHORT)
    place = env.single_observation_space.shape[0] - len(facts_of("planar", "val", env.unwrapped.which))
    seen = env.reset(seed=0, options={"tasks": [jump, replace(usual, name="usual")]})[0][:, place:]
    assert seen[0, :2] == pytest.approx([0.0, np.log(0.5)]) and seen[1, :2] == pytest.approx([0, 0])
    assert seen[0, 2:5] == pytest.approx([0.5, np.log(4), 0.0]) and seen[1, 2:5] == pytest.approx([1, 0, 0])
    for _ in range(3):
        seen = env.step(np.zeros(env.action_space.shape))[0][:, place:]
    assert seen[0, :2] == pytest.approx([np.log(4), np.log(0.5)])
    assert seen[0, 2] == 1.0  # nothing more to come


def test_the_critic_is_told_every_signal_that_the_agent_is_not_shown():
    blind, seeing = (made(privileged=True, signals=which).unwrapped for which in ("outputs", "all+setup"))
    names = {signal.name for signal in seeing.which} - {signal.name for signal in blind.which}
    assert len(facts_of("faults", "val", blind.which)) == len(facts_of("faults", "val", seeing.which)) + len(names)
    unseen = [signal for signal in choose_signals("all+setup") if signal.name in names]
    told = blind.reset(seed=0)[0][:, -len(unseen) :]
    np.testing.assert_allclose(told, blind.runs.observe(unseen), rtol=1e-6)
    assert "distance_to_floor" in names and np.ptp(told) > 0


def test_the_policy_is_the_actor_and_never_sees_what_is_hidden(tmp_path):
    train(TrainConfig.named(privileged=True, **RUN), tmp_path / "told")
    train(TrainConfig.named(**RUN), tmp_path / "plain")
    told, plain = (load_policy(tmp_path / name / "policy.safetensors") for name in ("told", "plain"))
    shapes = {name: tensor.shape for name, tensor in plain.network.state_dict().items()}
    assert {name: tensor.shape for name, tensor in told.network.state_dict().items()} == shapes
    assert told.config.signals == plain.config.signals and not told.config.trial_memory
    checkpoint = torch.load(tmp_path / "told" / "checkpoint.pt", weights_only=True)
    inputs = checkpoint["policy"]["lstm_actor.weight_ih_l0"]
    facts = len(facts_of("faults", "train", told.config.signals))
    assert inputs.shape[1] == shapes["lstm.weight_ih_l0"][1] + facts
    np.testing.assert_array_equal(inputs[:, :-facts], told.network.state_dict()["lstm.weight_ih_l0"])


def test_only_an_algorithm_with_a_critic_of_its_own_can_be_told():
    with pytest.raises(InvalidValueError, match="privileged is True; it must be False with ppo"):
        TrainConfig.named(algorithm="ppo", privileged=True)


def test_departures_cost_by_their_squares_and_staying_costs_nothing():
    free, priced = made(), made(price=0.5)
    for env in (free, priced):
        env.reset(seed=1)
    still, away = np.zeros(free.action_space.shape, np.float32), np.ones(free.action_space.shape, np.float32)
    np.testing.assert_array_equal(free.step(still)[1], priced.step(still)[1])
    (_, paid_none, *_), (_, paid, _, _, info) = free.step(away), priced.step(away)
    pace = priced.unwrapped.options.pace
    ordered = [not knob.cyclic for knob in priced.unwrapped.codec.knobs]
    places = np.where(ordered, pace, 1.0)
    cost = 0.5 * np.square(places).mean() / SHORT["horizon"]
    np.testing.assert_allclose(paid_none - paid, cost, rtol=1e-6)
    np.testing.assert_allclose(info["reward_terms"]["departure"], -cost, rtol=1e-6)
    terms = [values for name, values in info["reward_terms"].items() if not name.startswith("_")]
    np.testing.assert_allclose(sum(terms), paid, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"price": -1.0}, "price is -1.0"),
        ({"price": 0.1, "reference": None, "actions": "discrete"}, "without a reference"),
    ],
)
def test_a_price_must_make_sense(options, message):
    with pytest.raises(InvalidValueError, match=message):
        made(**options)
