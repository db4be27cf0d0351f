"""Other optimizers as rivals of the tuned decay: ``python -m metagan_rl.experiments.studies.rivals --split test``.

Prodigy finds its rate by itself. Schedule-Free averages weights instead of letting rates fall. RMSprop and TiAda follow
the tuned schedules in Adam's place. All train the same tasks with the same seeds as ``tuned-decay`` with Adam, under
conditions of the study :mod:`.transfer`. With ``--split val``, variants run from which those for the test split were
chosen. Runs go on where they stopped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from metagan_rl.agents.searches.tuned import Schedule, Tuned, tuned_constant, tuned_decay
from metagan_rl.experiments.benchmark.records import read_lines
from metagan_rl.experiments.studies.command import check_names, run_command, show_line
from metagan_rl.experiments.studies.full_form import RESULTS
from metagan_rl.experiments.studies.transfer.study import FIRST_SEED, Job, run_missing
from metagan_rl.experiments.studies.transfer.table import REFERENCE, cell, ratios, table
from metagan_rl.files import make_directory
from metagan_rl.loop.scheduler import Scheduler
from metagan_rl.optimizers import OPTIMIZERS, Prodigy
from metagan_rl.tasks import Task

DECAY, CONSTANT = tuned_decay().schedule, tuned_constant().schedule
CORRECTED = "prodigy-corrected"
"""Prodigy with the two options that its authors offer for the first steps: bias correction and a safeguard."""


@dataclass(frozen=True)
class Rival:
    """An optimizer under a schedule.

    Attributes:
        schedule: what it follows; with Prodigy, rates are factors of what it finds by itself.
        base: what differs in the tasks' base.
    """

    schedule: Schedule
    base: Mapping[str, Any] = field(default_factory=dict)


def times(schedule: Schedule, factor: float, **changes: Any) -> Schedule:
    """A schedule at other rates."""
    names = ("generator_lr", "discriminator_lr")
    rates = {name: tuple(factor * rate for rate in getattr(schedule, name)) for name in names}
    return replace(schedule, **{**rates, **changes})


def _own_rate(optimizer: str, factor: float = 1.0, penalty: bool = False, decay: bool = False) -> Rival:
    """An optimizer that finds its rate by itself."""
    fall = (factor, factor / 3 if decay else factor)
    weight = DECAY.penalty_weight if penalty else 0.0
    schedule = replace(DECAY, generator_lr=fall, discriminator_lr=fall, penalty_weight=weight)
    return Rival(schedule, {"optimizer": optimizer, "generator_lr": 1.0, "discriminator_lr": 1.0})


VARIANTS: dict[str, Rival] = {
    REFERENCE: Rival(DECAY),
    "adam, beta1 0": Rival(DECAY, {"beta1": 0.0}),
    "prodigy": _own_rate("prodigy"),
    "prodigy, penalty": _own_rate("prodigy", penalty=True),
    "prodigy, decay": _own_rate("prodigy", decay=True),
    "prodigy, penalty, decay": _own_rate("prodigy", penalty=True, decay=True),
    "corrected prodigy, penalty, decay": _own_rate(CORRECTED, penalty=True, decay=True),
    "prodigy x0.3, penalty, decay": _own_rate("prodigy", 0.3, penalty=True, decay=True),
    "corrected prodigy x0.3, penalty, decay": _own_rate(CORRECTED, 0.3, penalty=True, decay=True),
    "d-adaptation": _own_rate("d-adaptation"),
    **{
        f"d-adaptation{suffix}, penalty, decay": _own_rate("d-adaptation", factor, penalty=True, decay=True)
        for suffix, factor in ((" x0.3", 0.3), ("", 1.0), (" x3", 3.0))
    },
    **{
        f"schedule-free x{factor:g}, beta1 {beta1:g}": Rival(
            times(CONSTANT, factor), {"optimizer": "schedule-free", "beta1": beta1}
        )
        for beta1, factor in ((0.5, 0.3), (0.5, 1.0), (0.5, 3.0), (0.9, 1.0))
    },
    **{f"rmsprop x{factor:g}": Rival(times(DECAY, factor), {"optimizer": "rmsprop"}) for factor in (0.3, 1.0, 3.0)},
    **{f"tiada x{factor:g}": Rival(times(DECAY, factor), {"optimizer": "tiada"}) for factor in (0.3, 1.0, 3.0)},
}
"""All that was tried. "x0.3" is 0.3 times the rates of the tuned schedule, or of what Prodigy finds."""
SHOWN = (
    REFERENCE, "corrected prodigy, penalty, decay", "d-adaptation, penalty, decay", "schedule-free x1, beta1 0.5",
    "rmsprop x1", "adam, beta1 0", "tiada x1",
)  # fmt: skip
"""The best of each optimizer at its own rate, 1, or at those of the tuned schedule; Adam without momentum besides."""
PRODIGIES = (REFERENCE, "prodigy", "prodigy, penalty", "prodigy, decay", "prodigy, penalty, decay")
"""What penalty and decay are worth to Prodigy."""
CHOSEN = tuple(dict.fromkeys((*SHOWN, *PRODIGIES)))
"""What runs on test tasks."""
CHOOSING = ("as trained",)
"""Where variants were chosen, on validation tasks. The tuned decay was tuned on tasks like these."""
CONDITIONS = (
    "as trained", "held-out families", "G's rate x8, hidden", "both rates x8, hidden", "both rates /8, hidden",
    "beta1 .9", "768 updates", "tables",
)  # fmt: skip
DECISIONS = 16
"""Intervals of a run."""


@dataclass(frozen=True)
class Rivals:
    """Other optimizers under conditions."""

    split: str = "val"
    """Split: val to choose, test once at the end."""
    only: tuple[str, ...] = ()
    """Variants to run besides tuned-decay; by default all on val, and the chosen ones on test."""
    under: tuple[str, ...] = ()
    """Only conditions whose names contain one of these."""
    tasks: int = 12
    """Tasks of each condition at most."""
    seeds: int = 1
    """GAN seeds of each task."""
    workers: int | None = None
    """Jobs run at once; by default one for each core."""
    out: Path = RESULTS / "rivals"
    """Directory for the rows."""


@dataclass(frozen=True)
class RivalJob(Job):
    """One rival under one condition with one seed for each task."""

    def tasks(self) -> list[Task]:
        """The tasks of the condition, with the rival's base."""
        register_corrected()
        return [task.with_base(**VARIANTS[self.scheduler].base) for task in super().tasks()]

    def make(self) -> Scheduler:
        """The rival's schedule."""
        return Tuned(VARIANTS[self.scheduler].schedule)


@cache
def register_corrected() -> None:
    """Makes the variant of Prodigy known; once."""
    make = partial(Prodigy, bias_correction=True, safeguard_warmup=True)
    OPTIMIZERS.register(CORRECTED, replace(OPTIMIZERS["prodigy"], make=make))


def jobs_of(options: Rivals) -> list[RivalJob]:
    """All jobs of a split, seed by seed.

    Raises:
        UnknownNameError: there is no such variant.
    """
    check_names("variant", options.only, VARIANTS)
    usual = VARIANTS if options.split == "val" else CHOSEN
    names = [name for name in VARIANTS if name in (options.only or usual) or name == REFERENCE]
    return [
        RivalJob(condition, options.split, options.tasks, FIRST_SEED[options.split] + seed, name, None, DECISIONS)
        for seed in range(options.seeds)
        for condition in (CHOOSING if options.split == "val" else CONDITIONS)
        if not options.under or any(part in condition for part in options.under)
        for name in names
    ]


def tables() -> list[str]:
    """The tables of ``docs/rivals.md``, from the committed rows: test tasks, then what was chosen from."""
    rows = read_lines(RESULTS / "rivals" / "rows.jsonl")
    splits = [[row for row in rows if row["split"] == split] for split in ("test", "val")]
    chosen, tried = (sorted(some, key=lambda row: CONDITIONS.index(row["condition"])) for some in splits)
    return [table(chosen, SHOWN), table(chosen, PRODIGIES), variants_table(tried)]


def variants_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Every variant's ratio to the reference under the condition of the choice, as Markdown."""
    own = [row for row in rows if row["condition"] in CHOOSING]
    there = [name for name in VARIANTS if any(row["scheduler"] == name for row in own)]
    lines = [f"| variant | {' | '.join(CHOOSING)} |", "|---|" + "--:|" * len(CHOOSING)]
    for name in there:
        cells = [cell(ratios(own, name, REFERENCE, condition)) for condition in CHOOSING]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def study(options: Rivals) -> None:
    """Runs what is missing, then prints the table."""
    jobs = jobs_of(options)
    rows = run_missing(jobs, make_directory(options.out) / "rows.jsonl", options.workers)
    show_line(table(rows, list(dict.fromkeys(job.scheduler for job in jobs))))


if __name__ == "__main__":
    run_command(Rivals, study)
