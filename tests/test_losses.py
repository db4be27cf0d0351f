"""What must hold of every loss and every gradient penalty."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from metagan_rl.errors import InvalidValueError, UnknownNameError
from metagan_rl.losses import LOSSES, Loss, register_loss
from metagan_rl.penalties import PENALTIES, Penalty, input_gradient

# One real and one generated logit -> (D's loss, G's loss), written by hand, without torch.
BY_HAND: dict[str, Callable[[float, float], tuple[float, float]]] = {
    "non-saturating": lambda r, f: (
        -math.log(1 / (1 + math.exp(-r))) - math.log(1 - 1 / (1 + math.exp(-f))),
        -math.log(1 / (1 + math.exp(-f))),
    ),
    "hinge": lambda r, f: (max(0.0, 1 - r) + max(0.0, 1 + f), -f),
    "lsgan": lambda r, f: ((r - 1) ** 2 + f**2, (f - 1) ** 2),
    "wgan": lambda r, f: (f - r, -f),
    "rpgan": lambda r, f: (math.log(1 + math.exp(f - r)), math.log(1 + math.exp(r - f))),
}
IDEAL = {"non-saturating": math.log(4), "hinge": 2.0, "lsgan": 0.5, "wgan": 0.0, "rpgan": math.log(2)}


def logits(members: int = 3, samples: int = 7, seed: int = 0) -> tuple[Tensor, Tensor]:
    drawn = 2 * torch.randn(2, members, samples, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn[0], drawn[1]


def member_means(formula: Callable[[float, float], float], real: Tensor, fake: Tensor) -> Tensor:
    means = [
        sum(formula(r, f) for r, f in zip(*pair, strict=True)) / len(pair[0])
        for pair in zip(real.tolist(), fake.tolist(), strict=True)
    ]
    return torch.tensor(means, dtype=torch.float64)


# --- losses ----------------------------------------------------------------------------------------------------------


def test_every_loss_is_tested_by_hand() -> None:
    assert set(BY_HAND) == set(LOSSES) == set(IDEAL)


@pytest.mark.parametrize("name", BY_HAND)
def test_loss_equals_closed_form_of_each_member(name: str) -> None:
    real, fake = logits()
    d, g = LOSSES[name].discriminator(real, fake), LOSSES[name].generator(real, fake)
    assert d.shape == g.shape == (3,)
    torch.testing.assert_close(d, member_means(lambda r, f: BY_HAND[name](r, f)[0], real, fake))
    torch.testing.assert_close(g, member_means(lambda r, f: BY_HAND[name](r, f)[1], real, fake))


def test_losses_equal_those_of_torch() -> None:
    real, fake = logits()
    one, none, bce = torch.ones_like(real), torch.zeros_like(real), functional.binary_cross_entropy_with_logits
    loss = LOSSES["non-saturating"]
    torch.testing.assert_close(loss.discriminator(real, fake).mean(), bce(real, one) + bce(fake, none))
    torch.testing.assert_close(loss.generator(real, fake).mean(), bce(fake, one))
    loss = LOSSES["rpgan"]
    torch.testing.assert_close(loss.discriminator(real, fake).mean(), bce(real - fake, one))
    torch.testing.assert_close(loss.generator(real, fake).mean(), bce(fake - real, one))
    loss = LOSSES["lsgan"]
    mse = functional.mse_loss
    torch.testing.assert_close(loss.discriminator(real, fake).mean(), mse(real, one) + mse(fake, none))
    torch.testing.assert_close(loss.generator(real, fake).mean(), mse(fake, one))


@pytest.mark.parametrize("name", IDEAL)
def test_ideal_is_the_least_loss_at_equal_logits_and_reached_at_the_boundary(name: str) -> None:
    loss = LOSSES[name]
    assert loss.ideal == pytest.approx(IDEAL[name], abs=1e-12)
    at = torch.full((1, 4), loss.boundary, dtype=torch.float64)
    assert loss.discriminator(at, at).item() == pytest.approx(loss.ideal, abs=1e-12)
    everywhere = torch.linspace(-5, 5, 101, dtype=torch.float64)[:, None]
    assert loss.discriminator(everywhere, everywhere).min() >= loss.ideal - 1e-12


@pytest.mark.parametrize("name", IDEAL)
def test_undecided_discriminator_pulls_real_up_and_generated_down_and_generator_the_reverse(name: str) -> None:
    loss = LOSSES[name]
    real, fake = (torch.full((2, 3), loss.boundary, requires_grad=True) for _ in range(2))
    by_real, by_fake = torch.autograd.grad(loss.discriminator(real, fake).sum(), (real, fake))
    assert (by_real < 0).all() and (by_fake > 0).all()
    by_fake, by_real = torch.autograd.grad(
        loss.generator(real, fake).sum(), (fake, real), allow_unused=True, materialize_grads=True
    )
    assert (by_fake < 0).all()
    assert (by_real > 0).all() if loss.relative else (by_real == 0).all()


@pytest.mark.parametrize("name", IDEAL)
def test_loss_and_its_gradients_are_finite_at_huge_logits(name: str) -> None:
    values = torch.tensor([[1e4, -1e4], [-1e4, 1e4]])
    real, fake = values.clone().requires_grad_(), values.flip(0).clone().requires_grad_()
    total = LOSSES[name].discriminator(real, fake) + LOSSES[name].generator(real, fake)
    assert torch.isfinite(total).all()
    assert all(torch.isfinite(gradient).all() for gradient in torch.autograd.grad(total.sum(), (real, fake)))


@pytest.mark.parametrize("name", IDEAL)
def test_slopes_written_out_are_those_of_automatic_differentiation(name: str) -> None:
    real, fake = logits()
    real[0, :4] = torch.tensor([-60.0, 60.0, 1.0, 0.0])
    fake[0, :4] = torch.tensor([60.0, -60.0, -1.0, 0.0])
    loss = LOSSES[name]
    assert loss.discriminator_slopes is not None and loss.generator_slope is not None
    plain = replace(loss, discriminator_slopes=None, generator_slope=None)
    for ours, theirs in (
        (loss.of_discriminator(real, fake), plain.of_discriminator(real, fake)),
        (loss.of_generator(real, fake), plain.of_generator(real, fake)),
    ):
        torch.testing.assert_close(ours, theirs)
        assert not ours[1].requires_grad and not theirs[0].requires_grad


@pytest.mark.parametrize("name", IDEAL)
def test_only_relative_losses_pair_samples(name: str) -> None:
    real, fake = logits()
    turned = fake.roll(1, dims=1)
    before, after = LOSSES[name].discriminator(real, fake), LOSSES[name].discriminator(real, turned)
    assert torch.allclose(before, after) != LOSSES[name].relative
    before, after = LOSSES[name].generator(real, fake), LOSSES[name].generator(real, turned)
    assert torch.allclose(before, after) != LOSSES[name].relative


@pytest.mark.parametrize("name", IDEAL)
def test_loss_names_a_known_penalty_and_a_source(name: str) -> None:
    assert LOSSES[name].penalty in PENALTIES
    assert "arXiv" in LOSSES[name].source
    assert (LOSSES[name].penalty == "one-centred") == (name == "wgan")


def test_registered_loss_is_found_and_taken_or_malformed_names_are_refused() -> None:
    mine = Loss(lambda real, fake: real.mean(-1), lambda real, fake: fake.mean(-1), ideal=1.0)
    try:
        assert register_loss("of-my-own", mine) is mine
        assert LOSSES["of-my-own"] is mine
        with pytest.raises(InvalidValueError, match="of-my-own"):
            register_loss("of-my-own", mine)
    finally:
        LOSSES.remove("of-my-own")
    with pytest.raises(InvalidValueError, match="Of_Mine"):
        register_loss("Of_Mine", mine)
    with pytest.raises(UnknownNameError, match="hinge"):
        LOSSES["hing"]


# --- penalties -------------------------------------------------------------------------------------------------------

MEMBERS, SAMPLES, DIM = 2, 5, 3


def critics() -> list[nn.Module]:
    torch.manual_seed(0)
    return [nn.Sequential(nn.Linear(DIM, 6), nn.Tanh(), nn.Linear(6, 1)).double() for _ in range(MEMBERS)]


def stacked(modules: list[nn.Module]) -> Callable[[Tensor], Tensor]:
    return lambda points: torch.stack([module(x).squeeze(-1) for module, x in zip(modules, points, strict=True)])


def batch() -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(1)
    real, fake = torch.randn(2, MEMBERS, SAMPLES, DIM, generator=rng, dtype=torch.float64)
    return real, fake, torch.rand(MEMBERS, SAMPLES, 1, generator=rng, dtype=torch.float64)


def apply(penalty: Penalty, critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    return penalty.value(input_gradient(critic, penalty.points(real, fake, mix)))


def norms_one_by_one(modules: list[nn.Module], points: Tensor) -> list[list[Tensor]]:
    """The norm of each sample's gradient, each by its own call of autograd; differentiable once more."""
    norms = []
    for module, rows in zip(modules, points, strict=True):
        norms.append([])
        for row in rows:
            x = row.clone().requires_grad_()
            norms[-1].append(torch.autograd.grad(module(x).squeeze(), x, create_graph=True)[0].norm())
    return norms


def mean(values: list[Tensor]) -> Tensor:
    return torch.stack(values).mean()


def by_hand(name: str, modules: list[nn.Module], real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    if name == "one-centred":
        between = norms_one_by_one(modules, (1 - mix) * real + mix * fake)
        return torch.stack([mean([(norm - 1) ** 2 for norm in row]) for row in between])
    r1 = torch.stack([mean([norm**2 / 2 for norm in row]) for row in norms_one_by_one(modules, real)])
    r2 = torch.stack([mean([norm**2 / 2 for norm in row]) for row in norms_one_by_one(modules, fake)])
    return {"r1": r1, "r2": r2, "zero-centred": r1 + r2}[name]


@pytest.mark.parametrize("name", PENALTIES)
def test_penalty_equals_gradients_taken_sample_by_sample(name: str) -> None:
    modules, drawn = critics(), batch()
    value = apply(PENALTIES[name], stacked(modules), *drawn)
    assert value.shape == (MEMBERS,)
    torch.testing.assert_close(value, by_hand(name, modules, *drawn))


@pytest.mark.parametrize("name", PENALTIES)
def test_penalty_has_the_right_gradient_by_the_weights(name: str) -> None:
    modules, drawn = critics(), batch()
    weights = [weight for module in modules for weight in module.parameters()]
    weighting = torch.tensor([1.0, 3.0], dtype=torch.float64)
    gradients = [
        torch.autograd.grad((weighting * value).sum(), weights, allow_unused=True, materialize_grads=True)
        for value in (apply(PENALTIES[name], stacked(modules), *drawn), by_hand(name, modules, *drawn))
    ]
    for ours, reference in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, reference)


def test_zero_centred_is_r1_plus_r2() -> None:
    critic, drawn = stacked(critics()), batch()
    r1, r2, both = (apply(PENALTIES[name], critic, *drawn) for name in ("r1", "r2", "zero-centred"))
    torch.testing.assert_close(both, r1 + r2)
    assert not torch.allclose(r1, r2)


def test_one_centred_is_zero_for_a_critic_of_slope_one() -> None:
    direction = torch.tensor([2.0, -1.0, 2.0], dtype=torch.float64) / 3
    values = [apply(PENALTIES["one-centred"], lambda x, k=k: k * x @ direction, *batch()) for k in (1.0, -1.0, 3.0)]
    torch.testing.assert_close(torch.stack(values)[:, 0], torch.tensor([0.0, 0.0, 4.0], dtype=torch.float64))


def test_one_centred_has_a_finite_gradient_where_the_critic_is_flat() -> None:
    slope = torch.zeros(DIM, dtype=torch.float64, requires_grad=True)
    value = apply(PENALTIES["one-centred"], lambda x: x @ slope, *batch()).sum()
    assert value.item() == pytest.approx(MEMBERS, abs=1e-5)
    assert torch.isfinite(torch.autograd.grad(value, slope)[0]).all()


def test_points_are_where_each_penalty_says() -> None:
    real, fake, mix = batch()
    torch.testing.assert_close(PENALTIES["r1"].points(real, fake, mix), real)
    torch.testing.assert_close(PENALTIES["r2"].points(real, fake, mix), fake)
    between = PENALTIES["one-centred"].points
    torch.testing.assert_close(between(real, fake, torch.zeros_like(mix)), real)
    torch.testing.assert_close(between(real, fake, torch.ones_like(mix)), fake)
    for name in PENALTIES:
        if PENALTIES[name].uses_batch:  # then D's own forward pass, real samples first, is used instead
            torch.testing.assert_close(PENALTIES[name].points(real, fake, mix), torch.cat([real, fake], dim=1))
