"""What must hold of stacked networks, their closed-form gradients, the optimisers and the inner loop they serve."""

import itertools
import pickle
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from metagan_rl.errors import UnknownNameError
from metagan_rl.losses import LOSSES
from metagan_rl.networks import (
    ACTIVATIONS,
    DiracDiscriminator,
    DiracGenerator,
    StackedMLP,
    StackedNetwork,
    build_networks,
    conv_networks,
)
from metagan_rl.networks.base import ClosedForm, size, split
from metagan_rl.penalties import PENALTIES
from metagan_rl.populations import Measurements, Population, PopulationState
from metagan_rl.populations.interval import IntervalInputs, IntervalPlan, IntervalTrainer
from metagan_rl.populations.settings import Settings
from metagan_rl.tasks import Base, Networks, Task

MODULES = {
    "leaky-relu": lambda: nn.LeakyReLU(0.2),
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
}
WITH_BACKWARD = ("leaky-relu", "relu", "tanh")
PIECEWISE_LINEAR = ("leaky-relu", "relu")
SIZES = ((3, 5, 1), (3, 6, 4, 1), (2, 7, 5, 6, 1), (4, 1))
B, N = 3, 8


def stack(network: StackedNetwork, members: int = B, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.stack([network.initial(rng) for _ in range(members)]).double()


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sequential(network: StackedMLP, activation: str, row: Tensor) -> nn.Sequential:
    """The same network made of torch's modules, with the weights of one member."""
    layers: list[nn.Module] = []
    weights = [weight[0] for weight in split(network, row[None])]
    for place, (inputs, outputs) in enumerate(itertools.pairwise(network.sizes)):
        linear = nn.Linear(inputs, outputs, dtype=row.dtype)
        with torch.no_grad():
            linear.weight.copy_(weights[2 * place].T)
            linear.bias.copy_(weights[2 * place + 1][0])
        layers += [linear, MODULES[activation]()]
    return nn.Sequential(*layers[:-1])


# --- the network as a function -------------------------------------------------------------------------------------


def test_every_activation_is_tested() -> None:
    assert set(MODULES) == set(ACTIVATIONS)
    assert tuple(name for name in ACTIVATIONS if ACTIVATIONS[name].backward is not None) == WITH_BACKWARD
    assert tuple(name for name in ACTIVATIONS if ACTIVATIONS[name].piecewise_linear) == PIECEWISE_LINEAR


@pytest.mark.parametrize("sizes", [*SIZES, (3, 6, 2)])
@pytest.mark.parametrize("activation", MODULES)
def test_stacked_mlp_equals_modules_with_the_same_weights(activation: str, sizes: tuple[int, ...]) -> None:
    network = StackedMLP(sizes, activation)
    rows, inputs = stack(network), draw(B, N, sizes[0])
    outputs = network(split(network, rows), inputs)
    for member in range(B):
        torch.testing.assert_close(outputs[member], sequential(network, activation, rows[member])(inputs[member]))


@pytest.mark.parametrize("activation", WITH_BACKWARD)
def test_forward_equals_call_and_keeps_every_layers_inputs(activation: str) -> None:
    network = StackedMLP((3, 6, 4, 1), activation)
    weights, inputs = split(network, stack(network)), draw(B, N, 3)
    untouched = inputs.clone()
    values = network.forward(weights, inputs)
    assert [value.shape[-1] for value in values] == [3, 6, 4, 1]
    assert torch.equal(inputs, untouched)
    torch.testing.assert_close(values[-1], network(weights, inputs))
    shorter = StackedMLP((3, 6, 4), activation)
    torch.testing.assert_close(values[2], ACTIVATIONS[activation].function(shorter(weights[:4], inputs)))


@pytest.mark.parametrize("sizes", [*SIZES, (3, 6, 2)])
@pytest.mark.parametrize("activation", WITH_BACKWARD)
def test_backward_equals_autograd(activation: str, sizes: tuple[int, ...]) -> None:
    network = StackedMLP(sizes, activation)
    weights = [weight.clone().requires_grad_() for weight in split(network, stack(network))]
    inputs, outgoing = draw(B, N, sizes[0]).requires_grad_(), draw(B, N, sizes[-1], seed=2)
    reference = torch.autograd.grad(network(weights, inputs), [*weights, inputs], outgoing)
    with torch.no_grad():
        values = network.forward(weights, inputs)
        given = outgoing.clone()
        by_weights, by_inputs = network.backward(weights, values, given, by_weights=True, by_inputs=True)
        assert torch.equal(given, outgoing)
        nothing, alone = network.backward(weights, values, given, by_weights=False, by_inputs=True)
        only, _ = network.backward(weights, values, given, by_weights=True, by_inputs=False)
    assert nothing == []
    for ours, again, theirs in zip(by_weights, only, reference[:-1], strict=True):
        torch.testing.assert_close(ours.view_as(theirs), theirs)
        torch.testing.assert_close(again.view_as(theirs), theirs)
    torch.testing.assert_close(by_inputs, reference[-1])
    torch.testing.assert_close(alone, reference[-1])


@pytest.mark.parametrize(
    ("network", "dim"), [(StackedMLP((3, 6, 5, 1)), 3), (StackedMLP((2, 1)), 2), (conv_networks(64, 3, 4)[1], 64)]
)
def test_backward_along_a_known_chain_equals_backward(network: ClosedForm, dim: int) -> None:
    weights = split(network, stack(network))
    values = network.forward(weights, draw(B, N, dim))
    _, chain = network.input_gradient(weights, values)
    before, outgoing = [each.clone() for each in chain], draw(B, N, 1, seed=2)
    ours = network.backward_along(weights, values, chain, outgoing)
    theirs, _ = network.backward(weights, values, outgoing, by_weights=True, by_inputs=False)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)
    assert all(torch.equal(kept, each) for kept, each in zip(before, chain, strict=True))


@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("activation", PIECEWISE_LINEAR)
def test_penalty_backward_equals_double_autograd(activation: str, sizes: tuple[int, ...], name: str) -> None:
    network = StackedMLP(sizes, activation)
    weights = [weight.clone().requires_grad_() for weight in split(network, 2 * stack(network))]
    inputs = draw(B, N, sizes[0]).requires_grad_()
    weighting = torch.tensor([1.0, 0.3, 2.0], dtype=torch.float64)
    (by_inputs,) = torch.autograd.grad(network(weights, inputs).sum(), inputs, create_graph=True)
    total = (weighting * PENALTIES[name].value(by_inputs)).sum()
    reference = torch.autograd.grad(total, weights, allow_unused=True, materialize_grads=True)
    plain = [weight.detach() for weight in weights]
    values = network.forward(plain, inputs.detach())
    gradient, chain = network.input_gradient(plain, values)
    torch.testing.assert_close(gradient, by_inputs.detach())
    total = (weighting * PENALTIES[name].value(gradient.requires_grad_())).sum()
    (cotangent,) = torch.autograd.grad(total, gradient)
    ours = network.penalty_backward(plain, values, chain, cotangent)
    assert len(ours) == len(reference)
    for mine, theirs in zip(ours, reference, strict=True):
        torch.testing.assert_close(torch.zeros_like(theirs) if mine is None else mine, theirs)


def test_fresh_weights_are_those_of_torchs_linear_layers() -> None:
    network = StackedMLP((16, 400, 4))
    row = network.initial(torch.Generator().manual_seed(0))
    assert row.shape == (size(network),) == (17 * 400 + 401 * 4,)
    for weight, inputs in zip(split(network, row[None]), (16, 16, 400, 400), strict=True):
        bound = inputs**-0.5
        assert weight.abs().max() <= bound and weight.abs().max() > (0.9 if weight.numel() > 4 else 0.0) * bound
        assert weight.numel() <= 4 or abs(weight.mean()) < 0.1 * bound
    assert torch.equal(row, network.initial(torch.Generator().manual_seed(0)))
    assert not torch.equal(row, network.initial(torch.Generator().manual_seed(1)))


def test_split_gives_views_into_the_rows() -> None:
    network = StackedMLP((2, 3, 1))
    rows = torch.zeros(2, size(network))
    for weight in split(network, rows):
        weight += 1
    assert (rows == 1).all()


def test_networks_can_be_pickled() -> None:
    network = StackedMLP((2, 3, 1), "tanh")
    copy = pickle.loads(pickle.dumps(network))
    rows, inputs = stack(network), draw(B, N, 2)
    assert torch.equal(copy(split(copy, rows), inputs), network(split(network, rows), inputs))


def test_build_networks_gives_the_pair_that_was_asked_for() -> None:
    generator, discriminator = build_networks(Networks(latent_dim=5, width=6, depth=3, activation="silu"), dim=4)
    assert generator.sizes == (5, 6, 6, 6, 4) and discriminator.sizes == (4, 6, 6, 6, 1)
    assert not generator.has_backward and not discriminator.has_penalty_backward
    generator, discriminator = build_networks(Networks(kind="dirac"), dim=1)
    assert isinstance(generator, DiracGenerator) and isinstance(discriminator, DiracDiscriminator)
    with pytest.raises(UnknownNameError, match="'cnn'; did you mean conv"):
        build_networks(Networks(kind="cnn"), dim=1)
    with pytest.raises(UnknownNameError, match="relu"):
        StackedMLP((1, 1), "relus")


def test_dirac_networks_are_theta_and_psi_times_x() -> None:
    weights = [torch.tensor([[[2.0]], [[-3.0]]])]
    inputs = torch.tensor([[[1.0], [4.0]], [[1.0], [0.5]]])
    assert DiracGenerator()(weights, inputs).tolist() == [[[2.0], [2.0]], [[-3.0], [-3.0]]]
    assert DiracDiscriminator()(weights, inputs).tolist() == [[[2.0], [8.0]], [[-3.0], [-1.5]]]


# --- closed form and automatic differentiation train alike -----------------------------------------------------------


def interval(
    losses: list[tuple[str, int, int]],
    penalty: str | None,
    activation: str = "leaky-relu",
    *,
    closed_form: bool,
    cycle: tuple[int, int] = (2, 1),
    **plan: Any,
) -> tuple[PopulationState, Measurements]:
    """One short interval of small networks in double precision, the same on every call."""
    members, updates, batch, latent, dim = losses[-1][2], 12, 8, 3, 2
    generator, discriminator = StackedMLP((latent, 6, 5, dim), activation), StackedMLP((dim, 6, 5, 1), activation)
    rows = 2 * stack(generator, members), 2 * stack(discriminator, members, seed=5)  # logits beyond hinge's margin
    state = PopulationState.fresh(*rows, torch.arange(members))

    def column(*values: float) -> Tensor:
        return torch.tensor(values, dtype=torch.float64)[:members, None]

    settings: dict[str, Any] = {
        "updates": updates,
        "cycles": [cycle] * members,
        "losses": losses,
        "penalties": [] if penalty is None else [(penalty, 0, members)],
        "penalty_weight": column(0.5, 2.0, 0.1),
        "generator_lr": column(0.01, 0.02, 0.003),
        "discriminator_lr": column(0.02, 0.005, 0.01),
        "beta1": column(0.5, 0.0, 0.9),
        "beta2": column(0.99, 0.9, 0.999),
        "ema_decay": column(0.9, 0.0, 0.5),
        "optimizer": "adam",
        "simultaneous": False,
    }
    inputs = IntervalInputs(
        noise=draw(members, updates, batch, latent, seed=11),
        points=draw(40, dim, seed=12),
        rows=torch.randint(40, (members, updates, batch), generator=torch.Generator().manual_seed(13)),
        mix=torch.rand(members, updates, batch, 1, generator=torch.Generator().manual_seed(14), dtype=torch.float64),
    )
    trainer = IntervalTrainer(
        generator, discriminator, state, IntervalPlan(**{**settings, **plan}), inputs, closed_form=closed_form
    )
    return state, trainer.run()


def assert_trained_alike(*arguments: Any, **keywords: Any) -> None:
    ours, theirs = (interval(*arguments, **keywords, closed_form=closed_form) for closed_form in (True, False))
    for first, second in zip(ours, theirs, strict=True):
        for field in fields(first):
            np.testing.assert_allclose(
                np.asarray(getattr(first, field.name)), getattr(second, field.name), rtol=1e-6, atol=1e-9
            )


@pytest.mark.parametrize("penalty", [None, *PENALTIES])
@pytest.mark.parametrize("loss", LOSSES)
def test_closed_form_trains_as_autograd_does(loss: str, penalty: str | None) -> None:
    assert_trained_alike([(loss, 0, 2)], penalty)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("penalty", [None, "zero-centred", "one-centred"])
def test_closed_form_trains_as_autograd_does_with_other_activations(activation: str, penalty: str | None) -> None:
    assert_trained_alike([("non-saturating", 0, 3)], penalty, activation)


def test_closed_form_trains_as_autograd_does_with_several_losses_at_once() -> None:
    assert_trained_alike([("non-saturating", 0, 1), ("lsgan", 1, 2), ("rpgan", 2, 3)], "zero-centred")


@pytest.mark.parametrize("penalised", [(0, 1), (1, 2), (2, 3), (0, 2)])
def test_closed_form_trains_as_autograd_does_with_several_penalties_at_once(penalised: tuple[int, int]) -> None:
    others = [("r1", member, member + 1) for member in range(3) if not penalised[0] <= member < penalised[1]]
    for beside in ([], others):
        penalties = sorted([("zero-centred", *penalised), *beside], key=lambda run: run[1])
        assert_trained_alike([("lsgan", 0, 3)], None, penalties=penalties)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_closed_form_trains_as_autograd_does_when_both_step_at_once(optimizer: str) -> None:
    assert_trained_alike([("hinge", 0, 2)], "zero-centred", cycle=(1, 1), simultaneous=True, optimizer=optimizer)


def test_every_loss_and_penalty_trains_differently() -> None:
    ends = [
        interval([(loss, 0, 1)], penalty, closed_form=True)[0].discriminator
        for loss in LOSSES
        for penalty in (None, *PENALTIES)
    ]
    for one, other in itertools.combinations(ends, 2):
        assert (one - other).abs().max() > 1e-4


# --- which path is taken ---------------------------------------------------------------------------------------------


def small_population(
    activation: str, penalty_weight: float, loss: str = "non-saturating"
) -> tuple[Population, Settings]:
    networks = Networks(latent_dim=2, width=8, depth=2, activation=activation)
    base = Base(batch_size=8, loss=loss, penalty_weight=penalty_weight)
    task = Task("ring8/0", "ring8", 2, networks=networks, base=base)
    return Population([task], [0], engine="torch"), Settings.of([base])


def forbid(monkeypatch: pytest.MonkeyPatch, *methods: str) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("this path must not be taken")

    for method in methods:
        monkeypatch.setattr(StackedMLP, method, refuse)


@pytest.mark.parametrize("penalty_weight", [0.0, 0.1])
@pytest.mark.parametrize("activation", ["silu", "softplus"])
def test_activations_without_closed_form_train_through_autograd(
    activation: str, penalty_weight: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid(monkeypatch, "forward", "backward", "input_gradient", "backward_along", "penalty_backward")
    assert_all_weights_move(*small_population(activation, penalty_weight))


def test_penalty_of_tanh_networks_goes_through_autograd(monkeypatch: pytest.MonkeyPatch) -> None:
    forbid(monkeypatch, "input_gradient", "backward_along", "penalty_backward")
    assert_all_weights_move(*small_population("tanh", 0.1))
    assert_all_weights_move(*small_population("tanh", 0.1, "wgan"))


@pytest.mark.parametrize("activation", WITH_BACKWARD)
def test_closed_form_is_used_where_there_is_one(activation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    population, settings = small_population(activation, 0.1)
    called = {"backward": 0, "input_gradient": 0, "backward_along": 0, "penalty_backward": 0}

    def count(name: str) -> None:
        method = getattr(StackedMLP, name)

        def counted(*arguments: Any, **keywords: Any) -> Any:
            called[name] += 1
            return method(*arguments, **keywords)

        monkeypatch.setattr(StackedMLP, name, counted)

    for name in called:
        count(name)
    population.train(settings, 12)
    discriminating, generating = 6, 6
    if activation in PIECEWISE_LINEAR:  # D's loss and penalty go back through D once, together
        assert called.pop("backward") == 2 * generating  # through D and G
        assert set(called.values()) == {discriminating}
    else:
        assert called.pop("backward") == discriminating + 2 * generating
        assert set(called.values()) == {0}


def assert_all_weights_move(population: Population, settings: Settings) -> None:
    before = population.state.clone()
    measured = population.train(settings, 12)
    after = population.state
    assert torch.isfinite(after.generator).all() and torch.isfinite(after.discriminator).all()
    assert not after.diverged.any() and np.isfinite(measured.discriminator_loss).all()
    assert (after.generator != before.generator).float().mean() > 0.9
    assert (after.discriminator != before.discriminator).float().mean() > 0.9
    assert not after.generator.requires_grad and not after.discriminator.requires_grad


def test_penalty_weight_matters_on_every_path() -> None:
    for activation in MODULES:
        ends = []
        for weight in (0.0, 0.1, 1.0):
            population, settings = small_population(activation, weight)
            population.train(settings, 12)
            ends.append(population.state.discriminator)
        assert (ends[0] - ends[1]).abs().max() > 1e-5 and (ends[1] - ends[2]).abs().max() > 1e-5
