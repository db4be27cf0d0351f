"""What tuning can win on a task: the distance of an untuned run, and of the best schedule found for that task.

Both were measured by random search on each task and are part of the package, one file for each split:
``experiments/references/<suite>-<split>.json``. A run's score is its share of the room between the two,

    score = (log untuned - log d) / (log untuned - log oracle).

It is 0 for a run as good as the median random constant, and 1 for a run as good as the per-task oracle. It is below 0
for runs worse than untuned. It may exceed 1, because the oracle is only the best that a finite search found.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from metagan_rl.agents.searches.tuned import Schedule, schedule_from
from metagan_rl.errors import FileFormatError, InvalidValueError
from metagan_rl.records import read_record, write_record
from metagan_rl.tasks.suites import SUITES, Suite, get_suite

FOLDER = Path(__file__).with_name("references")
REFERENCES_KIND = "metagan-rl references"
ORACLE = "oracle"
"""The benchmark's name for the schedules found for single tasks."""
LEAST_ROOM = 1.25
"""Tasks whose untuned / oracle is below this are left out of the score, which would mostly show a run's seed there.
log 1.25 = 0.22 is about twice the median deviation of log distance between seeds of one task (0.10 for ``constant`` on
the planar test split)."""


@dataclass(frozen=True)
class Room:
    """What tuning can win on one task.

    Attributes:
        untuned: distance of the median random constant, positive.
        oracle: distance of the best schedule found for this task, on seeds that were not used to choose it.
    """

    untuned: float
    oracle: float

    def __post_init__(self) -> None:
        for name in ("untuned", "oracle"):
            if not 0 < getattr(self, name) < float("inf"):
                raise InvalidValueError(f"{name} is {getattr(self, name)!r}; a distance must be positive and finite")

    @property
    def enough(self) -> bool:
        """Whether the score shows more than the seed: untuned / oracle is at least ``LEAST_ROOM``."""
        return self.untuned / self.oracle >= LEAST_ROOM


@dataclass(frozen=True)
class References:
    """What was measured on the tasks of one split; empty if nothing was measured.

    Attributes:
        suite, split: where the tasks come from.
        sha256: SHA-256 of the suite they were measured on; empty if nothing was measured.
        rooms: rooms by task.
        curves: curves by task, ``[T, 2]``: the number of random constants tried, ascending from 1, and the geometric
            mean distance of the best of them, chosen on one seed and judged on another.
        schedules: the oracle's schedules by task.
        runs: runs spent on each task to find and judge its oracle.
    """

    suite: str
    split: str
    sha256: str = ""
    rooms: Mapping[str, Room] = field(default_factory=dict)
    curves: Mapping[str, np.ndarray] = field(default_factory=dict)
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    runs: int = 0


def share_of_room(distance: float, room: Room) -> float:
    """The score of a run that ended at ``distance``: 0 for untuned, 1 for the oracle.

    Raises:
        InvalidValueError: the distance is not positive and finite, or the oracle is no better than untuned.
    """
    if not 0 < distance < float("inf"):
        raise InvalidValueError(f"distance is {distance!r}; it must be positive and finite")
    if room.untuned <= room.oracle:
        raise InvalidValueError(f"{room} leaves no room to share; leave such tasks out (Room.enough)")
    return float(np.log(room.untuned / distance) / np.log(room.untuned / room.oracle))


def references_file(suite: str, split: str, folder: str | Path | None = None) -> Path:
    """The path of a split's references, which may not exist."""
    return Path(FOLDER if folder is None else folder) / f"{suite}-{split}.json"


def save_references(path: Path, record: Mapping[str, Any]) -> None:
    """Writes what was measured on a split, with a digest.

    Args:
        path: the file.
        record: ``suite``, ``split``, ``suite_sha256``, ``runs``, and for each of the ``tasks`` its ``untuned`` and
            ``oracle`` distance, ``schedule`` and ``curve``; whatever else tells how it was measured.

    Raises:
        OutputError: the file cannot be written.
    """
    write_record(path, {"kind": REFERENCES_KIND, **record})


def load_references(suite: str, split: str, folder: str | Path | None = None) -> References:
    """Reads what was measured on a split.

    Args:
        suite: name of the suite. A suite that is not registered has no references.
        split: name of the split.
        folder: folder with one file for each split; by default the package's own.

    Returns:
        The references; empty if there is no file. A file may cover fewer tasks than the split has.

    Raises:
        FileFormatError: the file is damaged or of another kind, or was measured on other tasks.
    """
    path = references_file(suite, split, folder)
    if suite not in SUITES or not path.is_file():
        return References(suite, split)
    try:
        record = read_record(path, "the references of a split", kind=REFERENCES_KIND)
        if (record["suite"], record["split"]) != (suite, split):
            raise ValueError(f"it is of {record['suite']}-{record['split']}")
        sha256 = str(record["suite_sha256"])
        runs, tasks = int(record["runs"]), dict(record["tasks"])
    except FileFormatError:
        raise
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise _damaged(path, error) from None
    known = get_suite(suite)
    if sha256 != known.sha256:
        raise FileFormatError(
            f"{path} was measured on a suite with SHA-256 {sha256[:12]}…, but {suite} has {known.sha256[:12]}…; "
            "its tasks changed: measure the references again"
        )
    try:
        return _checked(known, split, sha256, runs, tasks)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise _damaged(path, error) from None


def _checked(suite: Suite, split: str, sha256: str, runs: int, tasks: Mapping[str, Any]) -> References:
    rooms, curves, schedules = {}, {}, {}
    names = {task.name for task in suite.split(split)}
    for name, entry in tasks.items():
        if name not in names:
            raise ValueError(f"the split has no task {name!r}")
        rooms[name] = Room(float(entry["untuned"]), float(entry["oracle"]))
        curve = np.array(entry["curve"], dtype=np.float64)
        if curve.shape != (len(curve), 2) or not len(curve) or not np.isfinite(curve).all() or curve[:, 1].min() <= 0:
            raise ValueError(f"the curve of {name!r} is not a list of trials and positive distances")
        if curve[0, 0] != 1 or (np.diff(curve[:, 0]) <= 0).any():
            raise ValueError(f"the trials of {name!r} do not ascend from 1")
        curves[name] = curve
        schedules[name] = schedule_from(entry["schedule"])
    return References(suite.name, split, sha256, rooms, curves, schedules, runs)


def _damaged(path: Path, error: Exception) -> FileFormatError:
    detail = f"there is no {error} in it" if type(error) is KeyError else str(error)
    return FileFormatError(f"{path} is damaged: {detail}; restore it or measure the references again")
