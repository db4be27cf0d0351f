"""What must hold of the quality metrics and the stability terms."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from metagan_rl.evaluation import evaluate, floor, generated
from metagan_rl.metrics import (
    STABILITY_TERMS,
    WORST_DISTANCE,
    ModeStatistics,
    Quality,
    Reference,
    StabilityMonitor,
    combined_distance,
    mode_statistics,
    neighbour_radii,
    precision_and_coverage,
    projections,
    real_floor,
    sliced_wasserstein,
)
from metagan_rl.populations import Measurements, MixedPopulation
from metagan_rl.populations.settings import Settings
from metagan_rl.tasks import FAMILIES, Base, Modes, Networks, Task

with warnings.catch_warnings():  # it asks for all the array libraries that happen to be there
    warnings.simplefilter("ignore")
    import ot


def cloud(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# --- sliced Wasserstein ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [1, 2, 5, 64])
def test_sliced_wasserstein_equals_that_of_pot_with_the_same_directions(dim: int) -> None:
    points, reference = cloud(3, 200, dim), 1.5 * cloud(3, 200, dim, seed=1) + 0.3
    directions = projections(dim)
    ours = sliced_wasserstein(points, reference, directions)
    assert ours.shape == (3,)
    for member in range(3):
        theirs = ot.sliced_wasserstein_distance(
            points[member].double().numpy(),
            reference[member].double().numpy(),
            projections=directions.double().numpy(),
            p=2,
        )
        assert ours[member].item() == pytest.approx(theirs, rel=1e-4)


@pytest.mark.parametrize("dim", [1, 2, 3, 64])
def test_directions_are_of_length_one_spread_out_and_always_the_same(dim: int) -> None:
    directions = projections(dim)
    torch.testing.assert_close(directions.norm(dim=0), torch.ones(directions.shape[1]))
    assert directions.shape[0] == dim and torch.equal(directions, projections(dim))
    if dim == 2:  # evenly spread: the mean of u uᵀ is exactly that of all directions
        torch.testing.assert_close(directions @ directions.T / directions.shape[1], torch.eye(2) / 2)


def test_sliced_wasserstein_is_zero_for_the_same_points_and_symmetric() -> None:
    first, second, directions = cloud(100, 2), cloud(100, 2, seed=1) * 2, projections(2)
    assert sliced_wasserstein(first, first.flip(0), directions).item() == 0
    there, back = (sliced_wasserstein(a, b, directions) for a, b in ((first, second), (second, first)))
    torch.testing.assert_close(there, back)
    assert there > 0.1


def test_sliced_wasserstein_of_a_shift_is_its_length_over_root_two() -> None:
    points, directions = cloud(100, 2), projections(2)
    shifts = torch.tensor([[0.0, 0.0], [0.06, 0.08], [0.5, 0.0], [0.0, -1.0], [3.0, 4.0]])
    distances = sliced_wasserstein(points + shifts[:, None], points.expand(5, -1, -1), directions)
    torch.testing.assert_close(distances, shifts.norm(dim=1) / math.sqrt(2))


def test_sliced_wasserstein_grows_with_the_shift_between_different_samples() -> None:
    points, reference, directions = cloud(300, 2), cloud(300, 2, seed=1), projections(2)
    shifts = torch.tensor([0.0, 0.3, 1.0, 3.0, 10.0])
    distances = torch.stack([sliced_wasserstein(points + shift, reference, directions) for shift in shifts])
    assert (distances.diff() > 0).all()


# --- precision and coverage ------------------------------------------------------------------------------------------


def brute_force(points: np.ndarray, reference: np.ndarray, neighbours: int = 5) -> tuple[float, float]:
    found, _ = NearestNeighbors(n_neighbors=neighbours + 1).fit(reference).kneighbors(reference)
    distances = np.linalg.norm(points[:, None] - reference[None], axis=-1)
    within = distances <= found[:, -1]
    return float(within.any(axis=1).mean()), float(within.any(axis=0).mean())


@pytest.mark.parametrize("dim", [1, 2, 3, 4, 20])
def test_precision_and_coverage_equal_brute_force(dim: int) -> None:
    reference = cloud(2, 120, dim)
    points = torch.stack([0.7 * cloud(100, dim, seed=1), cloud(100, dim, seed=2)])
    points[1, :, 0] += 2
    radii = neighbour_radii(reference)
    precision, coverage = precision_and_coverage(points, reference, radii)
    assert precision.shape == coverage.shape == (2,)
    for member in range(2):
        truth = NearestNeighbors(n_neighbors=6).fit(reference[member].double()).kneighbors(reference[member].double())
        np.testing.assert_allclose(radii[member], truth[0][:, -1], rtol=1e-4)
        expected = brute_force(points[member].double().numpy(), reference[member].double().numpy())
        assert (precision[member].item(), coverage[member].item()) == pytest.approx(expected, abs=1e-6)
        assert 0.05 < precision[member] * coverage[member] <= 1
        alone = precision_and_coverage(points[member], reference[member], radii[member])
        assert (alone[0], alone[1]) == (precision[member], coverage[member])
    assert precision[1] < 1 and coverage[1] < 1


def on_a_grid(count: int, dim: int, seed: int = 0) -> Tensor:
    """Many points are repeated, and many distances are equal to a radius."""
    return cloud(count, dim, seed=seed).mul(2).round()


def in_clusters(count: int, dim: int, seed: int = 0) -> Tensor:
    """Sharp modes of unequal size and a few outliers."""
    centres = 3 * cloud(7, dim, seed=11)[torch.arange(count) ** 2 % 7]
    return centres + 0.02 * cloud(count, dim, seed=seed) / (torch.arange(count) % 50 + 0.01)[:, None]


@pytest.mark.parametrize("count", [4, 33, 512, 700])
@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("drawn", [cloud, on_a_grid, in_clusters])
def test_precision_and_coverage_of_any_number_of_points_equal_brute_force(drawn: Any, dim: int, count: int) -> None:
    reference, points = drawn(count, dim), drawn(count + 5, dim, seed=1)
    points[: count // 2] *= 1.1
    precision, coverage = precision_and_coverage(points, reference, neighbour_radii(reference))
    expected = brute_force(points.double().numpy(), reference.double().numpy(), min(5, count - 1))
    assert (precision.item(), coverage.item()) == pytest.approx(expected, abs=1e-6)


def test_points_and_balls_far_from_the_origin_are_told_apart_too() -> None:
    reference, points = 1e4 + in_clusters(512, 2), 1e4 + in_clusters(512, 2, seed=1)
    precision, coverage = precision_and_coverage(points, reference, neighbour_radii(reference))
    expected = brute_force(points.double().numpy(), reference.double().numpy())
    assert (precision.item(), coverage.item()) == pytest.approx(expected, abs=1e-6)


def test_sharp_modes_are_told_apart_in_single_precision() -> None:
    """Offsets of 1e-4 around places 100 apart: the product form of the distance would lose them."""
    places = 100 * torch.eye(2)[torch.arange(60) % 2]
    reference, near = places + 1e-4 * cloud(60, 2), places + 1e-4 * cloud(60, 2, seed=1)
    radii = neighbour_radii(reference)
    assert radii.max() < 1e-3
    assert precision_and_coverage(near, reference, radii)[0] > 0.7
    assert precision_and_coverage(places + 0.01, reference, radii)[0] == 0


def test_the_real_points_have_full_precision_and_coverage_and_far_ones_have_none() -> None:
    reference = cloud(50, 2)
    radii = neighbour_radii(reference)
    assert precision_and_coverage(reference, reference, radii) == (1, 1)
    assert precision_and_coverage(reference + 100, reference, radii) == (0, 0)
    assert neighbour_radii(reference[:3]).isfinite().all()  # fewer points than neighbours asked for


# --- the quality distance --------------------------------------------------------------------------------------------

RING8 = Task("ring8/0", "ring8", 2, seed=3)


def measure(points: Sequence[Tensor] | Tensor, task: Task = RING8) -> Quality:
    stacked = points if isinstance(points, Tensor) else torch.stack(list(points))
    return Quality.measure(stacked, [Reference.of(task)] * len(stacked))


def draws(count: int, keep: Sequence[int] = range(8), blur: float = 1.0, seed: int = 0) -> list[Tensor]:
    """Samples of ring8, some of its modes only, or wider than they are, in the task's standardised units."""
    rng, data = np.random.default_rng(seed), RING8.data()
    modes = FAMILIES["ring8"].modes({})
    samples = []
    for _ in range(count):
        part = rng.choice(list(keep), size=len(data.reward_reference))
        points = modes.centres[part] + blur * 0.01 * rng.standard_normal((len(part), 2))
        samples.append(torch.from_numpy((points - data.mean) / data.scale).float())
    return samples


@cache
def noise_of_real_points() -> tuple[float, float]:
    """Highest distance of 40 real samples to the reference, and their deviation."""
    distances = measure(draws(40, seed=1)).distance
    return float(distances.max()), float(distances.std())


@pytest.mark.parametrize("dropped", range(8))
def test_distance_sees_one_dropped_mode_of_eight(dropped: int) -> None:
    highest, deviation = noise_of_real_points()
    quality = measure(draws(5, keep=[mode for mode in range(8) if mode != dropped]))
    assert (quality.distance > highest).all() and quality.distance.mean() > highest + 2 * deviation
    assert (quality.coverage < 0.93).all() and (quality.precision > 0.9).all()


def test_distance_sees_modes_five_times_too_wide() -> None:
    highest, deviation = noise_of_real_points()
    quality = measure(draws(5, blur=5.0))
    assert (quality.distance > highest + 20 * deviation).all()
    assert (quality.precision < 0.5).all()


def test_sliced_wasserstein_alone_does_not_see_blur() -> None:
    """Why the distance is more than that."""
    real, wide = measure(draws(20)).sliced_wasserstein, measure(draws(20, blur=5.0)).sliced_wasserstein
    assert abs(real.mean() - wide.mean()) < 2 * real.std()


def plain_quality(points: np.ndarray, reference: np.ndarray) -> tuple[float, float, float, float]:
    """Distance, sliced Wasserstein distance, precision and coverage as their formulas say, in double precision."""
    directions = projections(points.shape[1]).double().numpy()
    gap = np.sort(points @ directions, axis=0) - np.sort(reference @ directions, axis=0)
    wasserstein = np.sqrt(np.square(gap).mean())
    squared, own = (np.square(each[:, None] - reference[None]).sum(axis=-1) for each in (points, reference))
    slack = 0 if points.shape[1] <= 3 else 1e-6 * points.shape[1]  # for repeated rows of many columns
    within = squared <= np.sort(own, axis=1)[:, 5] * (1 + 1e-5) + slack
    precision, coverage = within.any(axis=1).mean(), within.any(axis=0).mean()
    return wasserstein + 1 - 2 * precision * coverage / (precision + coverage), wasserstein, precision, coverage


@pytest.mark.parametrize(
    "task",
    [
        RING8,
        Task("moons/0", "moons", 2, {"shift": 0.5, "share": 0.4, "sigma": 0.05, "rotation": 0.3, "stretch": 1.2}),
        Task("digits/0", "digits", 64, {"classes": list(range(10))}),
    ],
    ids=lambda task: task.name,
)
def test_quality_is_what_its_formulas_say_and_the_same_bits_whoever_is_beside(task: Task) -> None:
    reference = Reference.of(task)
    real = reference.points
    points = torch.stack([task.data().train[: len(real)], real + 0.1 * cloud(*real.shape), 0.99 * real])
    found = measure(points, task)
    for member, own in enumerate(points):
        expected = plain_quality(own.double().numpy(), real.double().numpy())
        ours = [float(values[member]) for values in list(vars(found).values())[:4]]
        assert ours == pytest.approx(expected, rel=1e-5)
        for name, value in vars(measure(own[None], task)).items():
            assert value is None or torch.equal(value[0], getattr(found, name)[member]), name


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_points_that_are_not_finite_get_the_worst_value_and_do_not_touch_other_members(bad: float) -> None:
    sound = draws(2)
    broken = sound[0].clone()
    broken[17, 1] = bad
    quality = measure([sound[0], broken, sound[1]])
    assert quality.distance[1] == quality.sliced_wasserstein[1] == WORST_DISTANCE
    assert quality.precision[1] == quality.coverage[1] == 0
    torch.testing.assert_close(quality.distance[[0, 2]], measure(sound).distance)


def test_distance_lies_between_zero_and_the_worst_however_far_the_points_are() -> None:
    far = [torch.full((512, 2), value) for value in (0.0, 3.0, 1e4, 1e30, -3e38)]
    quality = measure(far)
    assert (quality.distance >= 0).all() and (quality.distance <= WORST_DISTANCE).all()
    assert (quality.distance[2:] == WORST_DISTANCE).all() and (quality.distance[:2] < WORST_DISTANCE).all()
    assert measure([Reference.of(RING8).points]).distance.item() == pytest.approx(0, abs=1e-6)


def test_combined_distance_adds_what_is_missing_of_the_harmonic_mean() -> None:
    values = [(0.0, 1.0, 1.0, 0.0), (0.3, 0.5, 1.0, 0.3 + 1 - 2 / 3), (0.2, 0.0, 0.0, 1.2), (0.2, 1.0, 0.0, 1.2)]
    columns = torch.tensor([*values, (30.0, 0.0, 0.0, WORST_DISTANCE)]).T
    torch.testing.assert_close(combined_distance(*columns[:3]), columns[3])


def test_each_member_is_held_against_its_own_reference() -> None:
    other = replace(RING8, name="ring8/1", seed=9)
    references = [Reference.of(RING8), Reference.of(other)]
    quality = Quality.measure(torch.stack([reference.points for reference in references]), references)
    torch.testing.assert_close(quality.distance, torch.zeros(2), atol=1e-6, rtol=0)
    crossed = Quality.measure(torch.stack([reference.points for reference in references[::-1]]), references)
    assert (crossed.distance > 0.01).all()


def test_reference_is_always_the_same_and_reports_have_another_one() -> None:
    reward, report = Reference.of(RING8), Reference.of(RING8, report=True)
    assert len(reward.points) == len(reward.noise) == 512 and len(report.points) == len(report.noise) == 2048
    assert torch.equal(reward.noise, Reference.of(replace(RING8, seed=8)).noise)
    assert reward.radii is Reference.of(RING8).radii  # worked out once
    assert not torch.equal(reward.points, report.points[:512]) and not torch.equal(reward.noise, report.noise[:512])


# --- evaluation of populations ---------------------------------------------------------------------------------------

RING = Task(
    "ring/0",
    "ring",
    2,
    {"modes": 5, "sigma": 0.1, "weights": [1.0] * 5, "rotation": 0.3, "stretch": 1.2},
    base=Base(generator_lr=1e-3, discriminator_lr=2e-3, penalty_weight=0.1),
)


def test_floor_lies_between_zero_and_the_distance_of_a_healthy_gan() -> None:
    population = MixedPopulation([RING], [0])
    before = evaluate(population, [0]).distance[0]
    population.train(Settings.of([RING.base]), 1536)
    after = evaluate(population, [0])
    assert 0 < floor(RING) == real_floor(RING) < after.distance[0] < 0.6 * before
    assert after.coverage[0] > 0.3
    report = evaluate(population, [0], report=True)
    assert 0 < floor(RING, report=True) < report.distance[0] and report.distance[0] != after.distance[0]
    assert floor(RING, report=True) < floor(RING)  # more points, less bias


@pytest.mark.parametrize("task", [RING8, RING], ids=lambda task: task.name)
def test_floor_is_what_fresh_real_points_score(task: Task) -> None:
    data = task.data()
    distances = measure(data.train.split(512)[4:], task).distance
    assert abs(real_floor(task) - distances.mean()) < 5 * distances.std()


def small(task: Task, **networks: Any) -> Task:
    return replace(task, networks=Networks(latent_dim=3, width=8, **networks))


def test_evaluation_keeps_the_order_of_members_and_gives_diverged_ones_the_worst() -> None:
    digits = Task("digits/0", "digits", 64, {"classes": list(range(10))})
    tasks = [small(RING), small(RING8, depth=3), small(digits), small(RING8), small(RING, activation="tanh")]
    population = MixedPopulation(tasks, range(5))
    for group, members in population.groups():
        group.state.diverged[:] = torch.from_numpy(members == 3)
    wanted = [4, 3, 2, 0]
    together, points = evaluate(population, wanted), generated(population, wanted)
    for place, member in enumerate(wanted):
        alone = evaluate(MixedPopulation([tasks[member]], [member]), [0])
        noise = Reference.of(tasks[member]).noise
        torch.testing.assert_close(points[place], population.sample([noise], [member])[0])
        if member == 3:
            assert together.distance[place] == together.sliced_wasserstein[place] == WORST_DISTANCE
            assert together.precision[place] == together.coverage[place] == 0
            continue
        for name, values in vars(alone).items():
            assert getattr(together, name)[place] == pytest.approx(values[0], rel=1e-4, nan_ok=True), name
    again = evaluate(population, wanted)
    for name, values in vars(together).items():
        np.testing.assert_array_equal(getattr(again, name), values, err_msg=name)  # NaN equals NaN
    assert np.isnan(together.frechet).all()  # none of these tasks has features


def test_more_members_than_are_evaluated_at_once_score_as_they_would_alone() -> None:
    population = MixedPopulation([small(RING8)] * 35, range(35))
    quality = evaluate(population, range(35))
    for member in (0, 15, 16, 34):
        assert evaluate(population, [member]).distance[0] == pytest.approx(quality.distance[member], rel=1e-5)
    assert len(set(quality.distance)) == 35


def test_evaluation_is_of_the_averaged_generator() -> None:
    population = MixedPopulation([small(RING8)], [0])
    before = evaluate(population, [0]).distance[0]
    (group, _), *_ = population.groups()
    group.state.generator.zero_()
    assert evaluate(population, [0]).distance[0] == before
    group.state.average.zero_()
    assert evaluate(population, [0]).distance[0] != before


# --- modes -----------------------------------------------------------------------------------------------------------


def modes(weights: Sequence[float] = (1, 1, 1, 1), width: float = 0.1) -> Modes:
    share = np.asarray(weights, dtype=float)
    centres = np.array([[4.0, 0.0], [0.0, 4.0], [-4.0, 0.0], [0.0, -4.0]])[: len(share)]
    covariances = np.stack([width**2 * np.array([[2.0, 0.9], [0.9, 0.5]])] * len(share))
    return Modes(centres, covariances, share / share.sum())


def from_modes(of: Modes, counts: Sequence[int], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    parts = [
        rng.multivariate_normal(centre, covariance, size=count)
        for centre, covariance, count in zip(of.centres, of.covariances, counts, strict=True)
    ]
    return np.concatenate(parts)


def test_true_samples_are_of_high_quality_with_the_probability_of_three_deviations() -> None:
    found = mode_statistics(from_modes(modes(), [10000] * 4), modes())
    assert found.high_quality == pytest.approx(1 - math.exp(-4.5), abs=0.002)  # 98.9 %
    assert (found.found, found.share) == (4, 1)
    assert found.reverse_kl == pytest.approx(0, abs=1e-3)


def test_samples_in_the_true_shares_have_no_divergence() -> None:
    even = mode_statistics(np.repeat(modes().centres, 5, axis=0), modes())
    assert even == ModeStatistics(4, 1, 1, pytest.approx(0, abs=1e-12))
    uneven = modes((1, 2, 3, 4))
    found = mode_statistics(np.repeat(uneven.centres, [10, 20, 30, 40], axis=0), uneven)
    assert found.reverse_kl == pytest.approx(0, abs=1e-12)
    swapped = mode_statistics(np.repeat(uneven.centres, [40, 20, 30, 10], axis=0), uneven)
    assert swapped.reverse_kl == pytest.approx(0.4 * math.log(4) + 0.1 * math.log(1 / 4))


def test_dropped_modes_are_counted_and_their_divergence_is_known() -> None:
    one = mode_statistics(np.repeat(modes().centres, [5, 5, 5, 0], axis=0), modes())
    assert (one.found, one.share, one.high_quality) == (3, 0.75, 1)
    assert one.reverse_kl == pytest.approx(math.log(4 / 3))
    three = mode_statistics(np.repeat(modes().centres, [7, 0, 0, 0], axis=0), modes())
    assert three.found == 1 and three.reverse_kl == pytest.approx(math.log(4))


def test_deviations_are_counted_along_each_axis_of_a_mode() -> None:
    of, axis = modes(), np.linalg.eigh(modes().covariances[0])
    for variance, direction in zip(axis.eigenvalues, axis.eigenvectors.T, strict=True):
        steps = np.array([2.9, 3.1])[:, None] * np.sqrt(variance) * direction
        assert mode_statistics(of.centres[0] + steps[:1], of).high_quality == 1
        assert mode_statistics(of.centres[0] + steps[1:], of).high_quality == 0


def test_samples_far_from_every_mode_find_none() -> None:
    found = mode_statistics(np.zeros((10, 2)), modes())
    assert found == ModeStatistics(0, 0, 0, math.inf)


def test_data_of_a_task_find_all_its_modes() -> None:
    data = RING8.data()
    found = mode_statistics(data.report_reference.double().numpy(), data.modes)
    assert found.found == 8 and found.high_quality == pytest.approx(0.989, abs=0.01)
    assert found.reverse_kl < 0.02


# --- stability -------------------------------------------------------------------------------------------------------


def interval(pair_accuracy: float = 0.6, gradient: float = 1.0) -> Measurements:
    measured = Measurements.empty(1)
    measured.pair_accuracy[:], measured.generator_gradient[:] = pair_accuracy, gradient
    return measured


def follow(
    measured: Sequence[Measurements], log_distances: Sequence[float], coverages: Sequence[float]
) -> dict[str, float]:
    """The terms after the last interval; the first distance and coverage are those before training."""
    monitor = StabilityMonitor(1)
    monitor.restart(np.array([0]), np.array(log_distances[:1]), np.array(coverages[:1]))
    for each, distance, coverage in zip(measured, log_distances[1:], coverages[1:], strict=True):
        terms = monitor.update(each, np.array([distance]), np.array([coverage]))
        assert tuple(terms) == STABILITY_TERMS
        assert all(0 <= value[0] <= 1 for value in terms.values())
    return {name: float(value[0]) for name, value in terms.items()}


def test_healthy_training_has_no_instability() -> None:
    falling, rising = np.linspace(1, -1, 9).tolist(), np.linspace(0.1, 0.9, 9).tolist()
    assert follow([interval()] * 8, falling, rising) == dict.fromkeys(STABILITY_TERMS, 0.0)


@pytest.mark.parametrize(("accuracy", "term"), [(0.0, 0), (0.9, 0), (0.95, 0.5), (1.0, 1), (np.nan, 0)])
def test_saturation_is_pairs_beyond_ninety_percent(accuracy: float, term: float) -> None:
    assert follow([interval(accuracy)], [0, 0], [0, 0])["saturation"] == pytest.approx(term)


@pytest.mark.parametrize(
    ("gradient", "term"), [(7.0, 0), (0.5, 0), (0.1, 0), (0.01, 0.5), (1e-3, 1), (0.0, 1), (np.nan, 1)]
)
def test_vanishing_is_a_gradient_more_than_ten_times_smaller_than_at_first(gradient: float, term: float) -> None:
    measured = [interval(), interval(gradient=5.0), interval(gradient=gradient)]
    assert follow(measured, [0] * 4, [0] * 4)["vanishing"] == pytest.approx(term)


@pytest.mark.parametrize("first", [np.nan, np.inf, 0.0, 1e-45, 1e308])
@pytest.mark.parametrize("second", [np.nan, np.inf, 0.0, 1e-45, 1e308])
def test_vanishing_is_in_range_for_extreme_gradients(first: float, second: float) -> None:
    follow([interval(gradient=first), interval(gradient=second)], [0] * 3, [0] * 3)


def test_oscillation_is_the_way_the_log_distance_goes_to_and_fro() -> None:
    def term(*log_distances: float) -> float:
        return follow([interval()] * (len(log_distances) - 1), log_distances, [0] * len(log_distances))["oscillation"]

    assert term(0, 1) == term(0, -1, -2, -4) == term(3, 2, 2, 2, 1) == 0
    assert term(0, 0.3, 0) == pytest.approx(0.3)
    assert term(0, 0.2, 0, 0.2, 0) == pytest.approx(0.4)
    assert term(0, 1, 0, 1, 0) == 1
    assert term(0, 5, 0, -1, -2, -3, -4) == 0  # as long ago as that, it is forgotten
    assert term(0, -1, -0.5) == pytest.approx(0.5)


def test_mode_loss_is_coverage_below_the_best_so_far() -> None:
    def term(*coverages: float) -> float:
        return follow([interval()] * (len(coverages) - 1), [0] * len(coverages), coverages)["mode_loss"]

    assert term(0.1, 0.5) == term(0.5, 0.4, 0.8) == 0
    assert term(0.2, 0.9, 0.5) == pytest.approx(0.4) == term(0.9, 0.2, 0.5)
    assert term(0.0, 1.0, 0.5, 0.0) == 1


def test_restart_forgets_one_run_and_leaves_the_others() -> None:
    monitor, both = StabilityMonitor(2), np.arange(2)
    monitor.restart(both, np.zeros(2), np.full(2, 0.8))

    def update(gradient: float, distance: float, coverage: float) -> dict[str, np.ndarray]:
        measured = Measurements.empty(2)
        measured.generator_gradient[:] = gradient
        return monitor.update(measured, np.full(2, distance), np.full(2, coverage))

    update(1.0, 1.0, 0.8)
    monitor.restart(np.array([1]), np.zeros(1), np.zeros(1))
    terms = update(0.01, 0.5, 0.5)
    expected = {"saturation": [0, 0], "vanishing": [0.5, 0], "oscillation": [0.5, 0], "mode_loss": [0.3, 0]}
    for name, values in expected.items():
        np.testing.assert_allclose(terms[name], values, atol=1e-12, err_msg=name)


def test_repeated_rows_are_covered_by_themselves() -> None:
    rng = torch.Generator().manual_seed(0)
    rows = torch.randint(2, (6, 5), generator=rng).float().repeat(40, 1)
    rows = (rows - rows.mean(0)) / rows.std(0).clamp_min(1e-6)
    precision, coverage = precision_and_coverage(rows[None], rows[None], neighbour_radii(rows)[None])
    assert precision.item() == coverage.item() == 1.0
