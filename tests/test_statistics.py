"""Statistics: closed cases, coverage of the interval, and that pairing matters."""

import numpy as np
import pytest
import scipy.stats

from metagan_rl.errors import InvalidValueError
from metagan_rl.experiments.report.statistics import (
    Cell,
    Estimate,
    bootstrap,
    by_task,
    divergence_rate,
    geometric_mean,
    paired_ratio,
    rate,
    win_rate,
)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_geometric_mean_averages_seeds_before_tasks() -> None:
    distances = {("a", 0): 1.0, ("a", 1): 4.0, ("a", 2): 2.0, ("b", 0): 8.0}
    estimate = geometric_mean(distances, rng())
    assert estimate.value == pytest.approx(4.0)  # sqrt(2 * 8), however many seeds "a" has
    assert estimate.low < 0.01 and estimate.high > 1000  # two tasks say next to nothing


def test_few_tasks_get_students_interval_and_many_a_bootstrap() -> None:
    logs = np.random.default_rng(1).normal(0.3, 0.5, 9)
    few = geometric_mean({(str(task), 0): float(np.exp(logs[task])) for task in range(7)}, rng())
    ends = scipy.stats.t.interval(0.95, 6, loc=logs[:7].mean(), scale=scipy.stats.sem(logs[:7]))
    assert (few.low, few.high) == pytest.approx(tuple(np.exp(ends)))
    many = geometric_mean({(str(task), 0): float(np.exp(logs[task])) for task in range(9)}, rng())
    _, low, high = bootstrap(logs, rng())
    assert (many.low, many.high) == pytest.approx((np.exp(low), np.exp(high)))


def test_equal_tasks_leave_no_doubt_and_one_task_leaves_all() -> None:
    same = geometric_mean({(name, 0): 0.3 for name in "abc"}, rng())
    assert (same.low, same.value, same.high) == pytest.approx((0.3, 0.3, 0.3))
    alone = geometric_mean({("a", 0): 0.3, ("a", 1): 0.3}, rng())
    assert alone.value == pytest.approx(0.3)
    assert np.isnan(alone.low)
    assert np.isnan(alone.high)
    assert not alone.excludes(1.0)


def test_the_generator_decides_the_resamples() -> None:
    distances = {(str(task), 0): float(task + 1) for task in range(9)}
    assert geometric_mean(distances, rng()) == geometric_mean(distances, rng())
    assert geometric_mean(distances, np.random.default_rng(1)) != geometric_mean(distances, rng())


def test_order_of_cells_does_not_matter() -> None:
    distances = {(name, seed): 0.1 + ord(name) % 5 + seed for name in "abcde" for seed in range(2)}
    turned = dict(reversed(distances.items()))
    assert geometric_mean(distances, rng()) == geometric_mean(turned, rng())


def test_interval_holds_as_often_as_it_says() -> None:
    source = np.random.default_rng(3)
    held = 0
    for _ in range(200):
        _, low, high = bootstrap(source.normal(0.7, 1.0, 30), source, resamples=300)
        held += bool(low <= 0.7 <= high)
    assert 0.88 <= held / 200 <= 0.99


def test_bootstrap_resamples_trailing_axes_together() -> None:
    values = np.random.default_rng(0).normal(size=(9, 4))
    mean, low, high = bootstrap(values, rng())
    assert mean.shape == low.shape == high.shape == (4,)
    first = bootstrap(values[:, 0], rng())
    assert (mean[0], low[0], high[0]) == pytest.approx(first)


def test_pairing_takes_the_difficulty_out() -> None:
    difficulty = np.exp(np.random.default_rng(2).normal(0, 2, 20))
    reference: dict[Cell, float] = {(str(task), 0): float(value) for task, value in enumerate(difficulty)}
    better = {cell: 0.9 * distance for cell, distance in reference.items()}
    ratio = paired_ratio(better, reference, rng())
    assert (ratio.low, ratio.value, ratio.high) == pytest.approx((0.9, 0.9, 0.9))
    assert ratio.excludes(1.0)
    alone, other = geometric_mean(better, rng()), geometric_mean(reference, rng())
    assert alone.low < other.value < alone.high  # unpaired, nothing would be seen
    assert win_rate(better, reference).value == 1.0


def test_only_common_cells_are_compared() -> None:
    ratio = paired_ratio({("a", 0): 2.0, ("b", 0): 2.0, ("c", 0): 99.0}, {("a", 0): 1.0, ("b", 0): 1.0}, rng())
    assert ratio.value == pytest.approx(2.0)


def test_ties_count_half() -> None:
    mine = {("a", 0): 1.0, ("b", 0): 1.0, ("c", 0): 20.0, ("d", 0): 3.0}
    other = {("a", 0): 2.0, ("b", 0): 1.0 + 1e-12, ("c", 0): 20.0, ("d", 0): 2.0}
    assert win_rate(mine, other).value == pytest.approx(0.5)
    assert win_rate(mine, mine).value == 0.5


def test_win_rate_interval_is_wilsons() -> None:
    mine = {(str(task), 0): 1.0 for task in range(10)}
    other = {(str(task), 0): 2.0 for task in range(10)}
    estimate = win_rate(mine, other)
    assert (estimate.low, estimate.high) == (pytest.approx(0.7225, abs=1e-3), pytest.approx(1.0))
    more_seeds = win_rate(
        {(t, s): 1.0 for t, _ in mine for s in range(5)}, {(t, s): 2.0 for t, _ in mine for s in range(5)}
    )
    assert more_seeds == estimate  # tasks are the unit


@pytest.mark.parametrize(
    ("happened", "of", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_rates_have_the_published_intervals(happened: int, of: int, low: float, high: float) -> None:
    """Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3."""
    estimate = rate({(f"{run:03d}", 0): run < happened for run in range(of)})
    assert estimate.value == pytest.approx(happened / of)
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=6e-5)
    other = scipy.stats.binomtest(happened, of).proportion_ci(method="wilson")
    assert (estimate.low, estimate.high) == pytest.approx((other.low, other.high), abs=1e-9)


def test_divergence_rate_and_averages() -> None:
    assert divergence_rate({("a", 0): True, ("a", 1): False, ("b", 0): False}) == pytest.approx(0.25)
    curves = by_task({("b", 0): [1.0, 2.0], ("a", 0): [0.0, 0.0], ("a", 1): [2.0, 4.0]})
    assert curves.tolist() == [[1.0, 2.0], [1.0, 2.0]]


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_distances_are_named(bad: float) -> None:
    with pytest.raises(InvalidValueError, match="ring/0001"):
        geometric_mean({("ring/0001", 3): bad}, rng())


def test_nothing_to_compare_is_said() -> None:
    with pytest.raises(InvalidValueError, match="no runs"):
        geometric_mean({}, rng())
    with pytest.raises(InvalidValueError, match="in common"):
        paired_ratio({("a", 0): 1.0}, {("a", 1): 1.0}, rng())
    with pytest.raises(InvalidValueError, match="in common"):
        win_rate({("a", 0): 1.0}, {("b", 0): 1.0})
    with pytest.raises(InvalidValueError, match="no tasks to make an interval"):
        bootstrap(np.zeros((0,)), rng())
    with pytest.raises(InvalidValueError, match="resamples is 0"):
        bootstrap(np.zeros(3), rng(), resamples=0)


def test_excludes_needs_a_whole_interval_on_one_side() -> None:
    assert Estimate(0.5, 0.4, 0.9).excludes(1.0)
    assert Estimate(1.5, 1.1, 1.9).excludes(1.0)
    assert not Estimate(0.9, 0.7, 1.0).excludes(1.0)
