"""Hidden conditions: they change what is trained, nobody is told, and runs with them can be copied and saved."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch

import metagan_rl  # noqa: F401  (registers the environments)
from metagan_rl.errors import DataError, InvalidValueError, UnknownNameError
from metagan_rl.loop import Runs
from metagan_rl.tasks import Suite, Task, get_suite, sample_task
from metagan_rl.tasks.hidden import Event, Hidden

SUITES = ("unknown", "faults", "drift", "shift", "wide")
SHORT = {"horizon": 8, "interval_updates": 12}


def task(hidden=None, **base):
    return replace(get_suite("planar").split("val")[0].with_base(generator_lr=1e-3, **base), hidden=hidden)


def weights(runs):
    return {
        name: each.clone()
        for population, _ in runs.population.groups()
        for name, each in population.state.to_dict().items()
    }


def advanced(tasks, steps=8, seeds=None):
    runs = Runs(tasks, seeds or [7] * len(tasks), **SHORT)
    distances = [runs.quality.distance]
    for _ in range(steps):
        runs.advance(runs.base_controls())
        distances.append(runs.quality.distance)
    return runs, np.array(distances)


def test_hidden_rates_train_as_other_base_rates_do_and_no_signal_tells():
    hidden = task(Hidden(generator_lr=4.0, discriminator_lr=0.5))
    open_ = task().with_base(generator_lr=4e-3, discriminator_lr=hidden.base.discriminator_lr * 0.5)
    one, other = advanced([hidden])[0], advanced([open_])[0]
    np.testing.assert_array_equal(one.quality.distance, other.quality.distance)
    np.testing.assert_array_equal(one.observe(), other.observe())
    assert one.hidden_factors.tolist() == [[4.0, 0.5]] and other.hidden_factors.tolist() == [[1.0, 1.0]]
    assert one.controls.describe(0) == other.controls.describe(0)


def test_a_rate_jumps_when_its_time_has_come_and_not_before():
    jump = task(Hidden(events=(Event(0.5, generator_lr=10.0),)))
    (_, plain), (runs, jumped) = advanced([task()]), advanced([jump])
    np.testing.assert_array_equal(plain[:5], jumped[:5])
    assert (plain[5:] != jumped[5:]).all()
    assert runs.hidden_factors.tolist() == [[10.0, 1.0]]
    middle = Runs([jump], [7], **SHORT)
    for expected in (1, 1, 1, 1, 10, 10, 10, 10):
        assert middle.hidden_factors[0, 0] == expected
        middle.advance(middle.base_controls())


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_a_network_that_is_reset_begins_anew_and_the_other_goes_on(network):
    runs = advanced([task(Hidden(events=(Event(0.5, reset=network),)))], steps=4)[0]
    before = weights(runs)
    still = runs.base_controls().replace(
        generator_lr_factor=np.array([1 / 30]), discriminator_lr_factor=np.array([1 / 30])
    )
    runs.advance(still)
    after = weights(runs)
    other = ({"generator", "discriminator"} - {network}).pop()
    assert after[f"{network}_steps"].item() == 6 and after[f"{other}_steps"].item() == 30

    def moved(name):
        return float((after[name] - before[name]).norm() / before[name].norm())

    assert moved(network) > 0.5 > 0.05 > moved(other)
    assert (moved("average") > 0.5) == (network == "generator")
    assert after["seed"].item() == 7 and after["intervals"].item() == 5


def test_data_drift_in_steps_and_the_gan_goes_on_from_where_it_was():
    drift = Hidden(turn=0.25, shift=1.0, changes=2)
    assert [drift.stage(p) for p in (0, 0.3, 1 / 3, 0.5, 2 / 3, 0.9)] == [0, 0, 1, 1, 2, 2]
    moving = task(drift)
    data = [moving.at_stage(stage).data() for stage in range(3)]
    angle = np.pi / 4
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    expected = data[0].train.numpy() @ turn + np.array([0.5, 0.0])
    np.testing.assert_allclose(data[1].train.numpy(), expected, atol=1e-5)
    assert data[2].reward_reference.mean(0).tolist() == pytest.approx([1.0, 0.0], abs=0.15)
    runs, _ = advanced([moving, task()], steps=3, seeds=[7, 8])
    before = weights(runs)
    runs.advance(runs.base_controls().replace(generator_lr_factor=np.full(2, 1 / 30)))
    after = weights(runs)
    assert float((after["generator"] - before["generator"]).norm() / before["generator"].norm()) < 0.02
    assert after["generator_steps"].tolist() == [24, 24] and after["seed"].tolist() == [7, 8]
    assert runs.tasks[0] == moving and runs.population.tasks[0].family == "moved"
    assert runs.population.tasks[1].family == moving.family
    runs.keep([1, 0])
    assert runs.tasks[1] == moving and runs.population.tasks[1].family == "moved"


def test_data_that_change_at_once_do_so_at_half_time_or_when_one_says():
    once, late = Hidden(shift=1.0, changes=1), Hidden(shift=1.0, changes=1, change_at=0.8)
    assert [once.stage(p) for p in (0.0, 0.49, 0.5, 0.99)] == [0, 0, 1, 1]
    assert [late.stage(p) for p in (0.0, 0.5, 0.79, 0.8, 0.99)] == [0, 0, 0, 1, 1]
    assert Hidden.from_dict(late.to_dict()) == late and "change_at" not in once.to_dict()


def test_a_run_with_drift_and_faults_can_be_saved_and_branched_at_any_time():
    hidden = Hidden(2.0, 1.0, (Event(0.4, discriminator_lr=5.0), Event(0.6, reset="discriminator")), 0.5, 1.0, 4)
    env = gym.make_vec("MetaGAN/Wide-v0", num_envs=2, **SHORT)
    env.reset(seed=0, options={"tasks": [task(hidden), task(hidden)], "gan_seeds": [1, 2]})
    zero = np.zeros(env.action_space.shape, dtype=np.int64)
    for _ in range(7):
        branch = env.clone()
        one, other = env.step(zero), branch.step(zero)
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


@pytest.mark.parametrize("name", SUITES)
def test_suites_with_hidden_conditions_hide_something_and_their_manifests_hold_it(name, tmp_path):
    suite = get_suite(name)
    suite.save(tmp_path / "again.json")
    assert Suite.load(tmp_path / "again.json").sha256 == suite.sha256
    train = list(suite.split("train"))
    hiding = np.mean([each.hidden is not None for each in train])
    assert 0.4 < hiding <= 1.0
    assert {each.base.beta1 for each in train} == {0.0, 0.5, 0.9}
    batches = {16, 32, 64, 128} if name == "wide" else {32, 64, 128}
    assert {each.base.batch_size for each in train} == batches
    assert Task.from_dict(train[1].to_dict()) == train[1]
    if name == "unknown":
        factors = np.array([each.hidden.factors(0) for each in train if each.hidden])
        assert 0.4 < hiding < 0.6 and (factors >= 1 / 8).all() and (factors <= 8).all()
        assert np.log(factors).std() > 1.0


@pytest.mark.parametrize("name", ["Unknown", "Faults", "Drift", "Wide"])
def test_observations_do_not_tell_what_is_hidden_but_infos_do(name):
    env = gym.make(f"MetaGAN/{name}-v0", **SHORT)
    given = Hidden(generator_lr=8.0)
    one, info = env.reset(options={"task": task(given), "gan_seed": 3})
    other, _ = env.reset(options={"task": task(), "gan_seed": 3})
    np.testing.assert_array_equal(one, other)
    assert info["hidden"] == {"generator_lr": 8.0, "discriminator_lr": 1.0}
    assert "hidden" not in gym.make("MetaGAN/Planar-v2", **SHORT).reset(seed=0)[1]


def test_trials_ids_give_four_runs_on_a_task():
    env = gym.make("MetaGAN/Unknown-Trials-v0", horizon=1, interval_updates=12)
    env.reset(seed=0)
    ends = [env.step(np.zeros(5, dtype=np.int64))[2] for _ in range(4)]
    assert ends == [False, False, False, True]


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Hidden(generator_lr=0.0), InvalidValueError, "hidden generator_lr is 0.0"),
        (lambda: Hidden(discriminator_lr=float("nan")), InvalidValueError, "hidden discriminator_lr is nan"),
        (lambda: Hidden(changes=0), InvalidValueError, "changes is 0"),
        (lambda: Hidden(change_at=1.0), InvalidValueError, "change_at is 1.0"),
        (lambda: Hidden(turn=float("inf")), InvalidValueError, "turn is inf"),
        (lambda: Event(1.0), InvalidValueError, "at of an event is 1.0"),
        (lambda: Event(0.5, reset="generater"), UnknownNameError, "did you mean generator"),
        (
            lambda: replace(get_suite("tabular").split("val")[0], hidden=Hidden(turn=0.1)).at_stage(1).data(),
            DataError,
            "only endless data can drift",
        ),
    ],
)
def test_what_cannot_be_hidden_is_refused(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_a_moved_family_is_a_family_like_others():
    drawn = sample_task("moved", np.random.default_rng(0))
    assert drawn.dim == 2 and torch.isfinite(drawn.data().train).all()
