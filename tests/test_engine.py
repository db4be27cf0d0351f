"""The native engine trains as torch does in double precision, and leaves to torch what it does not have."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch

from metagan_rl.engine.library import VARIABLE, NoLibrary, load_library
from metagan_rl.errors import InvalidValueError, UnknownNameError
from metagan_rl.losses import LOSSES, Loss, register_loss
from metagan_rl.penalties import PENALTIES
from metagan_rl.populations import RATIOS, MixedPopulation, Population, PopulationState, Settings
from metagan_rl.populations.engines import engine_of
from metagan_rl.populations.native_engine import LOSS_CODES, PENALTY_CODES
from metagan_rl.populations.torch_engine import TorchEngine
from metagan_rl.tasks import Task, get_suite
from metagan_rl.tasks.task import Base, Networks

FOUND = load_library()
needs_engine = pytest.mark.skipif(
    isinstance(FOUND, NoLibrary), reason="for want of the native engine; python -m metagan_rl.engine.build makes it"
)
MLP = Networks(latent_dim=8, width=32)
WEIGHTS = ("generator", "discriminator", "average", "generator_first", "generator_second")
WEIGHTS += ("discriminator_first", "discriminator_second")
RATES = {"adam": 2e-3, "sgd": 0.05, "rmsprop": 2e-4}  # the first steps of RMSprop are ten rates long


def tasks(networks: Networks, count: int = 3, columns: int = 2, **base: Any) -> list[Task]:
    family, dim = ("digits", 64) if columns == 64 else ("ring8", 2)
    lr = RATES[base.get("optimizer", "adam")]
    chosen = Base(**{"generator_lr": lr, "discriminator_lr": lr, "batch_size": 40, **base})
    parameters = dict(get_suite("digits").split("train")[0].parameters) if columns == 64 else {}
    return [
        Task(f"t/{seed}", family, dim, parameters, networks=networks, base=chosen, seed=seed) for seed in range(count)
    ]


def settings(of: Sequence[Task], **changes: Any) -> Settings:
    return Settings.of([task.base for task in of]).replace(
        **{name: np.full(len(of), value) for name, value in changes.items()}
    )


def in_double(population: Population) -> Population:
    population.dtype = torch.float64
    doubled = {name: v.double() if v.is_floating_point() else v for name, v in population.state.to_dict().items()}
    population.state = PopulationState(**doubled)
    return population


def compare(of: Sequence[Task], chosen: Settings, updates: int = 12) -> None:
    """Trains by the engine and by torch in double precision, on the same noise. All but SGD divide by gradients, so a
    weight whose gradient is near 0 may step either way: its moments, which are not divided, must agree."""
    ours = Population(of, range(len(of)), engine="native", noise="host")
    theirs = in_double(Population(of, range(len(of)), engine="torch", noise="host"))
    drawn = TorchEngine(Population(of, range(len(of)), engine="torch", noise="host"))
    single = TorchEngine.inputs

    def rounded(self: TorchEngine, members: np.ndarray, plan: Any, **given: Any) -> Any:
        """What is drawn in single precision, so that both get the same numbers."""
        if self.population is not theirs:
            return single(self, members, plan, **given)
        inputs = single(drawn, members, plan, **given)
        numbers = {f.name: getattr(inputs, f.name) for f in fields(inputs)}
        return type(inputs)(**{n: v.double() if v.is_floating_point() else v for n, v in numbers.items()})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TorchEngine, "inputs", rounded)
        measured, reference = ours.train(chosen, updates), theirs.train(chosen, updates)
    assert ours.engines == ["native"] * len(of) and not reference.diverged.any()
    for field in fields(measured):
        found, wanted = getattr(measured, field.name), getattr(reference, field.name)
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4, err_msg=field.name)
    for name in WEIGHTS:
        found, wanted = getattr(ours.state, name).double(), getattr(theirs.state, name)
        steady = torch.ones_like(wanted, dtype=torch.bool)
        if of[0].base.optimizer != "sgd":
            side = "discriminator" if name.startswith("discriminator") else "generator"
            steady = getattr(theirs.state, f"{side}_second") > 1e-9
        torch.testing.assert_close(found[steady], wanted[steady], rtol=1e-5, atol=1e-5, msg=name)
    for name in ("generator_steps", "discriminator_steps", "intervals", "diverged"):
        assert torch.equal(getattr(ours.state, name), getattr(theirs.state, name))


@needs_engine
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
@pytest.mark.parametrize("ratio", ["1:1", "1:3", "5:1"])
@pytest.mark.parametrize("weight", [0.0, 0.7])
@pytest.mark.parametrize("loss", list(LOSS_CODES))
def test_losses_penalties_ratios_and_optimizers(loss: str, weight: float, ratio: str, optimizer: str) -> None:
    of = tasks(MLP, optimizer=optimizer)
    compare(of, settings(of, loss=LOSSES.index(loss), penalty_weight=weight, ratio=RATIOS.index(ratio)))


@needs_engine
@pytest.mark.parametrize("penalty", [0.0, 0.5])
@pytest.mark.parametrize("activation", ["leaky-relu", "relu", "tanh"])
@pytest.mark.parametrize(
    ("width", "depth", "latent", "columns", "batch"),
    [
        (64, 2, 8, 2, 64),
        (16, 1, 1, 2, 7),
        (33, 3, 5, 2, 40),
        (100, 4, 17, 2, 24),
        (24, 1, 3, 64, 33),
        (48, 2, 32, 64, 16),
    ],
)
def test_shapes(width: int, depth: int, latent: int, columns: int, batch: int, activation: str, penalty: float) -> None:
    networks = Networks(latent, width, depth, activation)
    of = tasks(networks, columns=columns, batch_size=batch, optimizer="sgd")
    compare(of, settings(of, penalty_weight=penalty), updates=4 * 3)
    compare(of, settings(of, penalty_weight=penalty, loss=LOSSES.index("wgan")), updates=4 * 3)


@needs_engine
@pytest.mark.parametrize(("activation", "weight"), [("leaky-relu", 0.0), ("relu", 0.5), ("tanh", 0.0)])
@pytest.mark.parametrize("loss", ["non-saturating", "wgan", "rpgan"])
@pytest.mark.parametrize(("width", "batch"), [(16, 24), (5, 9), (20, 16)])
def test_convolutions(width: int, batch: int, loss: str, activation: str, weight: float) -> None:
    networks = Networks(8, width, 2, activation, "conv")
    of = tasks(networks, columns=64, batch_size=batch, optimizer="sgd")
    compare(of, settings(of, penalty_weight=weight, loss=LOSSES.index(loss)))
    adam = tasks(networks, columns=64, batch_size=batch)
    compare(adam, settings(adam, penalty_weight=weight, loss=LOSSES.index(loss)), updates=2)


@needs_engine
def test_large_images() -> None:
    of = [replace(task, networks=Networks(8, 8, 2, kind="conv")) for task in get_suite("mnist").split("train")[:2]]
    of = [replace(task, base=replace(task.base, batch_size=12, optimizer="sgd")) for task in of]
    compare(of, settings(of, penalty_weight=0.5))


@needs_engine
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
@pytest.mark.parametrize("loss", ["non-saturating", "rpgan"])
def test_simultaneous_steps(loss: str, optimizer: str) -> None:
    of = tasks(MLP, simultaneous=True, optimizer=optimizer)
    ratios = np.array([RATIOS.index(ratio) for ratio in ("1:1", "2:1", "1:1")])
    compare(of, settings(of, loss=LOSSES.index(loss), penalty_weight=0.3).replace(ratio=ratios))


@needs_engine
@pytest.mark.parametrize("penalty", ["r1", "r2"])
def test_penalties_that_no_built_in_loss_names(penalty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(PENALTIES) == set(PENALTY_CODES)
    place = LOSSES.index("non-saturating")
    changed = replace(LOSSES["non-saturating"], penalty=penalty)
    getitem, values = type(LOSSES).__getitem__, type(LOSSES).values
    monkeypatch.setattr(
        type(LOSSES), "__getitem__", lambda self, name: changed if name == "non-saturating" else getitem(self, name)
    )
    monkeypatch.setattr(
        type(LOSSES), "values", lambda self: [changed if i == place else v for i, v in enumerate(values(self))]
    )
    of = tasks(MLP, optimizer="sgd")
    compare(of, settings(of, penalty_weight=0.5))


@needs_engine
def test_the_counters_give_both_engines_the_same_noise_rows_and_mix() -> None:
    of = tasks(MLP, optimizer="sgd", batch_size=37)
    chosen = settings(of, loss=LOSSES.index("wgan"), penalty_weight=0.5)
    results = []
    for engine in ("native", "torch"):
        population = Population(of, [3, 2**40 + 1, 5], engine=engine)
        results.append([population.train(chosen, 24) for _ in range(2)])
    for ours, theirs in zip(*results, strict=True):
        for field in fields(ours):
            np.testing.assert_allclose(
                getattr(ours, field.name), getattr(theirs, field.name), rtol=2e-4, atol=1e-5, err_msg=field.name
            )


@needs_engine
def test_a_member_does_not_notice_who_trains_beside_it() -> None:
    of = tasks(MLP, count=4)
    ratios, losses = np.array([0, 2, 4, 5]), np.array([0, 1, 3, 4])
    chosen = settings(of).replace(ratio=ratios, loss=losses, penalty_weight=np.array([0.0, 1.0, 0.5, 2.0]))
    together = Population(of, range(4), engine="native")
    measured = together.train(chosen, 48)
    for member in range(4):
        alone = Population(of[member : member + 1], [member], engine="native")
        result = alone.train(chosen[[member]], 48)
        for name in WEIGHTS:
            assert torch.equal(getattr(alone.state, name)[0], getattr(together.state, name)[member])
        assert [getattr(result, f.name)[0] for f in fields(result)] == [
            getattr(measured, f.name)[member] for f in fields(measured)
        ]


@needs_engine
def test_a_member_that_blows_up_keeps_its_last_state_and_harms_nobody() -> None:
    of = tasks(MLP, count=3)
    rates = np.array([1e-3, 1e6, 1e-3])
    population, calm = (Population(of, range(3), engine="native") for _ in range(2))
    before = population.state.clone()
    measured = population.train(settings(of).replace(generator_lr=rates), 24)
    calm.train(settings(of).replace(generator_lr=np.full(3, 1e-3)), 24)
    assert measured.diverged.tolist() == [0, 1, 0] and population.state.diverged.tolist() == [False, True, False]
    for name in WEIGHTS:
        found = getattr(population.state, name)
        assert torch.equal(found[1], getattr(before, name)[1]) and torch.isfinite(found).all()
        assert torch.equal(found[[0, 2]], getattr(calm.state, name)[[0, 2]])
    assert population.state.intervals.tolist() == [1, 1, 1]
    again = population.train(settings(of), 24)
    assert np.isnan(again.generator_loss).tolist() == [False, True, False]


@needs_engine
@pytest.mark.parametrize("loss", ["wgan", "rpgan"])
@pytest.mark.parametrize("batch", [64, 96, 50])
def test_gradients_that_are_zero_stay_zero(loss: str, batch: int) -> None:
    of = tasks(MLP, batch_size=batch)
    population = Population(of, range(3), engine="native")
    start = population.state.discriminator[:, -1].clone()
    population.train(settings(of, loss=LOSSES.index(loss), penalty_weight=0.5), 48)
    assert torch.equal(population.state.discriminator[:, -1], start)
    assert not population.state.discriminator_second[:, -1].any()


@pytest.fixture
def own_loss() -> Iterator[None]:
    register_loss("engine-test-loss", Loss(lambda r, f: (f - r).mean(-1), lambda r, f: -f.mean(-1), ideal=0.0))
    yield
    LOSSES.remove("engine-test-loss")


@needs_engine
@pytest.mark.usefixtures("own_loss")
def test_what_the_engine_does_not_have_is_left_to_torch() -> None:
    of = tasks(MLP, count=2)
    mine = LOSSES.index("engine-test-loss")
    population = Population(of, range(2))
    population.train(settings(of).replace(loss=np.array([mine, 0])), 12)
    assert population.engines == ["torch", "native"]
    population.restart([0], of[:1], [7])
    assert population.engines == ["native", "native"]
    with pytest.raises(InvalidValueError, match="engine-test-loss"):
        Population(of, range(2), engine="native").train(settings(of, loss=mine), 12)
    soft = tasks(replace(MLP, activation="softplus"))
    mixed = MixedPopulation([*of, *soft], range(5))
    assert mixed.engines == ["native"] * 2 + ["torch"] * 3
    with pytest.raises(InvalidValueError, match="no activation 'softplus'"):
        Population(soft, range(3), engine="native")
    with pytest.raises(InvalidValueError, match="no networks of kind 'dirac'"):
        Population(get_suite("dirac").split("train")[:1], [0], engine="native")
    conv = tasks(Networks(8, 8, 2, "tanh", "conv"), columns=64, count=2)
    population = Population(conv, range(2))
    population.train(settings(conv).replace(penalty_weight=np.array([0.0, 0.5])), 12)
    assert population.engines == ["native", "torch"]


def test_an_engine_is_chosen_by_name(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    of = tasks(MLP, count=1)
    assert Population(of, [0], engine="torch").engines == ["torch"]
    with pytest.raises(UnknownNameError, match=r"nativ.*native"):
        Population(of, [0], engine="nativ")
    monkeypatch.setenv(VARIABLE, "none")
    monkeypatch.delenv("METAGAN_RL_ENGINE_SAID", raising=False)
    with caplog.at_level("WARNING", logger="metagan_rl"):
        assert Population(of, [0]).engines == Population(of, [0]).engines == ["torch"] == [engine_of(MLP)]
    assert len(caplog.records) == 1 and VARIABLE in caplog.text  # said once
    with pytest.raises(InvalidValueError, match="engine is 'native', but"):
        Population(of, [0], engine="native")


@needs_engine
def test_every_combination_of_random_settings_stays_finite() -> None:
    rng = np.random.default_rng(0)
    of = tasks(Networks(4, 24), count=32, batch_size=16)
    population = Population(of, range(32), engine="native")
    for _ in range(20):
        pairs = rng.permutation(list(itertools.product(range(len(RATIOS)), range(5))))[np.arange(32) % 30]
        chosen = settings(of).replace(
            ratio=pairs[:, 0],
            loss=pairs[:, 1],
            penalty_weight=np.where(rng.random(32) < 0.5, 0.0, rng.uniform(0, 3, 32)),
            generator_lr=10 ** rng.uniform(-5, -1, 32),
            discriminator_lr=10 ** rng.uniform(-5, -1, 32),
        )
        population.train(chosen, 12)
    for name in WEIGHTS:
        assert torch.isfinite(getattr(population.state, name)).all()


@needs_engine
@pytest.mark.parametrize("side", ["generator", "discriminator"])
@pytest.mark.parametrize("engine", ["native", "torch"])
def test_moments_that_overflow_count_as_an_explosion(engine: str, side: str) -> None:
    of = tasks(MLP)
    population = Population(of, range(3), engine=engine)
    getattr(population.state, f"{side}_second")[1, 5] = np.inf
    measured = population.train(settings(of), 12)
    assert measured.diverged.tolist() == [0, 1, 0]
