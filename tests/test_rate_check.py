"""``rate-check`` reads both rates in two intervals and corrects them once; in loops it goes on top of your own."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from metagan_rl import GANScheduler
from metagan_rl.agents import make_scheduler
from metagan_rl.agents.searches.rate_check import CHECKED_OWN, FILE, RATE_CHECK, load_rate_check
from metagan_rl.errors import FileFormatError
from metagan_rl.experiments.studies.rate_check import CheckRates, study
from metagan_rl.loop import Runs
from metagan_rl.loop.drive import situation_of
from metagan_rl.tasks import get_suite
from metagan_rl.tasks.hidden import Hidden


def begun(hidden, name=RATE_CHECK, intervals=2):
    tasks = [replace(task, hidden=hidden, budget=768) for task in list(get_suite("wide-loops").split("val"))[::6]]
    runs, scheduler = Runs(tasks, range(len(tasks)), decisions=16), make_scheduler(name)
    scheduler.begin(list(range(len(tasks))))
    given = []
    for _ in range(intervals):
        given.append(scheduler.step(situation_of(runs, np.zeros(len(tasks)))))
        runs.advance(given[-1])
    given.append(scheduler.step(situation_of(runs, np.zeros(len(tasks)))))
    return runs, scheduler, given


@pytest.mark.parametrize("off", [1 / 10, 10.0])
def test_rates_that_are_far_off_are_mended(off):
    _, scheduler, _ = begun(Hidden(off, off))
    left = np.abs(np.log10(scheduler.factors * off))
    assert left.mean() < 0.5  # of one decade


def test_rates_that_suit_are_left_alone():
    _, scheduler, _ = begun(None)
    assert np.median(np.abs(np.log10(scheduler.factors))) < 0.03
    assert np.abs(np.log10(scheduler.factors)).mean() < 0.1


def test_it_corrects_once_and_only_after_two_intervals():
    runs, scheduler, given = begun(Hidden(10.0, 10.0))
    for controls in given[:2]:
        np.testing.assert_array_equal(controls.generator_lr_factor, 1)
    np.testing.assert_allclose(given[2].generator_lr_factor, scheduler.factors[:, 0])
    factors = scheduler.factors.copy()
    runs.advance(given[2])
    scheduler.step(situation_of(runs, np.zeros(len(runs))))
    np.testing.assert_array_equal(scheduler.factors, factors)


def test_it_stands_on_schedules_as_users_set_them():
    _, scheduler, given = begun(Hidden(1.0, 10.0), CHECKED_OWN)
    _, _, own = begun(Hidden(1.0, 10.0), "users-own")
    np.testing.assert_array_equal(given[1].discriminator_lr_factor, own[1].discriminator_lr_factor)
    wanted = np.clip(own[2].discriminator_lr_factor * scheduler.factors[:, 1], 1 / 30, 30)
    np.testing.assert_allclose(given[2].discriminator_lr_factor, wanted)


def test_where_nothing_is_measured_nothing_is_corrected():
    runs, _, _ = begun(Hidden(10.0, 10.0))
    scheduler, now = make_scheduler(RATE_CHECK), situation_of(runs, np.zeros(len(runs)))
    blind = replace(now, signals={name: values for name, values in now.signals.items() if "logit" not in name})
    for _ in range(2):
        controls = scheduler.step(blind)
    np.testing.assert_array_equal(controls.generator_lr_factor, 1)


def test_intervals_in_which_nothing_was_measured_are_waited_for():
    runs, _, _ = begun(Hidden(10.0, 10.0), intervals=1)
    scheduler = make_scheduler(RATE_CHECK)
    scheduler.begin(list(range(len(runs))))
    now = situation_of(runs, np.zeros(len(runs)))
    blind = replace(now, signals={name: values for name, values in now.signals.items() if "logit" not in name})
    for situation in (blind, now, blind):
        controls = scheduler.step(situation)
        np.testing.assert_array_equal(controls.generator_lr_factor, 1)
    assert (scheduler.step(now).generator_lr_factor < 1).any()


def test_it_goes_on_after_a_stop_between_the_two_intervals():
    runs, scheduler, given = begun(Hidden(10.0, 1.0), CHECKED_OWN, intervals=1)  # has looked at one of the two
    other = make_scheduler(CHECKED_OWN)
    other.begin([99 + number for number in range(len(runs))])
    other.load_state_dict(scheduler.state_dict())
    runs.advance(given[-1])
    now = situation_of(runs, np.zeros(len(runs)))
    np.testing.assert_array_equal(other.step(now).generator_lr_factor, scheduler.step(now).generator_lr_factor)
    np.testing.assert_array_equal(other.factors, scheduler.factors)


def loop(lr, scheduler=RATE_CHECK, steps=64):
    """A small GAN's own loop; both factors at the end."""
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2))
    discriminator = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizers = [torch.optim.Adam(each.parameters(), lr=lr, betas=(0.5, 0.99)) for each in (generator, discriminator)]
    made = GANScheduler(scheduler, *optimizers, total_steps=steps, batch_size=64, strict=True)
    for _ in range(steps):
        real, noise = torch.randn(64, 2) * 0.1 + 1, torch.randn(64, 8)
        logits = discriminator(real), discriminator(generator(noise).detach())
        loss = nn.functional.softplus(-logits[0]).mean() + nn.functional.softplus(logits[1]).mean()
        optimizers[1].zero_grad()
        loss.backward()
        optimizers[1].step()
        optimizers[0].zero_grad()
        nn.functional.softplus(-discriminator(generator(noise))).mean().backward()
        optimizers[0].step()
        controls = made.step(real_logits=logits[0], fake_logits=logits[1])
    return controls.generator_lr_factor, controls.discriminator_lr_factor


def test_a_users_loop_whose_rates_are_far_too_low_is_mended():
    assert min(loop(1e-6)) > 2


def test_what_is_no_rate_check_is_refused_and_one_can_be_fitted(tmp_path, capsys):
    study(CheckRates(tasks=8, lengths=(16,), out=tmp_path / "own.json"))
    assert capsys.readouterr().out.count("off by a factor") == 2
    assert load_rate_check(tmp_path / "own.json").metadata["tasks"] == 8
    record = json.loads(FILE.read_text(encoding="utf-8"))
    record["generator"]["right"] = 0.1
    (tmp_path / "x.json").write_text(json.dumps(record))
    with pytest.raises(FileFormatError, match="was changed"):
        load_rate_check(tmp_path / "x.json")
