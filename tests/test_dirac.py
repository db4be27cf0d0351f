"""The Dirac-GAN (Mescheder et al. 2018, arXiv:1801.04406): losses, penalties and updates against theory.

Data are all at 0, G(z) = theta, D(x) = psi x. Near the equilibrium (0, 0) one simultaneous step of rate h is

    theta' = theta + h c psi,    psi' = psi - h (c theta + gamma psi)

with c = 1/2 for logistic losses and 1 for critics, and a penalty of gamma/2 psi^2.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from metagan_rl.evaluation import evaluate, floor
from metagan_rl.losses import LOSSES, register_loss
from metagan_rl.networks.dirac import FLOOR as DIRAC_FLOOR
from metagan_rl.populations import MixedPopulation, Population
from metagan_rl.populations.settings import Settings
from metagan_rl.tasks import Base, Networks, Task, get_suite

NETWORKS = Networks(latent_dim=1, width=1, depth=1, kind="dirac")


@pytest.fixture
def r1_loss() -> Iterator[str]:
    """The non-saturating loss with R1 alone, registered for one test."""
    register_loss("non-saturating-r1", replace(LOSSES["non-saturating"], penalty="r1"))
    yield "non-saturating-r1"
    LOSSES.remove("non-saturating-r1")


def task(start: Sequence[float], h: float, **base: Any) -> Task:
    settings = {"optimizer": "sgd", "simultaneous": True, "batch_size": 2, "ema_decay": 0.0, **base}
    start = [float(number) for number in start]
    return Task("dirac/0", "dirac", 1, {"start": start}, networks=NETWORKS, base=Base(h, h, **settings))


def train(population: Population, updates: int) -> np.ndarray:
    """The points (theta, psi) ``[B, 2]`` after so many updates of all the members."""
    population.train(Settings.of([task.base for task in population.tasks]), updates)
    return torch.cat([population.state.generator, population.state.discriminator], dim=1).numpy()


def six_steps(h: float, **base: Any) -> np.ndarray:
    """The Jacobian of six steps at the equilibrium, by finite differences."""
    tiny = 1e-5
    population = Population([task(start, h, **base) for start in ((tiny, 0.0), (0.0, tiny))], [0, 1])
    return train(population, 12).T / tiny


def spectral_radius(six: np.ndarray) -> float:
    return float(np.abs(np.linalg.eigvals(six)).max() ** (1 / 6))


def field_step(h: float, gamma: float, c: float = 0.5) -> np.ndarray:
    return np.array([[1, h * c], [-h * c, 1 - h * gamma]])


# --- near the equilibrium --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("h", [0.05, 0.1, 0.4, 1.0])
def test_without_penalty_simultaneous_steps_are_unstable_by_the_known_factor(h: float) -> None:
    six = six_steps(h, loss="non-saturating")
    np.testing.assert_allclose(six, np.linalg.matrix_power(field_step(h, 0.0), 6), rtol=1e-6, atol=1e-8)
    assert spectral_radius(six) == pytest.approx(np.sqrt(1 + h**2 / 4), rel=1e-7)


def test_alternating_steps_are_neutral() -> None:
    six = six_steps(0.2, loss="non-saturating", simultaneous=False)
    assert spectral_radius(six) == pytest.approx(1, rel=1e-7)
    one = np.array([[1, 0.1], [0, 1]]) @ np.array([[1, 0], [-0.1, 1]])  # D first, then G sees the new D
    np.testing.assert_allclose(six, np.linalg.matrix_power(one, 6), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("loss", "c"), [("non-saturating", 0.5), ("rpgan", 0.5), ("hinge", 1.0), ("wgan", 1.0)])
def test_every_loss_turns_at_its_own_rate(loss: str, c: float) -> None:
    six = six_steps(0.1, loss=loss)
    np.testing.assert_allclose(six, np.linalg.matrix_power(field_step(0.1, 0.0, c), 6), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("gamma", [0.2, 0.9, 1.0, 1.1, 2.0])
@pytest.mark.parametrize("kind", ["r1", "zero-centred"])
def test_zero_centred_penalties_give_the_known_eigenvalues(kind: str, gamma: float, r1_loss: str) -> None:
    # R1 alone is gamma/2 psi^2. Zero-centred is R1 + R2, and here both see the gradient psi: twice as much.
    settings = {"r1": (r1_loss, gamma), "zero-centred": ("non-saturating", gamma / 2)}[kind]
    h = 0.1
    six = six_steps(h, loss=settings[0], penalty_weight=settings[1])
    np.testing.assert_allclose(six, np.linalg.matrix_power(field_step(h, gamma), 6), rtol=1e-6, atol=1e-8)
    field = -gamma / 2 + np.array([1, -1]) * np.emath.sqrt(gamma**2 / 4 - 1 / 4)
    # The coefficients of the characteristic polynomial: a double eigenvalue, at gamma = 1, is ill-conditioned.
    np.testing.assert_allclose(np.poly(six), np.poly((1 + h * field) ** 6), rtol=1e-6, atol=1e-8)
    assert (np.abs(np.imag(field)).max() > 0) == (gamma < 1)  # critical at 1


def test_critical_penalty_contracts_fastest(r1_loss: str) -> None:
    radii = [spectral_radius(six_steps(0.1, loss=r1_loss, penalty_weight=g)) for g in (0.0, 0.3, 0.6, 1.0, 1.4, 3.0)]
    assert int(np.argmin(radii)) == 3 and radii[0] > 1 and radii[3] == pytest.approx(0.95, abs=1e-3)


# --- far from it -----------------------------------------------------------------------------------------------------


def radii(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points, axis=1)


def test_without_penalty_an_attracting_cycle_of_radius_root_2h_remains() -> None:
    rates = np.repeat([0.02, 0.05, 0.1, 0.2, 0.4], 2)
    cycle = np.sqrt(2 * rates)
    nearness = {0.02: (0.96, 1.04), 0.05: (0.8, 1.25)}  # the slower the rate, the slower the attraction
    begin = cycle * [factor for h in rates[::2] for factor in nearness.get(h, (0.5, 1.6))]
    population = Population([task((0.0, r), h) for r, h in zip(begin, rates, strict=True)], range(10))
    train(population, 9600)
    around = np.mean([radii(train(population, 24)) for _ in range(60)], axis=0)  # once around, at least
    np.testing.assert_allclose(around, cycle, rtol=0.03)
    assert (np.abs(around - cycle) < np.abs(begin - cycle) * 0.8).all()


def test_critical_penalty_reaches_the_equilibrium() -> None:
    starts = [(1.0, 0.0), (0.0, 1.0), (-1.2, 0.9), (0.3, -1.5)]
    population = Population([task(start, 0.2, penalty_weight=0.5) for start in starts], range(4))
    assert (radii(train(population, 996)) < 1e-12).all()  # 498 steps


def test_wgan_without_penalty_spirals_out() -> None:
    h = 0.1
    population = Population([task((0.3, 0.4), h, loss="wgan")], [0])
    for steps in (6, 60, 120):
        before = radii(torch.cat([population.state.generator, population.state.discriminator], dim=1).numpy())
        assert radii(train(population, 2 * steps)) == pytest.approx(before * (1 + h**2) ** (steps / 2), rel=1e-9)


def test_one_centred_penalty_leads_to_the_wrong_place() -> None:
    h, w, theta, psi = 0.1, 1.5, 0.3, 0.4
    population = Population([task((theta, psi), h, loss="wgan", penalty_weight=w)], [0])
    for steps in (60, 108):
        for _ in range(steps):  # for psi > 0 a linear map, whose resting point is (2 w, 0) and not the equilibrium
            theta, psi = theta + h * psi, psi - h * (theta + 2 * w * (psi - 1))
        np.testing.assert_allclose(train(population, 2 * steps), [[theta, psi]], rtol=1e-3)
    np.testing.assert_allclose([theta, psi], [2 * w, 0], atol=0.01)


# --- in the suite ----------------------------------------------------------------------------------------------------


def test_suite_starts_where_its_tasks_say_and_is_measured_by_the_distance_to_the_equilibrium() -> None:
    tasks = [*get_suite("dirac").split("train")[:3], task((0.0, 0.0), 0.1), task((0.05, 0.2), 0.1)]
    population = MixedPopulation(tasks, range(5))
    starts = np.array([task.parameters["start"] for task in tasks])
    quality = evaluate(population, [4, 0, 1, 2, 3])
    expected = np.maximum(np.linalg.norm(starts, axis=1), DIRAC_FLOOR)[[4, 0, 1, 2, 3]]
    np.testing.assert_allclose(quality.distance, expected)
    np.testing.assert_allclose(quality.sliced_wasserstein, np.abs(starts[[4, 0, 1, 2, 3], 0]))
    near = np.abs(starts[[4, 0, 1, 2, 3], 0]) <= 0.1
    assert quality.coverage.tolist() == quality.precision.tolist() == near.tolist()
    assert floor(tasks[0]) == DIRAC_FLOOR


def test_dirac_is_computed_in_double_precision() -> None:
    population = Population([task((1.0, 0.5), 0.1)], [0])
    assert population.state.generator.dtype == torch.float64
    assert population.state.generator.item() == 1.0 and population.state.discriminator.item() == 0.5
    assert population.sample(torch.randn(1, 3, 1)).tolist() == [[[1.0]] * 3]
