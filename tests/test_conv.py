"""What must hold of stacked convolutional networks: they are torch's own, member by member, and train as those."""

import math
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from metagan_rl.errors import InvalidValueError, UnknownNameError
from metagan_rl.evaluation import evaluate
from metagan_rl.networks import StackedConv, StackedNetwork, build_networks
from metagan_rl.networks.base import size, split
from metagan_rl.networks.conv import conv_networks
from metagan_rl.networks.convolution import InTurns, Patches, Unrolled
from metagan_rl.penalties import PENALTIES
from metagan_rl.populations import MixedPopulation, Population, PopulationState
from metagan_rl.populations.settings import Settings
from metagan_rl.populations.torch_engine import TorchEngine
from metagan_rl.tasks import Base, Networks, Task, table_from_array

NETWORKS = Networks(latent_dim=4, width=3, kind="conv")
SIDES = (8, 16, 28)
B, N = 3, 5
MODULES = {"leaky-relu": lambda: nn.LeakyReLU(0.2), "tanh": nn.Tanh, "silu": nn.SiLU}


def pair(side: int, activation: str = "leaky-relu") -> tuple[StackedConv, StackedConv]:
    return conv_networks(side * side, NETWORKS.latent_dim, NETWORKS.width, activation=activation)


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def stack(network: StackedNetwork, members: int = B) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.stack([network.initial(rng) for _ in range(members)]).double()


def module(discriminates: bool, side: int, activation: str = "leaky-relu") -> nn.Sequential:
    """One member as torch's modules, from rows of pixels or to them."""
    C, quarter = NETWORKS.width, side // 4
    between = MODULES[activation]
    if discriminates:
        layers = [
            nn.Unflatten(1, (1, side, side)),
            nn.Conv2d(1, C, 4, stride=2, padding=1),
            between(),
            nn.Conv2d(C, 2 * C, 4, stride=2, padding=1),
            between(),
            nn.Flatten(),
            nn.Linear(2 * C * quarter**2, 1),
        ]
    else:
        layers = [
            nn.Linear(NETWORKS.latent_dim, 2 * C * quarter**2),
            between(),
            nn.Unflatten(1, (2 * C, quarter, quarter)),
            nn.ConvTranspose2d(2 * C, C, 4, stride=2, padding=1),
            between(),
            nn.ConvTranspose2d(C, 1, 4, stride=2, padding=1),
            nn.Flatten(),
        ]
    return nn.Sequential(*layers).double()


def parameters_of(discriminates: bool, side: int, weights: list[Tensor]) -> list[Tensor]:
    """A member's weights in the order and the layout of the modules, whose channels come first."""
    C, quarter = NETWORKS.width, side // 4

    def channels_first(values: Tensor) -> Tensor:
        return values.view(quarter, quarter, 2 * C, -1).permute(2, 0, 1, 3).reshape(values.shape)

    if discriminates:
        first, first_bias, second, second_bias, linear, bias = weights
        linear = channels_first(linear)
        return [
            first.permute(3, 2, 0, 1),
            first_bias[0],
            second.permute(3, 2, 0, 1),
            second_bias[0],
            linear.T,
            bias[0],
        ]
    linear, bias, second, second_bias, first, first_bias = weights
    return [
        channels_first(linear.T),
        channels_first(bias.T)[:, 0],
        second.permute(3, 2, 0, 1),
        second_bias[0],
        first.permute(3, 2, 0, 1),
        first_bias[0],
    ]


def twin(discriminates: bool, side: int, weights: list[Tensor], activation: str = "leaky-relu") -> nn.Sequential:
    """The modules with the weights of one member, ``[*shape]`` each."""
    net = module(discriminates, side, activation)
    with torch.no_grad():
        for theirs, ours in zip(net.parameters(), parameters_of(discriminates, side, weights), strict=True):
            assert theirs.shape == ours.shape
            theirs.copy_(ours)
    return net


def of(member: int, weights: list[Tensor]) -> list[Tensor]:
    return [weight[member].detach() for weight in weights]


def inputs_of(discriminates: bool, side: int) -> Tensor:
    return draw(B, N, side * side if discriminates else NETWORKS.latent_dim)


# --- the networks as functions ---------------------------------------------------------------------------------------


def test_every_form_of_convolution_is_tested() -> None:
    used = {type(layer._form) for side in SIDES for layer in pair(side)[1].layers[:-1]}
    assert used == {Unrolled, Patches, InTurns}


@pytest.mark.parametrize("activation", MODULES)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("discriminates", [False, True])
def test_values_and_gradients_equal_those_of_modules(discriminates: bool, side: int, activation: str) -> None:
    network = pair(side, activation)[discriminates]
    weights = [weight.clone().requires_grad_() for weight in split(network, stack(network))]
    inputs = inputs_of(discriminates, side).requires_grad_()
    outputs = network(weights, inputs)
    outgoing = draw(*outputs.shape, seed=2)
    gradients = torch.autograd.grad(outputs, [*weights, inputs], outgoing)
    for member in range(B):
        net = twin(discriminates, side, of(member, weights), activation)
        points = inputs[member].detach().requires_grad_()
        theirs = net(points)
        torch.testing.assert_close(outputs[member], theirs)
        expected = torch.autograd.grad(theirs, [*net.parameters(), points], outgoing[member])
        ours = [*parameters_of(discriminates, side, of(member, list(gradients[:-1]))), gradients[-1][member]]
        for mine, other in zip(ours, expected, strict=True):
            torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("activation", ["leaky-relu", "tanh"])
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("discriminates", [False, True])
def test_closed_form_equals_autograd(discriminates: bool, side: int, activation: str) -> None:
    network = pair(side, activation)[discriminates]
    weights = [weight.clone().requires_grad_() for weight in split(network, stack(network))]
    inputs = inputs_of(discriminates, side).requires_grad_()
    outputs = network(weights, inputs)
    outgoing = draw(*outputs.shape, seed=2)
    reference = torch.autograd.grad(outputs, [*weights, inputs], outgoing)
    with torch.no_grad():
        untouched, given = inputs.clone(), outgoing.clone()
        values = network.forward(weights, inputs)
        torch.testing.assert_close(values[-1], outputs)
        by_weights, by_inputs = network.backward(weights, values, given, by_weights=True, by_inputs=True)
        nothing, alone = network.backward(weights, values, given, by_weights=False, by_inputs=True)
        only, _ = network.backward(weights, values, given, by_weights=True, by_inputs=False)
    assert nothing == [] and torch.equal(given, outgoing) and torch.equal(inputs, untouched)
    for ours, again, theirs in zip(by_weights, only, reference[:-1], strict=True):
        torch.testing.assert_close(ours.reshape(theirs.shape), theirs)
        torch.testing.assert_close(again.reshape(theirs.shape), theirs)
    torch.testing.assert_close(by_inputs, reference[-1])
    torch.testing.assert_close(alone, reference[-1])


@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("activation", ["leaky-relu", "tanh"])
def test_penalties_equal_those_of_modules(activation: str, side: int, name: str) -> None:
    network, value = pair(side, activation)[1], PENALTIES[name].value
    assert network.has_penalty_backward == (activation == "leaky-relu")
    weights = [weight.clone().requires_grad_() for weight in split(network, 3 * stack(network))]
    inputs = draw(B, N, side * side).requires_grad_()
    (by_inputs,) = torch.autograd.grad(network(weights, inputs).sum(), inputs, create_graph=True)
    differentiated = torch.autograd.grad(value(by_inputs).sum(), weights, allow_unused=True, materialize_grads=True)
    if network.has_penalty_backward:
        plain = [weight.detach() for weight in weights]
        values = network.forward(plain, inputs.detach())
        gradient, chain = network.input_gradient(plain, values)
        torch.testing.assert_close(gradient, by_inputs.detach())
        (cotangent,) = torch.autograd.grad(value(gradient.requires_grad_()).sum(), gradient)
        closed = network.penalty_backward(plain, values, chain, cotangent)
        for ours, theirs in zip(closed, differentiated, strict=True):
            torch.testing.assert_close(torch.zeros_like(theirs) if ours is None else ours, theirs)
    for member in range(B):
        net = twin(True, side, of(member, weights), activation)
        points = inputs[member].detach().requires_grad_()
        (slopes,) = torch.autograd.grad(net(points).sum(), points, create_graph=True)
        expected = torch.autograd.grad(
            value(slopes[None])[0], list(net.parameters()), allow_unused=True, materialize_grads=True
        )
        for mine, other in zip(parameters_of(True, side, of(member, list(differentiated))), expected, strict=True):
            torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("side", SIDES)
def test_fresh_weights_are_drawn_as_torch_draws_them(side: int) -> None:
    for discriminates, network in enumerate(conv_networks(side * side, NETWORKS.latent_dim, NETWORKS.width)):
        row = network.initial(torch.Generator().manual_seed(0))
        assert row.shape == (size(network),)
        assert torch.equal(row, network.initial(torch.Generator().manual_seed(0)))
        ours = parameters_of(bool(discriminates), side, of(0, split(network, row[None])))
        with torch.random.fork_rng():
            torch.manual_seed(0)
            theirs = [weight.detach() for weight in module(bool(discriminates), side).parameters()]
        for mine, other in zip(ours, theirs, strict=True):
            bound = mine.abs().max()
            if mine.numel() > 40:  # both are uniform and wide enough to show their bounds
                torch.testing.assert_close(bound, other.abs().max().float(), rtol=0.15, atol=0)
                assert mine.mean().abs() < 0.3 * bound


def test_networks_can_be_pickled() -> None:
    network = pair(8)[1]
    copy = pickle.loads(pickle.dumps(network))
    rows, inputs = stack(network), draw(B, N, 64)
    assert torch.equal(copy(split(copy, rows), inputs), network(split(network, rows), inputs))


@pytest.mark.parametrize("dim", [0, 1, 2, 13, 16, 36, 63, 65, 100, 783])
def test_data_that_are_no_suitable_images_are_refused(dim: int) -> None:
    with pytest.raises(InvalidValueError, match=f"dim is {dim}; .*64 .*784 .*'mlp'"):
        build_networks(NETWORKS, dim)


def test_other_depths_and_activations_are_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"depth is 3; .*depth=2"):
        build_networks(replace(NETWORKS, depth=3), 64)
    with pytest.raises(UnknownNameError, match="relu"):
        build_networks(replace(NETWORKS, activation="relus"), 64)


# --- populations -----------------------------------------------------------------------------------------------------


def digits(seed: int = 0, networks: Networks = NETWORKS, **base: Any) -> Task:
    settings = Base(**{"batch_size": 8, "generator_lr": 2e-3, "discriminator_lr": 4e-3, "ema_decay": 0.9, **base})
    return Task(f"digits/{seed}", "digits", 64, {"classes": [0, 1]}, networks=networks, base=settings, seed=seed)


@pytest.fixture(scope="module")
def large() -> Task:
    table_from_array("conv-test-images", np.random.default_rng(0).normal(size=(40, 784)))
    return replace(digits(), name="conv-test-images/0", family="conv-test-images", dim=784, parameters={})


def double(tasks: list[Task], seeds: list[int]) -> Population:
    population = Population(tasks, seeds)
    population.dtype = torch.float64
    state = {name: v.double() if v.is_floating_point() else v for name, v in population.state.to_dict().items()}
    population.state = PopulationState(**state)
    return population


def bases(tasks: list[Task]) -> Settings:
    return Settings.of([task.base for task in tasks])


def train_plainly(population: Population, member: int, updates: int) -> tuple[nn.Module, nn.Module]:
    """The loop everybody writes, on what one member of an untrained population is about to see."""
    base, side = population.tasks[member].base, math.isqrt(population.shape.dim)
    state = population.state[[member]]
    G, D = (
        twin(discriminates, side, of(0, split(network, rows)), population.shape.networks.activation)
        for discriminates, network, rows in (
            (False, population.generator, state.generator),
            (True, population.discriminator, state.discriminator),
        )
    )
    betas = (base.beta1, base.beta2)
    G_adam = torch.optim.Adam(G.parameters(), base.generator_lr, betas)
    D_adam = torch.optim.Adam(D.parameters(), base.discriminator_lr, betas)
    engine = TorchEngine(population)
    inputs = engine.inputs(np.array([member]), engine.plan(bases(population.tasks)[[member]], updates), mix=True)

    def slopes(points: Tensor) -> Tensor:
        points = points.clone().requires_grad_()
        return torch.autograd.grad(D(points).sum(), points, create_graph=True)[0].square().sum(dim=1)

    for update in range(updates):
        noise, mix = inputs.noise[0, update], inputs.mix[0, update]
        if update % 2:
            fake_logits = D(G(noise))
            loss = -fake_logits.mean() if base.loss == "wgan" else softplus(-fake_logits).mean()
            G_adam.zero_grad()
            loss.backward()
            G_adam.step()
            continue
        real, fake = inputs.points[inputs.rows[0, update]], G(noise).detach()
        if base.loss == "wgan":
            loss = D(fake).mean() - D(real).mean()
            penalty = (slopes(real + mix * (fake - real)).sqrt() - 1).square().mean()
        else:
            loss = softplus(-D(real)).mean() + softplus(D(fake)).mean()
            penalty = slopes(real).mean() / 2 + slopes(fake).mean() / 2
        D_adam.zero_grad()
        (loss + base.penalty_weight * penalty).backward()
        D_adam.step()
    return G, D


def assert_trained_as(population: Population, member: int, plain: tuple[nn.Module, nn.Module]) -> None:
    side, state = math.isqrt(population.shape.dim), population.state
    for discriminates, network, rows, net in (
        (False, population.generator, state.generator, plain[0]),
        (True, population.discriminator, state.discriminator, plain[1]),
    ):
        ours = parameters_of(discriminates, side, of(member, split(network, rows)))
        for mine, theirs in zip(ours, net.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs.detach(), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("penalty_weight", [0.0, 0.3])
@pytest.mark.parametrize("loss", ["non-saturating", "wgan"])
@pytest.mark.parametrize("activation", MODULES)
def test_population_of_digits_trains_as_plain_loops_do(activation: str, loss: str, penalty_weight: float) -> None:
    networks = replace(NETWORKS, activation=activation)
    tasks = [digits(place, networks, loss=loss, penalty_weight=penalty_weight) for place in range(2)]
    population = double(tasks, [7, 8])
    plain = [train_plainly(population, member, 12) for member in range(2)]
    before = population.state.clone()
    population.train(bases(tasks), 12)
    for member in range(2):
        assert_trained_as(population, member, plain[member])
    assert (population.state.generator - before.generator).abs().amax() > 1e-3


def test_population_of_larger_images_trains_as_plain_loops_do(large: Task) -> None:
    task = large.with_base(penalty_weight=0.3)
    population = double([task, task], [7, 8])
    plain = train_plainly(population, 1, 12)
    population.train(bases(population.tasks), 12)
    assert_trained_as(population, 1, plain)


def test_closed_form_is_used_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("this path must not be taken")

    monkeypatch.setattr("metagan_rl.populations.interval._differentiate", refuse)
    task = digits(penalty_weight=0.1)
    Population([task], [0]).train(bases([task]), 12)


def test_members_do_not_depend_on_each_other(large: Task) -> None:
    varied = [{"penalty_weight": 0.1}, {"loss": "wgan", "penalty_weight": 0.5, "ratio": "5:1"}, {"loss": "hinge"}]
    for task in (digits(), large):
        tasks = [task.with_base(**base) for base in varied]
        together = double(tasks, [3, 4, 5])
        together.train(bases(tasks), 12)
        for member in range(3):
            alone = double([tasks[member]], [3 + member])
            alone.train(bases(alone.tasks), 12)
            for name in ("generator", "discriminator", "average"):
                ours, theirs = getattr(together.state, name)[member], getattr(alone.state, name)[0]
                torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


def test_outputs_of_one_member_depend_on_its_own_weights_and_on_one_sample() -> None:
    for side in SIDES:
        for discriminates, network in enumerate(pair(side)):
            rows, inputs = stack(network), inputs_of(bool(discriminates), side)
            before = network(split(network, rows), inputs)
            rows[1] += 1
            inputs[2, 3] += 1
            changed = (network(split(network, rows), inputs) != before).any(dim=-1)
            assert changed[1].all() and changed[2].tolist() == [place == 3 for place in range(N)]
            assert not changed[0].any()


def test_short_training_brings_digits_closer() -> None:
    networks = Networks(latent_dim=8, width=8, kind="conv")
    tasks = [digits(place, networks, batch_size=32, penalty_weight=0.1, ema_decay=0.98) for place in range(4)]
    population = MixedPopulation(tasks, range(4))
    start = evaluate(population, range(4)).distance
    population.train(bases(tasks), 480)
    end = evaluate(population, range(4)).distance
    assert not population.diverged.any() and (end < 0.75 * start).all(), (start, end)
