"""Finds schedulers by name: those of the package, those of installed extensions, and ``module:attribute``."""

import os
from pathlib import Path
from typing import Any

from metagan_rl.errors import InvalidValueError
from metagan_rl.extensions import load_entry_points
from metagan_rl.loop.scheduler import SCHEDULERS, Scheduler


def scheduler_names() -> list[str]:
    """The names that :func:`make_scheduler` knows."""
    from metagan_rl.agents.learners import shipped  # noqa: F401  (imported to register their schedulers)
    from metagan_rl.agents.rules import clock, own, reactive, recipes  # noqa: F401
    from metagan_rl.agents.searches import (  # noqa: F401
        bandit,
        identified,
        own_or_rule,
        population_based,
        rate_check,
        rule,
        tuned,
    )

    load_entry_points()
    return [name for name in SCHEDULERS if ":" not in name]


def make_scheduler(name: str, **options: Any) -> Scheduler:
    """Makes the scheduler of that name.

    Args:
        name: a registered name, or ``module:attribute`` of a scheduler class or of a function that makes one.
        **options: the scheduler's options.

    Raises:
        UnknownNameError: there is no such scheduler; the message offers the nearest names.
        InvalidValueError: an option is out of range, or the attribute does not make a scheduler.
    """
    scheduler_names()
    scheduler = SCHEDULERS[name](**options)
    if not isinstance(scheduler, Scheduler):
        raise InvalidValueError(f"scheduler {name!r} made {scheduler!r}, which is not a metagan_rl.agents.Scheduler")
    return scheduler


def load_scheduler(path: str | os.PathLike[str]) -> Scheduler:
    """The scheduler of a file: a policy (``.safetensors``), or a schedule or rule of ``metagan-rl tune`` (``.json``).

    Raises:
        FileFormatError: the file is missing, damaged, or of another kind or version.
    """
    from metagan_rl.agents.learners.policy_files import load_policy
    from metagan_rl.agents.searches.rule import is_rule, load_rule
    from metagan_rl.agents.searches.tuned import load_schedule

    if Path(path).suffix != ".json":
        return load_policy(Path(path))
    return load_rule(Path(path)) if is_rule(Path(path)) else load_schedule(Path(path))


KINDS = {
    "rules.clock": "fixed",
    "rules.own": "fixed",
    "rules.recipes": "fixed",
    "rules.reactive": "reactive",
    "searches": "searching",
}
"""What kind of scheduler each module of ``metagan_rl.agents`` holds."""


SETTLED = ("rules.clock", "rules.own", "rules.recipes", "searches.tuned", "searches.rule")
"""Modules of ``metagan_rl.agents`` whose schedulers have settled their course before a run begins."""


def kind_of(name: str) -> str:
    """The kind of a scheduler: fixed, reactive, searching, learned, or (by someone else) own."""
    module = getattr(SCHEDULERS[name], "__module__", "")
    if module.startswith("metagan_rl.agents.learners"):
        return "learned"
    return next((kind for part, kind in KINDS.items() if module.startswith(f"metagan_rl.agents.{part}")), "own")


def is_settled(name: str) -> bool:
    """Whether a scheduler's whole course is settled before a run begins: a fixed schedule, tuned or not."""
    module = getattr(SCHEDULERS[name], "__module__", "")
    return any(module == f"metagan_rl.agents.{part}" for part in SETTLED)
