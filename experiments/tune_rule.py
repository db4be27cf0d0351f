"""Fits the rule (:mod:`metagan_rl.agents.searches.rule`): ``metagan-rl tune --kind rule``.

In each round, many training tasks are run under the rule and under random departures of its numbers. All runs of a task
have the same GAN seed. A quadratic surface is fitted to their logarithmic distances. Its slopes are linear in the
facts, its curvature is the same everywhere, and each task has a height of its own. The rule then moves to the lowest
point of the surface, within the region that was tried. The round whose rule is best on validation tasks is the result.

At the end the rule's numbers at usual facts are set to those of ``tuned-decay``, and it trains without
momentum: there the rule is the tuned decay with beta1 0. While it is fitted, tasks keep their own momentum.

What is hidden in tasks is left out, as no formula can know it. Rounds are kept as they are made, so a search that was
stopped goes on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from metagan_rl import __version__
from metagan_rl.agents.searches.rule import BETA1, FACTS, NUMBERS, Formula, Rule, facts_of, save_rule
from metagan_rl.agents.searches.tuned import tuned_decay
from metagan_rl.evaluation import evaluate
from metagan_rl.experiments.benchmark.backends import Workers
from metagan_rl.experiments.benchmark.cells import gan_seed
from metagan_rl.experiments.benchmark.records import read_lines
from metagan_rl.experiments.benchmark.row import six_digits
from metagan_rl.experiments.tune import TuneConfig, claim, knowing
from metagan_rl.files import write_whole
from metagan_rl.folders import held
from metagan_rl.loop.drive import drive, situation_of
from metagan_rl.loop.runs import RunOptions
from metagan_rl.records import line_of
from metagan_rl.tasks import Task, get_suite

SPREAD = np.array([0.25, 0.25, 0.35, 0.35, 0.15, 0.5])
"""Deviations of the departures that are tried, in the units of the numbers: a factor 1.8 for rates."""
DECISIONS = 16
"""Intervals of a run."""
TRIED = 6
"""Runs of each task in a round: the rule's own and five departures."""
TRUST = 1.5
"""How far the rule moves in one round at most, in deviations of the departures."""
FARTHEST = 1.5
"""Logarithmic distances count as this far from their task's median at most."""
PRIOR = (0.1, 0.1, 0.1)
"""Deviations of slopes, of their dependence on facts, and of curvatures before anything is seen, for each deviation."""
NOISE = 0.2
"""Deviation of a run's logarithmic distance over seeds."""
PARTS = 4
"""Jobs for each of ``TuneConfig.parts``, as some tasks take much longer than others."""
VALIDATION_SEED = 1000
"""The first seed of validation runs."""


@dataclass(frozen=True)
class Part:
    """Some tasks to run, each under the formula and its departures ``[n, 6]``."""

    place: int
    formula: Formula
    tasks: tuple[Task, ...]
    seeds: tuple[int, ...]
    departures: np.ndarray
    options: RunOptions
    beta1: float | None = None

    def __str__(self) -> str:
        return f"runs {self.place} to {self.place + len(self.tasks) - 1} of a round"


def try_part(part: Part) -> tuple[np.ndarray, np.ndarray]:
    """Facts ``[n, 7]`` and final logarithmic distances ``[n]`` of the runs: the job of a worker."""
    rule = Rule(part.formula, departures=part.departures, beta1=part.beta1)
    runs, _ = drive(rule, part.tasks, part.seeds, part.options)
    final = evaluate(runs.population, range(len(runs)), report=True)
    return facts_of(situation_of(runs, np.zeros(len(runs)))), np.log(final.distance)


def features(facts: np.ndarray, departures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The surface's terms ``[n, T]`` and the deviations of their coefficients beforehand ``[T]``.

    Args:
        facts: ``[n, 7]``.
        departures: in deviations, ``[n, 6]``.
    """
    count = departures.shape[1]
    slopes = (departures[:, :, None] * facts[:, None, :]).reshape(len(facts), -1)
    pairs = [(i, j) for i in range(count) for j in range(i, count)]
    curved = np.stack([departures[:, i] * departures[:, j] / (2 if i == j else 1) for i, j in pairs], axis=1)
    linear, interaction, curvature = PRIOR
    beforehand = np.tile([linear, *[interaction] * (facts.shape[1] - 1)], count)
    return np.concatenate([slopes, curved], axis=1), np.append(beforehand, np.full(len(pairs), curvature))


def lowest(facts: np.ndarray, departures: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """How the coefficients of the rule should change, in deviations of the numbers, ``[6, 7]``.

    Args:
        facts: ``[tasks, TRIED, 7]``.
        departures: in deviations, ``[tasks, TRIED, 6]``.
        heights: logarithmic distances, ``[tasks, TRIED]``.
    """
    kept = np.clip(heights - np.median(heights, axis=1, keepdims=True), -FARTHEST, FARTHEST)
    terms, beforehand = features(facts.reshape(-1, facts.shape[2]), departures.reshape(-1, departures.shape[2]))
    terms = terms.reshape(*kept.shape, -1)
    terms, kept = terms - terms.mean(axis=1, keepdims=True), kept - kept.mean(axis=1, keepdims=True)
    terms, target = terms.reshape(-1, terms.shape[2]) / NOISE, kept.reshape(-1) / NOISE
    found = np.linalg.solve(terms.T @ terms + np.diag(beforehand**-2.0), terms.T @ target)
    numbers, slopes = departures.shape[2], departures.shape[2] * facts.shape[2]
    gradient = found[:slopes].reshape(numbers, -1)
    curvature = np.zeros((numbers, numbers))
    curvature[np.triu_indices(numbers)] = found[slopes:]
    curvature = curvature + np.triu(curvature, 1).T
    values, axes = np.linalg.eigh(curvature)
    inverse = axes @ np.diag(1 / np.maximum(values, 0.01)) @ axes.T
    change = -inverse @ gradient
    moves = facts.reshape(-1, facts.shape[2]) @ change.T  # where the rule would go for each run
    return change * min(1.0, TRUST / float(np.quantile(np.linalg.norm(moves, axis=1), 0.9)))


def known(tasks: Sequence[Task]) -> list[Task]:
    """The tasks without what is hidden in them."""
    return [replace(task, hidden=None) for task in tasks]


def first_formula() -> Formula:
    """The rule that is ``tuned-decay``, whatever the facts."""
    schedule = tuned_decay().schedule
    start = [
        np.log10(schedule.generator_lr[0]),
        np.log10(schedule.discriminator_lr[0]),
        np.log10(schedule.generator_lr[0] / schedule.generator_lr[1]),
        np.log10(schedule.discriminator_lr[0] / schedule.discriminator_lr[1]),
        schedule.hold,
        np.log10(schedule.penalty_weight),
    ]
    return Formula.of(np.concatenate([np.array(start)[:, None], np.zeros((len(NUMBERS), len(FACTS)))], axis=1))


def anchored(formula: Formula) -> Formula:
    """The formula that is ``tuned-decay`` at usual facts, where many more runs chose it, and differs as this one."""
    return Formula.of(np.concatenate([first_formula().matrix[:, :1], formula.matrix[:, 1:]], axis=1))


class Trials:
    """Runs tasks under a formula and departures of its numbers, spread over workers.

    Args:
        crew: the workers.
        options: of the runs.
        parts: jobs that the runs are split into.
    """

    def __init__(self, crew: Workers[Part, tuple[np.ndarray, np.ndarray]], options: RunOptions, parts: int) -> None:
        self._crew, self._options, self._parts = crew, options, parts

    def run(
        self,
        formula: Formula,
        tasks: Sequence[Task],
        seed: int,
        departures: np.ndarray,
        beta1: float | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Facts ``[n, 7]`` and final logarithmic distances ``[n]`` of n runs with departures ``[n, 6]``."""
        jobs = []
        for first in range(min(self._parts, len(tasks))):  # every part has a bit of everything
            these = tuple(tasks[first :: self._parts])
            seeds = tuple(gan_seed(task, seed) for task in these)
            jobs.append(Part(first, formula, these, seeds, departures[first :: self._parts], self._options, beta1))
        facts, heights = np.zeros((len(tasks), 1 + len(FACTS))), np.zeros(len(tasks))
        for part, found in self._crew.run(jobs):
            facts[part.place :: self._parts], heights[part.place :: self._parts] = found
        return facts, heights

    def judged(self, formula: Formula, tasks: Sequence[Task], beta1: float | None = None) -> float:
        """The geometric mean distance on tasks, without departures."""
        still = np.zeros((len(tasks), len(NUMBERS)))
        return six_digits(np.exp(self.run(formula, tasks, VALIDATION_SEED, still, beta1)[1].mean()))

    def improved(self, formula: Formula, tasks: Sequence[Task], number: int, rng: np.random.Generator) -> Formula:
        """The formula at the lowest point of the surface around one, from ``TRIED`` runs of each task."""
        tried = np.zeros((len(tasks), TRIED, len(NUMBERS)))
        tried[:, 1:] = rng.standard_normal((len(tasks), TRIED - 1, len(NUMBERS)))
        flat = tried.reshape(-1, len(NUMBERS))
        facts, heights = self.run(formula, [task for task in tasks for _ in range(TRIED)], number, flat * SPREAD)
        change = lowest(facts.reshape(len(tasks), TRIED, -1), tried, heights.reshape(len(tasks), TRIED))
        return Formula.of(formula.matrix + change * SPREAD[:, None])


def tune_rule(
    config: TuneConfig,
    out: str | Path,
    *,
    backend: str = "process",
    workers: int | None = None,
    show: Callable[[str], None] = lambda line: None,
) -> Rule:
    """Fits a rule; writes ``rounds.jsonl`` and ``tuned-rule.json``. A search that was stopped goes on.

    Args:
        config: how to search. Every round takes ``trials`` times ``tasks`` runs, ``TRIED`` for each task. Without
            ``decisions``, runs have ``DECISIONS`` intervals.
        out: directory for both files.
        backend: as in :func:`metagan_rl.experiments.tune.tune`.
        workers: jobs run at once.
        show: gets a line of progress now and then.

    Raises:
        OutputError: the directory cannot be written, or another process writes into it.
        InvalidValueError: the directory holds another search; the message names the difference.
        FileFormatError: a file in the directory is damaged.
    """
    out, suite = Path(out), get_suite(config.suite)
    options = replace(RunOptions.of(config), decisions=config.decisions or DECISIONS)
    train, val = (known(list(suite.split(split))) for split in ("train", "val"))
    count = min(-(-config.trials * config.tasks // TRIED), len(train))
    work = partial(knowing, config.suite, try_part)
    with Workers(work, backend=backend, workers=workers) as crew, held(out) as lock:
        claim(out, config)
        rows, trials = read_lines(out / "rounds.jsonl"), Trials(crew, options, config.parts * PARTS)
        while len(rows) <= config.rounds:
            number = len(rows)
            formula = first_formula() if not rows else Formula(**rows[-1]["next"])
            row: dict[str, Any] = {"round": number, "validation_distance": trials.judged(formula, val)}
            row |= {"formula": _rounded(formula), "next": None, "runs": 0}
            if number < config.rounds:
                rng = np.random.default_rng([config.seed, number])
                tasks = [train[place] for place in rng.choice(len(train), count, replace=False)]
                better = trials.improved(formula, tasks, number, rng)
                row |= {"next": _rounded(better), "runs": count * TRIED}
            rows.append(row)
            lock.check()
            write_whole(out / "rounds.jsonl", "".join(map(line_of, rows)))
            show(f"round {number}/{config.rounds}: validation {row['validation_distance']:.4f}")
        best = min(rows, key=lambda row: row["validation_distance"])
        formula = anchored(Formula(**best["formula"]))
        distance = trials.judged(formula, val, BETA1)
    spent = sum(row["runs"] for row in rows) * np.mean([task.budget for task in train])
    spent += (len(rows) + 1) * sum(task.budget for task in val)
    told = {name: getattr(config, name) for name in ("suite", "kind", "trials", "tasks", "rounds", "seed")}
    rule = Rule(
        formula,
        {
            "metagan_rl": __version__,
            "search": {**told, "decisions": options.decisions, "round": best["round"]},
            "validation_distance": distance,
            "gan_updates": int(spent) + tuned_decay().cost,
        },
        beta1=BETA1,
    )
    save_rule(out / "tuned-rule.json", rule)
    return rule


def _rounded(formula: Formula) -> dict[str, tuple[float, ...]]:
    return {name: tuple(round(each, 4) for each in getattr(formula, name)) for name in NUMBERS}
