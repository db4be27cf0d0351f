"""Decays around the rule's numbers, many side by side: what searches on a single task try."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metagan_rl.agents.searches.rule import BETA1, NUMBERS, Rule, facts_of, shipped_rule
from metagan_rl.evaluation import evaluate
from metagan_rl.experiments.tune_rule import SPREAD, first_formula
from metagan_rl.loop import Runs
from metagan_rl.loop.drive import drive, situation_of
from metagan_rl.loop.scheduler import Scheduler
from metagan_rl.tasks import Task

WIDTH = 2 * SPREAD
"""Deviations of the departures that are tried first: a factor 3.2 for rates. Hidden rates are off by up to 10."""
DECISIONS = 16
"""Intervals of a run, unless a study has others."""


@dataclass(frozen=True)
class Ends:
    """How B runs ended, logarithms of distances ``[B]``.

    Attributes:
        seen: measured as rewards are. Choosing may look at it.
        judged: of other points, to other real points, which no reward and no choice saw.
        reward: what each run earned in its last interval.
    """

    seen: np.ndarray
    judged: np.ndarray
    reward: np.ndarray


def run(
    scheduler: Scheduler,
    tasks: Sequence[Task],
    seeds: Sequence[int],
    decisions: int = DECISIONS,
    after: np.ndarray | None = None,
) -> Ends:
    """Trains a GAN for each task and seed; ``after`` is as in :func:`drive`."""
    runs, trace = drive(scheduler, tasks, seeds, decisions=decisions, after=after)
    final = evaluate(runs.population, range(len(runs)), report=True)
    return Ends(np.log(runs.quality.distance), np.log(final.distance), trace.reward[-1])


def around_rule(departures: np.ndarray, beta1: float | None = BETA1) -> Rule:
    """The decays that depart from the rule's numbers by these ``[B, 6]``; beta1 as in :class:`Rule`."""
    return Rule(shipped_rule().formula, departures=departures, beta1=beta1)


def tuned_departures(tasks: Sequence[Task], decisions: int = DECISIONS) -> np.ndarray:
    """How ``tuned-decay`` departs from the rule's numbers on each task, ``[B, 6]``."""
    facts = facts_of(situation_of(Runs(tasks, [0] * len(tasks), decisions=decisions), np.zeros(len(tasks))))
    difference: np.ndarray = facts @ (first_formula().matrix - shipped_rule().formula.matrix).T
    return difference


def drawn(rng: np.random.Generator, count: int) -> np.ndarray:
    """Random departures ``[count, 6]``."""
    return rng.normal(size=(count, len(NUMBERS))) * WIDTH
