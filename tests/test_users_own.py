"""``users-own``: every run another of the usual schedules, the same for the same seed."""

import numpy as np

from metagan_rl.agents import make_scheduler
from metagan_rl.loop.drive import drive
from metagan_rl.tasks import get_suite

SHORT = {"horizon": 10, "interval_updates": 12}


def courses(seeds):
    task = get_suite("planar").split("val")[0]
    _, trace = drive(make_scheduler("users-own"), [task] * len(seeds), seeds, **SHORT)
    pairs = [(each.generator_lr_factor, each.discriminator_lr_factor) for each in trace.controls]
    for generator, discriminator in pairs:
        np.testing.assert_array_equal(generator, discriminator)
    return np.stack([generator for generator, _ in pairs])


def test_constants_decays_and_warm_ups_are_all_there_and_none_rises_above_the_base():
    found = courses(list(range(60)))
    assert (found <= 1).all() and (found > 0).all()
    ends = found[-1]
    assert 0.2 < (ends == 1).mean() < 0.6 and (ends < 0.2).any() and ((ends > 0.05) & (ends < 0.5)).any()
    warmed = found[0] < 1
    assert 0.05 < warmed.mean() < 0.4


def test_a_seed_always_draws_the_same():
    np.testing.assert_array_equal(courses([5, 7, 9]), courses([5, 7, 9]))
    np.testing.assert_array_equal(courses([5, 7, 9])[:, 2], courses([9])[:, 0])
