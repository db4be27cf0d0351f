"""Aggregates: against scipy, published cases and each other; what the two bootstraps answer."""

import numpy as np
import pytest
import scipy.stats

from metagan_rl.errors import InvalidValueError
from metagan_rl.experiments.report import aggregates as ag
from metagan_rl.experiments.report.statistics import Cell, bootstrap

STATISTICS = [ag.interquartile_mean, ag.optimality_gap, ag.low_percentile]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def made_up(tasks: int, seeds: int, spread: float = 0.1, seed: int = 0) -> dict[Cell, float]:
    """Tasks far apart, seeds near each other."""
    source = rng(seed)
    level = source.normal(0.4, 0.5, tasks)
    return {(f"{k:03d}", s): float(level[k] + spread * source.normal()) for k in range(tasks) for s in range(seeds)}


def whole(scores: dict[Cell, float]) -> list[float]:
    return [some.value for some in ag.aggregates(scores, STATISTICS, ag.over_seeds, rng(), resamples=2)]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 10, 101])
def test_values_are_those_of_scipy_and_numpy(count: int) -> None:
    values = rng(count).normal(0.3, 1.5, count)
    middle, gap, low = whole({(str(place % 3), place): float(value) for place, value in enumerate(values)})
    assert middle == pytest.approx(scipy.stats.trim_mean(values, 0.25))
    assert gap == pytest.approx(np.mean(1 - np.clip(values, -1, 1)))
    assert low == pytest.approx(np.quantile(values, 0.2, method="inverted_cdf"))


def test_closed_cases() -> None:
    tenths = {(str(place % 4), place): place / 10 for place in range(20)}  # 0, 0.1, ..., 1.9
    middle, gap, low = whole(tenths)
    assert middle == pytest.approx(0.95)  # 0.5 to 1.4 are left
    assert gap == pytest.approx(np.mean([1 - place / 10 for place in range(10)] + [0] * 10))
    assert low == pytest.approx(0.3)
    assert whole({("a", 0): 7.0}) == pytest.approx([7.0, 0.0, 7.0])


def test_extremes_move_the_gap_a_little_and_the_interquartile_mean_not_at_all() -> None:
    scores = made_up(10, 4)
    worst = min(scores, key=lambda cell: scores[cell])
    before, after = whole(scores), whole({**scores, worst: -1000.0})
    assert after[0] == before[0] and after[2] == before[2]
    assert before[1] <= after[1] <= before[1] + 2 / len(scores)


def test_drawn_weights_are_the_replicated_sample() -> None:
    values, drawn = np.sort(rng().normal(size=9)), rng(1).integers(0, 4, (6, 9))
    replicated = [np.repeat(values, times) for times in drawn]
    assert ag.interquartile_mean(values, drawn) == pytest.approx([scipy.stats.trim_mean(r, 0.25) for r in replicated])
    low = [np.quantile(r, 0.2, method="inverted_cdf") for r in replicated]
    assert ag.low_percentile(values, drawn) == pytest.approx(low)
    assert ag.optimality_gap(values, drawn) == pytest.approx([np.mean(1 - np.clip(r, -1, 1)) for r in replicated])


def test_seeds_are_drawn_within_their_task_and_tasks_whole() -> None:
    tasks = np.array([0, 0, 0, 1, 2, 2])
    drawn = ag.over_seeds(tasks, 400, rng())
    for task, size in ((0, 3), (1, 1), (2, 2)):
        assert (drawn[:, tasks == task].sum(axis=1) == size).all()
    assert drawn.mean(axis=0) == pytest.approx(np.ones(6), abs=0.15)
    whole_tasks = ag.over_tasks(tasks, 400, rng())
    assert (whole_tasks[:, 0] == whole_tasks[:, 1]).all() and (whole_tasks[:, 4] == whole_tasks[:, 5]).all()
    assert (whole_tasks[:, [0, 3, 4]].sum(axis=1) == 3).all()


def test_the_stratified_interval_is_scipys_of_independent_samples() -> None:
    scores = made_up(6, 5, spread=0.3)
    strata = [np.array([score for (task, _), score in scores.items() if task == f"{k:03d}"]) for k in range(6)]
    [own] = ag.aggregates(scores, STATISTICS[:1], ag.over_seeds, rng(), resamples=8000)
    other = scipy.stats.bootstrap(
        strata, lambda *s, axis: scipy.stats.trim_mean(np.concatenate(s, axis=axis), 0.25, axis=axis),
        n_resamples=8000, method="percentile", rng=rng(1),
    ).confidence_interval  # fmt: skip
    assert (own.estimate().low, own.estimate().high) == pytest.approx((other.low, other.high), abs=0.01)


def test_the_interval_over_tasks_is_that_of_the_existing_bootstrap() -> None:
    scores = {(f"{k:02d}", 0): float(value) for k, value in enumerate(rng().uniform(-1, 1, 30))}
    [own] = ag.aggregates(scores, [ag.optimality_gap], ag.over_tasks, rng(), resamples=8000)  # here a mean
    mean, low, high = bootstrap(1 - np.array(list(scores.values())), rng(1), resamples=8000)
    ends = own.estimate()
    assert (ends.value, ends.low, ends.high) == pytest.approx((mean, low, high), abs=0.01)


def test_few_tasks_get_students_interval() -> None:
    scores = {(str(k), 0): float(value) for k, value in enumerate(rng(2).uniform(-1, 1, 5))}
    [own] = ag.aggregates(scores, [ag.optimality_gap], ag.over_tasks, rng(), resamples=20000)
    gaps = 1 - np.array(list(scores.values()))
    ends = scipy.stats.t.interval(0.95, 4, loc=gaps.mean(), scale=scipy.stats.sem(gaps))
    assert (own.estimate().low, own.estimate().high) == pytest.approx(tuple(ends), abs=0.02)


def test_the_two_bootstraps_answer_two_questions() -> None:
    scores, more_seeds = made_up(20, 4), made_up(20, 40)

    def width(some: dict[Cell, float], resampling: ag.Resampling) -> float:
        ends = ag.aggregates(some, STATISTICS[:1], resampling, rng())[0].estimate()
        return ends.high - ends.low

    assert width(scores, ag.over_seeds) < 0.5 * width(scores, ag.over_tasks)  # tasks differ more than seeds
    assert width(more_seeds, ag.over_seeds) < 0.5 * width(scores, ag.over_seeds)
    assert width(more_seeds, ag.over_tasks) > 0.7 * width(scores, ag.over_tasks)  # seeds cannot tell of other tasks


def test_what_cannot_be_known_is_nan() -> None:
    one_seed = {(str(k), 0): float(k) for k in range(9)}
    assert np.isnan(ag.aggregates(one_seed, STATISTICS[:1], ag.over_seeds, rng())[0].estimate().low)
    one_task = {("a", s): float(s) for s in range(9)}
    assert np.isnan(ag.aggregates(one_task, STATISTICS[:1], ag.over_tasks, rng())[0].estimate().low)
    assert np.isnan(ag.performance_profile(one_seed, np.zeros(1), rng())[1]).all()
    known, unknown = (ag.aggregates(s, STATISTICS[:1], ag.over_tasks, rng())[0] for s in (one_seed, one_task))
    assert np.isnan((known - unknown).estimate().high)


def test_the_difference_of_two_is_as_unsure_as_both() -> None:
    [near] = ag.aggregates(made_up(30, 2, seed=1), STATISTICS[:1], ag.over_tasks, rng(1))
    [far] = ag.aggregates(made_up(30, 2, seed=2), STATISTICS[:1], ag.over_tasks, rng(2))
    gap = near - far
    assert gap.value == pytest.approx(near.value - far.value)
    assert gap.resampled.std() == pytest.approx(np.hypot(near.resampled.std(), far.resampled.std()), rel=0.05)


def test_profile_is_one_minus_the_distribution_function() -> None:
    scores, thresholds = made_up(12, 3, spread=0.4), np.linspace(-1, 2, 31)
    share, low, high = ag.performance_profile(scores, thresholds, rng())
    assert share == pytest.approx(scipy.stats.ecdf(list(scores.values())).sf.evaluate(thresholds))
    assert (low <= share + 1e-12).all() and (share <= high + 1e-12).all() and (np.diff(share) <= 0).all()
    _, wide_low, wide_high = ag.performance_profile(scores, thresholds, rng(), resampling=ag.over_tasks)
    assert (wide_high - wide_low).mean() > (high - low).mean()
    uneven = {("a", 0): 1.0, ("b", 0): 0.0, ("b", 1): 0.0, ("b", 2): 0.0}
    assert ag.performance_profile(uneven, np.array([0.5]), rng())[0] == pytest.approx([0.5])  # tasks weigh alike


def test_improvement_is_mann_and_whitneys_u() -> None:
    # The published case: six tortoises and six hares in a race, order T H H H H H T T T T T H; U = 25 of 36.
    order = "THHHHHTTTTTH"
    hares = {("race", place): float(place + 1) for place, who in enumerate(order) if who == "H"}
    tortoises = {("race", place): float(place + 1) for place, who in enumerate(order) if who == "T"}
    assert ag.probability_of_improvement(hares, tortoises, rng()).value == pytest.approx(25 / 36)
    assert ag.probability_of_improvement(tortoises, hares, rng()).value == pytest.approx(11 / 36)


def test_improvement_averages_tasks_and_counts_ties_half() -> None:
    source = rng(4)
    own = {(str(k), s): float(v) for k in range(7) for s, v in enumerate(source.integers(1, 6, 3 + k % 2))}
    other = {(str(k), s): float(v) for k in range(9) for s, v in enumerate(source.integers(1, 6, 4))}
    shares = []
    for k in range(7):  # tasks that only one of them has do not count
        x, y = ([value for (task, _), value in some.items() if task == str(k)] for some in (own, other))
        shares.append(1 - scipy.stats.mannwhitneyu(x, y).statistic / (len(x) * len(y)))
    found = ag.probability_of_improvement(own, other, rng())
    assert found.value == pytest.approx(np.mean(shares))
    ends = found.estimate()
    assert 0 <= ends.low < found.value < ends.high <= 1
    assert ag.probability_of_improvement(own, own, rng()).value == pytest.approx(0.5)


def test_the_interval_of_improvement_is_scipys_of_two_samples() -> None:
    x, y = rng(5).normal(0.3, 1, 12), rng(6).normal(0.8, 1, 10)

    def share(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
        return (np.expand_dims(x, -1) < np.expand_dims(y, -2)).mean(axis=(-1, -2))

    other = scipy.stats.bootstrap((x, y), share, n_resamples=8000, method="percentile", rng=rng(1)).confidence_interval
    own = ag.probability_of_improvement(
        {("a", s): float(v) + 9 for s, v in enumerate(x)}, {("a", s): float(v) + 9 for s, v in enumerate(y)}, rng(),
        resamples=8000,
    ).estimate()  # fmt: skip
    assert (own.low, own.high) == pytest.approx((other.low, other.high), abs=0.02)


def test_nothing_and_what_is_not_finite_are_named() -> None:
    with pytest.raises(InvalidValueError, match="no runs"):
        ag.aggregates({}, STATISTICS, ag.over_seeds, rng())
    with pytest.raises(InvalidValueError, match="ring/0001"):
        ag.aggregates({("ring/0001", 3): float("nan")}, STATISTICS, ag.over_seeds, rng())
    with pytest.raises(InvalidValueError, match="in common"):
        ag.probability_of_improvement({("a", 0): 1.0}, {("b", 0): 1.0}, rng())


def test_the_size_of_the_blocks_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = made_up(40, 4)
    before = ag.aggregates(scores, STATISTICS, ag.over_tasks, rng())
    monkeypatch.setattr(ag, "BLOCK", 1000)
    after = ag.aggregates(scores, STATISTICS, ag.over_tasks, rng())
    for one, other in zip(before, after, strict=True):
        assert one.resampled == pytest.approx(other.resampled)
