"""The bandit: it finds the arm that pays, notices a change, and its payoffs mean the same early and late."""

from typing import Any

import numpy as np
import pytest

from metagan_rl.agents.searches.bandit import ARMS, UCB, DiscountedUCB
from metagan_rl.errors import InvalidValueError
from metagan_rl.loop import Controls, Situation
from metagan_rl.tasks import Base


def pulls(bandit: DiscountedUCB, paying: list[int], rounds: int, rng: np.random.Generator) -> np.ndarray:
    """How often each arm is pulled, ``[B, K]``, while one arm of each bandit pays 0.8 and the others 0.4."""
    counts = np.zeros(bandit._counts.shape)
    rows = np.arange(len(paying))
    for _ in range(rounds):
        arms = bandit.choose()
        counts[rows, arms] += 1
        bandit.learn(arms, np.clip(np.where(arms == paying, 0.8, 0.4) + rng.normal(0, 0.1, len(paying)), 0, 1))
    return counts


def situation(interval: int, reward: np.ndarray, **base: Any) -> Situation:
    controls = Controls.base([Base(**base)] * len(reward))
    return Situation({"progress": np.full(len(reward), interval / 64)}, controls, controls, reward)


def arm_of(controls: Controls) -> list[int]:
    pairs = np.stack([controls.generator_lr_factor, controls.discriminator_lr_factor], axis=1)
    return [int(np.flatnonzero(np.isclose(pair, 2.0**ARMS).all(axis=1))[0]) for pair in pairs]


def begun(runs: int, **options: Any) -> UCB:
    scheduler = UCB(**options)
    scheduler.begin(range(runs))
    return scheduler


def test_it_finds_the_arm_that_pays_and_follows_when_another_does() -> None:
    rng, bandit = np.random.default_rng(0), DiscountedUCB(5, 9, 0.94, 0.005)
    assert (pulls(bandit, [0, 2, 4, 6, 8], 9, rng) == 1).all(), "each arm once first"
    for paying in ([0, 2, 4, 6, 8], [5, 3, 8, 0, 1]):
        pulls(bandit, paying, 60, rng)
        counts = pulls(bandit, paying, 40, rng)
        assert (counts.argmax(axis=1) == paying).all() and (counts.max(axis=1) > 20).all()


def test_without_discounting_it_is_slow_to_follow() -> None:
    late = {}
    for discount in (0.94, 1.0):
        rng, bandit = np.random.default_rng(0), DiscountedUCB(20, 4, discount, 0.005)
        pulls(bandit, [1] * 20, 150, rng)
        late[discount] = pulls(bandit, [2] * 20, 40, rng)[:, 2].mean()
    assert late[0.94] > 2 * late[1.0]


def test_worth_is_the_formula_of_the_paper() -> None:
    bandit, rng = DiscountedUCB(1, 3, 0.9, 0.05), np.random.default_rng(0)
    arms, payoffs = [0, 1, 2, 1, 1, 0], rng.uniform(size=6)
    for arm, payoff in zip(arms, payoffs, strict=True):
        bandit.learn(np.array([arm]), np.array([payoff]))
    counted = 0.9 ** np.arange(5, -1, -1)
    sizes = np.array([sum(c for c, a in zip(counted, arms, strict=True) if a == i) for i in range(3)])
    sums = np.array([sum(c * x for c, x, a in zip(counted, payoffs, arms, strict=True) if a == i) for i in range(3)])
    worth = sums / sizes + 2 * np.sqrt(0.05 * np.log(sizes.sum()) / sizes)
    assert bandit.choose()[0] == worth.argmax()
    np.testing.assert_allclose([bandit._counts[0], bandit._sums[0]], [sizes, sums])


def test_the_base_comes_first_and_every_arm_once_and_nothing_but_rates_is_set() -> None:
    scheduler, arms = begun(2), []
    for interval in range(5):
        seen = situation(interval, np.zeros(2), loss="hinge", ratio="2:1", penalty_weight=0.3)
        controls = scheduler.step(seen)
        arms.append(arm_of(controls)[0])
        same = controls.replace(generator_lr_factor=np.ones(2), discriminator_lr_factor=np.ones(2))
        assert same.describe(1) == seen.base.describe(1)
    assert arms[0] == 0 and ARMS[0].tolist() == [0, 0] and sorted(arms) == list(range(5))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 50.0])
def test_it_finds_the_best_rates_while_rewards_shrink_whatever_their_scale(scale: float) -> None:
    rng, scheduler, runs = np.random.default_rng(0), begun(16), 16
    best, reward, late = np.arange(16) % 5, np.zeros(16), np.zeros(16)
    for interval in range(128):
        arms = np.array(arm_of(scheduler.step(situation(interval, reward))))
        late += (interval >= 64) & (arms == best)
        gain = np.where(arms == best, 1.5, 0.5) + rng.normal(0, 0.2, runs)
        reward = scale * (3 * np.exp(-interval / 5) + np.exp(-interval / 60) * gain)
    assert late.mean() > 2 * 64 / 5, late


def test_a_run_is_scheduled_the_same_whoever_else_is() -> None:
    rng, together, alone = np.random.default_rng(0), begun(3), [begun(1) for _ in range(3)]
    reward, seen = np.zeros(3), set()
    for interval in range(40):
        arms = arm_of(together.step(situation(interval, reward)))
        assert arms == [arm_of(each.step(situation(interval, reward[[i]])))[0] for i, each in enumerate(alone)]
        seen.add(tuple(arms))
        reward = rng.normal(0, 1, 3)
    assert any(len(set(arms)) > 1 for arms in seen)


def test_a_reward_that_is_no_number_spoils_nothing_and_begin_forgets() -> None:
    scheduler = begun(2)
    courses = []
    for _ in range(2):
        scheduler.begin([0, 1])
        course = [
            arm_of(scheduler.step(situation(i, np.array([np.nan if i > 5 else -1.0, float(np.sin(i))]))))
            for i in range(30)
        ]
        courses.append(course)
    assert courses[0] == courses[1]


@pytest.mark.parametrize(
    "options", [{"discount": 0.0}, {"discount": 1.1}, {"width": 0.0}, {"step": 1.0}, {"step": 31.0}]
)
def test_bad_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(InvalidValueError, match=next(iter(options))):
        UCB(**options)
