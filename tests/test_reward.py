"""The reward: quality first, stability that is felt, no matter how long intervals are, and nothing to exploit."""

import gymnasium as gym
import numpy as np
import pytest

import metagan_rl  # noqa: F401  (registers the environments)
from metagan_rl.envs import REWARDS, Reward
from metagan_rl.errors import InvalidValueError, UnknownNameError
from metagan_rl.experiments.studies import reward_weights
from metagan_rl.metrics import STABILITY_TERMS, WORST_DISTANCE

STEADY = REWARDS["steady"]


def total(reward, intervals, level, diverges_at=None):
    """The return of a run whose stability terms are all at one level, and which may blow up in an interval."""
    found = 0.0
    for interval in range(intervals):
        diverged = np.array([interval == diverges_at])
        stability = {name: np.array([level]) for name in STABILITY_TERMS}
        left = np.array([intervals - interval])
        one = np.ones(1)
        terms = reward.terms(one, one, stability, diverged, left, share=1 / intervals, start=one)
        found += sum(each.item() for each in terms.values())
        if diverged.any():
            break
    return found


@pytest.mark.parametrize("diverges", [False, True])
def test_a_run_costs_the_same_however_many_intervals_it_has(diverges):
    returns = [total(STEADY, n, 0.5, n // 2 if diverges else None) for n in (16, 64, 256)]
    expected = -4 * 0.5 if not diverges else -4 * (0.25 + 0.5) - np.log(WORST_DISTANCE)
    assert returns == pytest.approx([expected] * 3)
    old = [total(REWARDS["quality"], n, 0.5, n // 2 if diverges else None) for n in (16, 256)]
    assert old[1] < old[0] - 1


def test_real_runs_of_short_and_long_intervals_are_rewarded_alike():
    means = []
    for interval in (12, 96):
        env = gym.make_vec("MetaGAN/Ring8-v2", num_envs=8, interval_updates=interval, horizon=768 // interval)
        env.reset(seed=0)
        total, over = np.zeros(8), np.zeros(8, dtype=bool)
        while not over.all():
            _, rewards, ended, _, infos = env.step(np.zeros((8, 5), dtype=np.int64))
            terms = infos["final_info"]["reward_terms"] if ended.any() else infos["reward_terms"]
            total += np.where(over, 0.0, rewards - terms["quality"])
            over |= ended
        means.append(total.mean())
    assert means[0] < 0 and means[1] < 0
    assert 0.5 < means[0] / means[1] < 2  # eight times as many intervals


def test_stability_is_felt_and_quality_comes_first():
    """On the committed runs: 31 schedules, 39 tasks, 16 seeds; nothing is trained here."""
    runs = reward_weights.runs()
    assert len(runs) > 15_000
    weight = STEADY.oscillation
    assert {getattr(STEADY, name) for name in STABILITY_TERMS} == {weight} and STEADY.per == "run"
    (gain, instability), (plain, unstable) = (reward_weights.chosen(runs, each) for each in (weight, 0.0))
    assert instability < 0.9 * unstable  # what it makes one choose is steadier
    assert gain > plain - 0.01  # and no worse
    assert reward_weights.correlation(runs, weight) > 0.98


# --- exploits --------------------------------------------------------------------------------------------------------

KEEP, DOWN, UP = 0, 1, 2
TRICKS = {
    "do nothing": lambda t: [KEEP] * 5,
    "freeze both": lambda t: [DOWN, DOWN, KEEP, KEEP, KEEP],
    "spoil first, mend later": lambda t: [UP if t < 6 else DOWN, KEEP, KEEP, KEEP, KEEP],
    "freeze D": lambda t: [KEEP, DOWN, KEEP, KEEP, KEEP],
    "go to and fro": lambda t: [UP if t % 2 else DOWN, DOWN if t % 2 else UP, KEEP, KEEP, KEEP],
    "another loss each time": lambda t: [KEEP, KEEP, KEEP, UP, KEEP],
    "heavy penalty": lambda t: [KEEP, KEEP, KEEP, KEEP, UP],
    "race": lambda t: [UP, UP, KEEP, KEEP, KEEP],
}


@pytest.mark.parametrize("name", TRICKS)
def test_no_trick_earns_more_than_the_quality_it_ends_with(name):
    env = gym.make_vec("MetaGAN/Ring8-v2", num_envs=4, horizon=12, interval_updates=24, pace=0.25)
    start = env.reset(seed=2)[1]["distance"]
    earned, end, over = np.zeros(4), np.zeros(4), np.zeros(4, dtype=bool)
    for step in range(12):
        _, rewards, ended, _, infos = env.step(np.tile(TRICKS[name](step), (4, 1)))
        earned += np.where(over, 0.0, rewards)
        if ended.any():
            end = np.where(ended & ~over, infos["final_info"]["distance"], end)
        over |= ended
    assert over.all() and (earned <= np.log(start / end) + 1e-9).all()


def test_blowing_up_early_pays_less_than_anything_that_goes_on():
    worst = total(STEADY, 64, 1.0) - np.log(WORST_DISTANCE)
    for interval in (0, 1, 32, 63):
        assert total(STEADY, 64, 1.0, interval) <= worst + 1e-9
        assert total(STEADY, 64, 0.0, interval) < total(STEADY, 64, 0.0) - np.log(WORST_DISTANCE)


# --- the Dirac-GAN ---------------------------------------------------------------------------------------------------


def test_the_best_return_of_the_dirac_gan_is_known_and_critical_damping_gets_it():
    """Mescheder et al. 2018: without a penalty it circles, with gamma = 1 it goes straight to the equilibrium."""
    returns = {}
    for weight in (0.0, 0.01, 0.1, 1.0):
        rates = {"generator_lr": (0.3, 0.3), "discriminator_lr": (0.3, 0.3), "hold": 0.0}
        schedule = {**rates, "ratio": "1:1", "loss": "non-saturating", "penalty_weight": weight}
        env = gym.make_vec("MetaGAN/Dirac-v2", num_envs=8, reference=schedule)
        env.reset(seed=0)
        total, over = np.zeros(8), np.zeros(8, dtype=bool)
        while not over.all():
            _, rewards, ended, _, _ = env.step(np.zeros((8, 5), dtype=np.int64))
            total += np.where(over, 0.0, rewards)
            over |= ended
        returns[weight] = total
    best = np.log(100)
    assert returns[1.0] == pytest.approx(np.full(8, best))
    assert all((each <= best + 1e-9).all() for each in returns.values())
    assert returns[0.0].mean() < returns[0.01].mean() < returns[0.1].mean() <= best
    assert returns[0.01].mean() < 1
    assert gym.spec("MetaGAN/Dirac-v2").reward_threshold < best


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"per": "runs"}, UnknownNameError, "did you mean run"),
        ({"floor": 1.0}, InvalidValueError, "floor of the reward is 1.0"),
        ({"floor": float("nan")}, InvalidValueError, "floor of the reward is nan"),
        ({"vanishing": -1.0}, InvalidValueError, "vanishing is -1.0"),
    ],
)
def test_rewards_out_of_range_are_refused(options, error, words):
    with pytest.raises(error, match=words):
        Reward(**options)
