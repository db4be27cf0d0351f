"""Tunes one schedule for all tasks of a suite: ``metagan-rl tune``. A rule is fitted by :mod:`.tune_rule`.

Optuna proposes schedules, one batch at a time. Each is run on the same training tasks with the same GAN seeds, and
scored by its geometric mean distance. The best few are then run on validation tasks with other seeds. The best of these
is the result. Test tasks are never touched.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from metagan_rl import __version__
from metagan_rl.agents.searches.tuned import Candidates, Schedule, Tuned, load_schedule, save_schedule
from metagan_rl.errors import FileFormatError, InvalidValueError, MissingDependencyError, UnknownNameError
from metagan_rl.experiments.benchmark.backends import Workers
from metagan_rl.experiments.benchmark.cells import gan_seed
from metagan_rl.experiments.benchmark.records import read_lines
from metagan_rl.experiments.benchmark.row import six_digits
from metagan_rl.files import exists, file_digest, write_whole
from metagan_rl.folders import Held, held, refuse_another, refuse_other_kind
from metagan_rl.loop.drive import drive
from metagan_rl.loop.knobs import KNOBS
from metagan_rl.loop.runs import PlainRunOptions, RunOptions
from metagan_rl.populations.engines import say_what_trains
from metagan_rl.records import line_of, read_record, write_record
from metagan_rl.reproducible import mark
from metagan_rl.tasks import Task, get_suite

KIND, OPTIONS, TRIALS = "metagan-rl tune", "tune.json", "trials.jsonl"
LOG = "log_distance"
"""The column that a search goes on from: it is not rounded."""
RATE_RANGE = (1e-4, 3e-2)
PENALTY_RANGE = (1e-3, 10.0)
SELECTION_SEED = 1000
"""The first seed of the runs on validation tasks, far from the seeds of the search."""


@dataclass(frozen=True)
class TuneConfig(PlainRunOptions):
    """A search for one schedule.

    Raises:
        UnknownNameError: there is no such suite, kind or sampler.
        InvalidValueError: a number is less than 1.
        FileFormatError: ``start`` is not a schedule file.
    """

    suite: str = "planar"
    """Suite whose training tasks the search uses."""
    kind: Literal["constant", "decay", "rule"] = "constant"
    """What to search for: constant settings, rates that decay, or a rule: a decay by what each loop knows of itself."""
    trials: int = 96
    """Number of schedules to try. A rule takes as many runs in each round as so many schedules would."""
    rounds: int = 5
    """Rounds of the search for a rule."""
    tasks: int = 24
    """Training tasks to run each schedule on; also the number of validation tasks."""
    finalists: int = 6
    """Best schedules to run on validation tasks, with two seeds each."""
    batch: int = 8
    """Schedules proposed at once."""
    parts: int = 2
    """Jobs that each batch is split into; at most this many workers are busy at once."""
    sampler: Literal["tpe", "random"] = "tpe"
    """Optuna's tree-structured Parzen estimator, or random search to check it against."""
    start: Path | None = None
    """A schedule file to start from: decays are first tried from a constant that was tuned before, as a user would."""
    seed: int = 0
    """Seed of the sampler."""

    def __post_init__(self) -> None:
        super().__post_init__()
        get_suite(self.suite)
        for name, known in (("kind", ("constant", "decay", "rule")), ("sampler", ("tpe", "random"))):
            if getattr(self, name) not in known:
                raise UnknownNameError(name, getattr(self, name), known)
        for name in ("trials", "rounds", "tasks", "finalists", "batch", "parts"):
            if getattr(self, name) < 1:
                raise InvalidValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not 0 <= self.seed < 2**32:
            raise InvalidValueError(f"seed is {self.seed}; it must be from 0 to 2**32 - 1")
        if self.start is not None:
            load_schedule(self.start)


@dataclass(frozen=True)
class Part:
    """Some schedules to try on some tasks and seeds; the first is the ``place``-th of its batch."""

    place: int
    schedules: tuple[Schedule, ...]
    tasks: tuple[Task, ...]
    seeds: tuple[int, ...]
    options: RunOptions

    def __str__(self) -> str:
        return f"schedules {self.place} to {self.place + len(self.schedules) - 1} of a batch"


def spread(tasks: Sequence[Task], count: int) -> list[Task]:
    """``count`` tasks, spread evenly over the split."""
    return [tasks[place * len(tasks) // count] for place in range(min(count, len(tasks)))]


def knowing(suite: str, function: Callable[[Any], Any], job: Any) -> Any:
    """Runs a job in a worker that knows the suite: tasks of a file need the data that come with it."""
    get_suite(suite)
    return function(job)


def score(part: Part) -> list[float]:
    """The mean final log distance of each schedule over all tasks and seeds: the job of a worker."""
    runs = [(schedule, task, seed) for schedule in part.schedules for seed in part.seeds for task in part.tasks]
    each = len(runs) // len(part.schedules)
    ended, _ = drive(
        Candidates([schedule for schedule, _, _ in runs]),
        [task for _, task, _ in runs],
        [gan_seed(task, seed) for _, task, seed in runs],
        part.options,
    )
    logs = np.log(ended.quality.distance)
    return [float(logs[place * each : (place + 1) * each].mean()) for place in range(len(part.schedules))]


def suggest(trial: Any, kind: str) -> Schedule:
    """Draws a schedule from an Optuna trial."""

    def rates(name: str) -> tuple[float, float]:
        start = trial.suggest_float(f"{name}_lr", *RATE_RANGE, log=True)
        if kind == "constant":
            return start, start
        return start, start / trial.suggest_float(f"{name}_fall", 1.0, 100.0, log=True)

    penalised = trial.suggest_categorical("penalised", [False, True])
    return Schedule(
        generator_lr=rates("generator"),
        discriminator_lr=rates("discriminator"),
        hold=0.0 if kind == "constant" else trial.suggest_float("hold", 0.0, 0.8),
        ratio=trial.suggest_categorical("ratio", list(KNOBS["ratio"].levels)),
        loss=trial.suggest_categorical("loss", list(KNOBS["loss"].levels)),
        penalty_weight=trial.suggest_float("penalty_weight", *PENALTY_RANGE, log=True) if penalised else 0.0,
    )


def neighbours(schedule: Schedule, kind: str) -> list[dict[str, Any]]:
    """Optuna's parameters for a schedule, and for its decays by 3, 10 and 30 after several shares of the budget."""
    parameters = {
        "generator_lr": schedule.generator_lr[0],
        "discriminator_lr": schedule.discriminator_lr[0],
        "penalised": schedule.penalty_weight > 0,
        "ratio": schedule.ratio,
        "loss": schedule.loss,
    }
    if schedule.penalty_weight > 0:
        parameters["penalty_weight"] = schedule.penalty_weight
    if kind == "constant":
        return [parameters]
    falls = [(1.0, 0.0), *((fall, hold) for fall in (3.0, 10.0, 30.0) for hold in (0.0, 0.4, 0.7))]
    return [{**parameters, "generator_fall": fall, "discriminator_fall": fall, "hold": hold} for fall, hold in falls]


def tune(
    config: TuneConfig,
    out: str | Path,
    *,
    backend: str = "process",
    workers: int | None = None,
    show: Callable[[str], None] = lambda line: None,
) -> Tuned:
    """Searches for a schedule, chooses the best, and writes ``trials.jsonl`` and ``tuned-<kind>.json``.

    A search that was stopped goes on where it stopped if it is called again, and ends with the same schedule. At most
    one batch is run again. A directory belongs to one search.

    Args:
        config: what to search for, and how.
        out: directory for all files.
        backend: ``"process"``, or ``"ray"`` for several machines; the result is the same.
        workers: jobs run at once; by default one for each core; 0 runs everything in this process.
        show: gets a line of progress now and then.

    Returns:
        The chosen schedule, with a record of how it was found.

    Raises:
        MissingDependencyError: Optuna is not installed.
        OutputError: the directory cannot be written, or another process writes into it.
        InvalidValueError: the directory holds another search; the message names the difference.
        FileFormatError: a file in the directory is damaged.
        UnknownNameError: there is no such backend.
        InvalidValueError: a rule is asked for.
    """
    if config.kind == "rule":
        raise InvalidValueError("kind is 'rule', which is no schedule; use metagan_rl.experiments.tune_rule.tune_rule")
    study = _study(config)
    out = Path(out)
    with ExitStack() as stack:
        work = partial(knowing, config.suite, score)
        crew: Workers[Part, list[float]] = Workers(work, backend=backend, workers=workers)
        stack.enter_context(crew)
        lock = stack.enter_context(held(out))
        claim(out, config)
        return _searched(config, study, crew, Trials(out / TRIALS, config.kind, lock), show)


def claim(out: Path, config: TuneConfig) -> None:
    """Makes a directory belong to this search, or checks that it does.

    Raises:
        InvalidValueError: it belongs to another; the message names the difference.
    """
    refuse_other_kind(out, OPTIONS)
    options: dict[str, Any] = {**asdict(config), "sha256": get_suite(config.suite).sha256, **mark()}
    if config.start is not None:  # its content, not its path
        options["start"] = f"sha256:{file_digest(config.start)}"
    if exists(out / OPTIONS):
        there = read_record(out / OPTIONS, "the options of a search", kind=KIND, known=("version", "options"))
        refuse_another(out, there["options"], options, "Choose another --out, or give the same options to go on")
    elif exists(out / TRIALS):
        raise InvalidValueError(f"{out} holds trials, but not the options of their search; choose another --out")
    else:
        write_record(out / OPTIONS, {"kind": KIND, "version": __version__, "options": options})


class Trials:
    """The trials of a search in their order, and their file; those that are there already are not run again.

    Args:
        path: path of the file.
        kind: kind of schedule.
        lock: the lock of the folder.
    """

    def __init__(self, path: Path, kind: str, lock: Held) -> None:
        self._path, self._kind, self._lock = path, kind, lock
        self._rows = read_lines(path, ("split", LOG))
        self._taken = 0

    def __len__(self) -> int:
        """Trials on training tasks; those on validation tasks come after them."""
        return sum(row["split"] == "train" for row in self._rows)

    @property
    def folder(self) -> Path:
        """The folder of the search."""
        return self._path.parent

    def values(
        self, split: str, schedules: Sequence[Schedule], work: Callable[[Sequence[Schedule]], list[float]]
    ) -> list[float]:
        """The mean log distances of some schedules: those in the file, or what ``work`` gives for them.

        Raises:
            FileFormatError: the file has other trials at this place.
        """
        rows = self._rows[self._taken : self._taken + len(schedules)]
        wanted = [{"kind": self._kind, "split": split, **_as_json(schedule)} for schedule in schedules]
        for place, (row, record) in enumerate(zip(rows, wanted, strict=False), start=self._taken + 1):
            if {name: row.get(name) for name in record} != record:
                raise FileFormatError(
                    f"{self._path}, line {place} is not what this search tries there; it may be of another version of "
                    "Optuna: choose another --out"
                )
        if len(rows) < len(schedules):  # stopped within this batch, or before it
            values = work(schedules)
            rows = [
                {**record, "distance": six_digits(np.exp(value)), LOG: value}
                for record, value in zip(wanted, values, strict=True)
            ]
            self._rows = [*self._rows[: self._taken], *rows]
            self._lock.check()
            write_whole(self._path, "".join(map(line_of, self._rows)))
        self._taken += len(schedules)
        return [float(row[LOG]) for row in rows]


def _as_json(schedule: Schedule) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(schedule).items()}


def _searched(
    config: TuneConfig, study: Any, crew: Workers[Part, list[float]], trials: Trials, show: Callable[[str], None]
) -> Tuned:
    suite = get_suite(config.suite)
    train, val = (spread(list(suite.split(split)), config.tasks) for split in ("train", "val"))
    before = None if config.start is None else load_schedule(config.start)
    for parameters in () if before is None else neighbours(before.schedule, config.kind):
        study.enqueue_trial(parameters)
    found: list[tuple[float, Schedule]] = []
    started = time.monotonic()
    say_what_trains(config.engine)
    if len(trials):
        show(f"going on with a search of {len(trials)} trials")
    while len(found) < config.trials:
        asked = [study.ask() for _ in range(min(config.batch, config.trials - len(found)))]
        schedules = [suggest(trial, config.kind) for trial in asked]
        values = trials.values("train", schedules, lambda some: _scores(crew, some, train, (0,), config))
        for trial, schedule, value in zip(asked, schedules, values, strict=True):
            study.tell(trial, value)
            found.append((value, schedule))
        best = min(found, key=lambda pair: pair[0])
        show(f"{len(found)}/{config.trials} trials, best {np.exp(best[0]):.3f}, {time.monotonic() - started:.0f} s")
    finalists = [schedule for _, schedule in sorted(found, key=lambda pair: pair[0])[: config.finalists]]
    seeds = SELECTION_SEED, SELECTION_SEED + 1
    chosen = trials.values("val", finalists, lambda some: _scores(crew, some, val, seeds, config))
    for value in chosen:
        show(f"validation {np.exp(value):.3f}")
    best_value, schedule = min(zip(chosen, finalists, strict=True), key=lambda pair: pair[0])
    budget = config.intervals(train[0]) * config.interval(train[0])
    spent = budget * (len(train) * config.trials + 2 * len(val) * len(finalists))
    result = Tuned(
        schedule,
        {
            "metagan_rl": __version__,
            "search": {name: value for name, value in asdict(config).items() if name != "start"},  # no paths
            "validation_distance": six_digits(np.exp(best_value)),
            "gan_updates": spent + (0 if before is None else before.cost),
        },
    )
    save_schedule(trials.folder / f"tuned-{config.kind}.json", result)
    return result


def _study(config: TuneConfig) -> Any:
    """Optuna's study, which proposes schedules."""
    try:
        import optuna
    except ImportError as error:
        raise MissingDependencyError("optuna", "tune", "tuning") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if config.sampler == "random":
        return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=config.seed))
    sampler = optuna.samplers.TPESampler(seed=config.seed, n_startup_trials=config.trials // 3)
    return optuna.create_study(sampler=sampler)


def _scores(
    crew: Workers[Part, list[float]],
    schedules: Sequence[Schedule],
    tasks: Sequence[Task],
    seeds: tuple[int, ...],
    config: TuneConfig,
) -> list[float]:
    options, parts = RunOptions.of(config), config.parts
    size = -(-len(schedules) // parts)
    jobs = [
        Part(start, tuple(schedules[start : start + size]), tuple(tasks), seeds, options)
        for start in range(0, len(schedules), size)
    ]
    values = {part.place: values for part, values in crew.run(jobs)}
    return [value for place in sorted(values) for value in values[place]]
