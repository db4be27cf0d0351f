"""Advice by evidence: what is wrong, what was seen, and what to try."""

import warnings

import pytest
import torch
from own_loops import Loop, logits
from torch import nn

from metagan_rl import GANScheduler
from metagan_rl.agents.plugin.health import CAUSES, STATUSES
from metagan_rl.experiments.studies import detector_study


def watched(loop=None, **options):
    return (loop or Loop()).scheduler("constant", **{"total_steps": 640, "interval": 10, "mode": "log", **options})


def balanced():
    return {"real_logits": logits(0.1), "fake_logits": logits(0.0).flip(0)}


def classes(count, kept=10, seed=0):
    random = torch.Generator().manual_seed(seed)
    centres = 3 * torch.randn(10, 12, generator=torch.Generator().manual_seed(1))
    return centres[torch.randint(kept, (count,), generator=random)] + 0.3 * torch.randn(count, 12, generator=random)


def train(scheduler, rounds, made, real=lambda step: classes(32, seed=step), loop=None, move=1e-2):
    """Rounds in which weights move a little, and what advice says after each interval."""
    said = []
    for step in range(rounds):
        for network in (loop.generator, loop.discriminator) if loop else ():
            with torch.no_grad():
                for weight in network.parameters():
                    weight.add_(move * torch.randn_like(weight))
        controls = scheduler.step(**balanced(), samples=made(step), real_samples=real(step))
        if (step + 1) % scheduler.options.interval == 0:
            said.append(controls.advice)
    return said


@pytest.mark.parametrize("batch", [8, 64])
def test_one_sample_is_told_within_a_tenth_of_the_run(batch):
    said = train(
        watched(), 64, lambda step: classes(1, seed=step).expand(batch, -1), lambda step: classes(batch, seed=step)
    )
    assert said[-1].status == "collapsing" and said[-1].cause == "one sample"
    assert "differ by 0.0%" in said[-1].evidence and said[-1].remedy in said[-1].message


@pytest.mark.parametrize("batch", [8, 64])
def test_two_of_ten_classes_are_told_within_a_tenth_of_the_run(batch):
    said = train(watched(), 640, lambda step: classes(batch, 2, 99 + step), lambda step: classes(batch, seed=step))
    assert (said[6].status, said[6].cause) == ("narrow", "lost modes") and "look real" in said[6].evidence
    assert "collapsing" in {advice.status for advice in said}  # it lasts


@pytest.mark.parametrize("batch", [8, 64])
def test_samples_that_cover_the_data_or_are_on_their_way_are_healthy(batch):
    said = train(watched(), 640, lambda step: classes(batch, seed=1000 + step), lambda step: classes(batch, seed=step))
    assert {advice.status for advice in said} == {"ok"}

    def on_its_way(step):
        return min(1.0, 0.03 + step / 200) * classes(batch, seed=1000 + step)

    assert {advice.status for advice in train(watched(), 320, on_its_way, lambda step: classes(batch, seed=step))} == {
        "ok"
    }


@pytest.mark.parametrize("dead", ["generator", "discriminator"])
def test_a_network_that_stands_still_is_told(dead):
    loop = Loop()
    scheduler = watched(loop)
    alive = loop.discriminator if dead == "generator" else loop.generator
    for _ in range(30):
        with torch.no_grad():
            for weight in alive.parameters():
                weight.add_(1e-2 * torch.randn_like(weight))
        advice = scheduler.step(**balanced()).advice
    assert (advice.status, advice.cause) == ("stalled", f"{dead} stands still") and "optimizer holds" in advice.remedy


@pytest.mark.parametrize(("move", "cause"), [(1e-5, "rates too low"), (1e-2, ""), (3.0, "rates too high")])
def test_rates_that_are_far_off_are_told(move, cause):
    loop = Loop()
    said = train(watched(loop), 64, lambda step: classes(32, seed=1000 + step), loop=loop, move=move)
    assert {advice.cause for advice in said} <= {"", cause} and cause in {advice.cause for advice in said}


def test_warm_ups_and_decays_are_not_taken_for_rates_that_are_too_low():
    loop = Loop()
    scheduler = watched(loop)
    with torch.no_grad():
        for step in range(640):
            rate = 1e-2 * min(1, (1 + step) / 60) * max(1e-6, 1 - step / 640)
            for network in (loop.generator, loop.discriminator):
                for weight in network.parameters():
                    weight.add_(rate * torch.randn_like(weight))
            advice = scheduler.step(**balanced()).advice
            assert advice.status == "ok", advice


def test_small_batches_of_an_even_match_are_no_running_in_circles():
    scheduler = watched()
    random = torch.Generator().manual_seed(0)
    for _ in range(640):
        real, fake = torch.randn(8, generator=random), torch.randn(8, generator=random)
        assert scheduler.step(real_logits=real, fake_logits=fake).advice.status == "ok"


def test_samples_come_from_hooks_too():
    loop = Loop()
    scheduler = watched(loop).watch(discriminator=loop.discriminator, generator=loop.generator)
    with torch.no_grad():
        loop.generator[0].weight.zero_()
        loop.generator[0].weight.requires_grad_(False)
    for _ in range(64):
        loop.round()
    assert scheduler.controls.advice.cause == "one sample"


@pytest.mark.parametrize("wrong", ["many", torch.tensor(3.0), torch.zeros(4, 2, dtype=torch.complex64)])
def test_samples_that_cannot_be_used_are_left_out(wrong):
    scheduler = watched()
    with pytest.warns(RuntimeWarning, match="generated samples that cannot be used"):
        scheduler.step(**balanced(), samples=wrong)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(20):
            scheduler.step(**balanced(), samples=torch.zeros(4, 3), real_samples=torch.zeros(4, 2))
    assert scheduler.controls.advice.status == "ok"


def test_samples_of_any_shape_are_kept_small():
    scheduler = watched(interval=2)
    held = torch.rand(600, 3, 32, 32)
    for _ in range(4):
        scheduler.step(**balanced(), samples=held, real_samples=held)
    assert scheduler.controls.advice.status == "ok"


def test_samples_of_another_discriminator_cost_nothing():
    """As in CycleGAN: two kinds of samples in turn, one table with two columns and one with three."""
    scheduler = watched()
    random = torch.Generator().manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for step in range(64):
            columns = 2 + step % 2
            real = torch.randn(64, columns, generator=random)
            scheduler.step(**balanced(), samples=real.mean(dim=0, keepdim=True).expand(64, -1), real_samples=real)
    assert scheduler.controls.advice.cause == "one sample"


def test_the_size_of_samples_may_change():
    scheduler, random = watched(), torch.Generator().manual_seed(0)
    for step in range(64):
        real = torch.randn(64, 3, 4 if step < 32 else 8, 8, generator=random)
        scheduler.step(**balanced(), samples=real.mean(dim=0, keepdim=True).expand_as(real), real_samples=real)
    assert scheduler.controls.advice.cause == "one sample"


def test_every_cause_has_a_status_and_a_remedy():
    assert {cause.status for cause in CAUSES.values()} <= set(STATUSES) - {"ok"}
    assert all(cause.remedy for cause in CAUSES.values())
    assert set(detector_study.CAUSES.values()) <= set(CAUSES)


def test_the_study_counts_hits_and_false_alarms():
    runs = [
        detector_study.WatchedRun("judge", kind, "square", "non-saturating", 16, 0, 128)
        for kind in ("dead-generator", "not-finite", "healthy")
    ]
    rows = [detector_study.watched(run) for run in runs]
    assert [row["named_after"] is not None for row in rows] == [True, True, False]
    assert rows[2]["falsely_named"] == [] and 0 <= rows[2]["coverage"] <= 1
    table = detector_study.summary(rows, "a command")
    assert "| dead-generator | generator stands still | 1 of 1 |" in table and "2 were named" in table


def test_a_network_without_moves_is_judged_by_the_rest():
    network = nn.Linear(2, 2)
    g, d = torch.optim.SGD(network.parameters(), lr=0.1), torch.optim.SGD(nn.Linear(2, 1).parameters(), lr=0.1)
    scheduler = GANScheduler("constant", g, d, total_steps=64, measure_moves=False)
    assert scheduler.step(**balanced()).advice.cause == ""


def test_what_a_decay_slows_down_is_not_told_to_be_slower_than_it_was():
    told = []
    for name in ("constant", "cosine"):
        loop = Loop()
        scheduler = loop.scheduler(name, total_steps=64, interval=1)
        told.append([])
        for _ in range(64):
            pace = 3e-4 * scheduler.controls.generator_lr_factor
            for network in (loop.generator, loop.discriminator):
                for weight in network.parameters():
                    weight.data.mul_(1 + pace)
            controls = scheduler.step(discriminator_loss=1.38)
            told[-1].append(controls.advice.evidence)
    for evidences in told:
        numbers = {
            evidence.split(" by ")[1].split(" of ")[0] for evidence in evidences if "at the fastest pace" in evidence
        }
        assert numbers == {"0.019"}
