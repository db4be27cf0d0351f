"""Momentum of a user's optimizers: set where it was asked for, and left alone otherwise."""

import copy

import pytest
import torch
from torch import nn

from metagan_rl import GANScheduler
from metagan_rl.errors import InvalidValueError


def adam(**options):
    return torch.optim.Adam([nn.Parameter(torch.ones(3))], lr=1e-3, betas=(0.5, 0.99), **options)


def betas(*optimizers):
    return [tuple(float(beta) for beta in group["betas"]) for each in optimizers for group in each.param_groups]


def scheduled(g, d, **options):
    return GANScheduler("cosine", g, d, total_steps=8, interval=1, **options)


def test_yours_stays_unless_you_ask():
    g, d = adam(), adam()
    scheduled(g, d)
    assert betas(g, d) == [(0.5, 0.99)] * 2


@pytest.mark.parametrize(("mode", "wanted"), [("both", (0.0, 0.0)), ("discriminator", (0.5, 0.0)), ("log", (0.5, 0.5))])
def test_it_is_set_where_rates_may_be(mode, wanted):
    g, d = adam(), adam()
    scheduled(g, d, beta1=0, mode=mode)
    assert betas(g, d) == [(beta, 0.99) for beta in wanted]


def test_groups_added_later_get_it_too():
    g, d = adam(), adam()
    scheduler = scheduled(g, [d], beta1=0.25)
    d.add_param_group({"params": [nn.Parameter(torch.ones(2))]})
    scheduler.step()
    assert betas(g, d) == [(0.25, 0.99)] * 3


def test_a_scheduler_of_torch_that_cycles_momentum_is_overruled():
    g, d = adam(), adam()
    scheduler = scheduled(g, d, beta1=0.0)
    cycle = torch.optim.lr_scheduler.OneCycleLR(g, 1e-2, total_steps=8)
    used = []
    g.register_step_pre_hook(lambda optimizer, *_: used.append(optimizer.param_groups[0]["betas"][0]))
    for _ in range(4):
        g.step()
        scheduler.step()
        cycle.step()
    assert used == [0.0] * 4


def test_another_scheduler_takes_the_optimizer_over():
    g, d = adam(), adam()
    first = scheduled(g, d, beta1=0.0)
    scheduled(g, d, beta1=0.25)
    with pytest.warns(RuntimeWarning, match="another GANScheduler"):
        first.step()
    g.step()
    assert betas(g, d) == [(0.25, 0.99)] * 2


def test_copies_of_a_loop_go_on_with_it():
    g, d = adam(), adam()
    scheduler, g, d = copy.deepcopy((scheduled(g, d, beta1=0.0), g, d))
    d.param_groups[0]["betas"] = (0.9, 0.99)
    scheduler.step()
    assert betas(g, d) == [(0.0, 0.99)] * 2


def test_schedulers_know_the_momentum_that_holds():
    g, d = adam(), adam()
    assert scheduled(g, d, beta1=0.0).ledger.signals()["momentum"][0] == 0
    assert scheduled(adam(), adam()).ledger.signals()["momentum"][0] == pytest.approx(0.1505, abs=1e-4)


@pytest.mark.parametrize("bad", [1.0, -0.1, "none", float("nan")])
def test_another_number_is_refused(bad):
    g, d = adam(), adam()
    with pytest.raises(InvalidValueError, match=r"beta1 is .*must lie in"):
        scheduled(g, d, beta1=bad)
    assert betas(g, d) == [(0.5, 0.99)] * 2


def test_an_optimizer_without_betas_is_named():
    sgd = torch.optim.SGD([nn.Parameter(torch.ones(3))], lr=1e-3)
    with pytest.raises(InvalidValueError, match="discriminator_optimizer is SGD, which has no betas; leave beta1 out"):
        scheduled(adam(), sgd, beta1=0.0)
