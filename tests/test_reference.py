"""Actions around a reference: zero follows it, departures are bounded, and exploration survives."""

from dataclasses import asdict

import gymnasium as gym
import numpy as np
import pytest

import metagan_rl  # noqa: F401  (registers the environments)
from metagan_rl.agents import Scheduler, make_scheduler, register_scheduler
from metagan_rl.agents.searches.tuned import FOLDER, tuned_decay
from metagan_rl.envs import ActionCodec, MetaGANVectorEnv
from metagan_rl.errors import FileFormatError, InvalidValueError, UnknownNameError
from metagan_rl.loop import KNOBS, SCHEDULERS, Controls, choose_knobs, drive
from metagan_rl.tasks import Base, get_suite

KINDS = ("discrete", "continuous", "moves", "joint-moves", "continuous-moves")
SHORT = {"horizon": 3, "interval_updates": 12}
TASKS = [get_suite("planar").split("val")[place] for place in (0, 9, 20)]


def codec(kind, **options):
    return ActionCodec(actions=kind, around=True, **options)


def followed(env, actions, steps=3, tasks=TASKS):
    """Distances after each step of the same actions."""
    env.reset(seed=0, options={"tasks": tasks, "gan_seeds": range(len(tasks))})
    found = []
    for _ in range(steps):
        _, _, over, _, infos = env.step(actions)
        found.append(infos["final_info"]["distance"] if over.all() else infos["distance"])
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "reference",
    ["constant", "tuned-decay", "default", str(FOLDER / "tuned-constant.json"), asdict(tuned_decay().schedule)],
)
def test_action_zero_follows_the_reference_to_the_bit(kind, reference):
    env = MetaGANVectorEnv("planar", 3, actions=kind, reference=reference, **SHORT)
    zero = np.zeros(env.action_space.shape, dtype=env.action_space.dtype)
    scheduler = {str: lambda: make_scheduler(reference if "/" not in reference else "tuned-constant")}.get(
        type(reference), tuned_decay
    )()
    _, trace = drive(scheduler, TASKS, range(3), **SHORT)
    if reference != "default":
        np.testing.assert_array_equal(followed(env, zero), trace.distance[1:])
    else:  # a policy: it draws from generators of the runs, one at a time, and rounding differs
        np.testing.assert_allclose(followed(env, zero)[0], trace.distance[1], rtol=1e-3)


def test_departures_are_factors_of_the_reference_and_end_at_a_factor_of_thirty():
    knobs = choose_knobs(["generator_lr_factor", "penalty_weight"])
    around = ActionCodec(knobs, "continuous", around=True)
    reference = Controls.base([Base(penalty_weight=0.03)] * 4).replace(
        generator_lr_factor=np.array([0.5, 0.5, 1.0, 1.0])
    )
    numbers = np.array([[0.5, 0.5], [-0.5, -0.5], [1.0, 1.0], [-1.0, -1.0]])
    controls = around.depart(around.places(numbers, np.zeros((4, 2))), reference)
    assert controls.generator_lr_factor == pytest.approx([0.5 * 30**0.5, 0.5 / 30**0.5, 30.0, 1 / 30])
    weight = 30**0.75
    assert controls.penalty_weight == pytest.approx(
        [0.031 * weight - 0.001, 0.031 / weight - 0.001, 5.0930, 0.0], rel=2e-3
    )


def test_a_weight_of_zero_can_be_left_and_reached_again():
    around = ActionCodec(choose_knobs(["penalty_weight"]), "moves", around=True)
    reference = Controls.base([Base()])
    places = np.zeros((1, 1))
    weights = []
    for move in [2] * 3 + [1] * 3:
        places = around.places(np.array([move]), places)
        weights.append(around.depart(places, reference).penalty_weight.item())
    assert weights[0] > 0 and weights[1] > weights[0] and weights[2] > weights[1]
    assert weights[3:5] == pytest.approx(weights[1::-1]) and weights[5] == 0.0


def test_levels_alternate_below_and_above_and_the_loss_has_one_more():
    around = codec("discrete")
    assert around.levels.tolist() == [33, 33, 7, 6, 17]
    reference = Controls.base([Base(loss="wgan", ratio="2:1")] * 4)
    levels = np.array([[0] * 5, [1, 2, 1, 1, 0], [31, 32, 6, 5, 0], [2, 1, 5, 4, 0]])
    told = [around.depart(around.places(levels, np.zeros((4, 5))), reference).describe(i) for i in range(4)]
    step = 30 ** (1 / 16)
    assert [each["generator_lr_factor"] for each in told] == pytest.approx([1, 1 / step, 1 / 30, step])
    assert [each["discriminator_lr_factor"] for each in told] == pytest.approx([1, step, 30, 1 / step])
    assert [each["ratio"] for each in told] == ["2:1", "1:1", "5:1", "1:3"]  # three steps up end at the last
    assert [each["loss"] for each in told] == ["wgan", "non-saturating", "rpgan", "wgan"]
    signs = around.normalised(levels)
    assert signs[:, 0] == pytest.approx([0, -1 / 16, -1, 1 / 16]) and signs[:, 3] == pytest.approx([0, 0.2, 1, 0.8])


def test_numbers_choose_a_loss_and_the_middle_third_is_the_references():
    around = ActionCodec(choose_knobs(["loss"]), "continuous", around=True)
    numbers = np.array([[-1.0], [-0.34], [-0.3], [0.0], [0.33], [0.34], [1.0]])
    places = around.places(numbers, np.zeros((7, 1)))[:, 0]
    assert places.tolist() == [1, 3, 0, 0, 0, 3, 5]
    spread = around.places(np.linspace(-1, 1, 3001)[:, None], np.zeros((3001, 1)))[:, 0]
    shares = np.bincount(spread.astype(int)) / 3001
    assert shares == pytest.approx([1 / 3, *[2 / 15] * 5], abs=2e-3)


@pytest.mark.parametrize("kind", ["moves", "joint-moves"])
def test_moves_add_up_stop_at_the_farthest_and_lead_back_to_the_reference(kind):
    around = codec(kind, pace=0.25)

    def moves(knob, up):
        return np.array([1 + 2 * knob + up]) if kind == "moves" else np.eye(5, dtype=int)[[knob]] * (1 + up)

    places = np.zeros((1, 5))
    for _ in range(6):
        places = around.places(moves(0, 1), places)
    assert places.tolist() == [[1.0, 0, 0, 0, 0]]
    for _ in range(4):
        places = around.places(moves(0, 0), places)
    assert places.tolist() == [[0.0] * 5]
    for expected in (1 / 3, 2 / 3, 1, 1):
        places = around.places(moves(2, 1), places)
        assert places[0, 2] == pytest.approx(expected)
    for expected in (5, 4, 5, 0, 1):
        places = around.places(moves(3, int(expected in (0, 1) or (expected == 5 and places[0, 3] == 4))), places)
        assert places[0, 3] == expected


def test_continuous_moves_add_up_at_their_pace():
    around = codec("continuous-moves", pace=0.5)
    places = np.zeros((1, 5))
    for expected in (0.25, 0.5):
        places = around.places(np.full((1, 5), 0.5), places)
        assert places[0, [0, 1, 2, 4]] == pytest.approx(expected) and places[0, 3] == 4
    assert around.places(np.full((1, 5), 7.0), places)[0, 0] == 1.0


@pytest.mark.parametrize("name", KNOBS)
def test_every_knob_departs_both_ways_within_its_range(name):
    knob = KNOBS[name]
    values = knob.base_values([Base(ratio="2:1", penalty_weight=0.1, beta1=0.5, ema_decay=0.9)])
    farthest = [np.array([1.0]), np.array([len(knob.levels)])] if knob.cyclic else [np.array([-1.0]), np.array([1.0])]
    down, up = (knob.checked(knob.departed(values, places)) for places in farthest)
    np.testing.assert_array_equal(knob.departed(values, np.zeros(1)), values)
    assert down != up and (knob.cyclic or down < values < up)


def test_the_observation_tells_the_departures_and_a_new_run_begins_at_the_reference():
    env = gym.make("MetaGAN/Planar-v2", horizon=2, interval_updates=12)
    assert env.observation_space.shape == (34 + 5,)
    assert not env.reset(seed=0)[0][-5:].any()
    for expected in (1, 2):
        observation = env.step(np.array([2, 1, 2, 2, 0]))[0]
        np.testing.assert_allclose(observation[-5:], [expected / 16, -expected / 16, expected / 3, 1, 0], rtol=1e-6)
    assert not env.reset()[0][-5:].any()


@pytest.mark.parametrize("named", [("steps",), ()])
def test_a_reference_that_remembers_is_begun_anew_with_each_run(named):
    @register_scheduler("counting")
    class Counting(Scheduler):
        """Halves G's rate before each interval."""

        remembers = named

        def begin(self, seeds):
            self.steps = 0

        def propose(self, situation):
            self.steps += 1
            return situation.base.replace(generator_lr_factor=np.full(len(situation), 0.5**self.steps))

    try:
        env = MetaGANVectorEnv("planar", 2, reference="counting", autoreset_mode="Disabled", **SHORT)
        env.reset(seed=0)
        zero = np.zeros((2, 5), dtype=np.int64)
        assert env.step(zero)[4]["controls"]["generator_lr_factor"].tolist() == [0.5, 0.5]
        env.reset(options={"reset_mask": np.array([False, True])})
        assert env.step(zero)[4]["controls"]["generator_lr_factor"].tolist() == [0.25, 0.5]
        with pytest.raises(InvalidValueError, match="outside the space"):
            env.step(zero - 1)
        assert env.step(zero)[4]["controls"]["generator_lr_factor"].tolist() == [0.125, 0.25]
    finally:
        SCHEDULERS.remove("counting")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"reference": "tuned-decy"}, UnknownNameError, "did you mean tuned-decay"),
        ({"reference": "nowhere.json"}, FileFormatError, "cannot read nowhere.json"),
        ({"reference": {"hold": 0.5}}, InvalidValueError, "is not a schedule"),
        ({"reference": "pbt"}, InvalidValueError, "trains 8 GANs for each run"),
        ({"actions": "joint-moves"}, InvalidValueError, "without a reference"),
        ({"reference": "constant", "pace": 0.0}, InvalidValueError, "pace is 0.0"),
        ({"reference": "constant", "lr_levels": 8}, InvalidValueError, "must be odd"),
        ({"reference": "constant", "knobs": ["beta1=0,0.5"]}, InvalidValueError, "leave the levels out"),
    ],
)
def test_bad_references_give_one_error_that_names_the_value(options, error, words):
    with pytest.raises(error, match=words):
        MetaGANVectorEnv("planar", 1, **options)


def test_levels_of_rates_around_a_reference_are_as_many_as_one_says():
    env = MetaGANVectorEnv("planar", 1, reference="constant", lr_levels=9, knobs=["generator_lr_factor"])
    assert env.single_action_space == gym.spaces.MultiDiscrete([9])
    env.reset(seed=0)
    assert env.step(np.array([[8]]))[4]["controls"]["generator_lr_factor"] == pytest.approx(30.0)


@pytest.mark.parametrize("ending", ["", "-Moves", "-Box"])
def test_random_agents_survive_where_actions_are_moves(ending):
    """A random walk of 16 decisions around the base leaves every run alive; of levels drawn anew many would blow up."""
    env = gym.make_vec(f"MetaGAN/Ring8{ending}-v2", num_envs=8, horizon=16, interval_updates=12)
    env.reset(seed=1)
    env.action_space.seed(1)
    for _ in range(16):
        infos = env.step(env.action_space.sample())[4]
    assert not infos["final_info"]["diverged"].any()
