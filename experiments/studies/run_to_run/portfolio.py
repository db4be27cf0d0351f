"""A fixed list of schedules, learned greedily: each next one is what helps most beside those before it.

Many random decays around the rule's numbers run on training tasks. The list begins with the decay that is best on
average. Then comes, again and again, the one with which the mean logarithm of the best run so far gets lowest. Tasks
are those of ``wide``, on which policies are trained too: half of their rates are off, and nobody tells.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metagan_rl import __version__
from metagan_rl.agents.searches.rule import FILE, NUMBERS
from metagan_rl.errors import FileFormatError
from metagan_rl.experiments.benchmark.cells import gan_seed
from metagan_rl.experiments.studies.decays import DECISIONS, around_rule, drawn, run
from metagan_rl.experiments.tune import spread
from metagan_rl.files import file_digest
from metagan_rl.records import read_record, write_record
from metagan_rl.tasks import get_suite

KIND = "metagan-rl list of decays"
FIRST_SEED = 30_000
"""The first number that the GAN seeds of learning are made from; each candidate has its own, as each run has later."""


@dataclass(frozen=True)
class Learning:
    """How a list is learned.

    Attributes:
        suite: of the training tasks.
        tasks: how many, spread over its training split.
        candidates: decays that are tried; the first is the rule's own.
        length: schedules of the list.
        decisions: intervals of a run.
    """

    suite: str = "wide"
    tasks: int = 64
    candidates: int = 64
    length: int = 16
    decisions: int = DECISIONS

    def departures(self) -> np.ndarray:
        """The candidates' departures from the rule's numbers, ``[candidates, 6]``."""
        rest = drawn(np.random.default_rng(0), self.candidates - 1)
        return np.concatenate([np.zeros((1, len(NUMBERS))), rest])

    def names(self) -> list[str]:
        """Names of the tasks."""
        return [task.name for task in spread(list(get_suite(self.suite).split("train")), self.tasks)]

    def try_all(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Runs all candidates on some tasks: a row for each, with logarithmic distances as rewards see them."""
        split, numbers = get_suite(self.suite).split("train"), range(self.candidates)
        tasks = [split[name] for name in names for _ in numbers]
        seeds = [gan_seed(split[name], FIRST_SEED + number) for name in names for number in numbers]
        departures = np.tile(self.departures(), (len(names), 1))
        seen = run(around_rule(departures), tasks, seeds, self.decisions).seen.reshape(len(names), -1)
        rows = zip(names, seen.round(5).tolist(), strict=True)
        return [{**self.key(), "task": name, "seen": own} for name, own in rows]

    def key(self) -> dict[str, Any]:
        """What tells its rows from others; departures are from the rule as it is."""
        own = {"suite": self.suite, "candidates": self.candidates, "decisions": self.decisions}
        return {**own, "rule": file_digest(FILE)[:12]}


def greedy(seen: np.ndarray, length: int) -> list[int]:
    """The list: places of candidates, each once.

    Args:
        seen: logarithmic distances, ``[tasks, candidates]``.
        length: of the list.
    """
    best = np.full(len(seen), np.inf)
    chosen: list[int] = []
    for _ in range(min(length, seen.shape[1])):
        means = np.minimum(best[:, None], seen).mean(axis=0)
        means[chosen] = np.inf
        chosen.append(int(means.argmin()))
        best = np.minimum(best, seen[:, chosen[-1]])
    return chosen


def save_list(path: Path, learning: Learning, rows: Sequence[dict[str, Any]]) -> None:
    """Learns the list from rows of all tasks, and writes it as JSON.

    Raises:
        OutputError: it cannot be written.
    """
    order = {name: place for place, name in enumerate(learning.names())}
    seen = np.array([row["seen"] for row in sorted(rows, key=lambda row: order[row["task"]])])
    chosen = greedy(seen, learning.length)
    record = {
        "kind": KIND,
        "learning": {**learning.key(), "tasks": len(seen)},
        "chosen": chosen,
        "departures": learning.departures()[chosen].round(6).tolist(),
        "best_so_far": [
            float(seen[:, chosen[: place + 1]].min(axis=1).mean().round(5)) for place in range(len(chosen))
        ],
        "version": __version__,
    }
    write_record(path, record)


def load_list(path: Path) -> np.ndarray:
    """The departures ``[length, 6]`` of a list.

    Raises:
        FileFormatError: it is missing, damaged or no list.
    """
    record = read_record(path, "a list of decays", kind=KIND)
    departures = np.array(record.get("departures", ()), dtype=np.float64)
    if departures.ndim != 2 or departures.shape[1] != len(NUMBERS):
        raise FileFormatError(f"{path} is no list of decays: each must have {len(NUMBERS)} numbers")
    return departures
