"""A policy that was trained on top of users' schedules: in a loop of one's own, and in a comparison."""

import numpy as np
import pytest
import torch

from metagan_rl import GANScheduler
from metagan_rl.agents import TrainConfig, load_policy, train
from metagan_rl.agents.learners.policy_files import save_policy
from metagan_rl.agents.plugin.quality import QUALITY_PARTS
from metagan_rl.errors import InvalidValueError
from metagan_rl.loop.drive import drive
from metagan_rl.tasks import get_suite

STEPS = 160


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    """One that always moves both rates up, by 0.05 of the farthest departure."""
    out = tmp_path_factory.mktemp("run")
    train(
        TrainConfig.named(
            env="MetaGAN/WideLoops-Box-v0", members=2, shards=1, updates=1, hidden=8, epochs=1, minibatches=1,
            validate_every=0, trial_runs=0, horizon=2,
        ),
        out,
    )  # fmt: skip
    found = load_policy(out / "policy.safetensors")
    for name, weight in found.network.named_parameters():
        weight.zero_()
        if name == "head.bias":
            weight.fill_(0.05 / found.config.pace)
    return found


def loop(scheduler, lr=1e-3, beta1=0.5, **options):
    G, D = torch.nn.Linear(2, 2), torch.nn.Linear(2, 1)
    optimizers = [torch.optim.Adam(each.parameters(), lr=lr, betas=(beta1, 0.99)) for each in (G, D)]
    return GANScheduler(scheduler, *optimizers, total_steps=STEPS, **options), optimizers


def given(scheduler, rounds):
    for _ in range(rounds):
        real, fake = torch.tensor([1.0, 0.5]), torch.tensor([-0.2, 0.1])
        scheduler.step(real_logits=real, fake_logits=fake)


def test_it_decides_sixteen_times_in_a_run_and_departs_from_the_loops_own_rates(policy):
    scheduler, (g, _) = loop(policy)
    rates = []
    for _ in range(STEPS):
        given(scheduler, 1)
        rates.append(g.param_groups[0]["lr"])
    changes = np.flatnonzero(np.diff([1e-3, *rates]))
    assert set(np.diff(changes).tolist()) == {STEPS // 16}
    steps = np.diff(np.log([1e-3, *rates]))[changes]
    assert (steps > 0).all() and steps.max() <= np.log(1.1) * 4 + 1e-9
    assert max(rates) <= 3e-3 * (1 + 1e-9)


def test_it_sees_what_the_loop_knows_of_itself(policy):
    told = loop(policy, beta1=0.9, batch_size=32)[0].ledger.signals()
    assert told["momentum"][0] == pytest.approx(0.5) and told["batch"][0] == pytest.approx(np.log10(0.25))
    assert told["size"][0] == pytest.approx(np.log10((6 + 3) / 1e4) / 3)
    assert "columns" not in told and "batch" not in loop(policy)[0].ledger.signals()
    with pytest.raises(InvalidValueError, match="batch_size is 0"):
        loop(policy, batch_size=0)


def test_in_a_comparison_it_departs_from_any_schedule(policy, tmp_path):
    task = get_suite("planar").split("val")[0]
    short = {"decisions": 4, "horizon": 4}
    decayed = drive(policy.around("tuned-decay"), [task], [0], **short)[1].controls
    alone = drive(policy.around("constant"), [task], [0], **short)[1].controls
    assert decayed[0].generator_lr_factor != alone[0].generator_lr_factor
    ratio = decayed[-1].generator_lr_factor / decayed[0].generator_lr_factor
    assert ratio < alone[-1].generator_lr_factor / alone[0].generator_lr_factor
    save_policy(tmp_path / "own.safetensors", policy)
    assert load_policy(tmp_path / "own.safetensors").config.reference == "users-own"


def test_only_policies_that_depart_can_depart_from_something_else():
    from metagan_rl.agents import make_scheduler

    with pytest.raises(InvalidValueError, match="departs from no schedule"):
        make_scheduler("loop").around("constant")


def test_a_policy_on_identified_rates_keeps_to_the_users_rates_in_a_loop():
    """In environments it would set rates of its own, whatever the base is."""

    def rates(lr):
        optimizers = [torch.optim.Adam(torch.nn.Linear(2, 2).parameters(), lr=lr) for _ in range(2)]
        scheduler = GANScheduler("default", *optimizers, total_steps=64, quality=tuple(QUALITY_PARTS))
        for _ in range(16):
            scheduler.step(
                real_logits=torch.ones(8), fake_logits=-torch.ones(8), quality=dict.fromkeys(QUALITY_PARTS, 0.5)
            )
        return np.array(scheduler.get_last_lr()) / lr

    near, far = rates(1e-4), rates(1e-2)
    np.testing.assert_allclose(near, far, rtol=1e-6)
    assert (near > 1 / 4).all() and (near < 4).all()
