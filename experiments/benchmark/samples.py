"""Samples over time, which a benchmark keeps for pictures, and their file.

``samples.npz`` covers some tasks with the first seed. For each run it holds an array ``[M, N, D]``: the points made
from the same N noise vectors at M moments of training, the last of which is the end. Their distances, ``[M]``, are
under ``distance``. For each task it also holds real points under ``real``, and the updates done at each moment,
``[M]``, under ``updates``.
"""

import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metagan_rl.archives import check_seal, sealed
from metagan_rl.errors import FileFormatError, brief
from metagan_rl.evaluation import generated
from metagan_rl.files import exists, write_whole
from metagan_rl.loop.runs import Runs
from metagan_rl.tasks.task import Task

SAMPLES = "samples.npz"
MOMENTS = (0.0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 1.0)
"""Shares of the budget at which points are kept, closer together early, when most happens."""
SAMPLED_POINTS, SAMPLED_VALUES = 512, 1 << 13
"""Most points kept of each run, and most numbers in them. Wide data keep fewer points; pictures show 36 of those."""
FARTHEST = 100.0
"""Coordinates are limited to this, far outside every picture and well within float16."""
REAL, UPDATES, DISTANCE = "real", "updates", "distance"
RESERVED = (REAL, UPDATES)
"""Names that no scheduler may have, because the file uses them. Nor may a name contain "|", which separates names."""
REMEDY = "restore it, or delete it: the report then lacks its pictures of samples"


class SampleKeeper:
    """Watches runs (see ``drive``) and keeps points of some of them.

    If a scheduler trains several GANs for a task, it keeps those of the best GAN at each moment, as at the end.

    Args:
        suite, split, scheduler: those of the runs.
        wanted: names of the tasks whose points are kept, each with the places of its GANs among the runs.
        updates: updates at whose end points are kept, increasing; the same for all schedulers. Where a run has no
            interval that ends there, the next one counts.
    """

    def __init__(
        self, suite: str, split: str, scheduler: str, wanted: Mapping[str, Sequence[int]], updates: Sequence[int]
    ) -> None:
        self._suite, self._split, self._scheduler, self._wanted = suite, split, scheduler, wanted
        self._updates, self._next = list(updates), 0
        self._tasks: dict[str, Task] = {}
        self._points: dict[str, list[np.ndarray]] = {}
        self._distances: dict[str, list[float]] = {}

    def __call__(self, interval: int, runs: Runs) -> None:
        """Keeps the points of this moment, once for each of the moments that it is the first to reach."""
        done, ends = interval * int(runs.interval_updates[0]), interval == int(runs.horizons[0])
        while self._next < len(self._updates) and (ends or self._updates[self._next] <= done):
            self._keep(runs)
            self._next += 1

    def _keep(self, runs: Runs) -> None:
        for name, members in self._wanted.items():
            member = min(members, key=lambda place: float(runs.quality.distance[place]))
            task = self._tasks.setdefault(name, runs.tasks[member])
            points = generated(runs.population, [member])[0][: _kept(task.dim)]
            self._points.setdefault(name, []).append(_small(points.numpy(force=True)))
            self._distances.setdefault(name, []).append(float(runs.quality.distance[member]))

    def samples(self) -> dict[str, np.ndarray]:
        """The kept arrays, by their names in the file."""
        found: dict[str, np.ndarray] = {}
        for name, task in self._tasks.items():
            real = task.data().reward_reference[: _kept(task.dim)].numpy()
            key = _name(self._suite, self._split, name, self._scheduler)
            found[key] = np.stack(self._points[name])
            found[_name(key, DISTANCE)] = np.array(self._distances[name], dtype=np.float32)
            found[_name(self._suite, self._split, name, REAL)] = _small(real)
            found[_name(self._suite, self._split, name, UPDATES)] = np.array(self._updates, dtype=np.int64)
        return found


def moments_of(horizon: int, interval: int) -> list[int]:
    """Updates at which points are kept: ``MOMENTS`` of a run, each rounded up to a whole interval.

    Args:
        horizon: intervals of the run.
        interval: updates in an interval.
    """
    return sorted({int(np.ceil(share * horizon)) * interval for share in MOMENTS})


@dataclass(frozen=True)
class TaskSamples:
    """What was kept of one task.

    Attributes:
        real: real points ``[N, D]``.
        updates: updates done at each moment, ``[M]``, increasing.
        points: generated points ``[M, N, D]`` by scheduler.
        distances: distances of these points, ``[M]`` by scheduler, if they were kept.
    """

    real: np.ndarray
    updates: np.ndarray
    points: Mapping[str, np.ndarray]
    distances: Mapping[str, np.ndarray]


class SampleFile:
    """Reads ``samples.npz``, task by task, so that a large file takes little memory.

    Args:
        path: path of the file. A file that does not exist holds nothing.

    Raises:
        FileFormatError: it is not such a file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._names: frozenset[str] = frozenset()
        if exists(path):
            check_seal(path, REMEDY)
            with self._opened() as file:
                self._names = frozenset(file.files)

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything in the file, by its names there.

        Raises:
            FileFormatError: an array cannot be read.
        """
        if not self._names:
            return {}
        with self._opened() as file:
            return {name: np.asarray(file[name]) for name in file.files}

    def holds(self, suite: str, split: str, task: str) -> bool:
        """Whether the file holds anything of the task."""
        return _name(suite, split, task, REAL) in self._names

    def of(self, suite: str, split: str, task: str, schedulers: Collection[str]) -> TaskSamples:
        """What was kept of a task that the file holds.

        Args:
            suite: the task's suite.
            split: the task's split.
            task: the task's name.
            schedulers: names of schedulers to look for.

        Raises:
            FileFormatError: an array cannot be read, or the arrays do not fit together.
        """
        wanted = [*RESERVED, *schedulers, *(_name(scheduler, DISTANCE) for scheduler in schedulers)]
        names = {name: _name(suite, split, task, name) for name in wanted}
        with self._opened() as file:
            arrays = {name: np.asarray(file[stored]) for name, stored in names.items() if stored in self._names}
        for name, array in arrays.items():
            if not array.size or array.dtype.kind not in "fiu":
                raise FileFormatError(f"{self._path} is damaged: {names[name]} is {array.dtype} of shape {array.shape}")
        real, updates = arrays.pop(REAL), arrays.pop(UPDATES, np.zeros(2))  # without moments, the check below fails
        if real.ndim != 2 or updates.ndim != 1 or (np.diff(updates) <= 0).any():
            raise FileFormatError(f"{self._path} is damaged: real points or moments of {task} make no sense")
        points = {name: arrays[name] for name in schedulers if name in arrays}
        distances = {name: arrays[_name(name, DISTANCE)] for name in points if _name(name, DISTANCE) in arrays}
        for name, array in points.items():
            if array.ndim != 3 or array.shape[0] != len(updates) or array.shape[2] != real.shape[1]:
                raise FileFormatError(
                    f"{self._path} is damaged: {names[name]} has the shape {array.shape}, but its task has "
                    f"{len(updates)} moments and {real.shape[1]} columns"
                )
            if name in distances and distances[name].shape != array.shape[:1]:
                raise FileFormatError(
                    f"{self._path} is damaged: {names[name]} does not have as many distances as moments"
                )
        return TaskSamples(real, updates, points, distances)

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        try:
            with self._path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                yield file
        except FileFormatError:
            raise
        except Exception as error:  # an archive that was made to deceive can make readers raise anything
            raise FileFormatError(f"{self._path} is damaged: {brief(error)}; {REMEDY}") from None


def add_samples(path: Path, samples: Mapping[str, np.ndarray]) -> None:
    """Adds arrays to a file of samples; arrays of the same name are replaced.

    Raises:
        OutputError: the file cannot be written.
        FileFormatError: the file is damaged.
    """
    if samples:
        write_samples(path, {**SampleFile(path).arrays(), **samples})


def write_samples(path: Path, samples: Mapping[str, np.ndarray]) -> None:
    """Writes a file of samples, completely or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **samples)  # type: ignore[arg-type]  # keywords are arrays
    write_whole(path, sealed(buffer.getvalue()))


def _kept(dim: int) -> int:
    return min(SAMPLED_POINTS, max(SAMPLED_VALUES // dim, 36))


def _small(points: np.ndarray) -> np.ndarray:
    return np.nan_to_num(points).clip(-FARTHEST, FARTHEST).astype(np.float16)


def _name(*parts: str) -> str:
    return "|".join(parts)
