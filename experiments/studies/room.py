"""How much room there is for reacting: ``python -m metagan_rl.experiments.studies.room --suite unknown``.

Three schedules are compared on the same tasks, each as departures from ``tuned-decay``:

* the tuned decay itself;
* the best *fixed* schedule for all tasks of the suite: departures of both rates that change evenly from the start to
  the end, and one of the penalty; the best of many, chosen on other seeds than it is judged on;
* an oracle that *reacts*. At each of a few decisions it copies the run into branches with other noise, lets each go on
  to the end under a departure of its own, fits a quadratic surface to their logarithmic distances, and takes the
  departure that is best on the surface. Its own run sees noise that no branch saw, and is what it is judged by.

An environment is worth learning on where the oracle is well below the best fixed schedule. Rows are kept as they are
made. ``--condition "beta1 .9"`` takes the tasks of a condition of :mod:`.transfer` instead of a suite's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metagan_rl.envs.actions import ActionCodec
from metagan_rl.evaluation import evaluate
from metagan_rl.experiments.benchmark.records import read_lines
from metagan_rl.experiments.studies.command import run_command, show_line
from metagan_rl.experiments.studies.transfer.conditions import find_condition
from metagan_rl.experiments.studies.transfer.table import cell, ratio_of_logs
from metagan_rl.files import make_directory, write_whole
from metagan_rl.loop import Controls, Runs, choose_knobs
from metagan_rl.loop.drive import situation_of
from metagan_rl.loop.reference import Reference
from metagan_rl.records import line_of
from metagan_rl.tasks import Task, get_suite

KNOBS = ("generator_lr_factor", "discriminator_lr_factor", "penalty_weight")
DESIGN = np.log(2) * np.array(
    [
        [0, 0, 0], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1.5], [0, 0, -1.5],
        [1, 1, 0], [-1, -1, 0], [1, -1, 0], [-1, 1, 0], [-2, 0, 0], [0, -2, 0],
    ]
)  # fmt: skip
"""Departures that branches try from where the run is, in logarithms: factors 2 and 4 of rates, 2.8 of the penalty."""
SPREAD = np.array([0.8, 0.8, 0.8, 0.8, 1.2])
"""Deviations of the fixed schedules that are tried: G and D at the start, G and D at the end, penalty."""
NOISE, SIZE = 0.18, 0.1
"""Deviation of a run's logarithmic distance over seeds, and that of a coefficient of the surface before it is seen."""
CHOOSING, BRANCHING, JUDGING = 1_000_000, 2_000_000, 3_000_000
"""First seeds of the runs that each is for."""
NAMES = ("tuned-decay", "fixed", "oracle")


@dataclass(frozen=True)
class RoomStudy:
    """The room for reacting on one suite."""

    suite: str = "unknown"
    """Suite whose tasks are used."""
    condition: str | None = None
    """Condition of the transfer study whose tasks are used instead."""
    split: str = "val"
    """Split of the suite."""
    tasks: int = 24
    """Tasks at most, spread over the split."""
    fixed: int = 64
    """Fixed schedules that are tried; 1 for the tuned decay alone."""
    decisions: int = 8
    """Decisions of the oracle in a run."""
    rollouts: int = 4
    """Branches for each departure."""
    judged: int = 3
    """Seeds on which fixed schedules are judged."""
    intervals: int = 16
    """Intervals of a run, whatever its budget."""
    seed: int = 0
    """Of the schedules that are tried."""
    out: Path = Path("runs/room")
    """Directory for the rows."""


class Follower:
    """Lets runs follow ``tuned-decay`` at given departures.

    Args:
        tasks, seeds: one for each run.
        intervals: of every run.
    """

    def __init__(self, tasks: Sequence[Task], seeds: Sequence[int], intervals: int) -> None:
        self.runs = Runs(tasks, seeds, decisions=intervals)
        self._reference = Reference("tuned-decay", len(tasks))
        self._codec = ActionCodec(choose_knobs(KNOBS), "continuous", around=True)
        scales: Any = [knob for knob in self._codec.knobs]
        self._farthest = np.array([knob.scale.farthest for knob in scales])

    def advance(self, departures: np.ndarray) -> None:
        """Trains an interval at departures ``[B, 3]`` in logarithms."""
        reference = self._reference.controls(situation_of(self.runs, np.zeros(len(self.runs))))
        places = np.clip(departures / self._farthest, -1, 1)
        controls: Controls = self._codec.depart(places, reference)
        self.runs.advance(controls)

    def finish(self, departures: np.ndarray) -> np.ndarray:
        """Trains to the end at constant departures; the logarithmic distances, measured as rewards are, ``[B]``."""
        for _ in range(int(self.runs.horizons[0] - self.runs.done_intervals[0])):
            self.advance(departures)
        return np.log(self.runs.quality.distance)

    def final(self) -> np.ndarray:
        """Logarithmic distances to points that no reward saw, ``[B]``."""
        return np.log(evaluate(self.runs.population, range(len(self.runs)), report=True).distance)


def fixed_departures(numbers: np.ndarray, progress: float) -> np.ndarray:
    """Departures ``[C, 3]`` of fixed schedules ``[C, 5]`` at a share of the budget."""
    start, end = numbers[:, :2], numbers[:, 2:4]
    return np.concatenate([start + (end - start) * progress, numbers[:, 4:]], axis=1)


def judge_fixed(tasks: Sequence[Task], numbers: np.ndarray, first_seed: int, seeds: int, intervals: int) -> np.ndarray:
    """Mean final logarithmic distances ``[C, n]`` of fixed schedules ``[C, 5]`` on n tasks."""
    found = []
    for one in numbers:
        many = [task for task in tasks for _ in range(seeds)]
        follower = Follower(many, [first_seed + place for place in range(len(many))], intervals)
        for interval in range(intervals):
            progress = interval / intervals
            follower.advance(np.repeat(fixed_departures(one[None], progress), len(many), axis=0))
        found.append(follower.final().reshape(len(tasks), seeds).mean(axis=1))
    return np.array(found)


def surface(values: np.ndarray) -> np.ndarray:
    """Smoothed values ``[13]`` of the departures in ``DESIGN``, from logarithmic distances ``[13, S]``.

    A quadratic surface by ridge regression. A plain mean of a few noisy branches would choose by luck.
    """
    x = DESIGN / np.log(2)
    features = np.stack(
        [x[:, 0], x[:, 1], x[:, 2] / 1.5, x[:, 0] ** 2, x[:, 1] ** 2, (x[:, 2] / 1.5) ** 2, x[:, 0] * x[:, 1]], axis=1
    )
    centred = features - features.mean(axis=0)
    ridge = np.eye(features.shape[1]) * (NOISE**2 / values.shape[1]) / SIZE**2
    mean = values.mean(axis=1)
    return centred @ np.linalg.solve(centred.T @ centred + ridge, centred.T @ (mean - mean.mean()))


def branched(state: Mapping[str, Any], rows: Sequence[int], seeds: Sequence[int]) -> dict[str, Any]:
    """The state of runs in which each goes on from a row of another state's runs, with a seed of its own."""
    count, places = len(state["tasks"]), np.asarray(rows)

    def taken(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: taken(each) for name, each in value.items()}
        return [value[row] for row in rows] if isinstance(value, list) and len(value) == count else value

    groups = []
    for group in state["populations"]:
        own = {member: place for place, member in enumerate(group["members"])}
        members = [place for place, row in enumerate(places.tolist()) if row in own]
        index = torch.tensor([own[int(places[member])] for member in members])
        tensors = {name: each[index] for name, each in group.items() if name != "members"}
        tensors["seed"] = torch.tensor([seeds[member] for member in members])
        groups.append({"members": members, **tensors})
    rest = {name: taken(value) for name, value in state.items() if name != "populations"}
    return {**rest, "populations": groups}


def react(tasks: Sequence[Task], options: RoomStudy) -> np.ndarray:
    """Final logarithmic distances ``[n]`` of the oracle's own runs on n tasks."""
    count, each = len(tasks), len(DESIGN) * options.rollouts
    main = Follower(tasks, [JUDGING + place for place in range(count)], options.intervals)
    departures = np.zeros((count, 3))
    edges = np.linspace(0, options.intervals, options.decisions + 1).astype(int)
    rows = [row for row in range(count) for _ in range(each)]
    for decision, (start, stop) in enumerate(pairwise(edges.tolist())):
        seeds = [BRANCHING + 100_000 * decision + place for place in range(len(rows))]
        branches = Follower([tasks[row] for row in rows], seeds, options.intervals)
        branches.runs.load_state_dict(branched(main.runs.state_dict(), rows, seeds))
        tried = np.tile(np.repeat(DESIGN, options.rollouts, axis=0), (count, 1))
        ends = branches.finish(departures[rows] + tried).reshape(count, len(DESIGN), options.rollouts)
        departures = departures + np.array([DESIGN[surface(own).argmin()] for own in ends])
        for _ in range(start, stop):
            main.advance(departures)
    return main.final()


def measure(name: str, tasks: Sequence[Task], options: RoomStudy) -> list[dict[str, Any]]:
    """A row for each task; one fixed schedule is chosen for all of them."""
    rng = np.random.default_rng(options.seed)
    numbers = np.concatenate([np.zeros((1, 5)), rng.normal(size=(options.fixed - 1, 5)) * SPREAD])
    chosen = judge_fixed(tasks, numbers, CHOOSING, 1, options.intervals)
    best = numbers[chosen.mean(axis=1).argmin()]
    both = judge_fixed(tasks, np.stack([numbers[0], best]), JUDGING, options.judged, options.intervals)
    return [
        {"suite": name, "task": task.name, **dict(zip(NAMES, map(float, values), strict=True))}
        for task, *values in zip(tasks, *both, react(tasks, options), strict=True)
    ]


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Distances, and ratios with 95 % intervals over tasks, as Markdown."""
    lines = [
        "| suite | tasks | tuned decay | fixed / tuned | oracle / tuned | oracle / fixed |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for suite in dict.fromkeys(row["suite"] for row in rows):
        own = [row for row in rows if row["suite"] == suite]
        tuned, fixed, oracle = (np.array([row[name] for row in own]) for name in NAMES)
        ratios = [cell(ratio_of_logs(one - other)) for one, other in ((fixed, tuned), (oracle, tuned), (oracle, fixed))]
        lines.append(f"| `{suite}` | {len(own)} | {np.exp(tuned.mean()):.3f} | {' | '.join(ratios)} |")
    return "\n".join(lines)


def tasks_of(options: RoomStudy) -> list[Task]:
    """The tasks, spread over those of the suite or of the condition."""
    if options.condition is not None:
        return find_condition(options.condition).tasks(options.split, options.tasks)
    split = get_suite(options.suite).split(options.split)
    return list(split)[:: max(1, len(split) // options.tasks)][: options.tasks]


def study(options: RoomStudy) -> None:
    """Measures a suite or a condition, adds its rows to the directory's, and shows the table of all of them."""
    path = make_directory(options.out) / "rows.jsonl"
    name = options.condition or options.suite
    settings = {key: value for key, value in asdict(options).items() if key not in ("out", "suite", "condition")}
    measured = [{**row, "options": settings} for row in measure(name, tasks_of(options), options)]
    kept = [row for row in (read_lines(path) if path.exists() else []) if row["suite"] != name]
    rows = [*kept, *measured]
    write_whole(path, "".join(map(line_of, rows)))
    show_line(table(rows))


if __name__ == "__main__":
    run_command(RoomStudy, study)
