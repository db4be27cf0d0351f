"""What must hold of the stream drawn on the device: right numbers, all independent, nothing waited for."""

from dataclasses import fields, replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from scipy import stats
from test_populations import VARIED, assert_equal, assert_same, bases, in_double, ring, varied_tasks
from torch.utils._python_dispatch import TorchDispatchMode

import metagan_rl  # noqa: F401  (registers the environments)
from metagan_rl.errors import UnknownNameError
from metagan_rl.populations import MixedPopulation, Population, PopulationState
from metagan_rl.populations.drawing import AT_ONCE, Drawn, Pool, draw_on_device
from metagan_rl.populations.interval import IntervalInputs, IntervalPlan, IntervalTrainer
from metagan_rl.populations.philox import as_index, as_normal, as_uniform, philox
from metagan_rl.populations.torch_engine import TorchEngine

MEMBERS, UPDATES, BATCH, LATENT = 3, 24, 128, 8


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_philox_gives_the_known_answers_of_its_authors(counter: list[int], key: list[int], words: list[int]) -> None:
    both = np.array([key[0] | key[1] << 32], dtype=np.uint64).view(np.int64)
    a, b, c, d = (torch.tensor([word]) for word in counter)
    assert [word.item() for word in philox(torch.from_numpy(both), (a, b, c, d))] == words


def test_words_at_the_ends_give_finite_numbers_within_their_ranges() -> None:
    ends = torch.tensor([0, 1, 2**31, 2**32 - 2, 2**32 - 1])
    for dtype in (torch.float32, torch.float64):
        uniform = as_uniform(ends, dtype)
        assert (uniform > 0).all() and (uniform <= 1).all()
        for first in ends:
            for normal in as_normal(first.expand(5), ends, dtype):
                assert torch.isfinite(normal).all() and (normal.abs() < 6.8).all()
    for count in (1, 2, 1000, 2**31 - 1):
        index = as_index(ends, torch.tensor(count))
        assert index.min() == 0 and index.max() == count - 1


def drawn(
    seeds: list[int], intervals: list[int], dtype: torch.dtype = torch.float64, device: str = "cpu", **changes: Any
) -> IntervalInputs:
    data = [torch.zeros(1000, 2), torch.zeros(7, 2)]
    pool = Pool([data[seed % 2] for seed in seeds], torch.device(device), dtype)
    places = torch.arange(len(seeds), device=device)
    wanted = replace(Drawn(UPDATES, BATCH, LATENT, dtype, mix=True), **changes)
    columns = (torch.tensor(values, device=device) for values in (seeds, intervals))
    return draw_on_device(pool, places, *columns, wanted)


def test_noise_is_normal_mix_uniform_and_every_row_as_likely() -> None:
    inputs = drawn([0, 2, 4], [0, 5, 9])
    for member in range(MEMBERS):
        noise = inputs.noise[member].flatten().numpy()
        assert stats.kstest(noise, "norm").pvalue > 1e-3
        assert stats.kstest(inputs.mix[member].flatten().numpy(), "uniform").pvalue > 1e-3
        assert abs(stats.skew(noise)) < 0.08 and abs(stats.kurtosis(noise)) < 0.15
        for coordinate in inputs.noise[member].flatten(0, 1).T:
            assert stats.kstest(coordinate.numpy(), "norm").pvalue > 1e-4
    rows = inputs.rows.flatten().numpy()
    counts = np.bincount(rows, minlength=1000)
    assert len(counts) == 1000 and stats.chisquare(counts).pvalue > 1e-3


def test_nothing_is_correlated_between_members_intervals_updates_places_or_purposes() -> None:
    """Every pair of many series of the same length; also next seeds, and seeds that differ in high bits."""
    inputs = drawn([0, 1, 2**32, 2**32 + 1, 1], [0, 0, 0, 0, 1])
    series = [
        *inputs.noise.flatten(0, 1)[:, :, 0],  # of members, intervals and updates
        *inputs.noise[0, 0].T[1:],  # of coordinates
        *inputs.mix[:, :2].flatten(0, 1).squeeze(-1),
        *(inputs.rows[:, :2].flatten(0, 1) % 7).double(),
    ]
    correlation = np.corrcoef(torch.stack(series).numpy())
    off = correlation[np.triu_indices(len(series), 1)] * np.sqrt(BATCH)
    assert np.abs(off).max() < 5.5  # of about 11,000 standard normal numbers
    assert abs(off.std() - 1) < 0.03
    distinct = torch.stack(series[:-10]).flatten().unique()
    assert len(distinct) == len(series[:-10]) * BATCH


def test_a_members_numbers_do_not_depend_on_the_batch_nor_on_the_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    together = drawn([5, 6, 7], [1, 2, 3])
    alone = drawn([6], [2])
    monkeypatch.setattr("metagan_rl.populations.drawing.AT_ONCE", 2 * BATCH * LATENT)
    sliced = drawn([5, 6, 7], [1, 2, 3])
    longer = drawn([5, 6, 7], [1, 2, 3], updates=2 * UPDATES)
    assert AT_ONCE > BATCH * LATENT
    for field in ("noise", "rows", "mix"):
        ours = getattr(together, field)
        assert torch.equal(ours, getattr(sliced, field)) and torch.equal(ours, getattr(longer, field)[:, :UPDATES])
        if field != "rows":
            assert torch.equal(ours[1:2], getattr(alone, field))
    assert torch.equal(together.rows[1:2] - 7, alone.rows)  # member 5's data, of 7 rows, comes before


def test_single_precision_draws_the_same_numbers_rounded() -> None:
    single, double = drawn([1, 2], [0, 0], torch.float32), drawn([1, 2], [0, 0])
    assert torch.equal(single.rows, double.rows)
    torch.testing.assert_close(single.noise.double(), double.noise, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(single.mix.double(), double.mix, rtol=0, atol=1e-6)
    assert not drawn([1, 2], [0, 0], mix=False).mix.any()


def test_nothing_is_read_back_while_numbers_are_drawn() -> None:
    assert drawn([1, 2], [0, 0], torch.float32, "meta").noise.device.type == "meta"


@pytest.mark.parametrize("noise", ["host", "device"])
def test_populations_train_by_either_stream_and_each_member_alone_as_together(noise: str) -> None:
    tasks, seeds = varied_tasks(), list(range(30, 30 + len(VARIED)))
    together = in_double(Population(tasks, seeds, noise=noise))
    measured = [together.train(bases(tasks), 12) for _ in range(2)]
    for member in (0, 2, 5):
        alone = in_double(Population([tasks[member]], [seeds[member]], noise=noise))
        for interval in range(2):
            mine = alone.train(bases([tasks[member]]), 12)
            for field in fields(mine):
                theirs = getattr(measured[interval], field.name)[[member]]
                np.testing.assert_allclose(getattr(mine, field.name), theirs, rtol=1e-8, atol=1e-10)
        assert_same(alone.state, together.state[[member]])


def test_the_streams_differ_and_that_of_counters_is_the_usual_one() -> None:
    tasks = [ring(0), ring(1)]
    usual, host, device = (Population(tasks, [1, 2], noise=noise) for noise in (None, "host", "device"))
    for population in (usual, host, device):
        population.train(bases(tasks), 12)
    assert_equal(usual.state, device.state)
    assert not torch.equal(device.state.generator, host.state.generator)
    mixed = MixedPopulation(tasks, [1, 2], noise="device")
    mixed.train(bases(tasks), 12)
    ((group, _),) = mixed.groups()
    assert_equal(group.state, device.state)
    with pytest.raises(UnknownNameError, match="'devise'; did you mean device"):
        Population(tasks, [1, 2], noise="devise")


def test_environments_take_the_stream_as_a_keyword() -> None:
    rewards = []
    for noise in ("host", "device", "device"):
        env = gym.make("MetaGAN/Planar-v2", horizon=1, interval_updates=12, noise=noise)
        env.reset(seed=0)
        rewards.append(env.step(np.zeros(5, dtype=np.int64))[1])
    assert rewards[0] != rewards[1] == rewards[2]
    with pytest.raises(UnknownNameError, match="devise"):
        gym.make("MetaGAN/Planar-v2", noise="devise")


# --- nothing waits for the device within an interval -----------------------------------------------------------------


class NoWaiting(TorchDispatchMode):
    """Refuses what makes a GPU's queue run dry: reading a number back, sizes that depend on data, copies to and fro."""

    REFUSED = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "unique")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        assert name not in self.REFUSED, name
        assert name != "_to_copy" or (kwargs or {}).get("device") is None, "copied to a device"
        if name in ("index", "index_put", "index_put_"):
            masks = [index for index in args[1] if index is not None and index.dtype == torch.bool]
            assert not masks, "a mask waits for its count"
        return func(*args, **(kwargs or {}))


def trainer(device: str, **base: Any) -> IntervalTrainer:
    """Members of every kind in one chunk, on a device where a population may not live."""
    tasks = [replace(task, base=replace(task.base, **base)) for task in varied_tasks()]
    population = Population(tasks, list(range(len(tasks))))
    engine = TorchEngine(population)
    order = np.concatenate(list(engine.chunks(bases(tasks))))
    plan = engine.plan(bases(tasks)[order], 24)
    inputs = engine.inputs(order, plan)

    def moved(instance: Any) -> Any:
        there = {f.name: getattr(instance, f.name) for f in fields(instance)}
        return type(instance)(**{k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in there.items()})

    state: PopulationState = moved(population.state[order])
    there: IntervalPlan = moved(plan)
    return IntervalTrainer(population.generator, population.discriminator, state, there, moved(inputs))


@pytest.mark.parametrize("base", [{}, {"ratio": "1:1"}, {"optimizer": "sgd"}, {"loss": "rpgan", "penalty_weight": 1.0}])
def test_the_updates_of_an_interval_wait_for_nothing(base: dict[str, Any]) -> None:
    ready = trainer("cpu", **base)
    with NoWaiting():
        ready._run_in_turns()


@pytest.mark.parametrize("base", [{}, {"optimizer": "sgd"}])
def test_the_updates_touch_the_device_alone(base: dict[str, Any]) -> None:
    """On the meta device nothing can be read, and nothing of the CPU's may meet it."""
    ready = trainer("meta", **base)
    ready._run_in_turns()
    assert ready.state.generator.device.type == "meta"


def test_the_check_itself_finds_waiting() -> None:
    values = torch.arange(3.0)
    for wait in (lambda: bool(values[0]), values[0].item, lambda: values[values > 1], lambda: values.nonzero()):
        with pytest.raises(AssertionError), NoWaiting():
            wait()
