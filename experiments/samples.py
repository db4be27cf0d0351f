"""Samples over time: what a benchmark keeps of its runs for pictures, and the file they are kept in.

``samples.npz`` holds, for some tasks of the first seed, an array for each run, ``[M, N, D]``: the points of the same N
noise vectors at M moments of training, the last of them the end. Beside them lie, for each task, real points under the
name ``real`` and the updates done at each moment, ``[M]``, under ``updates``.
"""

import io
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metagan_rl.envs.runs import Runs
from metagan_rl.errors import FileFormatError
from metagan_rl.evaluation import generated
from metagan_rl.files import write_whole

SAMPLES = "samples.npz"
MOMENTS = (0.0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 1.0)
"""Shares of the budget at which points are kept: most happens early."""
SAMPLED_POINTS, SAMPLED_VALUES = 512, 1 << 13
"""Points kept of each, and numbers in them: fewer of wide ones, of which pictures show 36."""
FARTHEST = 100.0
"""Coordinates are cut off here, far outside every picture and well within float16."""
REAL, UPDATES = "real", "updates"
RESERVED = (REAL, UPDATES)
"""Names that no scheduler may have, for the file uses them."""


class SampleKeeper:
    """Watches runs (see ``drive``) and keeps points of some of them.

    Args:
        suite, split, scheduler: of the runs.
        wanted: names of the tasks whose points are kept.
    """

    def __init__(self, suite: str, split: str, scheduler: str, wanted: Collection[str]) -> None:
        self._suite, self._split, self._scheduler, self._wanted = suite, split, scheduler, frozenset(wanted)
        self._points: dict[int, list[np.ndarray]] = {}
        self._updates: list[int] = []
        self._runs: Runs | None = None

    def __call__(self, interval: int, runs: Runs) -> None:
        """Keeps the points of this moment if it is one of ``MOMENTS``, rounded up to a whole interval."""
        horizon = int(runs.horizons[0])
        if interval not in {int(np.ceil(share * horizon)) for share in MOMENTS}:
            return
        self._runs = runs
        self._updates.append(interval * runs.interval_updates)
        for member, task in enumerate(runs.tasks):
            if task.name in self._wanted and task.networks.kind != "dirac":
                points = generated(runs.population, [member])[0][: _kept(task.dim)]
                self._points.setdefault(member, []).append(_small(points.numpy(force=True)))

    def samples(self) -> dict[str, np.ndarray]:
        """What was kept, by name in the file."""
        found: dict[str, np.ndarray] = {}
        for member, points in self._points.items():
            assert self._runs is not None
            task = self._runs.tasks[member]
            real = task.data().reward_reference[: _kept(task.dim)].numpy()
            for name, array in (
                (self._scheduler, np.stack(points)),
                (REAL, _small(real)),
                (UPDATES, np.array(self._updates, dtype=np.int64)),
            ):
                found[_name(self._suite, self._split, task.name, name)] = array
        return found


@dataclass(frozen=True)
class TaskSamples:
    """What was kept of one task.

    Attributes:
        real: points ``[N, D]``.
        updates: done at each moment, ``[M]``, increasing; empty where only the end was kept.
        points: ``[M, N, D]`` by scheduler; of a run of which only the end was kept, ``[1, N, D]``.
    """

    real: np.ndarray
    updates: np.ndarray
    points: Mapping[str, np.ndarray]


class SampleFile:
    """Reads ``samples.npz``, of this version or of the one before, which kept the end only.

    Arrays are read task by task, so that a large file takes little memory.

    Args:
        path: of the file; one that does not exist holds nothing.

    Raises:
        FileFormatError: it is no such file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._names: frozenset[str] = frozenset()
        if path.exists():
            with self._opened() as file:
                self._names = frozenset(file.files)

    def holds(self, suite: str, split: str, task: str) -> bool:
        """Whether anything was kept of the task."""
        return self._find(suite, split, task, REAL) is not None

    def of(self, suite: str, split: str, task: str, schedulers: Collection[str]) -> TaskSamples:
        """What was kept of a task that the file holds.

        Args:
            suite: its suite.
            split: its split.
            task: its name.
            schedulers: names to look for.

        Raises:
            FileFormatError: an array cannot be read, or the arrays do not fit together.
        """
        names = {name: self._find(suite, split, task, name) for name in (*RESERVED, *schedulers)}
        with self._opened() as file:
            arrays = {name: np.asarray(file[stored]) for name, stored in names.items() if stored is not None}
        for name, array in arrays.items():
            if not array.size or array.dtype.kind not in "fiu":
                raise FileFormatError(f"{self._path} is damaged: {names[name]} is {array.dtype} of shape {array.shape}")
        real, updates = arrays.pop(REAL), arrays.pop(UPDATES, np.empty(0, dtype=np.int64))
        if real.ndim != 2 or updates.ndim != 1 or (np.diff(updates) <= 0).any():
            raise FileFormatError(f"{self._path} is damaged: real points or moments of {task} make no sense")
        points = {name: array[None] if array.ndim == 2 else array for name, array in arrays.items()}
        for name, array in points.items():
            if array.ndim != 3 or array.shape[0] not in (1, len(updates)) or array.shape[2] != real.shape[1]:
                raise FileFormatError(
                    f"{self._path} is damaged: {names[name]} has the shape {arrays[name].shape}, but its task has "
                    f"{len(updates)} moments and {real.shape[1]} columns"
                )
        return TaskSamples(real, updates, points)

    def _find(self, suite: str, split: str, task: str, name: str) -> str | None:
        """The stored name; the version before left out suite and split."""
        both = (_name(suite, split, task, name), f"{task}|{name}")
        return next((stored for stored in both if stored in self._names), None)

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        try:
            with self._path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                yield file
        except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error) as error:
            raise FileFormatError(f"{self._path} is damaged: {error}") from None


def add_samples(path: Path, samples: Mapping[str, np.ndarray]) -> None:
    """Adds arrays to a file of samples; those of the same name are replaced.

    Raises:
        OutputError: it cannot be written.
    """
    if not samples:
        return
    if path.exists():
        with np.load(path, allow_pickle=False) as earlier:
            samples = {**{name: earlier[name] for name in earlier.files}, **samples}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **samples)  # type: ignore[arg-type]  # keywords are arrays
    write_whole(path, buffer.getvalue())


def _kept(dim: int) -> int:
    return min(SAMPLED_POINTS, max(SAMPLED_VALUES // dim, 36))


def _small(points: np.ndarray) -> np.ndarray:
    return np.nan_to_num(points).clip(-FARTHEST, FARTHEST).astype(np.float16)


def _name(suite: str, split: str, task: str, name: str) -> str:
    return f"{suite}|{split}|{task}|{name}"
