"""``own-or-rule`` gives each run a user's schedule with rates checked, or the identified rule, and stays with it."""

from dataclasses import replace

import numpy as np

from metagan_rl.agents import make_scheduler
from metagan_rl.loop import Runs
from metagan_rl.loop.drive import situation_of
from metagan_rl.tasks import get_suite

SEEDS = list(range(8))
OTHERS = {False: "users-own-checked", True: "identified-rule"}


def begun(name="own-or-rule"):
    scheduler = make_scheduler(name)
    scheduler.begin(SEEDS)
    return scheduler


def set_rates(controls):
    return np.stack([controls.generator_lr_factor, controls.discriminator_lr_factor, controls.beta1], axis=1)


def test_every_run_follows_one_of_the_two_to_its_end():
    tasks = [replace(task, budget=768) for task in list(get_suite("wide-loops").split("val"))[::9][: len(SEEDS)]]
    runs, mixed = Runs(tasks, SEEDS, decisions=16), begun()
    others = {kind: begun(name) for kind, name in OTHERS.items()}
    followed = []
    for _ in range(4):
        now = situation_of(runs, np.zeros(len(tasks)))
        given, wanted = mixed.step(now), {kind: each.step(now) for kind, each in others.items()}
        alike = {kind: (set_rates(given) == set_rates(each)).all(axis=1) for kind, each in wanted.items()}
        assert (alike[False] | alike[True]).all()
        followed.append(alike[True])
        runs.advance(given)
    assert 0 < followed[-1].sum() < len(SEEDS)
    np.testing.assert_array_equal(followed, [followed[0]] * len(followed))


def test_a_stopped_run_stays_with_what_it_has():
    tasks = [replace(task, budget=768) for task in list(get_suite("wide-loops").split("val"))[::9][: len(SEEDS)]]
    runs, one, other = Runs(tasks, SEEDS, decisions=16), begun(), make_scheduler("own-or-rule")
    now = situation_of(runs, np.zeros(len(tasks)))
    runs.advance(one.step(now))
    other.begin([each + 99 for each in SEEDS])
    other.load_state_dict(one.state_dict())
    now = situation_of(runs, np.zeros(len(tasks)))
    np.testing.assert_array_equal(set_rates(one.step(now)), set_rates(other.step(now)))
