"""Several GANs a run: copies are whole and then go their own way, one is kept, and selection does what it says."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from metagan_rl.agents import Scheduler, make_scheduler
from metagan_rl.agents.searches.population_based import MultipleFrequencies, PopulationBased, fitness
from metagan_rl.errors import InvalidValueError, SchedulerError
from metagan_rl.loop import Controls, Runs, Situation, drive
from metagan_rl.loop.drive import member_seed, situation_of
from metagan_rl.loop.knobs import LR_FACTOR
from metagan_rl.populations import MixedPopulation
from metagan_rl.tasks import Base, Networks, Task, sample_task
from metagan_rl.testing import ConformanceError, check_scheduler

SMALL, OTHER = Networks(latent_dim=2, width=16, depth=2), Networks(latent_dim=2, width=8, depth=1)
OPTIONS: dict[str, Any] = {"interval_updates": 24, "horizon": 8}


def task(number: int = 0, networks: Networks = SMALL, **base: Any) -> Task:
    given = sample_task("ring", np.random.default_rng(number), name=f"ring/{number}", budget=192)
    return replace(given, networks=networks, base=Base(batch_size=32, **base))


def values_of(given: Controls) -> dict[str, np.ndarray]:
    return {name: getattr(given, name) for name in given.knobs}


def controls(*factors: float) -> Controls:
    return Controls.base([Base()] * len(factors)).replace(
        generator_lr_factor=np.array(factors), discriminator_lr_factor=np.array(factors)
    )


def states(population: MixedPopulation) -> list[dict[str, np.ndarray]]:
    """Every field of the state of each member, in their order."""
    found: list[dict[str, np.ndarray]] = [{}] * len(population)
    for group, members in population.groups():
        for row, member in enumerate(members):
            found[member] = {name: values[row].numpy().copy() for name, values in group.state.to_dict().items()}
    return found


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray], but: Sequence[str] = ()) -> None:
    for name, values in one.items():
        assert name in but or np.array_equal(values, other[name], equal_nan=True), name


class Three(Scheduler):
    """Three GANs a run at rates of their own; all go on from the second when half of the budget is spent."""

    source, members = "a test", 3

    def exploit(self, situation: Situation) -> np.ndarray | None:
        if situation.progress[0] != 0.5:
            return None
        return np.arange(len(situation)) // 3 * 3 + 1

    def propose(self, situation: Situation) -> Controls:
        return situation.base.replace(generator_lr_factor=np.tile([1.0, 2.0, 3.0], len(situation) // 3))


# Copies


def test_a_copy_takes_everything_but_the_random_stream_and_then_goes_its_own_way() -> None:
    runs = Runs([task()] * 3, [1, 2, 3], **OPTIONS)
    for _ in range(2):
        runs.advance(controls(1.0, 3.0, 0.5))
    before, told = states(runs.population), runs.signals()
    runs.copy([1, 1, 2])
    after = states(runs.population)
    assert_same(after[0], before[1], but=["seed"])
    assert after[0]["seed"] == 1 and after[1]["seed"] == 2
    assert_same(after[2], before[2])
    for name, values in runs.signals().items():
        assert values[0] == values[1] == told[name][1] and values[2] == told[name][2], name
    assert runs.controls.generator_lr_factor.tolist() == [3.0, 3.0, 0.5]
    assert runs.ledger.best[0] == runs.ledger.best[1] and runs.ledger.start[0] == runs.ledger.start[1]
    outcome = runs.advance(controls(1.0, 1.0, 1.0))
    first, second, _ = states(runs.population)
    for name in ("generator", "discriminator", "average", "generator_first", "discriminator_second"):
        assert not np.array_equal(first[name], second[name]), name
    assert first["generator_steps"] == second["generator_steps"] == 3 * 12
    assert outcome.reward[0] != outcome.reward[1]


def test_who_is_copied_from_notices_nothing() -> None:
    copied, undisturbed = (Runs([task()] * 2, [1, 2], **OPTIONS) for _ in range(2))
    for interval in range(3):
        if interval == 2:
            copied.copy([1, 1])
        outcomes = [runs.advance(controls(1.0, 3.0)) for runs in (copied, undisturbed)]
    assert outcomes[0].reward[1] == outcomes[1].reward[1]
    assert all(values[1] == outcomes[1].stability[name][1] for name, values in outcomes[0].stability.items())
    assert_same(states(copied.population)[1], states(undisturbed.population)[1])


def test_a_diverged_gan_goes_on_sound_and_a_sound_one_can_become_diverged() -> None:
    runs = Runs([task(generator_lr=1.0, discriminator_lr=1.0)] * 2, [1, 2], **OPTIONS)
    while not runs.population.diverged[1]:
        runs.advance(controls(1 / 30, 30.0))
    assert runs.population.diverged.tolist() == [False, True] and runs.quality.distance[1] == 20
    runs.copy([0, 0])
    assert runs.population.diverged.tolist() == [False, False]
    trained = runs.population.trained_intervals
    assert trained[0] == trained[1]
    runs.advance(controls(1 / 30, 1 / 30))
    assert runs.quality.distance[1] < 20 and (runs.population.trained_intervals == trained + 1).all()


def test_nobody_goes_on_from_another_shape_or_task() -> None:
    mixed = MixedPopulation([task(), task(networks=OTHER), task()], [1, 2, 3])
    before = states(mixed)
    with pytest.raises(InvalidValueError, match="member 0 cannot go on from 1, which is none of the 2"):
        mixed.copy([1, 1, 2])
    mixed.copy([2, 1, 0])
    after = states(mixed)
    assert_same(after[0], before[2], but=["seed"])
    assert_same(after[1], before[1])
    with pytest.raises(InvalidValueError, match="run 0 cannot go on from run 1, which trains another task"):
        Runs([task(0), task(1)], [1, 2], **OPTIONS).copy([1, 1])


def test_runs_that_are_kept_go_on_as_if_the_others_were_there() -> None:
    tasks = [task(0), task(1, OTHER), task(2), task(3, OTHER)]
    all_runs, kept = (Runs(tasks, [1, 2, 3, 4], **OPTIONS) for _ in range(2))
    for runs in (all_runs, kept):
        runs.advance(controls(1.0, 2.0, 3.0, 4.0))
    kept.keep([3, 0])
    assert [each.name for each in kept.tasks] == ["ring/3", "ring/0"] and len(kept) == 2
    for name, values in kept.signals().items():
        assert values.tolist() == all_runs.signals()[name][[3, 0]].tolist(), name
    outcomes = kept.advance(controls(4.0, 1.0)), all_runs.advance(controls(1.0, 2.0, 3.0, 4.0))
    np.testing.assert_allclose(outcomes[0].reward, outcomes[1].reward[[3, 0]], rtol=1e-3)
    kept.restart([0], [task(5)], [9])
    assert kept.tasks[0].name == "ring/5" and len(kept.population) == 2


# The loop


def test_one_gan_a_run_is_driven_as_it_always_was() -> None:
    tasks, seeds = [task(0), task(1, OTHER), task(2)], [5, 6, 7]
    scheduler, runs = make_scheduler("gap-aware"), Runs(tasks, seeds, **OPTIONS)
    ended, trace = drive(make_scheduler("gap-aware"), tasks, seeds, **OPTIONS)
    scheduler.begin(seeds)
    distances, reward = [runs.quality.distance], np.zeros(3)
    for interval in range(8):
        given = scheduler.step(situation_of(runs, reward))
        assert all(np.array_equal(v, getattr(trace.controls[interval], name)) for name, v in values_of(given).items())
        reward = runs.advance(given).reward
        distances.append(runs.quality.distance)
    np.testing.assert_array_equal(trace.distance, distances)
    for one, other in zip(states(ended.population), states(runs.population), strict=True):
        assert_same(one, other)


def test_the_first_member_has_the_runs_own_seed_and_the_others_their_own() -> None:
    assert [member_seed(seed, 0) for seed in (0, 7, 2**32 - 1)] == [0, 7, 2**32 - 1]
    assert len({member_seed(seed, member) for seed in range(50) for member in range(8)}) == 400
    assert member_seed(7, 3) == member_seed(7, 3)


def test_the_best_gan_of_each_run_is_kept_and_the_trace_is_the_way_it_went() -> None:
    tasks, seeds = [task(0), task(1)], [5, 6]
    ended, trace = drive(Three(), tasks, seeds, **OPTIONS)
    assert len(ended) == 2 and [each.name for each in ended.tasks] == ["ring/0", "ring/1"]
    everyone = [member_seed(seed, member) for seed in seeds for member in range(3)]
    runs = Runs([task(0)] * 3 + [task(1)] * 3, everyone, **OPTIONS)
    base = runs.base_controls().replace(generator_lr_factor=np.tile([1.0, 2.0, 3.0], 2))
    ways = [runs.quality.distance]
    for interval in range(8):
        if interval == 4:
            runs.copy([1, 1, 1, 4, 4, 4])
        runs.advance(base)
        ways.append(runs.quality.distance)
    best = np.array([0, 3]) + runs.quality.distance.reshape(2, 3).argmin(axis=1)
    np.testing.assert_array_equal(ended.quality.distance, runs.quality.distance[best])
    np.testing.assert_array_equal(trace.distance[5:], np.array(ways)[5:, best])
    np.testing.assert_array_equal(trace.distance[:5], np.array(ways)[:5, [1, 4]])
    rates = np.array([each.generator_lr_factor for each in trace.controls])
    assert (rates[:4] == 2).all() and (rates[4:] == np.array([1.0, 2.0, 3.0])[best % 3]).all()
    assert all(np.shape(rows) == (8, 2) for rows in trace.stability.values())


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda count: np.arange(count)[:-1], "a whole number for each of the"),
        (lambda count: np.arange(count) * 1.0, "exploit gave float64"),
        (lambda count: np.arange(count) + 3, "GAN 0 go on from 3"),
        (lambda count: np.full(count, -1), "GAN 0 go on from -1; there are GANs 0 to"),
        (lambda count: np.zeros(count, dtype=int), "GAN 3 go on from 0, which is of another run; .* 3 to 5"),
    ],
)
def test_bad_copies_are_told_apart_by_the_loop_and_by_the_public_check(answer: Any, words: str) -> None:
    class Broken(Three):
        def exploit(self, situation: Situation) -> Any:
            return answer(len(situation))

    with pytest.raises(SchedulerError, match=f"Broken failed before interval 1: .*{words}"):
        drive(Broken(), [task(0), task(1)], [5, 6], **OPTIONS)
    with pytest.raises(ConformanceError, match=words):
        check_scheduler(Broken)


def test_the_public_check_passes_good_ones_and_names_what_is_wrong_with_others() -> None:
    check_scheduler(Three)
    for attributes, words in (
        ({"members": 0}, "its members is 0; it must be a whole number, at least 1"),
        ({"members": 2.0}, "its members is 2.0"),
        ({"cost": -1}, "its cost is -1"),
        ({"exploit": lambda self, seen: seen.reward.fill(1.0)}, "changed what it was shown"),
        ({"exploit": lambda self, seen: 1 // 0}, "ZeroDivisionError"),
        (
            {"exploit": lambda self, seen: np.random.randint(3, size=len(seen)) + np.arange(len(seen)) // 3 * 3},
            "copies",
        ),
        ({"propose": lambda self, seen: seen.base[:3]}, "9 GANs of all runs"),
    ):
        with pytest.raises(ConformanceError, match=words):
            check_scheduler(type("Broken", (Three,), attributes))


# Selection


def situation(progress: float, distance: np.ndarray, **signals: np.ndarray) -> Situation:
    base, count = Controls.base([Base()] * len(distance)), len(distance)
    seen = {"progress": np.full(count, progress), "distance_to_floor": distance, **signals}
    return Situation(seen, base, base, np.zeros(count))


def begun(seeds: Sequence[int], **options: Any) -> PopulationBased:
    scheduler = PopulationBased(**options)
    scheduler.begin([seed for seed in seeds for _ in range(scheduler.members)])
    return scheduler


def test_members_begin_all_over_the_allowed_range() -> None:
    given = begun(range(60)).propose(situation(0, np.zeros(480)))
    for rates in (given.generator_lr_factor, given.discriminator_lr_factor):
        quarters = np.histogram(np.log(rates), np.log([1 / 30, 30**-0.5, 1, 30**0.5, 30]))[0]
        assert quarters.sum() == 480 and quarters.min() > 80
    assert len(set(given.ratio)) == 6 and len(set(given.loss)) == 5
    assert 0.4 < (given.penalty_weight == 0).mean() < 0.6 and given.penalty_weight.max() <= 10
    assert given.penalty_weight[given.penalty_weight > 0].min() >= 1e-3


def test_every_eighth_of_the_budget_the_worst_quarter_goes_on_from_the_best_with_other_rates() -> None:
    scheduler, rng = begun([3, 4]), np.random.default_rng(0)
    copied = []
    for interval in range(1, 64):
        before = scheduler.propose(situation(0, np.zeros(16)))
        seen = situation(interval / 64, rng.uniform(-1, 1, 16))
        sources = scheduler.exploit(seen)
        after = scheduler.propose(seen)
        if sources is None:
            assert all(np.array_equal(values, getattr(after, name)) for name, values in values_of(before).items())
            continue
        copied.append(interval)
        for first in (0, 8):
            ranked = first + np.argsort(seen.signals["distance_to_floor"][first : first + 8])
            assert sources[ranked[:6]].tolist() == ranked[:6].tolist()
            assert set(sources[ranked[6:]]) <= set(ranked[:2])
            for member in ranked:
                wanted, given = before.describe(sources[member]), after.describe(member)
                if member in ranked[:6]:
                    assert given == wanted
                    continue
                for name in ("generator_lr_factor", "discriminator_lr_factor"):
                    reached = np.clip(wanted[name] * np.array([0.8, 1.25]), 1 / LR_FACTOR, LR_FACTOR)
                    assert np.isclose(given[name], reached).any()
    assert copied == [8, 16, 24, 32, 40, 48, 56]


def test_ratio_loss_and_penalty_are_drawn_anew_now_and_then() -> None:
    for resample, low, high in ((0.0, 0.0, 0.0), (0.25, 0.1, 0.3), (1.0, 0.7, 0.9)):
        scheduler = begun(range(100), resample=resample)
        before = scheduler.propose(situation(0, np.zeros(800)))
        sources = scheduler.exploit(situation(0.5, np.random.default_rng(0).uniform(-1, 1, 800)))
        assert sources is not None
        moved = sources != np.arange(800)
        after = scheduler.propose(situation(0.5, np.zeros(800)))
        for name in ("ratio", "loss"):  # drawing anew may give the same again
            assert low <= (getattr(after, name) != getattr(before, name)[sources])[moved].mean() <= high


def test_a_run_is_scheduled_the_same_whoever_else_is() -> None:
    rng, seeds = np.random.default_rng(1), [11, 12, 13]
    together, alone = begun(seeds), [begun([seed]) for seed in seeds]
    for interval in range(0, 64, 4):
        distance = rng.uniform(-1, 1, 24)
        seen = situation(interval / 64, distance)
        sources = together.exploit(seen) if interval else None
        given = together.propose(seen)
        for run, scheduler in enumerate(alone):
            own = situation(interval / 64, distance[run * 8 : run * 8 + 8])
            single = scheduler.exploit(own) if interval else None
            assert (single is None) == (sources is None)
            if single is not None and sources is not None:
                assert (single + run * 8).tolist() == sources[run * 8 : run * 8 + 8].tolist()
            single_controls = scheduler.propose(own)
            for member in range(8):
                assert single_controls.describe(member) == given.describe(run * 8 + member)


def split(scheduler: MultipleFrequencies, progress: float, distance: np.ndarray) -> Any:
    """Who goes on from whom, and all rates of G before and after."""
    before = scheduler.propose(situation(0, np.zeros(len(distance)))).generator_lr_factor.copy()
    sources = scheduler.exploit(situation(progress, distance))
    return sources, before, scheduler.propose(situation(0, np.zeros(len(distance)))).generator_lr_factor


def changed(one: float, other: float) -> bool:
    return any(np.isclose(one, np.clip(other * factor, 1 / LR_FACTOR, LR_FACTOR)) for factor in (0.8, 1.25))


def test_a_sub_population_that_selects_often_takes_in_whole_members_of_one_that_selects_seldom() -> None:
    scheduler = MultipleFrequencies(8, 2)
    scheduler.begin([3] * 8)
    sources, before, after = split(scheduler, 1 / 8, np.array([0.4, 0.5, 0.6, 0.7, 0.9, 0.1, 0.8, 0.2]))
    assert sources.tolist() == [0, 1, 5, 0, 4, 5, 6, 7]  # the second one sits this round out
    assert after[2] == before[5] and changed(after[3], before[0])
    assert after[[0, 1, 4, 5, 6, 7]].tolist() == before[[0, 1, 4, 5, 6, 7]].tolist()


def test_a_sub_population_that_selects_seldom_takes_in_weights_alone() -> None:
    scheduler = MultipleFrequencies(8, 2)
    scheduler.begin([3] * 8)
    scheduler.exploit(situation(1 / 8, np.zeros(8)))
    sources, before, after = split(scheduler, 2 / 8, np.array([0.1, 0.2, 0.3, 0.9, 0.4, 0.5, 0.6, 0.7]))
    assert sources.tolist() == [0, 1, 2, 0, 4, 5, 0, 4]
    assert after[6] == before[4] and changed(after[7], before[4]) and changed(after[3], before[0])


def test_migrants_are_better_ones_alone_and_none_comes_twice() -> None:
    scheduler = MultipleFrequencies(16, 2)
    scheduler.begin([3] * 16)
    distance = np.concatenate([np.linspace(0.1, 0.8, 8), np.linspace(0.55, 1.5, 8)])
    sources, *_ = split(scheduler, 2 / 8, distance)
    assert sources[:8].tolist() == [0, 1, 2, 3, 4, 8, 0, 1]  # the fifth and sixth are the third quarter
    assert sources[8:].tolist() == [8, 9, 10, 11, 0, 1, 8, 9]


def test_sub_populations_are_equal_and_not_too_small() -> None:
    for members, populations in ((8, 3), (8, 4), (8, 0)):
        with pytest.raises(InvalidValueError, match=f"{populations} populations of {members} members; at least 4"):
            MultipleFrequencies(members, populations)
    check_scheduler("mf-pbt")


def test_fitness_is_quality_where_it_is_known_and_else_how_even_the_game_is() -> None:
    seen = situation(0.5, np.array([0.3, np.nan, -0.2]), discriminator_loss=np.array([-0.5, 0.1, np.nan]))
    assert fitness(seen).tolist() == [-0.3, -np.inf, 0.2]
    del seen.signals["distance_to_floor"]
    assert fitness(seen).tolist() == [-0.5, -0.1, -np.inf]
    del seen.signals["discriminator_loss"]
    assert (fitness(seen) == -np.inf).all()


def test_searching_is_better_than_what_its_first_member_would_have_done_alone() -> None:
    class Fixed(Scheduler):
        def propose(self, situation: Situation) -> Controls:
            return first

    gains = []
    for number, seed in enumerate((5, 6, 7)):
        own = task(number)
        first = begun([seed], members=4).propose(situation(0, np.zeros(4)))[:1]
        searched, _ = drive(PopulationBased(members=4), [own], [seed], **OPTIONS)
        alone, _ = drive(Fixed(), [own], [seed], **OPTIONS)
        gains.append(np.log(alone.quality.distance[0] / searched.quality.distance[0]))
    assert min(gains) > -0.01 and np.mean(gains) > 0.1


def test_the_same_search_comes_out_alone_and_among_others() -> None:
    tasks, seeds = [task(0), task(1, OTHER)], [5, 6]
    _, both = drive(PopulationBased(members=3), tasks, seeds, **OPTIONS)
    for run in range(2):
        _, single = drive(PopulationBased(members=3), tasks[run : run + 1], seeds[run : run + 1], **OPTIONS)
        for one, other in zip(single.controls, both.controls, strict=True):
            assert one.describe(0) == other.describe(run)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"members": 1}, "1 members"),
        ({"rounds": 0}, "0 rounds"),
        ({"share": 0.6}, "share is 0.6"),
        ({"resample": -0.1}, "resample -0.1"),
        ({"factors": (0.0, 2.0)}, "factors are"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidValueError, match=words):
        PopulationBased(**options)
    with pytest.raises(InvalidValueError, match="3 GANs are not a whole number of runs of 8"):
        PopulationBased().begin([1, 2, 3])


def test_every_field_of_what_is_known_of_a_run_follows_a_copy() -> None:
    runs = Runs([task()] * 2, [1, 2], **OPTIONS)
    runs.advance(controls(1.0, 4.0))
    runs.copy([1, 1])
    for field in fields(runs.quality):
        np.testing.assert_equal(*getattr(runs.quality, field.name))
    assert_pairs(runs.ledger.state_dict())


def assert_pairs(known: Any) -> None:
    """Everything that a ledger of two runs tells is the same for both."""
    if isinstance(known, dict):
        for values in known.values():
            assert_pairs(values)
    elif isinstance(known, list):
        assert len(known) == 2
        np.testing.assert_equal(known[0], known[1])
