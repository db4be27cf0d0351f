"""Fits the formulas of ``rate-check``: ``python -m metagan_rl.experiments.studies.rate_check``.

Training tasks of ``wide-loops`` run two intervals under schedules as users set them. In half of the runs each network's
rate is right; in the others it is off by up to fifteen times. Least squares then turn what was seen into the factor.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from metagan_rl.agents import make_scheduler
from metagan_rl.agents.rules.own import OWN
from metagan_rl.agents.searches.rate_check import FILE, INTERVALS, features_of, save_rate_check, shown_of
from metagan_rl.experiments.studies.command import run_command
from metagan_rl.experiments.studies.identify import Part, fitted_networks, in_parts, misled
from metagan_rl.loop import Runs
from metagan_rl.loop.drive import situation_of
from metagan_rl.tasks import Task, get_suite

FIRST_SEED = 8_000_000
RIDGE = 1e-3


@dataclass(frozen=True)
class CheckRates:
    """The formulas that read rates off the first two intervals of a user's loop."""

    suite: str = "wide-loops"
    """Suite whose training tasks are used."""
    tasks: int = 960
    """Tasks at most, spread over the split."""
    lengths: tuple[int, ...] = (16, 16, 16, 16, 64)
    """Intervals of a run; a number that stands twice is run twice."""
    right: float = 0.8
    """Share of loops whose rates are taken to be right, so that few of them are touched."""
    seed: int = 0
    """Of what is drawn."""
    out: Path = FILE
    """File to write."""


def seen(tasks: list[Task], decisions: int, rng: np.random.Generator) -> Part:
    """Features ``[2, B, F]`` after the intervals that are read, and log10 of the hidden factors ``[2, B]``."""
    hidden, logs = misled(tasks, rng)
    seeds = [FIRST_SEED + int(number) for number in rng.integers(10**8, size=len(tasks))]
    runs, scheduler, shown = Runs(hidden, seeds, decisions=decisions), make_scheduler(OWN), []
    scheduler.begin(seeds)
    for _ in range(INTERVALS):
        runs.advance(scheduler.step(situation_of(runs, np.zeros(len(tasks)))))
        situation = situation_of(runs, np.zeros(len(tasks)))
        shown.append(shown_of(situation))
    return features_of(shown, situation), logs


def study(options: CheckRates) -> None:
    """Trains the intervals, fits, says how well it does on runs held out, and writes the file."""
    rng = np.random.default_rng(options.seed)
    split = list(get_suite(options.suite).split("train"))
    tasks = split[:: max(1, len(split) // options.tasks)][: options.tasks]
    readings = fitted_networks(in_parts(tasks, options.lengths, seen, rng), right=options.right, ridge=RIDGE)
    updates = INTERVALS * sum(task.budget // length for task in tasks for length in options.lengths)
    metadata = {name: value for name, value in asdict(options).items() if name != "out"}
    save_rate_check(options.out, readings["generator"], readings["discriminator"], {**metadata, "gan_updates": updates})


if __name__ == "__main__":
    run_command(CheckRates, study)
