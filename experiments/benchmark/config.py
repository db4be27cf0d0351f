"""What a benchmark compares: which schedulers, on which tasks of a split, with how many seeds."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from metagan_rl.agents.catalogue import load_scheduler, scheduler_names
from metagan_rl.errors import InvalidValueError, UnknownNameError
from metagan_rl.experiments.benchmark.references import ORACLE, load_references
from metagan_rl.experiments.benchmark.row import COLUMNS
from metagan_rl.experiments.benchmark.samples import RESERVED
from metagan_rl.loop.runs import PlainRunOptions
from metagan_rl.loop.scheduler import SCHEDULERS
from metagan_rl.metrics import METRICS
from metagan_rl.tasks import Task, get_suite

TIERS = ("planar", "planar-mixed", "tabular", "digits")
"""Suites whose test splits make up a whole comparison: new parameters and held-out families, shifted conditions, real
tables, and real images."""


@dataclass(frozen=True)
class BenchmarkConfig(PlainRunOptions):
    """What to compare on one split of one suite.

    Attributes:
        suite, split: where the tasks come from.
        schedulers: names. ``"oracle"`` is the best schedule found for each single task; it runs on tasks that have
            references.
        policies: files of policies and schedules, each with its name in the table. No scheduler may have that name.
        seeds: GAN runs for each task and scheduler.
        tasks: most tasks of each family and tag; ``None`` for all.
        only: pattern for the names of tasks, such as ``"*/budget-12288/*"``; ``""`` for all.
        device, noise, engine, interval_updates, horizon, decisions: as in :class:`metagan_rl.loop.RunOptions`.
        initial_weights: meta-initialisation file that all GANs start from; ``None`` for fresh weights in each.
        reward: name of the reward that schedulers see, if they look at it.

    Raises:
        UnknownNameError: a name does not exist.
        InvalidValueError: a value is out of range, or the initial weights do not fit a task.
        FileFormatError: a policy file or the file of initial weights is damaged.
    """

    suite: str = "planar"
    split: str = "test"
    schedulers: tuple[str, ...] = ("constant", "linear", "cosine", "ttur", "random")
    policies: tuple[tuple[str, str], ...] = ()
    seeds: int = 4
    tasks: int | None = None
    only: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        get_suite(self.suite).split(self.split)
        known = [*scheduler_names(), ORACLE]
        for name in self.schedulers:
            if name not in known and name not in SCHEDULERS:
                raise UnknownNameError("scheduler", name, known)
        if ORACLE in self.schedulers and not load_references(self.suite, self.split).schedules:
            raise InvalidValueError(
                f"{self.suite}-{self.split} has no references, so it has no {ORACLE}; leave it out, or search its "
                "tasks: python -m metagan_rl.experiments.studies.oracle"
            )
        names = [*self.schedulers, *(name for name, _ in self.policies)]
        if not names or len(set(names)) != len(names):
            raise InvalidValueError(f"schedulers {names}; name at least one, and each once")
        for name in names:
            if name in RESERVED or "|" in name:
                raise InvalidValueError(
                    f"a scheduler is named {name!r}, which the file of samples cannot hold; rename it"
                )
        for name, path in self.policies:
            load_scheduler(path)
            if name in known:
                raise InvalidValueError(
                    f"policy file {path} would be compared as {name!r}, a scheduler's name; rename it"
                )
        if self.seeds < 1:
            raise InvalidValueError(f"seeds is {self.seeds}; it must be at least 1")
        if self.tasks is not None and self.tasks < 1:
            raise InvalidValueError(f"tasks is {self.tasks}; it must be at least 1")
        if not self.chosen_tasks():
            some = get_suite(self.suite).split(self.split)[0].name
            raise InvalidValueError(f"no task of {self.suite}-{self.split} is named {self.only!r}; one is {some!r}")
        for name in METRICS:
            if name in COLUMNS:
                raise InvalidValueError(f"metric {name!r} has the name of another column of rows; rename it")
        initial = self.weights()
        if initial is not None:
            for task in self.chosen_tasks():
                initial.check(task)

    def chosen_tasks(self) -> list[Task]:
        """The chosen tasks, in the split's order; with ``tasks``, only the first of each family and tag."""
        split = [task for task in get_suite(self.suite).split(self.split) if fnmatchcase(task.name, self.only or "*")]
        if self.tasks is None:
            return split
        groups: dict[tuple[str, str, str], list[Task]] = {}
        for task in split:
            groups.setdefault((task.tag, task.family, task.name.split("/")[0]), []).append(task)
        return [task for group in groups.values() for task in group[: self.tasks]]


def every_scheduler(suite: str, split: str) -> tuple[str, ...]:
    """All schedulers, and the oracle if the split has references."""
    return (*scheduler_names(), *([ORACLE] if load_references(suite, split).schedules else []))
