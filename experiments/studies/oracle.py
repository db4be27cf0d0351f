"""Makes the references of a split: ``python -m metagan_rl.experiments.studies.oracle --suite planar --split test``.

On every task, 64 schedules drawn at random are run on two GAN seeds: half of them constants, half of them decays that
may switch ratio, loss and penalty once. The best eight, and the two schedules tuned on training tasks, are then run on
four other seeds, and the best there on four more. What a task has to offer lies between two distances:

* untuned: of the median random constant, what a blind first trial gets;
* oracle: of the schedule that came out best, on the seeds that had no part in choosing it. An oracle judged on the runs
  that chose it flatters itself by a fifth and more.

Between them runs the curve of random search: the distance of the best of n constants, chosen on one seed and judged on
the other. Trials go into ``trials.jsonl`` task by task; a search that was stopped goes on where it was.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.special import gammaln

from metagan_rl import __version__
from metagan_rl.agents.searches.tuned import Candidates, Schedule, Tuned, tuned_constant, tuned_decay
from metagan_rl.evaluation import evaluate
from metagan_rl.experiments.benchmark.backends import Workers
from metagan_rl.experiments.benchmark.cells import gan_seed
from metagan_rl.experiments.benchmark.records import append_lines, read_lines
from metagan_rl.experiments.benchmark.references import save_references
from metagan_rl.experiments.benchmark.row import six_digits
from metagan_rl.experiments.studies.command import run_command, show_line
from metagan_rl.experiments.tune import PENALTY_RANGE, RATE_RANGE
from metagan_rl.files import make_directory
from metagan_rl.loop.drive import drive
from metagan_rl.loop.knobs import KNOWN_LOSSES
from metagan_rl.populations.settings import RATIOS
from metagan_rl.tasks import Task, get_suite

TRIALS = "trials.jsonl"
SEARCH_SEEDS = (2000, 2001)
"""Seeds of the runs that choose, far from the benchmark's."""
FINAL_SEEDS = (2002, 2003, 2004, 2005)
"""Seeds of the runs that choose among the finalists."""
JUDGE_SEEDS = (3000, 3001, 3002, 3003)
"""Seeds of the runs that judge what was chosen."""
FINALISTS = 8
TUNED: dict[str, Callable[[], Tuned]] = {"tuned-constant": tuned_constant, "tuned-decay": tuned_decay}
"""What takes part in the final besides."""
DEEPEST_FALL = 100.0
"""Rates of a decay fall by at most this factor."""


@dataclass(frozen=True)
class SearchJob:
    """What one worker does: one stage of the search on one task.

    Attributes:
        stage: ``"search"`` or ``"final"``.
        suite, split, task: where.
        trials, seed: of the search.
        seen: for the final, what choosing may look at: distances of the trials, ``[trials, 2]``.
    """

    stage: str
    suite: str
    split: str
    task: str
    trials: int
    seed: int
    seen: tuple[tuple[float, ...], ...] | None = None

    def key(self) -> dict[str, Any]:
        """What tells its line from others."""
        return {name: value for name, value in asdict(self).items() if name != "seen"}

    def find(self) -> Task:
        """The task itself."""
        return get_suite(self.suite).split(self.split)[self.task]

    def run(self) -> dict[str, Any]:
        """Does it; a line of ``trials.jsonl``."""
        return search(self) if self.stage == "search" else decide(self)


@dataclass
class OracleSearch:
    """Options of the search."""

    suite: str = "planar"
    """Suite of tasks."""
    split: Literal["train", "val", "test"] = "test"
    """Its split."""
    trials: int = 64
    """Schedules drawn for each task, half of them constants."""
    tasks: int | None = None
    """Tasks at most, the first of each family first; all by default."""
    seed: int = 0
    """Of the schedules drawn."""
    backend: str = "process"
    """Where tasks are searched: in processes of this machine (process), or on a Ray cluster (ray)."""
    workers: int | None = None
    """Tasks searched at once; by default one for each core; 0 searches in this process."""
    out: Path = Path("runs/oracle")
    """Directory for the trials."""
    references: Path | None = None
    """Where to write the references; by default into the directory."""


def draw(rng: np.random.Generator, kind: str) -> Schedule:
    """A random schedule: a ``"constant"``, or a ``"decay"`` with one switch of ratio, loss and penalty."""

    def rate() -> float:
        return float(np.exp(rng.uniform(*np.log(RATE_RANGE))))

    def ratio() -> str:
        return list(RATIOS)[rng.integers(len(RATIOS))]

    def loss() -> str:
        return KNOWN_LOSSES[rng.integers(len(KNOWN_LOSSES))]

    def penalty() -> float:
        weight = float(np.exp(rng.uniform(*np.log(PENALTY_RANGE))))
        return weight if rng.uniform() < 0.5 else 0.0

    generator, discriminator = rate(), rate()
    constant = Schedule((generator, generator), (discriminator, discriminator), 0.0, ratio(), loss(), penalty())
    if kind == "constant":
        return constant
    falls = np.exp(rng.uniform(0, np.log(DEEPEST_FALL), size=2)).tolist()
    return replace(
        constant,
        generator_lr=(generator, generator / falls[0]),
        discriminator_lr=(discriminator, discriminator / falls[1]),
        hold=float(rng.uniform(0, 0.8)),
        switch=float(rng.uniform(0.1, 0.9)),
        later_ratio=ratio(),
        later_loss=loss(),
        later_penalty_weight=penalty(),
    )


def schedules_for(task: Task, trials: int, seed: int) -> list[tuple[str, Schedule]]:
    """Kind and schedule of each trial; every task draws its own."""
    rng = np.random.default_rng([seed, gan_seed(task, seed)])
    kinds = ["constant"] * (trials // 2) + ["decay"] * (trials - trials // 2)
    return [(kind, draw(rng, kind)) for kind in kinds]


def judge(task: Task, schedules: Sequence[Schedule], seeds: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Runs schedules on a task, side by side.

    Returns:
        Distances at the end, ``[schedules, seeds]`` each: on the reference that choosing may look at, and on the larger
        one for final figures.
    """
    pairs = [(schedule, seed) for schedule in schedules for seed in seeds]
    runs, _ = drive(
        Candidates([schedule for schedule, _ in pairs]),
        [task] * len(pairs),
        [gan_seed(task, seed) for _, seed in pairs],
    )
    final = evaluate(runs.population, range(len(pairs)), report=True).distance
    shape = len(schedules), len(seeds)
    return runs.quality.distance.reshape(shape), final.reshape(shape)


def search(job: SearchJob) -> dict[str, Any]:
    """The random trials on one task: a line of ``trials.jsonl``."""
    task = job.find()
    drawn = schedules_for(task, job.trials, job.seed)
    seen, final = judge(task, [schedule for _, schedule in drawn], SEARCH_SEEDS)
    return {
        **job.key(),
        "kinds": [kind for kind, _ in drawn],
        "seen": [_plain(values) for values in seen],
        "distance": [_plain(values) for values in final],
        "version": __version__,
    }


def decide(job: SearchJob) -> dict[str, Any]:
    """The final among the best trials and the tuned schedules, and the winner judged anew: another line."""
    task = job.find()
    assert job.seen is not None
    drawn = schedules_for(task, job.trials, job.seed)
    best = np.log(job.seen).mean(axis=1).argsort(kind="stable")[:FINALISTS]
    finalists = {f"trial {place}": drawn[place][1] for place in best.tolist()}
    finalists |= {name: tuned().schedule for name, tuned in TUNED.items()}
    seen, _ = judge(task, list(finalists.values()), FINAL_SEEDS)
    chosen = list(finalists)[int(np.log(seen).mean(axis=1).argmin())]
    _, judged = judge(task, [finalists[chosen]], JUDGE_SEEDS)
    return {
        **job.key(),
        "finalists": list(finalists),
        "seen": [_plain(values) for values in seen],
        "chosen": chosen,
        "schedule": asdict(finalists[chosen]),
        "judged": _plain(judged[0]),
        "version": __version__,
    }


def best_of(seen: np.ndarray, judged: np.ndarray, count: int) -> float:
    """Expected judged value of the best of ``count`` trials drawn without replacement, best being the lowest seen.

    Of N trials in the order of what was seen, the i-th (from 0) is the best of n with probability
    C(N - 1 - i, n - 1) / C(N, n).

    Args:
        seen: what is chosen by, ``[N]``.
        judged: what the choice is worth, ``[N]``.
        count: n, from 1 to N.
    """
    total = len(seen)

    def log_choose(of: np.ndarray, some: int) -> np.ndarray:
        possible = of >= some
        safe = np.where(possible, of, some)
        return np.where(possible, gammaln(safe + 1) - gammaln(some + 1) - gammaln(safe - some + 1), -np.inf)

    left = total - 1 - np.arange(total)
    weights = np.exp(log_choose(left, count - 1) - log_choose(np.array(total), count))
    return float(weights @ judged[np.argsort(seen, kind="stable")])


def reference(trials: dict[str, Any], final: dict[str, Any]) -> dict[str, Any]:
    """What a task's two lines come to: untuned, oracle, its schedule, and the curve of searching constants."""
    seen, distance = np.log(trials["seen"]), np.log(trials["distance"])
    constant = np.array([kind == "constant" for kind in trials["kinds"]])
    curve = []
    for count in [2**power for power in range(int(constant.sum()).bit_length())]:
        ways = [best_of(seen[constant, a], distance[constant, b], count) for a, b in ((0, 1), (1, 0))]
        curve.append([count, six_digits(np.exp(np.mean(ways)))])
    return {
        "untuned": six_digits(np.exp(np.median(distance[constant].mean(axis=1)))),
        "oracle": six_digits(np.exp(np.log(final["judged"]).mean())),
        "chosen": final["chosen"],
        "schedule": final["schedule"],
        "curve": curve,
    }


def make_references(options: OracleSearch, show: Callable[[str], None] = print) -> Path:
    """Searches on every task that was not searched yet, and writes the references of all that were.

    Returns:
        The file of references.

    Raises:
        OutputError: the directory cannot be written.
    """
    make_directory(options.out)
    suite = get_suite(options.suite)
    tasks = in_turns(list(suite.split(options.split)))[: options.tasks]
    path = options.out / TRIALS
    lines = _read(path, options)
    started = time.monotonic()
    with Workers(SearchJob.run, backend=options.backend, workers=options.workers) as crew:
        for stage in ("search", "final"):
            jobs = [_job(stage, task, options, lines) for task in tasks if (stage, task.name) not in lines]
            for place, (job, line) in enumerate(crew.run(jobs), start=1):
                lines[stage, job.task] = line
                append_lines(path, [line])
                show(f"{stage}: {place}/{len(jobs)} tasks in {time.monotonic() - started:.0f} s")
    target = options.references or options.out / f"{options.suite}-{options.split}.json"
    found = [task for task in suite.split(options.split) if ("final", task.name) in lines]
    runs = (
        len(SEARCH_SEEDS) * options.trials
        + len(FINAL_SEEDS) * (min(FINALISTS, options.trials) + len(TUNED))
        + len(JUDGE_SEEDS)
    )
    command = f"python -m metagan_rl.experiments.studies.oracle --suite {options.suite} --split {options.split}"
    if options.tasks is not None:
        command += f" --tasks {options.tasks}"
    record = {
        "suite": options.suite,
        "split": options.split,
        "suite_sha256": suite.sha256,
        "interval_updates": 48,
        "trials": options.trials,
        "runs": runs,
        "gan_updates": runs * sum(task.budget for task in found),
        "version": __version__,
        "command": command,
        "tasks": {task.name: reference(lines["search", task.name], lines["final", task.name]) for task in found},
    }
    save_references(target, record)
    return target


def in_turns(tasks: Sequence[Task]) -> list[Task]:
    """The first task of each family, then the second of each, and so on: a search cut short has seen all kinds."""
    groups: dict[tuple[str, str], list[Task]] = {}
    for task in tasks:
        groups.setdefault((task.tag, task.name.rpartition("/")[0]), []).append(task)
    longest = max(map(len, groups.values()))
    return [group[place] for place in range(longest) for group in groups.values() if place < len(group)]


def _job(stage: str, task: Task, options: OracleSearch, lines: Mapping[tuple[str, str], dict[str, Any]]) -> SearchJob:
    seen = tuple(map(tuple, lines["search", task.name]["seen"])) if stage == "final" else None
    return SearchJob(stage, options.suite, options.split, task.name, options.trials, options.seed, seen)


def _read(path: Path, options: OracleSearch) -> dict[tuple[str, str], dict[str, Any]]:
    """Earlier lines of the same search, by stage and task; what another search left is not taken up."""
    keys = ("suite", "split", "seed", "trials")
    wanted = tuple(getattr(options, key) for key in keys)
    lines = read_lines(path, ("stage", "task", *keys))
    return {(line["stage"], line["task"]): line for line in lines if tuple(line[key] for key in keys) == wanted}


def _plain(values: np.ndarray) -> list[float]:
    return [six_digits(value) for value in values]


def main() -> None:
    """Makes references as the command line says."""
    run_command(OracleSearch, lambda options: print(make_references(options, show=show_line)))


if __name__ == "__main__":
    main()
