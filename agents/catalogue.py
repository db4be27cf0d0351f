"""Schedulers by name: those of the package, of installed extensions, and ``module:attribute``."""

import os
from pathlib import Path
from typing import Any

from metagan_rl.errors import InvalidValueError
from metagan_rl.extensions import load_entry_points
from metagan_rl.loop.scheduler import SCHEDULERS, Scheduler


def scheduler_names() -> list[str]:
    """Names that :func:`make_scheduler` knows."""
    from metagan_rl.agents.learners import shipped  # noqa: F401  (imported to register their schedulers)
    from metagan_rl.agents.rules import clock, reactive, recipes  # noqa: F401
    from metagan_rl.agents.searches import bandit, population_based, tuned  # noqa: F401

    load_entry_points()
    return list(SCHEDULERS)


def make_scheduler(name: str, **options: Any) -> Scheduler:
    """The scheduler of that name.

    Args:
        name: registered, or ``module:attribute`` of a scheduler's class or of a function that makes one.
        **options: of the scheduler.

    Raises:
        UnknownNameError: there is none; the nearest names are offered.
        InvalidValueError: an option is out of range, or the attribute makes no scheduler.
    """
    scheduler_names()
    scheduler = SCHEDULERS[name](**options)
    if not isinstance(scheduler, Scheduler):
        raise InvalidValueError(f"scheduler {name!r} made {scheduler!r}, which is no metagan_rl.agents.Scheduler")
    return scheduler


def load_scheduler(path: str | os.PathLike[str]) -> Scheduler:
    """The scheduler of a file: a policy (``.safetensors``), or a schedule that ``metagan-rl tune`` wrote (``.json``).

    Raises:
        FileFormatError: the file is missing, damaged, or of another kind or version.
    """
    from metagan_rl.agents.learners.policy_files import load_policy
    from metagan_rl.agents.searches.tuned import load_schedule

    return load_schedule(Path(path)) if Path(path).suffix == ".json" else load_policy(Path(path))


KINDS = {"rules.clock": "fixed", "rules.recipes": "fixed", "rules.reactive": "reactive", "searches": "searching"}
"""What schedulers of the modules of ``metagan_rl.agents`` are."""


def kind_of(name: str) -> str:
    """What sort of scheduler has that name: fixed, reactive, searching, learned, or somebody's own."""
    module = getattr(SCHEDULERS[name], "__module__", "")
    if module.startswith("metagan_rl.agents.learners"):
        return "learned"
    return next((kind for part, kind in KINDS.items() if module.startswith(f"metagan_rl.agents.{part}")), "own")
