"""Fits the formula of ``identified-rule``: ``python -m metagan_rl.experiments.studies.identify``.

The rule trains one interval on training tasks of ``wide``, and on some of ``planar`` under other budgets and
batches. In half of the runs each network's rate is right; in the others it is off by up to fifteen times. Least squares
then turn what was seen into the factor. Intervals are 1/16 or 1/64 of the budget. Every fifth run is held out in turn,
to say how well it does.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from metagan_rl.agents import make_scheduler
from metagan_rl.agents.searches.identified import FILE, Identification, features_of, save_identification
from metagan_rl.agents.searches.reading import DRAWN, MOST, Reading, terms_of
from metagan_rl.experiments.studies.command import run_command, show_line
from metagan_rl.experiments.studies.transfer.conditions import TUNED
from metagan_rl.loop import Runs
from metagan_rl.loop.drive import situation_of
from metagan_rl.tasks import Task, get_suite
from metagan_rl.tasks.hidden import Hidden
from metagan_rl.tasks.planar import log_uniform

FIRST_SEED = 7_000_000
TOGETHER = 240
"""Runs that are trained side by side."""
FOLDS = 5
"""Every fifth run is held out in turn, to say how well a formula does."""
Part = tuple[np.ndarray, np.ndarray]
"""Features ``[2, B, F]`` of B runs for G and D, and log10 of the hidden factors ``[2, B]``."""
Seen = Callable[[list[Task], int, np.random.Generator], Part]
"""Makes them, from tasks and the intervals of a run."""


@dataclass(frozen=True)
class Identify:
    """The formula that reads rates off what the first interval did."""

    suite: str = "wide"
    """Suite whose training tasks are used."""
    tasks: int = 960
    """Tasks of it at most, spread over the split."""
    usual: int = 480
    """Tasks of planar, drawn with other budgets and batches."""
    lengths: tuple[int, ...] = (16, 16, 64)
    """Intervals of a run; a number that stands twice is run twice."""
    seed: int = 0
    """Of what is drawn."""
    out: Path = FILE
    """File to write."""


def usual_tasks(count: int, rng: np.random.Generator) -> list[Task]:
    """Training tasks of planar at the rates that were tuned, with other budgets and batches."""
    split, drawn = get_suite("planar").split("train"), []
    for _ in range(count):
        task = split[int(rng.integers(len(split)))]
        base = replace(task.base, **TUNED, batch_size=int(rng.choice([32, 64, 128, 256])))
        drawn.append(replace(task, base=base, budget=int(rng.choice([768, 1536, 3072, 6144]))))
    return drawn


def misled(tasks: Sequence[Task], rng: np.random.Generator) -> tuple[list[Task], np.ndarray]:
    """The tasks with rates that are right or off by a hidden factor, and log10 of the factors ``[2, B]``."""
    factors = np.array(
        [[log_uniform(rng, 1 / DRAWN, DRAWN) if rng.uniform() < 0.5 else 1.0 for _ in tasks] for _ in range(2)]
    )
    return [replace(task, hidden=Hidden(*pair)) for task, pair in zip(tasks, factors.T, strict=True)], np.log10(factors)


def seen(tasks: list[Task], decisions: int, rng: np.random.Generator) -> Part:
    """Features ``[2, B, F]`` after an interval, and log10 of the hidden factors ``[2, B]``."""
    hidden, logs = misled(tasks, rng)
    runs = Runs(hidden, [FIRST_SEED + place for place in range(len(tasks))], decisions=decisions)
    runs.advance(make_scheduler("rule").step(situation_of(runs, np.zeros(len(tasks)))))
    return features_of(situation_of(runs, np.zeros(len(tasks)))), logs


def fitted(features: np.ndarray, logs: np.ndarray, *, right: float = 0.5, ridge: float = 1e-5) -> tuple[Reading, float]:
    """The reading by least squares, and its error on runs held out (root mean square, in decades).

    Args:
        features: ``[B, F]``; rows with NaN are left out.
        logs: log10 of the factors by which rates are off, ``[B]``.
        right: see :class:`Reading`.
        ridge: of the least squares, for each run.
    """
    known = np.isfinite(features).all(axis=1)
    features, logs = features[known], logs[known]
    terms, fold, errors = terms_of(features), np.arange(len(logs)) % FOLDS, np.zeros(len(logs))

    def solved(kept: np.ndarray) -> np.ndarray:
        x, y = terms[kept], logs[kept]
        return np.asarray(np.linalg.solve(x.T @ x + ridge * len(x) * np.eye(x.shape[1]), x.T @ y))

    for number in range(FOLDS):
        errors[fold == number] = terms[fold == number] @ solved(fold != number) - logs[fold == number]
    errors = np.clip(errors, -MOST, MOST)
    numbers = (solved(fold >= 0), features.min(axis=0), features.max(axis=0))
    coefficients, low, high = (tuple(np.round(each, 5).tolist()) for each in numbers)
    error = round(float(np.sqrt(np.mean(errors[logs == 0] ** 2))), 4)
    return Reading(coefficients, low, high, error, right), float(np.sqrt(np.mean(errors**2)))


def fitted_networks(parts: Sequence[Part], *, right: float = 0.5, ridge: float = 1e-5) -> dict[str, Reading]:
    """The readings of both networks by name; says how well each does.

    Args:
        parts: features ``[2, B, F]`` and logarithms ``[2, B]`` of some runs each.
        right: see :func:`fitted`.
        ridge: see there.
    """
    features, logs = (np.concatenate(each, axis=1) for each in zip(*parts, strict=True))
    readings = {}
    for place, name in enumerate(("generator", "discriminator")):
        readings[name], error = fitted(features[place], logs[place], right=right, ridge=ridge)
        show_line(
            f"{name}: off by a factor {10**error:.2f} (root mean square) on runs held out, "
            f"{10 ** readings[name].error:.2f} where the rate is right"
        )
    return readings


def in_parts(tasks: list[Task], lengths: Sequence[int], seen: Seen, rng: np.random.Generator) -> list[Part]:
    """What is seen of tasks, some side by side, at each length."""
    starts = range(0, len(tasks), TOGETHER)
    return [seen(tasks[start : start + TOGETHER], length, rng) for length in lengths for start in starts]


def study(options: Identify) -> None:
    """Trains the intervals, fits, says how well it does on runs held out, and writes the file."""
    rng = np.random.default_rng(options.seed)
    split = list(get_suite(options.suite).split("train"))
    tasks = split[:: max(1, len(split) // options.tasks)][: options.tasks] + usual_tasks(options.usual, rng)
    readings = fitted_networks(in_parts(tasks, options.lengths, seen, rng))
    updates = sum(task.budget // length for task in tasks for length in options.lengths)
    metadata = {name: value for name, value in asdict(options).items() if name != "out"}
    save_identification(options.out, Identification(**readings), {**metadata, "gan_updates": updates})


if __name__ == "__main__":
    run_command(Identify, study)
