"""Loops that are not edited: logits by forward hooks, rounds by the optimizers' steps."""

import copy
import gc
import math
import pickle
import weakref

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

from metagan_rl import GANScheduler
from metagan_rl.errors import InvalidValueError


class Networks:
    def __init__(self, outputs=1, sigmoid=False, seed=0):
        torch.manual_seed(seed)
        self.generator = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2))
        last = [nn.Sigmoid()] if sigmoid else []
        self.discriminator = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, outputs), *last)
        self.g = torch.optim.Adam(self.generator.parameters(), lr=1e-2)
        self.d = torch.optim.Adam(self.discriminator.parameters(), lr=1e-2)
        self.random = torch.Generator().manual_seed(seed)
        self.seen = []

    def data(self):
        return torch.randn(16, 2, generator=self.random) + 1, torch.randn(16, 2, generator=self.random)

    def step_discriminator(self, real, fake):
        """Notes the logits that D was stepped with."""
        self.seen.append((real.detach().clone(), fake.detach().clone()))
        self.d.zero_grad()
        (softplus(-real).mean() + softplus(fake).mean()).backward()
        self.d.step()

    def step_generator(self, fake):
        self.g.zero_grad()
        softplus(-fake).mean().backward()
        self.g.step()

    def scheduler(self, **options):
        return GANScheduler("gap-aware", self.g, self.d, **{"total_steps": 8, "interval": 4, "strict": True, **options})


def augment(samples):
    return samples * 1.1 + 0.01


def two_calls(loop):
    D, G, (x, z) = loop.discriminator, loop.generator, loop.data()
    loop.step_discriminator(D(x), D(G(z).detach()))
    loop.step_generator(D(G(z)))


def fake_first(loop):
    D, G, (x, z) = loop.discriminator, loop.generator, loop.data()
    with torch.no_grad():
        fake = G(z)
    logits = D(fake)
    loop.step_discriminator(D(x), logits)
    loop.step_generator(D(G(z)))


def generator_first(loop):
    D, G, (x, z) = loop.discriminator, loop.generator, loop.data()
    fake = G(z)
    loop.step_generator(D(fake))
    loop.step_discriminator(D(x), D(fake.detach()))


def one_batch(loop):
    D, G, (x, z) = loop.discriminator, loop.generator, loop.data()
    real, fake = D(torch.cat([x, G(z).detach()])).chunk(2)
    loop.step_discriminator(real, fake)
    loop.step_generator(D(G(z)))


def one_batch_generated_first(loop):
    D, G, (x, z) = loop.discriminator, loop.generator, loop.data()
    fake, real = D(torch.cat([G(z).detach(), x])).chunk(2)
    loop.step_discriminator(real, fake)
    loop.step_generator(D(G(z)))


def augmented_not_detached(loop):
    D, G, (x, z) = loop.discriminator, loop.generator, loop.data()
    loop.step_discriminator(D(augment(x)), D(torch.cat([augment(G(z))[:8], augment(G(z))[8:]])))
    loop.step_generator(D(augment(G(z))))


def augmented_with_a_call_between(loop):
    D, G, (x, z) = loop.discriminator, loop.generator, loop.data()
    real = D(augment(x))
    loop.step_discriminator(real, D(augment(G(z).detach())))
    loop.step_generator(D(augment(G(z))))


def with_penalties(loop):
    """Zero-centred on real data, one-centred between both, and a look without gradients."""
    D, G, (x, z) = loop.discriminator, loop.generator, loop.data()
    with torch.no_grad():
        D(x * 100)
    D.eval()
    D(x * 100)
    D.train()
    x, fake = x.requires_grad_(), G(z)
    fake_logits, real_logits = D(fake), D(augment(x))
    between = (0.3 * x + 0.7 * fake).detach().requires_grad_()
    (slope,) = torch.autograd.grad(D(between).sum(), between, create_graph=True)
    loop.seen.append((real_logits.detach().clone(), fake_logits.detach().clone()))
    loop.d.zero_grad()
    (softplus(-real_logits).mean() + softplus(fake_logits).mean() + slope.square().mean()).backward()
    loop.d.step()
    loop.step_generator(D(G(z)))


def penalty_first(loop):
    D, G, (x, z) = loop.discriminator, loop.generator, loop.data()
    fake = G(z)
    between = (0.3 * x + 0.7 * fake).detach().requires_grad_()
    (slope,) = torch.autograd.grad(D(between).sum(), between, create_graph=True)
    between_them = D(0.5 * x + 0.5 * fake)
    loop.step_discriminator(D(x), D(fake) + 0 * (slope.sum() + between_them.sum()))
    loop.step_generator(D(G(z)))


def one_batch_with_a_penalty(loop):
    D, G, (x, z) = loop.discriminator, loop.generator, loop.data()
    real, fake = D(torch.cat([x, G(z)])).chunk(2)
    x.requires_grad_()
    (slope,) = torch.autograd.grad(D(x).sum(), x, create_graph=True)
    loop.step_discriminator(real, fake + 0 * slope.sum())
    loop.step_generator(D(G(z)))


def a_step_for_the_penalty(loop):
    D, G, (x, z) = loop.discriminator, loop.generator, loop.data()
    loop.step_discriminator(D(x), D(G(z).detach()))
    x.requires_grad_()
    (slope,) = torch.autograd.grad(D(x).sum(), x, create_graph=True)
    loop.d.zero_grad()
    (0 * slope.sum()).backward()
    loop.d.step()
    loop.step_generator(D(G(z)))


def all_forwards_first(loop):
    D, G, (x, z) = loop.discriminator, loop.generator, loop.data()
    fake = G(z)
    real_logits, fake_logits, for_g = D(x), D(fake.detach()), D(fake)
    loop.seen.append((real_logits.detach().clone(), fake_logits.detach().clone()))
    loop.d.zero_grad()
    (softplus(-real_logits).mean() + softplus(fake_logits).mean()).backward(retain_graph=True)
    d_gradients = [p.grad.clone() for p in D.parameters()]
    loop.g.zero_grad()
    softplus(-for_g).mean().backward()
    loop.g.step()
    for weight, gradient in zip(D.parameters(), d_gradients, strict=True):
        weight.grad = gradient
    loop.d.step()


def relativistic(loop):
    D, G, (x, z) = loop.discriminator, loop.generator, loop.data()
    real, fake = D(x), D(G(z).detach())
    loop.seen.append((real.detach().clone(), fake.detach().clone()))
    loop.d.zero_grad()
    softplus(fake - real).mean().backward()
    loop.d.step()
    loop.g.zero_grad()
    softplus(D(x).detach() - D(G(z))).mean().backward()
    loop.g.step()


LOOPS = [
    two_calls, fake_first, generator_first, one_batch, one_batch_generated_first, augmented_not_detached,
    augmented_with_a_call_between, with_penalties, penalty_first, one_batch_with_a_penalty, a_step_for_the_penalty,
    all_forwards_first, relativistic,
]  # fmt: skip


@pytest.mark.parametrize("round_of", LOOPS)
def test_a_loop_that_is_not_edited_tells_what_one_that_calls_step_tells(round_of):
    loss = "rpgan" if round_of is relativistic else "non-saturating"
    watched, edited = Networks(), Networks()
    one = watched.scheduler(loss=loss).watch(discriminator=watched.discriminator, generator=watched.generator)
    other = edited.scheduler(loss=loss)
    for _ in range(8):
        round_of(watched)
        round_of(edited)
        other.step(real_logits=edited.seen[-1][0], fake_logits=edited.seen[-1][1])
    assert one.last_step == 8 and set(one.ledger.seen()) == set(other.ledger.seen())
    if round_of not in (generator_first, all_forwards_first):  # in these a round ends before D's step
        assert one.get_last_lr() == other.get_last_lr()
        for name, value in other.ledger.seen().items():
            assert one.ledger.seen()[name] == pytest.approx(value), name


def test_five_steps_of_d_for_one_of_g():
    loop = Networks()
    scheduler = loop.scheduler(ratio="5:1").watch(discriminator=loop.discriminator, generator=loop.generator)
    for _ in range(8):
        for _ in range(5):
            x, z = loop.data()
            loop.step_discriminator(loop.discriminator(x), loop.discriminator(loop.generator(z).detach()))
        loop.step_generator(loop.discriminator(loop.generator(z)))
    assert scheduler.last_step == 8
    recent = loop.seen[20:]
    wanted = sum(float((real > fake).double().mean()) for real, fake in recent) / 20
    assert scheduler.ledger.seen()["pair_accuracy"][0] == pytest.approx(2 * wanted - 1)


def test_two_steps_of_g_for_one_of_d_are_a_round():
    loop = Networks()
    scheduler = loop.scheduler(ratio="1:2").watch(discriminator=loop.discriminator, generator=loop.generator)
    for done in range(4):
        assert scheduler.last_step == done
        x, z = loop.data()
        loop.step_discriminator(loop.discriminator(x), loop.discriminator(loop.generator(z).detach()))
        for _ in range(2):
            loop.step_generator(loop.discriminator(loop.generator(z)))


def test_samples_that_serve_several_steps_of_d_are_known_each_time():
    loop = Networks()
    scheduler = loop.scheduler(ratio="3:1", interval=1)
    scheduler.watch(discriminator=loop.discriminator, generator=loop.generator)
    x, z = loop.data()
    fake = loop.generator(z).detach()
    for _ in range(3):
        loop.step_discriminator(loop.discriminator(x), loop.discriminator(fake))
    loop.step_generator(loop.discriminator(loop.generator(z)))
    wanted = sum(float((real > fake).double().mean()) for real, fake in loop.seen) / 3
    assert scheduler.ledger.seen()["pair_accuracy"][0] == pytest.approx(2 * wanted - 1)


def test_nothing_is_kept_of_how_samples_were_computed():
    loop = Networks()
    loop.scheduler().watch(discriminator=loop.discriminator, generator=loop.generator)
    made = loop.generator(loop.data()[1])
    inner, fake = weakref.ref(made), made.detach()
    del made
    assert inner() is None and fake.isfinite().all()


def test_features_that_come_before_logits_are_asked_about():
    loop = Networks()

    class WithFeatures(nn.Module):
        def forward(self, samples):
            return samples.repeat(1, 4), loop.discriminator(samples)

    both, (x, z) = WithFeatures(), loop.data()
    loop.scheduler(strict=False).watch(discriminator=both, generator=loop.generator)
    with pytest.warns(RuntimeWarning, match="several tensors, and the first, taken as logits, is not the smallest"):
        loop.step_discriminator(both(x)[1], both(loop.generator(z).detach())[1])


def test_several_discriminators_and_outputs_in_a_tuple():
    loop, more = Networks(), Networks(seed=1)

    class Scales(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, samples):
            return self.inner(samples), [samples]

    both = [Scales(loop.discriminator), Scales(more.discriminator)]
    scheduler = GANScheduler("gap-aware", loop.g, [loop.d, more.d], total_steps=8, interval=1, strict=True)
    scheduler.watch(discriminator=nn.ModuleList(both), generator=loop.generator)
    x, z = loop.data()
    logits = []
    for scale, optimizer in zip(both, (loop.d, more.d), strict=True):
        real, fake = scale(x)[0], scale(loop.generator(z).detach())[0]
        logits.append((real.detach(), fake.detach()))
        (softplus(-real).mean() + softplus(fake).mean()).backward()
        optimizer.step()
    loop.step_generator(both[0](loop.generator(z))[0])
    wanted = sum(float((real > fake).double().mean()) for real, fake in logits) / 2
    assert scheduler.ledger.seen()["pair_accuracy"][0] == pytest.approx(2 * wanted - 1)


def test_a_discriminator_that_gets_and_gives_both():
    loop = Networks()

    class Pairs(nn.Module):
        def forward(self, real, fake):
            return [loop.discriminator(real)], [loop.discriminator(fake)]

    pairs = Pairs()
    scheduler = loop.scheduler(interval=1).watch(
        discriminator=pairs, generator=loop.generator, logits=lambda output: (output[0], output[1])
    )
    x, z = loop.data()
    (real,), (fake,) = pairs(x, loop.generator(z).detach())
    loop.step_discriminator(real, fake)
    loop.step_generator(pairs(x, loop.generator(z))[1][0])
    assert scheduler.ledger.seen()["pair_accuracy"][0] == pytest.approx(2 * float((real > fake).double().mean()) - 1)


def test_a_sigmoid_at_the_end_is_undone():
    loop = Networks(sigmoid=True)
    scheduler = loop.scheduler(interval=1).watch(discriminator=loop.discriminator, generator=loop.generator)
    x, z = loop.data()
    real, fake = loop.discriminator(x), loop.discriminator(loop.generator(z).detach())
    loss = -(real.log().mean() + (1 - fake).log().mean())
    loss.backward()
    loop.d.step()
    loop.g.step()
    measured = 10 ** scheduler.ledger.seen()["discriminator_loss"][0] * math.log(4)
    assert measured == pytest.approx(float(loss.detach()), rel=1e-4)


@pytest.mark.parametrize("loss", ["lsgan", "hinge", "wgan"])
def test_a_sigmoid_that_belongs_to_the_loss_is_left(loss):
    loop = Networks(sigmoid=True)
    scheduler = loop.scheduler(interval=1, loss=loss)
    scheduler.watch(discriminator=loop.discriminator, generator=loop.generator)
    x, z = loop.data()
    real, fake = loop.discriminator(x), loop.discriminator(loop.generator(z).detach())
    (fake.mean() - real.mean()).backward()
    loop.d.step()
    loop.g.step()
    gap = scheduler.ledger.seen()["logit_gap"][0]
    told = Networks(sigmoid=True).scheduler(interval=1, loss=loss)
    told.step(real_logits=real, fake_logits=fake)
    assert gap == pytest.approx(told.ledger.seen()["logit_gap"][0])


def test_a_sigmoid_that_is_kept_for_something_else_is_not_undone():
    loop = Networks()

    class Kept(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.sigmoid = loop.discriminator, nn.Sigmoid()

        def forward(self, samples):
            return self.inner(samples)

    kept = Kept()
    scheduler = loop.scheduler(interval=1).watch(discriminator=kept, generator=loop.generator)
    x, z = loop.data()
    real, fake = kept(x), kept(loop.generator(z).detach())
    loop.step_discriminator(real, fake)
    loop.step_generator(kept(loop.generator(z)))
    loss = softplus(-real).mean() + softplus(fake).mean()
    measured = 10 ** scheduler.ledger.seen()["discriminator_loss"][0] * math.log(4)
    assert measured == pytest.approx(float(loss.detach()), rel=1e-4)


def test_scales_in_a_tuple_are_no_pair():
    loop = Networks()

    class Scales(nn.Module):
        def forward(self, samples):
            return loop.discriminator(samples), loop.discriminator(samples[:, [1, 0]])

    scales = Scales()
    scheduler = loop.scheduler(interval=1)
    scheduler.watch(discriminator=scales, generator=loop.generator, logits=lambda output: output)
    x, z = loop.data()
    real, fake = scales(x), scales(loop.generator(z).detach())
    loop.step_discriminator(torch.cat(real), torch.cat(fake))
    loop.step_generator(scales(loop.generator(z))[0])
    wanted = float((torch.cat(real) > torch.cat(fake)).double().mean())
    assert scheduler.ledger.seen()["pair_accuracy"][0] == pytest.approx(2 * wanted - 1)


def test_first_tells_real_from_generated_where_a_penalty_is_on_the_real_batch_itself():
    loop = Networks()
    scheduler = loop.scheduler(interval=1).watch(
        discriminator=loop.discriminator, generator=loop.generator, first="real"
    )
    D, G, (x, z) = loop.discriminator, loop.generator, loop.data()
    x.requires_grad_()
    fake = augment(G(z).detach())
    real_logits, fake_logits = D(x), D(fake)
    loop.step_discriminator(real_logits, fake_logits)
    loop.step_generator(D(G(z)))
    wanted = float((real_logits > fake_logits).double().mean())
    assert scheduler.ledger.seen()["pair_accuracy"][0] == pytest.approx(2 * wanted - 1)


def test_first_tells_where_g_passes_on_what_d_also_gets_with_real_samples():
    loop = Networks()

    class Passing(nn.Module):
        def forward(self, noise):
            return loop.generator(noise), noise * 2

    class Conditioned(nn.Module):
        def forward(self, samples, condition):
            return loop.discriminator(samples + 0 * condition)

    made, judge = Passing(), Conditioned()
    scheduler = loop.scheduler(interval=1).watch(discriminator=judge, generator=made, first="real")
    x, z = loop.data()
    fake, condition = made(z)
    real_logits, fake_logits = judge(x, condition), judge(fake.detach(), condition)
    loop.step_discriminator(real_logits, fake_logits)
    loop.step_generator(judge(*made(z)))
    wanted = float((real_logits > fake_logits).double().mean())
    assert scheduler.ledger.seen()["pair_accuracy"][0] == pytest.approx(2 * wanted - 1)


def test_a_discriminator_is_watched_by_one_scheduler_at_a_time():
    loop = Networks()
    both = [loop.scheduler(mode=mode, total_steps=20) for mode in ("log", "both")]
    for scheduler in both:
        scheduler.watch(discriminator=loop.discriminator, generator=loop.generator)
    two_calls(loop)
    assert [each.last_step for each in both] == [0, 1]
    both[1].unwatch()
    two_calls(loop)
    assert both[1].last_step == 1
    both[1].step()
    assert both[1].last_step == 2


def test_weights_that_are_loaded_before_the_first_step_are_no_move():
    moved = []
    for late in (False, True):
        loop = Networks()
        start = [copy.deepcopy(each.state_dict()) for each in (loop.generator, loop.discriminator)]
        if late:
            for each in (loop.generator, loop.discriminator):
                for weight in each.parameters():
                    weight.data.mul_(5)
        scheduler = loop.scheduler().watch(discriminator=loop.discriminator, generator=loop.generator)
        for each, state in zip((loop.generator, loop.discriminator), start, strict=True):
            each.load_state_dict(state)
        for _ in range(4):
            two_calls(loop)
        moved.append([scheduler.ledger.seen()[f"{name}_move"][0] for name in ("generator", "discriminator")])
    assert moved[0] == moved[1]


def test_what_cannot_be_seen_is_asked_for():
    def augmented(loop):
        D, G, (x, z) = loop.discriminator, loop.generator, loop.data()
        fake = augment(G(z).detach())
        loop.step_discriminator(D(augment(x)), D(fake))
        loop.step_generator(D(augment(G(z))))

    loop = Networks()
    loop.scheduler(strict=False).watch(discriminator=loop.discriminator, generator=loop.generator)
    with pytest.warns(RuntimeWarning, match="watch does not see the logits: .*say first=") as caught:
        augmented(loop)
        augmented(loop)
    assert len(caught) == 1
    loop = Networks()
    scheduler = loop.scheduler(interval=1).watch(
        discriminator=loop.discriminator, generator=loop.generator, first="real"
    )
    augmented(loop)
    real, fake = loop.seen[-1]
    assert scheduler.ledger.seen()["pair_accuracy"][0] == pytest.approx(2 * float((real > fake).double().mean()) - 1)


def test_a_scheduler_whose_optimizers_were_taken_over_watches_no_more():
    loop = Networks()
    right = {"discriminator": loop.discriminator, "generator": loop.generator}
    first = loop.scheduler(strict=False).watch(**right)
    two_calls(loop)
    second = loop.scheduler().watch(**right)
    for _ in range(3):
        two_calls(loop)
    assert (first.last_step, second.last_step) == (1, 3)
    gone = weakref.ref(first)
    del first
    gc.collect()
    assert gone() is None  # no hook holds it


def test_networks_that_the_optimizers_do_not_move_are_refused():
    loop = Networks()
    right = {"discriminator": loop.discriminator, "generator": loop.generator}
    scheduler = loop.scheduler().watch(**right)
    for wrong, words in (
        ({"discriminator": loop.generator, "generator": loop.discriminator}, "generator_optimizer moves no weight"),
        ({**right, "discriminator": copy.deepcopy(loop.discriminator)}, "discriminator_optimizer .* is it a copy"),
    ):
        with pytest.raises(InvalidValueError, match=words):
            scheduler.watch(**wrong)
    two_calls(loop)
    assert scheduler.last_step == 1  # what was watched before still is


def test_what_fails_in_a_hook_does_not_end_the_run():
    loop = Networks()
    scheduler = loop.scheduler(strict=False).watch(
        discriminator=loop.discriminator, generator=loop.generator, logits=lambda output: output.no_such_thing
    )
    with pytest.warns(RuntimeWarning, match="watch does not see the logits: ") as caught:
        for _ in range(3):
            two_calls(loop)
    assert len(caught) == 1 and scheduler.last_step == 3


def test_step_gives_more_but_counts_no_rounds():
    loop = Networks()
    scheduler = GANScheduler("ucb", loop.g, loop.d, total_steps=8, interval=4, quality=("distance",), strict=True)
    scheduler.watch(discriminator=loop.discriminator, generator=loop.generator)
    for _ in range(4):
        scheduler.step(quality=1.0)
        two_calls(loop)
    assert scheduler.last_step == 4 and "distance_from_start" in scheduler.ledger.seen()


def test_nothing_is_left_of_hooks_that_are_replaced_and_nothing_else_is_watched():
    loop = Networks()
    scheduler = loop.scheduler()
    scheduler.watch(discriminator=loop.discriminator, generator=loop.generator)
    scheduler.watch(discriminator=loop.discriminator, generator=loop.generator)
    two_calls(loop)
    assert scheduler.last_step == 1
    for wrong, words in (
        ({"discriminator": loop.d, "generator": loop.generator}, "not a network"),
        ({"discriminator": [], "generator": loop.generator}, "no discriminator"),
        ({"discriminator": loop.discriminator, "generator": loop.generator, "first": "x"}, "first is 'x'"),
    ):
        with pytest.raises(InvalidValueError, match=words):
            loop.scheduler().watch(**wrong)


def test_watching_changes_no_number_of_the_run():
    watched, plain = Networks(), Networks()
    watched.scheduler(mode="log").watch(discriminator=watched.discriminator, generator=watched.generator)
    for _ in range(8):
        two_calls(watched)
        two_calls(plain)
    for one, other in zip(watched.generator.parameters(), plain.generator.parameters(), strict=True):
        assert torch.equal(one, other)


def test_copies_and_saved_networks_are_not_watched():
    loop = Networks()
    scheduler = loop.scheduler().watch(discriminator=loop.discriminator, generator=loop.generator)
    average = copy.deepcopy(loop.generator)
    saved = pickle.loads(pickle.dumps(loop.discriminator))
    other = copy.deepcopy(scheduler)
    two_calls(loop)
    saved(average(torch.zeros(2, 2)))
    assert scheduler.last_step == 1 and other.last_step == 0


def test_differences_of_logits_are_enough_for_relativistic_losses():
    paths = []
    for differences in (False, True):
        loop = Networks()
        scheduler = loop.scheduler(loss="rpgan", interval=1)
        real, fake = torch.linspace(0, 2, 16), torch.linspace(0, 1, 16)
        for _ in range(8):
            given = {"logit_differences": real - fake} if differences else {"real_logits": real, "fake_logits": fake}
            scheduler.step(**given)
        paths.append(scheduler.get_last_lr())
        assert scheduler.ledger.seen()["pair_accuracy"][0] == pytest.approx(2 * 15 / 16 - 1)
    assert paths[0] == pytest.approx(paths[1])


def test_mixed_precision_skips_and_accumulation():
    loop = Networks()
    scheduler = loop.scheduler(interval=1).watch(discriminator=loop.discriminator, generator=loop.generator)
    scaler = torch.amp.GradScaler("cpu")
    for bad in (False, True):
        x, z = loop.data()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            for _ in range(2):  # accumulated
                real, fake = loop.discriminator(x), loop.discriminator(loop.generator(z).detach())
                scaler.scale(softplus(-real).mean() + softplus(fake).mean()).backward()
        scaler.step(loop.d)
        loss = softplus(-loop.discriminator(loop.generator(z))).mean() * (float("inf") if bad else 1)
        scaler.scale(loss).backward()
        scaler.step(loop.g)
        scaler.update()
        loop.g.zero_grad()
        loop.d.zero_grad()
    assert scheduler.last_step == 1  # the second step of G was left out
