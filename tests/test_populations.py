"""What must hold of populations: members train as lone GANs do, each by its own controls, whoever is beside them."""

import itertools
import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from metagan_rl.errors import InvalidValueError, UnknownNameError
from metagan_rl.evaluation import evaluate
from metagan_rl.loop import KNOBS, Controls
from metagan_rl.loop.knobs import LR_FACTOR, MAX_PENALTY_WEIGHT, NumberKnob
from metagan_rl.losses import LOSSES
from metagan_rl.networks import StackedMLP
from metagan_rl.networks.base import split
from metagan_rl.populations import Measurements, MixedPopulation, Population, PopulationState, Shape
from metagan_rl.populations.interval import SAMPLE_LIMIT, WEIGHT_LIMIT
from metagan_rl.populations.measurements import Recorder
from metagan_rl.populations.settings import CYCLE, RATIOS, Settings
from metagan_rl.populations.torch_engine import CHUNK_MEMBERS, TorchEngine
from metagan_rl.tasks import Base, Networks, Task, get_suite

SMALL = Networks(latent_dim=3, width=8, depth=2)
OTHER = replace(SMALL, width=6, depth=1)
BASE = Base(batch_size=16, generator_lr=2e-3, discriminator_lr=4e-3, ema_decay=0.9)


def ring(seed: int = 0, networks: Networks = SMALL, **base: Any) -> Task:
    parameters = {"modes": 5, "sigma": 0.1, "weights": [1.0] * 5, "rotation": 0.1 * seed, "stretch": 1.0}
    return Task(f"ring/{seed}", "ring", 2, parameters, networks=networks, base=replace(BASE, **base), seed=seed)


def ring8(seed: int = 0, **base: Any) -> Task:
    return Task(f"ring8/{seed}", "ring8", 2, networks=SMALL, base=replace(BASE, **base), seed=seed)


def in_double(population: Population) -> Population:
    """The same population in double precision, where rounding cannot hide an error nor look like one."""
    population.dtype = torch.float64
    doubled = {name: v.double() if v.is_floating_point() else v for name, v in population.state.to_dict().items()}
    population.state = PopulationState(**doubled)
    return population


def double(tasks: Sequence[Task], seeds: Sequence[int]) -> Population:
    return in_double(Population(tasks, seeds))


def assert_same(first: Any, second: Any, rtol: float = 1e-9, atol: float = 1e-11) -> None:
    """States or measurements, field by field."""
    for field in fields(first):
        ours, theirs = (np.asarray(getattr(item, field.name)) for item in (first, second))
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol, err_msg=field.name)


def assert_equal(first: PopulationState, second: PopulationState) -> None:
    for name, values in first.to_dict().items():
        assert torch.equal(values, second.to_dict()[name]), name


VARIED = (
    {"loss": "non-saturating", "penalty_weight": 0.1},
    {"loss": "hinge", "ratio": "5:1", "beta1": 0.0},
    {"loss": "wgan", "penalty_weight": 0.3, "ratio": "1:3", "generator_lr": 5e-3},
    {"loss": "rpgan", "penalty_weight": 0.2, "discriminator_lr": 1e-3},
    {"loss": "lsgan", "ratio": "2:1", "ema_decay": 0.0},
    {"loss": "non-saturating", "ratio": "5:1", "penalty_weight": 1.0, "beta2": 0.9},
    {"loss": "non-saturating"},
)
"""Base settings of members that differ in every respect that one population allows."""


def varied_tasks() -> list[Task]:
    return [(ring if place % 2 else ring8)(place, **base) for place, base in enumerate(VARIED)]


def bases(tasks: Sequence[Task]) -> Settings:
    return Settings.of([task.base for task in tasks])


def under(tasks: Sequence[Task], **changes: Any) -> Settings:
    """What members train with whose knobs are set to other values."""
    settings = [task.base for task in tasks]
    return Controls.base(settings).replace(**changes).settings(settings)


NUMBERS = [name for name, knob in zip(KNOBS, KNOBS.values(), strict=True) if isinstance(knob, NumberKnob)]
CHOICES = [name for name in KNOBS if name not in NUMBERS]


# --- controls --------------------------------------------------------------------------------------------------------


def controls(members: int = 3, **changes: Any) -> Controls:
    return Controls.base([ring().base] * members).replace(**changes)


@pytest.mark.parametrize("knob", NUMBERS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1.0, 1e3])
def test_controls_out_of_range_are_refused_by_name_member_and_value(knob: str, value: float) -> None:
    values = np.full(3, 0.5)
    values[1] = value
    with pytest.raises(InvalidValueError, match=f"{knob} of member 1 is .*{value}"):
        controls(**{knob: values})


@pytest.mark.parametrize("knob", CHOICES)
@pytest.mark.parametrize("value", [-1, 99])
def test_indices_out_of_range_are_refused(knob: str, value: int) -> None:
    with pytest.raises(InvalidValueError, match=f"{knob} of member 2 is .*{value}"):
        controls(**{knob: np.array([0, 0, value])})


@pytest.mark.parametrize("knob", CHOICES)
@pytest.mark.parametrize("values", [np.zeros(3), np.array([True, False, True]), np.array(["1:1"] * 3)])
def test_indices_must_be_whole_numbers(knob: str, values: np.ndarray) -> None:
    with pytest.raises(InvalidValueError, match=f"{knob} is {values.dtype}"):
        controls(**{knob: values})


@pytest.mark.parametrize("knob", NUMBERS)
@pytest.mark.parametrize("values", [["a", "b", "c"], ["1", "1", "1"], [None] * 3, [1 + 1j] * 3, [True] * 3])
def test_numbers_must_be_numbers(knob: str, values: list[Any]) -> None:
    with pytest.raises(InvalidValueError, match=knob):
        controls(**{knob: np.array(values)})


@pytest.mark.parametrize("values", [np.ones(2), np.ones((3, 1)), np.ones((3, 3)), 1.0])
def test_controls_must_have_one_value_a_member(values: Any) -> None:
    with pytest.raises(InvalidValueError, match="one value a member"):
        controls(generator_lr_factor=values)


def test_the_whole_range_of_controls_is_allowed_and_rounding_beyond_it_forgiven() -> None:
    ends = {"generator_lr_factor": (1 / LR_FACTOR, LR_FACTOR), "penalty_weight": (0, MAX_PENALTY_WEIGHT)}
    for knob, (low, high) in ends.items():
        kept = controls(2, **{knob: np.array([low, high])})
        assert getattr(kept, knob).tolist() == [low, high]
    assert LR_FACTOR == 30 and MAX_PENALTY_WEIGHT == 100
    controls(1, generator_lr_factor=np.nextafter([30.0], 31), discriminator_lr_factor=np.nextafter([1 / 30], 0))
    controls(1, ratio=np.array([len(RATIOS) - 1], dtype=np.uint8), loss=np.array([len(LOSSES) - 1], dtype=np.int32))


def test_controls_can_be_indexed_replaced_and_told_in_words() -> None:
    tasks = varied_tasks()
    all_of_them = Controls.base([task.base for task in tasks])
    assert len(all_of_them) == len(tasks) and all_of_them.knobs == tuple(KNOBS)
    for member, task in enumerate(tasks):
        base = task.base
        expected = {
            "generator_lr_factor": 1.0, "discriminator_lr_factor": 1.0, "ratio": base.ratio, "loss": base.loss,
            "penalty_weight": base.penalty_weight, "beta1": base.beta1, "ema_decay": base.ema_decay,
        }  # fmt: skip
        assert all_of_them.describe(member) == all_of_them[member].describe(0) == expected
        assert all_of_them[np.arange(len(tasks)) == member].describe(0) == expected
    assert len(all_of_them[1:3]) == 2
    changed = all_of_them.replace(penalty_weight=np.full(len(tasks), 7.0))
    assert changed.penalty_weight[0] == 7 and all_of_them.penalty_weight[0] == 0.1
    with pytest.raises(UnknownNameError, match="1:1"):
        Controls.base([ring(ratio="1:7").base])
    with pytest.raises(UnknownNameError, match="hinge"):
        Controls.base([ring(loss="hing").base])


def test_controls_keep_their_own_copy_of_the_arrays() -> None:
    rates = np.ones(3)
    kept = controls(generator_lr_factor=rates)
    rates[:] = np.nan
    assert (kept.generator_lr_factor == 1).all()


def test_every_ratio_fits_an_interval_a_whole_number_of_times() -> None:
    for name, cycle in zip(RATIOS, RATIOS.values(), strict=True):
        assert name == f"{cycle[0]}:{cycle[1]}" and CYCLE % sum(cycle) == 0


# --- one member is one ordinary GAN ----------------------------------------------------------------------------------


def module(network: StackedMLP, row: Tensor) -> nn.Sequential:
    weights = [weight[0] for weight in split(network, row[None])]
    layers: list[nn.Module] = []
    for place, (inputs, outputs) in enumerate(itertools.pairwise(network.sizes)):
        linear = nn.Linear(inputs, outputs, dtype=row.dtype)
        with torch.no_grad():
            linear.weight.copy_(weights[2 * place].T)
            linear.bias.copy_(weights[2 * place + 1][0])
        layers += [linear, nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1])


def row_of(net: nn.Sequential) -> Tensor:
    linears = [layer for layer in net if isinstance(layer, nn.Linear)]
    return torch.cat([part.detach().reshape(-1) for linear in linears for part in (linear.weight.T, linear.bias)])


def gradient_norm(net: nn.Module) -> float:
    return float(torch.stack([weight.grad.square().sum() for weight in net.parameters()]).sum().sqrt())


def plain_discriminator_loss(loss: str, real: Tensor, fake: Tensor) -> Tensor:
    if loss == "non-saturating":
        return softplus(-real).mean() + softplus(fake).mean()
    return {"wgan": fake.mean() - real.mean(), "rpgan": softplus(fake - real).mean()}[loss]


def plain_penalty(loss: str, D: nn.Module, real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    def slopes(points: Tensor) -> Tensor:
        points = points.clone().requires_grad_()
        return torch.autograd.grad(D(points).sum(), points, create_graph=True)[0].square().sum(dim=1)

    if loss == "wgan":
        return (slopes(real + mix * (fake - real)).sqrt() - 1).square().mean()
    return slopes(real).mean() / 2 + slopes(fake).mean() / 2


class PlainGAN:
    """The loop everybody writes: two modules, two of torch's Adams, an averaged generator."""

    def __init__(self, population: Population) -> None:
        self.population, self.base = population, population.tasks[0].base
        self.G = module(population.generator, population.state.generator[0])
        self.D = module(population.discriminator, population.state.discriminator[0])
        self.average = deepcopy(self.G)
        betas = (self.base.beta1, self.base.beta2)
        self.G_adam = torch.optim.Adam(self.G.parameters(), lr=self.base.generator_lr, betas=betas)
        self.D_adam = torch.optim.Adam(self.D.parameters(), lr=self.base.discriminator_lr, betas=betas)

    def train(self, updates: int) -> dict[str, float]:
        """Trains on what the population is about to see; call it before the population is trained."""
        engine = TorchEngine(self.population)
        self.inputs = engine.inputs(np.array([0]), engine.plan(bases(self.population.tasks), updates), mix=True)
        self.noted: dict[str, list[Any]] = {}
        D_updates, G_updates = (int(number) for number in self.base.ratio.split(":"))
        update = 0
        while update < updates:
            if self.base.simultaneous:
                self.discriminator_gradient(update)
                kept = [weight.grad.clone() for weight in self.D.parameters()]
                self.generator_gradient(update + 1)
                for weight, gradient in zip(self.D.parameters(), kept, strict=True):
                    weight.grad = gradient
                self.D_adam.step()
                self.step_generator()
                update += 2
                continue
            for _ in range(D_updates):
                self.discriminator_gradient(update)
                self.D_adam.step()
                update += 1
            for _ in range(G_updates):
                self.generator_gradient(update)
                self.step_generator()
                update += 1
        means = {name: float(np.mean(values)) for name, values in self.noted.items() if name != "variance"}
        return {**means, "logit_deviation": float(np.sqrt(np.mean(self.noted["variance"])))}

    def note(self, **values: Any) -> None:
        for name, value in values.items():
            self.noted.setdefault(name, []).append(float(torch.as_tensor(value).detach()))

    def drawn(self, update: int) -> tuple[Tensor, Tensor, Tensor]:
        rows = self.inputs.rows[0, update]
        return self.inputs.points[rows], self.inputs.noise[0, update], self.inputs.mix[0, update]

    def discriminator_gradient(self, update: int) -> None:
        real, noise, mix = self.drawn(update)
        fake, name = self.G(noise).detach(), self.base.loss
        real_logits, fake_logits = self.D(real).squeeze(1), self.D(fake).squeeze(1)
        loss = plain_discriminator_loss(name, real_logits, fake_logits)
        self.D_adam.zero_grad()
        loss.backward()
        boundary = LOSSES[name].boundary
        self.note(
            discriminator_loss=loss,
            real_logit=real_logits.mean(),
            fake_logit=fake_logits.mean(),
            variance=(real_logits.var() + fake_logits.var()) / 2,
            real_accuracy=(real_logits > boundary).double().mean(),
            fake_accuracy=(fake_logits < boundary).double().mean(),
            pair_accuracy=(real_logits > fake_logits).double().mean(),
            discriminator_gradient=gradient_norm(self.D),
        )
        if self.base.penalty_weight:
            (self.base.penalty_weight * plain_penalty(name, self.D, real, fake, mix)).backward()

    def generator_gradient(self, update: int) -> None:
        real, noise, _ = self.drawn(update)
        fake_logits = self.D(self.G(noise)).squeeze(1)
        with torch.no_grad():
            real_logits = self.D(real).squeeze(1)
        loss = {
            "non-saturating": softplus(-fake_logits),
            "wgan": -fake_logits,
            "rpgan": softplus(real_logits - fake_logits),
        }[self.base.loss].mean()
        self.G_adam.zero_grad()
        loss.backward()
        self.note(generator_loss=loss, generator_gradient=gradient_norm(self.G))

    def step_generator(self) -> None:
        self.G_adam.step()
        with torch.no_grad():
            for slow, fast in zip(self.average.parameters(), self.G.parameters(), strict=True):
                slow.copy_(self.base.ema_decay * slow + (1 - self.base.ema_decay) * fast)


@pytest.mark.parametrize("penalty_weight", [0.0, 0.3])
@pytest.mark.parametrize("loss", ["non-saturating", "wgan", "rpgan"])
@pytest.mark.parametrize(("ratio", "simultaneous"), [("1:1", False), ("5:1", False), ("1:3", False), ("1:1", True)])
def test_population_of_one_trains_as_a_plain_loop_does(
    ratio: str, loss: str, penalty_weight: float, simultaneous: bool
) -> None:
    task = ring(3, ratio=ratio, loss=loss, penalty_weight=penalty_weight, simultaneous=simultaneous)
    population = double([task], [7])
    plain = PlainGAN(population)
    for updates in (24, 12):
        before = population.state.clone()
        expected = plain.train(updates)
        measured = population.train(bases([task]), updates)
        state = population.state
        for ours, theirs in (
            (state.generator, plain.G),
            (state.discriminator, plain.D),
            (state.average, plain.average),
        ):
            torch.testing.assert_close(ours[0], row_of(theirs), rtol=1e-7, atol=1e-9)
        for name in ("generator", "discriminator"):
            start, end = getattr(before, name), getattr(state, name)
            expected[f"{name}_move"] = float((end - start).norm() / start.norm())
        assert {field.name for field in fields(measured)} == {*expected, "diverged"}
        for name, value in expected.items():
            assert getattr(measured, name)[0] == pytest.approx(value, rel=1e-5, abs=1e-8), name
        assert measured.diverged[0] == 0
    parts = [int(part) for part in ratio.split(":")]
    assert state.discriminator_steps.item() == 36 * parts[0] // sum(parts)
    assert state.generator_steps.item() == 36 * parts[1] // sum(parts) and state.intervals.item() == 2


def test_multipliers_scale_the_base_rates() -> None:
    tasks = [ring(1, generator_lr=1e-3, discriminator_lr=1e-3), ring(1, generator_lr=4e-3, discriminator_lr=5e-4)]
    population = double(tasks, [3, 3])
    both = under(tasks, generator_lr_factor=np.array([4.0, 1.0]), discriminator_lr_factor=np.array([0.5, 1.0]))
    population.train(both, 24)
    assert_same(population.state[:1], population.state[1:])


def test_logits_too_large_to_be_squared_are_still_measured() -> None:
    recorder = Recorder(torch.zeros(1, 1), torch.tensor([[True], [False]]), 2)
    real, fake = torch.tensor([[1e25, 3e25]]), torch.tensor([[-1e25, -3e25]])
    recorder.discriminator(0, None, real, fake, torch.ones(1), torch.ones(1, 2))
    recorder.generator(1, None, torch.ones(1), torch.ones(1, 2))
    measured = recorder.measurements(torch.ones(1), torch.ones(1), torch.zeros(1, dtype=torch.bool))
    assert measured.logit_deviation[0] == pytest.approx(math.sqrt(2) * 1e25)
    assert measured.real_logit[0] == pytest.approx(2e25) == -measured.fake_logit[0]
    assert measured.real_accuracy[0] == measured.fake_accuracy[0] == measured.pair_accuracy[0] == 1


# --- members do not depend on each other -----------------------------------------------------------------------------


def test_member_of_a_batch_trains_as_it_would_alone() -> None:
    tasks, seeds = varied_tasks(), list(range(10, 10 + len(VARIED)))
    together = double(tasks, seeds)
    measured = [together.train(bases(tasks), 24) for _ in range(2)]
    for member, (task, seed) in enumerate(zip(tasks, seeds, strict=True)):
        alone = double([task], [seed])
        for interval in range(2):
            mine, row = alone.train(bases([task]), 24), Measurements.empty(1)
            row.put(slice(None), measured[interval], [member])
            assert_same(mine, row, rtol=1e-6, atol=1e-8)
        assert_same(alone.state, together.state[member : member + 1], rtol=1e-6, atol=1e-8)


def test_member_of_a_batch_trains_as_it_would_alone_in_single_precision() -> None:
    tasks, seeds = [ring(place) for place in range(3)], [4, 5, 6]
    together = Population(tasks, seeds)
    together.train(bases(tasks), 24)
    for member in range(3):
        alone = Population([tasks[member]], [seeds[member]])
        alone.train(bases(tasks[:1]), 24)
        assert alone.state.generator.dtype == torch.float32
        assert_same(alone.state, together.state[member : member + 1], rtol=1e-3, atol=1e-4)


def test_more_members_than_fit_a_chunk_train_as_they_would_alone() -> None:
    count = 2 * CHUNK_MEMBERS["cpu"] + 3
    tasks = [ring(place % 3, loss=("hinge", "lsgan")[place % 2]) for place in range(count)]
    together = double(tasks, range(count))
    together.train(bases(tasks), 12)
    for member in (0, 1, CHUNK_MEMBERS["cpu"], count - 1):
        alone = double([tasks[member]], [member])
        alone.train(bases([tasks[member]]), 12)
        assert_same(alone.state, together.state[[member]], rtol=1e-6, atol=1e-8)


def test_randomness_depends_on_nothing_but_seed_and_interval() -> None:
    tasks = varied_tasks()[:3]
    together, alone = Population(tasks, [5, 6, 7]), Population(tasks[1:2], [6])
    assert torch.equal(together.state.generator[1], alone.state.generator[0])
    assert torch.equal(together.state.discriminator[1], alone.state.discriminator[0])
    seen = []
    for _ in range(2):
        all_inputs, inputs = (
            engine.inputs(np.arange(len(engine.population)), engine.plan(bases(engine.population.tasks), 12), mix=True)
            for engine in (TorchEngine(together), TorchEngine(alone))
        )
        assert torch.equal(all_inputs.noise[1], inputs.noise[0]) and torch.equal(all_inputs.mix[1], inputs.mix[0])
        assert torch.equal(all_inputs.points[all_inputs.rows[1]], inputs.points[inputs.rows[0]])
        seen.append(inputs.noise)
        together.train(bases(tasks), 12)
        alone.train(under(tasks[1:2], generator_lr_factor=np.array([3.0])), 12)
    assert not torch.equal(*seen)
    assert not torch.equal(all_inputs.noise[0], all_inputs.noise[1])


@pytest.mark.parametrize("knob", KNOBS)
def test_controls_of_one_member_never_change_another(knob: str) -> None:
    tasks = [ring(place) for place in range(3)]
    changed = {"ratio": np.array([2, 5, 2]), "loss": np.array([0, 4, 0]), "penalty_weight": np.array([0.0, 9.0, 0.0])}
    changed |= {"beta1": np.array([BASE.beta1, 0.1, BASE.beta1]), "ema_decay": np.array([0.9, 0.0, 0.9])}
    first, second = double(tasks, range(3)), double(tasks, range(3))
    for _ in range(2):
        first.train(bases(tasks), 12)
        second.train(under(tasks, **{knob: changed.get(knob, np.array([1.0, 20.0, 1.0]))}), 12)
    assert_same(first.state[[0, 2]], second.state[[0, 2]], rtol=1e-6, atol=1e-8)
    changes = "average" if knob == "ema_decay" else "generator"
    assert (getattr(first.state, changes)[1] - getattr(second.state, changes)[1]).abs().max() > 1e-4


def test_order_of_members_is_kept_whatever_their_ratios_and_losses() -> None:
    tasks, seeds = varied_tasks(), np.arange(len(VARIED))
    shuffled = np.array([3, 0, 6, 2, 5, 1, 4])
    straight, mixed = double(tasks, seeds), double([tasks[place] for place in shuffled], seeds[shuffled])
    measured = straight.train(bases(tasks), 12)
    other = mixed.train(bases(mixed.tasks), 12)
    assert_same(straight.state[shuffled], mixed.state, rtol=1e-6, atol=1e-8)
    in_order = Measurements.empty(len(tasks))
    in_order.put(slice(None), measured, shuffled)
    assert_same(in_order, other, rtol=1e-6, atol=1e-8)


def test_training_again_gives_the_very_same_bits() -> None:
    tasks = varied_tasks()
    first, second = Population(tasks, range(len(tasks))), Population(tasks, range(len(tasks)))
    for population in (first, second):
        population.train(bases(tasks), 12)
    assert_equal(first.state, second.state)


# --- gradients that are 0 --------------------------------------------------------------------------------------------

DIGITS = Task("digits/0", "digits", 64, {"classes": list(range(10))})
CANCELLING = ("wgan", "rpgan")
"""Losses that depend on differences of real and generated logits alone, so that D's last bias has no gradient."""


def of_precision(dtype: torch.dtype, tasks: Sequence[Task]) -> Population:
    population = Population(tasks, range(len(tasks)))
    return in_double(population) if dtype == torch.float64 else population


def last_bias(population: Population) -> Tensor:
    return split(population.discriminator, population.state.discriminator)[-1]


@pytest.mark.parametrize("batch_size", [7, 96])  # 1/7 and 1/96 are rounded
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("activation", ["leaky-relu", "tanh", "silu"])  # closed form, partly, not at all
@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_last_bias_of_the_discriminator_stays_where_its_gradient_is_zero(
    kind: str, activation: str, dtype: torch.dtype, batch_size: int
) -> None:
    networks, data = Networks(latent_dim=3, width=5, kind=kind, activation=activation), {"mlp": ring(), "conv": DIGITS}
    tasks = [
        replace(
            data[kind],
            networks=networks,
            base=replace(BASE, loss=loss, batch_size=batch_size, penalty_weight=penalty_weight),
        )
        for loss, penalty_weight in itertools.product((*CANCELLING, "lsgan"), (0.0, 0.1))
    ]
    population = of_precision(dtype, tasks)
    before = last_bias(population).clone()
    population.train(bases(tasks), 24)
    moved = (last_bias(population) != before).flatten()
    assert moved.tolist() == [False] * 4 + [True] * 2
    assert not population.state.diverged.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("penalty_weight", [0.0, 0.1])
@pytest.mark.parametrize("loss", CANCELLING)
def test_biases_of_units_with_one_slope_for_the_whole_batch_stay(
    loss: str, penalty_weight: float, dtype: torch.dtype
) -> None:
    tasks = [ring(seed, loss=loss, penalty_weight=penalty_weight, batch_size=96) for seed in range(2)]
    population = of_precision(dtype, tasks)
    biases = split(population.discriminator, population.state.discriminator)[3][:, 0]  # of the last hidden layer
    biases[:, 0], biases[:, 1] = 40, -40  # always on, never on
    before = biases.clone()
    population.train(bases(tasks), 24)
    moved = split(population.discriminator, population.state.discriminator)[3][:, 0] != before
    assert not moved[:, :2].any() and moved[:, 2:].any()


# --- divergence ------------------------------------------------------------------------------------------------------


def rates(members: int, fast: int, factor: float = LR_FACTOR) -> dict[str, np.ndarray]:
    values = np.where(np.arange(members) == fast, factor, 1.0)
    return {"generator_lr_factor": values, "discriminator_lr_factor": values}


def test_exploding_member_is_flagged_frozen_and_finite_and_the_others_train_on() -> None:
    tasks = [ring(place, loss="lsgan") for place in range(3)]
    tasks[1] = ring(1, loss="lsgan", generator_lr=10.0, discriminator_lr=10.0)
    fast = under(tasks, **rates(3, fast=1))  # it steps 300 at a time
    population, others = Population(tasks, range(3)), Population([tasks[0], tasks[2]], [0, 2])
    start = population.state.clone()
    for interval in range(2):
        measured = population.train(fast, 48)
        lone = others.train(fast[[0, 2]], 48)
        assert measured.diverged.tolist() == [0, interval == 0, 0]
        assert population.state.diverged.tolist() == [False, True, False]
        np.testing.assert_allclose(measured.discriminator_loss[[0, 2]], lone.discriminator_loss, rtol=1e-3)
        assert_same(others.state, population.state[[0, 2]], rtol=1e-3, atol=1e-3)
    assert np.isnan(measured.discriminator_loss[1]) and np.isnan(measured.generator_move[1])  # nothing was trained
    for name in ("generator", "discriminator", "average", "discriminator_second", "discriminator_steps"):
        assert torch.equal(getattr(population.state, name)[1], getattr(start, name)[1])
    assert torch.isfinite(population.sample(torch.zeros(3, 4, 3))).all()


def test_member_that_explodes_later_goes_back_to_where_that_interval_began() -> None:
    tasks = [ring(place, loss="lsgan", optimizer="sgd", generator_lr=0.1, discriminator_lr=0.1) for place in range(3)]
    population, others = double(tasks, range(3)), double([tasks[0], tasks[2]], [0, 2])
    assert population.train(bases(tasks), 48).diverged.tolist() == [0, 0, 0]
    others.train(bases(others.tasks), 48)
    before = population.state.clone()
    measured = population.train(under(tasks, **rates(3, fast=1)), 480)
    others.train(bases(others.tasks), 480)
    assert measured.diverged.tolist() == [0, 1, 0]
    assert_same(others.state, population.state[[0, 2]], rtol=1e-5, atol=1e-7)
    for name, values in population.state.to_dict().items():
        if name == "diverged":
            assert values.tolist() == [False, True, False]
        elif name == "intervals":
            assert values.tolist() == [2, 2, 2]
        else:
            assert torch.equal(values[1], before.to_dict()[name][1]), name
    weights = torch.cat([population.state.generator[1], population.state.discriminator[1]])
    assert torch.isfinite(weights).all() and weights.abs().max() < WEIGHT_LIMIT


def test_controls_that_schedulers_may_set_blow_up_a_run_of_the_planar_suite() -> None:
    task = max(get_suite("planar").split("train"), key=lambda task: task.base.generator_lr * task.base.discriminator_lr)
    population = Population([task, task], [0, 0])
    factors = np.array([LR_FACTOR, 1.0]), np.array([1 / LR_FACTOR, 1.0])
    settings = under([task, task], generator_lr_factor=factors[0], discriminator_lr_factor=factors[1])
    measured = population.train(settings, 48)
    assert measured.diverged.tolist() == [1, 0]
    weights = torch.cat([population.state.generator[0], population.state.discriminator[0]])
    assert weights.abs().max() < WEIGHT_LIMIT  # it is the samples that exploded
    assert population.sample(torch.randn(2, 128, 8), average=False).square().mean().sqrt() < SAMPLE_LIMIT


def test_members_that_do_not_fit_the_memory_are_refused_with_the_number_that_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    each = Population([ring()], [0]).bytes_per_member()
    monkeypatch.setattr("metagan_rl.populations.population.available_memory", lambda device: 5 * 2 * each)
    Population([ring()] * 5, range(5))
    with pytest.raises(InvalidValueError, match=r"6 members .* at most 5 would"):
        Population([ring()] * 6, range(6))


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), 2e4])
@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_weights_that_are_not_finite_or_too_large_are_caught(poison: float, network: str) -> None:
    tasks = [ring(place) for place in range(2)]
    population, alone = double(tasks, [0, 1]), double(tasks[1:], [1])
    getattr(population.state, network)[0, 3] = poison
    measured = population.train(bases(tasks), 12)
    alone.train(bases(tasks[1:]), 12)
    assert measured.diverged.tolist() == [1, 0] and population.state.diverged.tolist() == [True, False]
    assert_same(alone.state, population.state[1:], rtol=1e-6, atol=1e-8)


def test_population_of_nothing_but_diverged_members_stands_still() -> None:
    population = double([ring()], [0])
    population.state.diverged[:] = True
    before = population.state.clone()
    measured = population.train(bases([ring()]), 12)
    assert_equal(population.state, before)
    assert np.isnan(measured.generator_loss[0]) and measured.diverged[0] == 0


# --- state -----------------------------------------------------------------------------------------------------------


def trained(members: int = 4) -> Population:
    tasks = [ring(place) for place in range(members)]
    population = Population(tasks, range(members))
    population.train(bases(tasks), 12)
    return population


def test_fresh_state_has_trained_nothing() -> None:
    state = Population([ring(), ring(1)], [8, 9]).state
    assert len(state) == 2 and state.seed.tolist() == [8, 9] and torch.equal(state.average, state.generator)
    for name in ("generator_first", "generator_second", "discriminator_first", "discriminator_second"):
        assert (getattr(state, name) == 0).all()
    for name in ("generator_steps", "discriminator_steps", "intervals", "diverged"):
        assert (getattr(state, name) == 0).all()
    pointers = [values.data_ptr() for values in state.to_dict().values() if values.numel()]
    assert len(set(pointers)) == len(pointers)


def test_state_can_be_indexed_by_numbers_slices_and_masks() -> None:
    state = trained().state
    wanted = state[torch.tensor([2, 0])]
    assert wanted.seed.tolist() == [2, 0] and torch.equal(wanted.generator[1], state.generator[0])
    assert_equal(state[[1, 2]], state[1:3])
    assert_equal(state[[1, 2]], state[torch.tensor([False, True, True, False])])


def test_putting_members_back_changes_only_them() -> None:
    state = trained().state
    before, some = state.clone(), state[torch.tensor([0, 3])]
    for values in some.to_dict().values():
        values.copy_(torch.ones_like(values))
    assert_equal(state, before)  # index tensors copy
    state.put(torch.tensor([3, 1]), some)
    assert_equal(state[[1, 3]], some)
    assert_equal(state[[0, 2]], before[[0, 2]])


def test_joined_states_follow_one_another() -> None:
    state = trained().state
    assert_equal(state[:1].join(state[1:]), state)
    assert state[[3]].join(state[[0, 1]]).seed.tolist() == [3, 0, 1]


def test_cloned_state_is_independent() -> None:
    state = trained().state
    copy = state.clone()
    copy.generator += 1
    copy.diverged[:] = True
    assert (copy.generator != state.generator).all() and not state.diverged.any()


def test_state_goes_through_a_dictionary_and_trains_on_the_same() -> None:
    population = trained()
    names = {field.name for field in fields(PopulationState)}
    copies = {name: values.clone() for name, values in population.state.to_dict().items()}
    assert set(copies) == names and all(values.is_contiguous() for values in copies.values())
    resumed = Population(population.tasks, [0] * 4)
    resumed.state = PopulationState(**copies)
    for each in (population, resumed):
        each.train(bases(population.tasks), 12)
    assert_equal(population.state, resumed.state)


def test_restart_keep_and_append_leave_the_others_as_they_are() -> None:
    population = trained()
    before = population.state.clone()
    new = ring(9)
    population.restart([2], [new], [77])
    assert_equal(population.state[[0, 1, 3]], before[[0, 1, 3]])
    assert_equal(population.state[[2]], Population([new], [77]).state)
    population.keep([2, 0])
    assert_equal(population.state[[1]], before[[0]])
    population.append([ring(4), ring(5)], [4, 5])
    assert len(population) == len(population.state) == 4
    assert population.state.seed.tolist() == [77, 0, 4, 5]
    assert population.tasks == [new, ring(0), ring(4), ring(5)]
    population.train(bases(population.tasks), 12)
    assert population.state.intervals.tolist() == [1, 2, 1, 1]


def test_sample_is_the_averaged_or_the_last_generator_of_the_members_asked_for() -> None:
    population = trained()
    noise = torch.randn(4, 10, 3, generator=torch.Generator().manual_seed(0))
    for average, rows in ((True, population.state.average), (False, population.state.generator)):
        points = population.sample(noise, average=average)
        for member in range(4):
            net = module(population.generator, rows[member])
            torch.testing.assert_close(points[member], net(noise[member]).detach())
    some = population.sample(noise[[3, 1]], members=[3, 1])
    torch.testing.assert_close(some, population.sample(noise)[[3, 1]])
    assert not some.requires_grad and points.shape == (4, 10, 2)


def test_bytes_per_member_are_those_of_the_states_floats() -> None:
    population = trained(1)
    floats = [values for values in population.state.to_dict().values() if values.is_floating_point()]
    assert population.bytes_per_member() == sum(values.numel() * values.element_size() for values in floats)


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [Population, MixedPopulation])
def test_seeds_and_settings_must_be_one_for_each_member(make: Any) -> None:
    with pytest.raises(InvalidValueError, match="2 tasks and 3 seeds"):
        make([ring(), ring()], [1, 2, 3])
    with pytest.raises(InvalidValueError, match="0 tasks"):
        make([], [])
    with pytest.raises(InvalidValueError, match=r"3 members.* 2"):
        make([ring(), ring()], [1, 2]).train(bases([ring()] * 3), 12)


@pytest.mark.parametrize("make", [Population, MixedPopulation])
@pytest.mark.parametrize("updates", [0, -12, 13, 30])
def test_an_interval_must_hold_whole_cycles_of_all_ratios(make: Any, updates: int) -> None:
    population = make([ring(), ring()], [0, 1])
    mixed = bases([ring(), ring()]).replace(ratio=np.array([RATIOS.index("1:1"), RATIOS.index("3:1")]))
    with pytest.raises(InvalidValueError, match=rf"{updates} updates.*multiple of 4, and 12"):
        population.train(mixed, updates)
    population.train(mixed, 4)


@pytest.mark.parametrize(
    "other",
    [
        ring(networks=OTHER),
        ring(batch_size=8),
        ring(optimizer="sgd"),
        ring(simultaneous=True),
        replace(ring(), dim=3, name="three-columns"),
    ],
)
def test_one_population_has_one_shape(other: Task) -> None:
    with pytest.raises(InvalidValueError, match=other.name):
        Population([ring(1), other], [0, 1])
    assert Shape.of(other) != Shape.of(ring())


# --- members of different shapes -------------------------------------------------------------------------------------


def shapes() -> tuple[list[Task], list[int]]:
    tasks = [
        ring(0),
        ring(1, OTHER),
        ring(2, loss="hinge", ratio="5:1"),
        ring(3, batch_size=8),
        ring(4, OTHER, penalty_weight=0.5),
        Task(
            "dirac/0", "dirac", 1, {"start": [0.3, 0.4]}, networks=Networks(1, kind="dirac"), base=Base(optimizer="sgd")
        ),
        ring(6),
    ]
    return tasks, list(range(20, 27))


def member_state(population: MixedPopulation, member: int) -> PopulationState:
    for group, members in population.groups():
        if member in members:
            return group.state[np.flatnonzero(members == member)]
    raise AssertionError(f"member {member} is in no group")


def test_mixed_population_keeps_the_order_of_members_of_different_shapes() -> None:
    tasks, seeds = shapes()
    mixed = MixedPopulation(tasks, seeds)
    assert len(mixed) == len(tasks) and len(list(mixed.groups())) == 4
    measured = mixed.train(bases(tasks), 24)
    noise = [torch.randn(5 + i % 2, task.networks.latent_dim) for i, task in enumerate(tasks)]
    wanted = [4, 5, 0, 2, 1]
    points = mixed.sample([noise[member] for member in wanted], wanted)
    for member, (task, seed) in enumerate(zip(tasks, seeds, strict=True)):
        alone = Population([task], [seed])
        mine, row = alone.train(bases([task]), 24), Measurements.empty(1)
        row.put(slice(None), measured, [member])
        assert_same(mine, row, rtol=1e-3, atol=1e-4)
        assert_same(alone.state, member_state(mixed, member), rtol=1e-3, atol=1e-4)
        if member in wanted:
            ours = points[wanted.index(member)]
            torch.testing.assert_close(ours, alone.sample(noise[member][None])[0], rtol=1e-3, atol=1e-3)
            assert ours.shape == (5 + member % 2, task.dim)


def test_restart_may_change_a_members_shape_and_leaves_the_others_as_they_are() -> None:
    tasks, seeds = shapes()
    mixed = MixedPopulation(tasks, seeds)
    mixed.train(bases(tasks), 12)
    before = [member_state(mixed, member) for member in range(len(tasks))]
    new = [ring(30, OTHER), ring(31), ring(32, Networks(2, 4, 1)), ring(33)]
    mixed.restart([0, 4, 3, 6], new, [90, 91, 92, 93])  # 3 was the last of its shape, 6 keeps its own
    assert mixed.tasks == [new[0], tasks[1], tasks[2], new[2], new[1], tasks[5], new[3]]
    for member, task, seed in zip([0, 4, 3, 6], new, [90, 91, 92, 93], strict=True):
        assert_equal(member_state(mixed, member), Population([task], [seed]).state)
    for member in (1, 2, 5):
        assert_equal(member_state(mixed, member), before[member])
    assert sorted(np.concatenate([members for _, members in mixed.groups()])) == list(range(len(tasks)))
    for group, members in mixed.groups():
        assert len(group) == len(group.state) == len(members)
        assert group.tasks == [mixed.tasks[member] for member in members]
    mixed.train(bases(mixed.tasks), 12)
    trained_for = [member_state(mixed, member).intervals.item() for member in range(len(tasks))]
    assert trained_for == [1, 2, 2, 1, 1, 2, 1]


def test_diverged_members_are_told_in_the_order_of_members() -> None:
    tasks, seeds = shapes()
    mixed = MixedPopulation(tasks, seeds)
    assert mixed.diverged.tolist() == [False] * len(tasks)
    for group, members in mixed.groups():
        group.state.diverged[:] = torch.from_numpy(np.isin(members, [1, 3]))
    assert np.flatnonzero(mixed.diverged).tolist() == [1, 3]
    mixed.restart([1], [ring(40)], [1])
    assert np.flatnonzero(mixed.diverged).tolist() == [3]


# --- devices ---------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(torch.cuda.is_available(), reason="as there is a CUDA GPU")
def test_a_device_that_is_not_there_is_refused_and_nothing_taken_instead() -> None:
    for make in (Population, MixedPopulation):
        with pytest.raises(InvalidValueError, match=r"'cuda'.*no CUDA GPU"):
            make([ring()], [0], device="cuda")


@pytest.mark.parametrize("device", ["gpu", "meta", "cuda:x"])
def test_unknown_devices_are_refused(device: str) -> None:
    with pytest.raises(InvalidValueError, match="must be 'cpu' or 'cuda'"):
        Population([ring()], [0], device=device)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="for want of a CUDA GPU")
def test_a_gpu_trains_and_measures_as_the_cpu_does() -> None:
    tasks, seeds = varied_tasks(), list(range(10, 10 + len(VARIED)))
    here, there = (MixedPopulation(tasks, seeds, device=device, noise="device") for device in ("cpu", "cuda"))
    for _ in range(2):
        ours, theirs = here.train(bases(tasks), 12), there.train(bases(tasks), 12)
        np.testing.assert_allclose(ours.discriminator_loss, theirs.discriminator_loss, rtol=1e-3)
    mine, other = (evaluate(population, range(len(tasks))) for population in (here, there))
    np.testing.assert_allclose(mine.distance, other.distance, rtol=0.05)


@pytest.mark.parametrize("engine", ["torch", "auto"])
def test_members_may_have_intervals_of_different_lengths(engine: str) -> None:
    tasks = [ring8(seed) for seed in range(3)]
    updates = np.array([12, 36, 12])
    together = Population(tasks, range(3), engine=engine)
    measured = together.train(bases(tasks), updates)
    for member, length in enumerate(updates):
        alone = Population(tasks[member : member + 1], [member], engine=engine)
        result = alone.train(bases(alone.tasks), int(length))
        assert_same(alone.state, together.state[[member]], rtol=1e-4, atol=1e-6)
        assert result.generator_move[0] == pytest.approx(measured.generator_move[member], rel=1e-4)
    with pytest.raises(InvalidValueError, match="updates of shape"):
        together.train(bases(tasks), updates[:2])
    with pytest.raises(InvalidValueError, match="an interval of 13 updates"):
        together.train(bases(tasks), np.array([12, 13, 12]))
