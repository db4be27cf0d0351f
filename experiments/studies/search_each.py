"""CMA-ES for each task by itself: ``python -m metagan_rl.experiments.studies.search_each``.

It is what an open loop can reach that knows the task, with the task's own momentum. CMA-ES (Hansen 2016,
arXiv:1604.00772) searches the six numbers of a decay, around the rule's. All candidates of a generation have the same
GAN seed, and each generation has another. After the last one, finalists run on seeds of their own: the centre of the
search now and earlier, the best candidates, the rule's numbers and those of ``tuned-decay``. The best of them is judged
on further seeds, which are those of the study :mod:`.transfer`, and by points that no search saw.

Each task is a job of its own, unless ``--chunk`` says otherwise. A study that was stopped, or came to the end of its
``--minutes``, goes on with the tasks that have no rows yet.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from metagan_rl.agents.searches.rule import NUMBERS
from metagan_rl.errors import InvalidValueError, MissingDependencyError
from metagan_rl.experiments.benchmark.backends import Workers
from metagan_rl.experiments.benchmark.cells import gan_seed
from metagan_rl.experiments.benchmark.records import append_lines, read_lines
from metagan_rl.experiments.benchmark.row import six_digits
from metagan_rl.experiments.studies.command import run_command, show_line, until
from metagan_rl.experiments.studies.decays import DECISIONS, WIDTH, around_rule, run, tuned_departures
from metagan_rl.experiments.studies.full_form import RESULTS
from metagan_rl.experiments.studies.transfer.conditions import find_condition
from metagan_rl.experiments.studies.transfer.study import FIRST_SEED
from metagan_rl.experiments.studies.transfer.table import REFERENCE, cell, ratio_of_logs
from metagan_rl.files import make_directory
from metagan_rl.tasks import Task

NAME = "cma-es"
CONDITIONS = (
    "as trained", "G's rate x8, hidden", "wide: known-family", "both rates /8, hidden", "beta1 .9", "768 updates",
    "tables",
)  # fmt: skip
SEARCH_SEED, FINAL_SEED = 10_000, 20_000
"""First seeds of the runs that search and of those that choose. Judges are the small seeds of the study of transfer."""
FINAL_SEEDS = 4
"""Seeds of each finalist."""
BEST = 3
"""Candidates among the finalists."""
FINALISTS = ("rule", REFERENCE, "centre", "earlier centre", *(f"candidate {place + 1}" for place in range(BEST)))
FINAL_RUNS = FINAL_SEEDS * len(FINALISTS)


@dataclass(frozen=True)
class SearchEach:
    """CMA-ES on each task of some conditions."""

    split: Literal["val", "test"] = "test"
    """Split of the tasks."""
    only: tuple[str, ...] = CONDITIONS
    """Conditions of the study of transfer, the most telling first."""
    tasks: int = 12
    """Tasks of each condition at most."""
    runs: int = 412
    """Runs of a search, with those that choose among its finalists."""
    population: int = 16
    """Candidates of a generation."""
    seeds: int = 2
    """GAN seeds that judge what was chosen."""
    chunk: int = 1
    """Tasks of a job."""
    decisions: int = DECISIONS
    """Intervals of a run."""
    workers: int | None = None
    """Jobs run at once; by default one for each core."""
    minutes: float | None = None
    """No job begins after so many minutes; by default all do."""
    out: Path = Path("runs/search-each")
    """Directory for the rows."""

    def __post_init__(self) -> None:
        if self.runs < FINAL_RUNS + self.population:
            raise InvalidValueError(
                f"runs is {self.runs}; a generation of {self.population} and {FINAL_RUNS} that choose are the least"
            )

    @property
    def generations(self) -> int:
        """Generations of a search."""
        return (self.runs - FINAL_RUNS) // self.population


@dataclass(frozen=True)
class Job:
    """A search on each of some tasks of a condition."""

    condition: str
    tasks: tuple[str, ...]
    options: SearchEach

    def __str__(self) -> str:
        return f"{self.condition!r}: {', '.join(self.tasks)}"

    def find(self) -> list[Task]:
        """The tasks themselves."""
        found = {task.name: task for task in find_condition(self.condition).tasks(self.options.split, 10**6)}
        return [found[name] for name in self.tasks]


class Search:
    """CMA-ES on one task. A place is a departure from the rule's numbers in deviations of what is tried first, ``[6]``.

    Args:
        seed: of what it draws.
        population: candidates of a generation.

    Raises:
        MissingDependencyError: the package cma is not installed.
    """

    def __init__(self, seed: int, population: int) -> None:
        try:
            import cma
        except ImportError as error:
            raise MissingDependencyError("cma", "tune", "this search") from error
        rng = np.random.default_rng(seed)
        own = {"popsize": population, "verbose": -9, "seed": np.nan, "randn": lambda *shape: rng.normal(size=shape)}
        self._cma = cma.CMAEvolutionStrategy(np.zeros(len(NUMBERS)), 1.0, own)
        self._asked: Any = []
        self._tried: list[list[tuple[float, np.ndarray]]] = []
        self.centres = [np.zeros(len(NUMBERS))]
        """Centre of each generation, ``[6]`` each."""

    def ask(self) -> np.ndarray:
        """The candidates of a generation, ``[population, 6]``."""
        self._asked = self._cma.ask()
        return np.array(self._asked)

    def tell(self, heights: np.ndarray) -> None:
        """How high the candidates lie: logarithmic distances ``[population]``, the lower the better."""
        self._cma.tell(self._asked, heights.tolist())
        self.centres.append(np.array(self._cma.mean))
        relative = heights - np.median(heights)  # generations have other seeds
        self._tried.append(list(zip(relative.tolist(), map(np.array, self._asked), strict=True)))

    def best(self, count: int) -> list[np.ndarray]:
        """The candidates of the later half that were farthest below the median of their generation."""
        later = [pair for generation in self._tried[len(self._tried) // 2 :] for pair in generation]
        return [place for _, place in sorted(later, key=lambda pair: pair[0])[:count]]


def heights(tasks: Sequence[Task], places: np.ndarray, seeds: Sequence[int], decisions: int) -> np.ndarray:
    """What choosing looks at: logarithmic distances ``[tasks, places, seeds]``.

    Args:
        tasks: n tasks.
        places: of each task, ``[n, places, 6]``.
        seeds: numbers that the GAN seeds of each task are made from.
        decisions: intervals of a run.
    """
    shape = *places.shape[:2], len(seeds)
    many = [(task, own, seed) for task, each in zip(tasks, places, strict=True) for own in each for seed in seeds]
    departures = np.array([own for _, own, _ in many]) * WIDTH
    gan_seeds = [gan_seed(task, seed) for task, _, seed in many]
    return run(around_rule(departures, None), [task for task, _, _ in many], gan_seeds, decisions).seen.reshape(shape)


def run_job(job: Job) -> list[dict[str, Any]]:
    """The rows of a job: the work of a worker."""
    options, tasks = job.options, job.find()
    searches = [Search(gan_seed(task, SEARCH_SEED), options.population) for task in tasks]
    for generation in range(options.generations):
        asked = np.array([each.ask() for each in searches])
        found = heights(tasks, asked, [SEARCH_SEED + generation], options.decisions)
        for each, own in zip(searches, found, strict=True):
            each.tell(own[:, 0])
    tuned = tuned_departures(tasks, options.decisions) / WIDTH
    finalists = np.array(
        [
            [np.zeros(len(NUMBERS)), own, each.centres[-1], each.centres[len(each.centres) * 3 // 4], *each.best(BEST)]
            for each, own in zip(searches, tuned, strict=True)
        ]
    )
    final = heights(tasks, finalists, range(FINAL_SEED, FINAL_SEED + FINAL_SEEDS), options.decisions).mean(axis=2)
    chosen = final.argmin(axis=1)
    places = finalists[np.arange(len(tasks)), chosen]
    return list(_judged(job, tasks, places, [FINALISTS[place] for place in chosen]))


def _judged(job: Job, tasks: Sequence[Task], places: np.ndarray, chosen: Sequence[str]) -> Iterator[dict[str, Any]]:
    options, first = job.options, FIRST_SEED[job.options.split]
    for seed in range(first, first + options.seeds):
        gan_seeds = [gan_seed(task, seed) for task in tasks]
        ends = run(around_rule(places * WIDTH, None), tasks, gan_seeds, options.decisions)
        for member, task in enumerate(tasks):
            yield {
                "condition": job.condition,
                "split": options.split,
                "scheduler": NAME,
                "seed": seed,
                "task": task.name,
                "tag": task.tag,
                "decisions": options.decisions,
                "runs": options.runs,
                "population": options.population,
                "chosen": chosen[member],
                "departures": [float(f"{each:.4g}") for each in places[member] * WIDTH],
                "distance": six_digits(np.exp(ends.judged[member])),
            }


def study(options: SearchEach) -> None:
    """Searches on the tasks that have no rows yet, then prints the table."""
    file = make_directory(options.out) / "rows.jsonl"
    there = {_key(row) for row in read_lines(file)}
    jobs = []
    for name in options.only:
        tasks = find_condition(name).tasks(options.split, options.tasks)
        missing = [task.name for task in tasks if (name, task.name, *_settings(options)) not in there]
        chunks = [missing[first : first + options.chunk] for first in range(0, len(missing), options.chunk)]
        jobs += [Job(name, tuple(chunk), options) for chunk in chunks]
    with Workers(run_job, workers=options.workers) as crew:
        for done, (job, rows) in enumerate(crew.run(until(jobs, options.minutes)), start=1):
            append_lines(file, rows)
            show_line(f"{done}/{len(jobs)} {job}: {np.exp(np.mean(np.log([row['distance'] for row in rows]))):.3f}")
    show_line(committed_table(read_lines(file)))


def _settings(options: SearchEach) -> tuple[Any, ...]:
    return options.split, options.decisions, options.runs, options.population


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("condition", "task", "split", "decisions", "runs", "population"))


def committed_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table of rows of this study beside the committed ones of the studies of transfer and of room."""
    others = [row for row in read_lines(RESULTS / "transfer" / "rows.jsonl") if row["split"] == "test"]
    return table(
        rows, others, read_lines(RESULTS / "transfer" / "oracle.jsonl"), ("rule", "identified-rule", "default")
    )


def table(
    rows: Sequence[Mapping[str, Any]],
    others: Sequence[Mapping[str, Any]],
    oracle: Sequence[Mapping[str, Any]],
    schedulers: Sequence[str],
) -> str:
    """Ratios to the tuned decay, tier by tier of what is known, on the tasks that were searched, as Markdown.

    Args:
        rows: rows of this study.
        others: rows of the study of transfer.
        oracle: rows of the study of room, logarithms: one fixed schedule for all tasks, and the oracle that reacts.
        schedulers: of the study of transfer, to stand beside.
    """
    tiers = ("one open loop for all", "CMA-ES for each", "oracle that reacts", *(f"`{name}`" for name in schedulers))
    lines = [f"| condition | tasks | `{REFERENCE}` | {' | '.join(tiers)} |", "|---|--:|--:|" + "--:|" * len(tiers)]
    for condition in dict.fromkeys(row["condition"] for row in rows):
        known = [row for row in (*rows, *others) if row["condition"] == condition]
        tasks = dict.fromkeys(row["task"] for row in known if row["scheduler"] == NAME)
        logs = {name: _logs(known, name, tasks) for name in (REFERENCE, NAME, *schedulers)}
        own = [row for row in oracle if row["suite"] == condition and row["task"] in tasks]
        fixed = {row["task"]: row["fixed"] - row[REFERENCE] for row in own if row["fixed"] != row[REFERENCE]}
        reacts = {row["task"]: row["oracle"] - row[REFERENCE] for row in own}
        ratios = [fixed, _less(logs[NAME], logs[REFERENCE]), reacts]
        ratios += [_less(logs[name], logs[REFERENCE]) for name in schedulers]
        base = list(logs[REFERENCE].values())
        cells = [str(len(tasks)), f"{np.exp(np.mean(base)):.3f}" if base else ""]
        cells += [cell(ratio_of_logs(np.array(list(each.values())))) if each else "" for each in ratios]
        lines.append(f"| {condition} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _logs(rows: Sequence[Mapping[str, Any]], scheduler: str, tasks: Mapping[str, Any]) -> dict[str, float]:
    """The mean logarithmic distance of a scheduler by task, over the seeds that were judged."""
    found: dict[str, list[float]] = {}
    for row in rows:
        if row["scheduler"] == scheduler and row["task"] in tasks:
            found.setdefault(row["task"], []).append(float(np.log(row["distance"])))
    return {task: float(np.mean(logs)) for task, logs in found.items()}


def _less(logs: Mapping[str, float], base: Mapping[str, float]) -> dict[str, float]:
    return {task: value - base[task] for task, value in logs.items() if task in base}


if __name__ == "__main__":
    run_command(SearchEach, study)
