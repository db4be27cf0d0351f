"""Fits the formula of ``identified-rule``: ``python -m metagan_rl.experiments.studies.identify``.

On every training task of ``wide`` the rule trains one interval, at rates that are off by up to thirty times. Least
squares then turn the weights' move into the factor. Runs differ in the length of the interval: 1/16 or 1/64 of the
budget. All have endless data. A quarter of the tasks is held out, to say how well it does.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from metagan_rl.agents import make_scheduler
from metagan_rl.agents.searches.identified import FEATURES, FILE, Identification, features_of, save_identification
from metagan_rl.experiments.studies.command import run_command, show_line
from metagan_rl.loop import Runs
from metagan_rl.loop.drive import situation_of
from metagan_rl.tasks import Task, get_suite
from metagan_rl.tasks.hidden import Hidden
from metagan_rl.tasks.planar import log_uniform

FIRST_SEED = 7_000_000
RIDGE = 1e-6
"""Of the least squares, for each run."""


@dataclass(frozen=True)
class Identify:
    """The formula that reads rates off the weights' first moves."""

    suite: str = "wide"
    """Suite whose training tasks are used."""
    tasks: int = 960
    """Tasks at most, spread over the split."""
    worst: float = 30.0
    """Rates are off by up to this factor."""
    lengths: tuple[int, ...] = (16, 64)
    """Intervals of a run."""
    seed: int = 0
    """Of the factors that are drawn."""
    out: Path = FILE
    """File to write."""


def moved(tasks: list[Task], decisions: int, worst: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Features ``[2, B, F]`` after an interval, and log10 of the hidden factors ``[2, B]``."""
    factors = np.array([[log_uniform(rng, 1 / worst, worst) for _ in tasks] for _ in range(2)])
    hidden = [replace(task, hidden=Hidden(*pair), shots=None) for task, pair in zip(tasks, factors.T, strict=True)]
    runs = Runs(hidden, [FIRST_SEED + place for place in range(len(tasks))], decisions=decisions)
    rule = make_scheduler("rule")
    runs.advance(rule.step(situation_of(runs, np.zeros(len(tasks)))))
    return features_of(situation_of(runs, np.zeros(len(tasks)))), np.log10(factors)


def fitted(features: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """Coefficients ``[F]`` by least squares, from features ``[B, F]`` and logarithms ``[B]``; NaN rows are left out."""
    known = np.isfinite(features).all(axis=1)
    x, y = features[known], logs[known]
    return np.asarray(np.linalg.solve(x.T @ x + RIDGE * len(x) * np.eye(x.shape[1]), x.T @ y))


def study(options: Identify) -> None:
    """Trains the intervals, fits, says how well it does on tasks held out, and writes the file."""
    rng = np.random.default_rng(options.seed)
    split = list(get_suite(options.suite).split("train"))
    tasks = split[:: max(1, len(split) // options.tasks)][: options.tasks]
    parts = [
        moved(tasks[start : start + 240], length, options.worst, rng)
        for length in options.lengths
        for start in range(0, len(tasks), 240)
    ]
    features = np.concatenate([part[0] for part in parts], axis=1)
    logs = np.concatenate([part[1] for part in parts], axis=1)
    held_out = np.arange(logs.shape[1]) % 4 == 0
    formulas = {}
    for place, name in enumerate(("generator", "discriminator")):
        tried = fitted(features[place][~held_out], logs[place][~held_out])
        error = np.nan_to_num(features[place][held_out]) @ tried - logs[place][held_out]
        show_line(
            f"{name}: off by a factor {10 ** np.sqrt(np.mean(error**2)):.2f} (root mean square) on tasks held out"
        )
        formulas[name] = tuple(np.round(fitted(features[place], logs[place]), 4).tolist())
        show_line("  " + " ".join(f"{value:+.3f} {what}" for value, what in zip(formulas[name], FEATURES, strict=True)))
    updates = sum(task.budget // length for task in tasks for length in options.lengths)
    metadata = {"suite": options.suite, "tasks": len(tasks), "worst": options.worst, "gan_updates": updates}
    save_identification(options.out, Identification(**formulas), metadata)


if __name__ == "__main__":
    run_command(Identify, study)
