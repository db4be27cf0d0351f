"""Who chooses the schedules of the runs on a task, one after the other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metagan_rl.agents.catalogue import load_scheduler, make_scheduler
from metagan_rl.agents.searches.population_based import MultipleFrequencies, PopulationBased
from metagan_rl.agents.searches.rule import HIGHEST, LOWEST, NUMBERS
from metagan_rl.agents.searches.tuned import Candidates
from metagan_rl.errors import MissingDependencyError
from metagan_rl.experiments.benchmark.cells import gan_seed
from metagan_rl.experiments.studies.decays import WIDTH, around_rule, run
from metagan_rl.experiments.studies.oracle import draw
from metagan_rl.experiments.studies.run_to_run.portfolio import load_list
from metagan_rl.loop.scheduler import Scheduler
from metagan_rl.tasks import Task

FIRST_SEED, APART = 40_000, 1_000
"""The first number that GAN seeds are made from, and how far apart the numbers of two repetitions are."""
MEMBERS = (4, 8, 16)
"""GANs of population-based training, each a search of its own. PBT with 8 takes as many updates as 8 runs."""
REACH = 3.0
"""TPE looks so far around the rule's numbers, in deviations of what is tried first: a factor 32 for rates."""
STARTUP = 5
"""Runs of TPE before it has a model; the first is at the rule's numbers."""


@dataclass(frozen=True)
class Place:
    """Where a method shows what it is worth.

    Attributes:
        tasks: n tasks.
        repetition: each has GAN seeds and draws of its own.
        count: K, runs of each task.
        decisions: intervals of a run.
        file: of a list or a policy, if the method has one.
    """

    tasks: tuple[Task, ...]
    repetition: int
    count: int
    decisions: int
    file: Path | None = None

    def seeds(self, number: int) -> list[int]:
        """GAN seeds of the tasks in their run of that number, from 0: the same for every method."""
        return [gan_seed(task, FIRST_SEED + APART * self.repetition + number) for task in self.tasks]

    def side_by_side(self, scheduler: Scheduler) -> "Played":
        """All runs at once. The scheduler sets runs task by task, and those of a task in their order."""
        numbers = range(self.count)
        seeds = np.array([self.seeds(number) for number in numbers]).T
        ends = run(scheduler, [task for task in self.tasks for _ in numbers], seeds.ravel().tolist(), self.decisions)
        return Played(
            tuple(number + 1 for number in numbers), ends.seen.reshape(seeds.shape), ends.judged.reshape(seeds.shape)
        )


@dataclass(frozen=True)
class Played:
    """What runs came to.

    Attributes:
        runs: the number of each run, from 1; of PBT the runs that each search is worth.
        seen: logarithmic distances by which the best run is chosen, ``[n, K]``.
        judged: those of fresh samples, by which it counts, ``[n, K]``.
    """

    runs: tuple[int, ...]
    seen: np.ndarray
    judged: np.ndarray


@dataclass(frozen=True)
class Method:
    """Who chooses.

    Attributes:
        words: for tables.
        count: runs on a task at most.
        play: does them.
        in_order: whether a run depends on those before it, or has a place in a list. Otherwise the figure is the mean
            over all choices of k of the runs.
        searches: whether each number of runs is a search of its own, which trains so many GANs side by side.
        needs: the kind of file it needs: ``"list"``, ``"policy"`` or none.
    """

    words: str
    count: int
    play: Callable[[Place], Played]
    in_order: bool = False
    searches: bool = False
    needs: str | None = None


def repeated(name: str) -> Callable[[Place], Played]:
    """The same scheduler in every run."""
    return lambda place: place.side_by_side(make_scheduler(name))


def random_search(place: Place) -> Played:
    """Schedules drawn at random, as those of the study of oracles: constants and decays."""
    drawn = []
    for task in place.tasks:
        rng = np.random.default_rng([place.repetition, gan_seed(task, FIRST_SEED)])
        drawn += [draw(rng, "decay" if number % 2 else "constant") for number in range(place.count)]
    return place.side_by_side(Candidates(drawn))


def fixed_list(place: Place) -> Played:
    """The learned list, from its first schedule on."""
    assert place.file is not None
    return place.side_by_side(around_rule(np.tile(load_list(place.file)[: place.count], (len(place.tasks), 1))))


def one_by_one(place: Place, choose: Callable[[int], np.ndarray], tell: Callable[[np.ndarray], None]) -> Played:
    """Runs that are chosen by what came before: departures ``[n, 6]`` for a number, then distances ``[n]`` are told."""
    ends = []
    for number in range(place.count):
        ends.append(run(around_rule(choose(number)), place.tasks, place.seeds(number), place.decisions))
        tell(ends[-1].seen)
    return _stacked(ends)


def tpe(place: Place) -> Played:
    """Optuna's tree-structured Parzen estimator over the numbers of a decay, which begins at the rule's.

    Raises:
        MissingDependencyError: Optuna is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise MissingDependencyError("optuna", "tune", "this study") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    studies = []
    for task in place.tasks:
        seed = gan_seed(task, FIRST_SEED + place.repetition)
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP)
        studies.append(optuna.create_study(sampler=sampler))
        studies[-1].enqueue_trial(dict.fromkeys(NUMBERS, 0.0))
    most = np.minimum(REACH * WIDTH, HIGHEST - LOWEST)
    asked: list[Any] = []

    def choose(number: int) -> np.ndarray:
        asked[:] = [study.ask() for study in studies]
        bounds = list(zip(NUMBERS, most.tolist(), strict=True))
        return np.array([[trial.suggest_float(name, -far, far) for name, far in bounds] for trial in asked])

    def tell(seen: np.ndarray) -> None:
        for study, trial, value in zip(studies, asked, seen.tolist(), strict=True):
            study.tell(trial, value)

    return one_by_one(place, choose, tell)


def searched(make: Callable[[int], Scheduler], least: int = 1) -> Callable[[Place], Played]:
    """Population-based training with as many GANs as others have runs; its best GAN at the end counts.

    Args:
        make: makes the scheduler for a number of GANs.
        least: GANs that it needs.
    """

    def play(place: Place) -> Played:
        counts = [members for members in MEMBERS if least <= members <= place.count]
        ends = [run(make(members), place.tasks, place.seeds(0), place.decisions) for members in counts]
        return _stacked(ends, counts)

    return play


def mf_pbt(members: int) -> MultipleFrequencies:
    """MF-PBT with sub-populations of four, the smallest that there can be."""
    return MultipleFrequencies(members, members // 4)


def trial(place: Place) -> Played:
    """A policy that keeps its memory from run to run (RL²)."""
    assert place.file is not None
    policy, reward, ends = load_scheduler(place.file), None, []
    for number in range(place.count):
        ends.append(run(policy, place.tasks, place.seeds(number), place.decisions, after=reward))
        reward = ends[-1].reward
    return _stacked(ends)


def _stacked(ends: Sequence[Any], runs: Sequence[int] | None = None) -> Played:
    numbers = tuple(range(1, len(ends) + 1)) if runs is None else tuple(runs)
    seen, judged = (np.stack([getattr(each, name) for each in ends], axis=1) for name in ("seen", "judged"))
    return Played(numbers, seen, judged)


METHODS: dict[str, Method] = {
    "tuned-decay": Method("`tuned-decay` again and again", 16, repeated("tuned-decay")),
    "random": Method("random search", 64, random_search),
    "tpe": Method("TPE from the rule", 16, tpe, in_order=True),
    "trial": Method("policy that remembers", 4, trial, in_order=True, needs="policy"),
    "list": Method("list learned on other tasks", 16, fixed_list, in_order=True, needs="list"),
    "rule": Method("`rule` again and again", 16, repeated("rule")),
    "default": Method("`default` again and again", 16, repeated("default")),
    "pbt": Method("PBT", 16, searched(PopulationBased), searches=True),
    "mf-pbt": Method("MF-PBT", 16, searched(mf_pbt, 8), searches=True),
}
"""The most telling first. ``tuned-decay`` is what all are compared with."""
