"""Finds the scheduler a user asks for, and checks that it can work with one GAN and what the loop measures."""

import copy
import os
from collections.abc import Iterable
from pathlib import Path

from metagan_rl.agents.catalogue import load_scheduler, make_scheduler, scheduler_names
from metagan_rl.agents.learners.policy import PolicyScheduler
from metagan_rl.agents.plugin.quality import QUALITY_PARTS
from metagan_rl.errors import InvalidValueError, UnknownNameError
from metagan_rl.loop.scheduler import Scheduler


def chosen_scheduler(named: "str | os.PathLike[str] | Scheduler") -> tuple[str, Scheduler]:
    """Returns a name to show, and the scheduler.

    Args:
        named: a registered name, the path of a policy (``.safetensors``) or a schedule (``.json``), or a scheduler,
            which is copied.

    Raises:
        UnknownNameError: no scheduler has that name; the message offers the nearest names.
        FileFormatError: the file is missing, damaged, or of another kind or version.
    """
    if isinstance(named, Scheduler):
        return type(named).__name__, copy.deepcopy(named)
    if not isinstance(named, (str, os.PathLike)):
        raise InvalidValueError(f"the scheduler is {named!r}; give a name, a file or a Scheduler")
    path = Path(named)
    if str(named) in scheduler_names():  # a registered name wins over a file of that name
        return str(named), make_scheduler(str(named))
    if path.suffix in (".json", ".safetensors") or path.is_file():
        return path.stem, load_scheduler(path)
    return str(named), make_scheduler(str(named))


def turned_knobs(scheduler: Scheduler) -> tuple[str, ...]:
    """The knobs that a scheduler ever turns, as far as that is known; otherwise none."""
    if isinstance(scheduler, PolicyScheduler):
        return scheduler.codec.names
    return tuple(getattr(scheduler, "turned", ()))


def check_usable(name: str, scheduler: Scheduler, quality: Iterable[str]) -> None:
    """Checks that a scheduler can work with a loop's signals and the given parts of ``quality``.

    Raises:
        UnknownNameError: a part of quality does not exist.
        InvalidValueError: the scheduler trains several GANs at once, or needs a signal that is not measured.
    """
    parts = set(quality)
    for part in parts:
        if part not in QUALITY_PARTS:
            raise UnknownNameError("part of quality", part, QUALITY_PARTS)
    if scheduler.members > 1:
        raise InvalidValueError(
            f"scheduler {name!r} trains {scheduler.members} GANs side by side, but a loop has one; choose another"
        )
    missing = {
        part: [signal for signal in signals if signal in scheduler.needs]
        for part, signals in QUALITY_PARTS.items()
        if part not in parts
    }
    lacking = {part: signals for part, signals in missing.items() if signals}
    if lacking:
        seen = ", ".join(signal for signals in lacking.values() for signal in signals)
        raise InvalidValueError(
            f"scheduler {name!r} needs signals of a quality metric ({seen}); give step quality= with "
            f"{', '.join(sorted(parts | set(lacking)))} and say so by GANScheduler(..., "
            f"quality={tuple(sorted(parts | set(lacking)))}), or choose one that sees only what any loop has"
        )
