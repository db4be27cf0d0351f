"""Trains by the native engine under random controls for a long time: no leak, no number that is not finite.

``python -m metagan_rl.experiments.studies.soak --out FILE``

Every interval each member gets a random ratio, loss and penalty, and rates from far too low to far too high. Members
that blow up start again. A row is written each time a tenth of the updates is done. The study fails if a weight or a
measurement of a sound member is not finite, or if memory grows after the first tenth.
"""

import json
import resource
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch

from metagan_rl.errors import MetaGANError
from metagan_rl.experiments.studies.command import run_command, show_line
from metagan_rl.files import write_whole
from metagan_rl.losses import LOSSES
from metagan_rl.populations import RATIOS, MixedPopulation, Settings
from metagan_rl.records import line_of
from metagan_rl.tasks import Task, get_suite

GROWTH = 16.0
"""Megabytes by which the process may grow after the first tenth; allocators keep some."""


@dataclass
class Soak:
    """Options of the soak."""

    out: Path = Path("runs/soak.jsonl")
    """File for the rows."""
    updates: int = 5_000_000
    """Updates of all members together."""
    seed: int = 0
    """Seed of the controls and of the GANs."""


def soak(options: Soak) -> None:
    """Trains and writes the rows.

    Raises:
        MetaGANError: a number was not finite, or memory grew.
    """
    rng, interval = np.random.default_rng(options.seed), 48
    tasks: list[Task] = [
        task
        for suite, count in (("planar-mixed", 24), ("digits", 4))
        for task in get_suite(suite).split("train")[:count]
    ]
    population = MixedPopulation(tasks, range(len(tasks)), engine="native")
    rows: list[dict[str, float]] = []
    done = restarts = 0
    while done < options.updates:
        measured = population.train(_random(tasks, rng), interval)
        done += interval * len(tasks)
        sound = measured.diverged == 0
        for field in fields(measured):
            _require(np.isfinite(getattr(measured, field.name)[sound]).all(), f"{field.name} after {done} updates")
        over = np.flatnonzero(population.diverged)
        restarts += len(over)
        if len(over):
            seeds = rng.integers(2**31, size=len(over)).tolist()
            population.restart(over.tolist(), [tasks[member] for member in over], seeds)
        if done >= options.updates * (len(rows) + 1) / 10:
            for group, _ in population.groups():
                for name, value in group.state.to_dict().items():
                    _require(bool(torch.isfinite(value).all()), f"{name} after {done} updates")
            megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            rows.append({"updates": done, "restarts": restarts, "megabytes": round(megabytes, 1)})
            show_line(json.dumps(rows[-1]))
            write_whole(options.out, "".join(map(line_of, rows)))
    grown = rows[-1]["megabytes"] - rows[0]["megabytes"]
    if grown > GROWTH:
        raise MetaGANError(f"memory grew by {grown:.1f} MB")


def _random(tasks: list[Task], rng: np.random.Generator) -> Settings:
    count = len(tasks)
    return Settings.of([task.base for task in tasks]).replace(
        ratio=rng.integers(len(RATIOS), size=count),
        loss=rng.integers(len(LOSSES), size=count),
        penalty_weight=np.where(rng.random(count) < 0.5, 0.0, 10 ** rng.uniform(-2, 1, count)),
        generator_lr=10 ** rng.uniform(-6, 0, count),
        discriminator_lr=10 ** rng.uniform(-6, 0, count),
        ema_decay=rng.uniform(0, 0.999, count),
    )


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise MetaGANError(f"{what}: not finite")


if __name__ == "__main__":
    run_command(Soak, soak)
