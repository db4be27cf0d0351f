"""What the oracle of ``imitation`` says, on a toy whose costs are known, and that the policy follows it."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from metagan_rl.agents import TrainConfig
from metagan_rl.agents.learners import imitation

STEPS, MEMBERS, KNOBS = 6, 4, 2
RATES = ("generator_lr_factor", "discriminator_lr_factor")


class Toy:
    """Moves add up to a place; a run earns the negative square of how far it ends from a target that it sees.

    Member 0 is over after two steps. What is over begins anew, elsewhere.
    """

    def __init__(self, config):
        self.observation_space = gym.spaces.Box(-9, 9, (2 * KNOBS,))
        self.rng = np.random.default_rng(0)

    def seed(self, seed):
        self.rng = np.random.default_rng(seed)

    def set_options(self, options):
        assert len(options["tasks"]) == len(options["gan_seeds"]) == MEMBERS

    def reset(self):
        self.place, self.target = np.zeros((MEMBERS, KNOBS)), self.rng.uniform(-1, 1, (MEMBERS, KNOBS))
        self.count = np.zeros(MEMBERS, dtype=int)
        return self.observation()

    def observation(self):
        return np.concatenate([self.place, self.target], axis=1).astype(np.float32)

    def get_state(self):
        return {name: getattr(self, name).copy() for name in ("place", "target", "count")}

    def set_state(self, state):
        vars(self).update({name: value.copy() for name, value in state.items()})

    def env_method(self, name, *arguments):
        return [getattr(self, name)(*arguments)] * MEMBERS

    def step(self, moves):
        self.place = self.place + moves
        self.count += 1
        over = self.count >= np.array([2, *[STEPS] * (MEMBERS - 1)])
        rewards = np.where(over, -0.1 * ((self.place - self.target) ** 2).sum(axis=1), 0.0)
        infos = [{"reward_terms": {}, "controls": {}} for _ in over]
        for member in np.flatnonzero(over):
            told = {"distance": 1.0, "diverged": False, "family": "toy", "episode": {"r": rewards[member]}}
            infos[member] |= told
            self.place[member], self.count[member] = 5.0, 0
        return self.observation(), rewards, over, infos

    def close(self):
        pass


@pytest.fixture
def make(monkeypatch):
    """Makes a learner on the toy."""
    monkeypatch.setattr(imitation, "training_env", Toy)

    def made(**options):
        config = TrainConfig.named(
            algorithm="imitation", reference="constant", knobs=RATES, members=MEMBERS, horizon=STEPS, validate_every=0,
            hidden=16, **options,
        )  # fmt: skip
        return config.kind(config.settled())

    return made


def test_the_oracle_says_what_a_move_costs_that_is_held_to_the_end(make):
    learner = make(branches=40, passes=1)
    learner.iterate(0, 0.0, lambda: None)
    lessons = learner.state()["lessons"]
    rows = torch.arange(len(lessons["seen"]))[:, None]
    seen = lessons["seen"][rows, lessons["asked"]]
    there = lessons["weights"] > 0
    away = (seen[..., :KNOBS] - seen[..., KNOBS:])[there]
    slopes, bends = (part[there] for part in lessons["surfaces"][..., : 2 * KNOBS].split(KNOBS, dim=-1))
    torch.testing.assert_close(slopes, 0.2 * away, rtol=0.2, atol=0.02)
    torch.testing.assert_close(bends, torch.full_like(bends, 0.1), rtol=0.6, atol=0.0)  # the ridge takes some off
    best = lessons["best"][there]
    assert (best + away).abs().mean() < 0.5 * away.abs().mean()


def test_every_decision_is_asked_about_but_not_those_after_a_runs_end(make):
    learner = make(branches=2, passes=1)
    learner.iterate(0, 0.0, lambda: None)
    lessons = learner.state()["lessons"]
    for member in range(MEMBERS):
        asked = lessons["asked"][member::MEMBERS].flatten()
        weights = lessons["weights"][member::MEMBERS].flatten()
        assert sorted(asked.tolist()) == list(range(STEPS))
        assert weights.tolist() == [float(member > 0 or place < 2) for place in asked.tolist()]


@pytest.mark.parametrize("target", ["cost", "best"])
def test_the_policy_learns_to_do_what_the_oracle_says(make, target):
    learner = make(branches=24, target=target, deviation=0.1, damping=0.0, passes=100, learning_rate=1e-2)
    returns = [learner.iterate(number, 0.0, lambda: None)["rollout/return"] for number in range(6)]
    assert returns[-1] > 0.5 * returns[0]  # returns are negative


def test_the_intervals_of_an_iteration_are_counted(make):
    learner, intervals = make(branches=2, passes=1), []
    learner.iterate(0, 0.0, lambda: intervals.append(1))
    assert len(intervals) == learner.intervals_per_iteration
