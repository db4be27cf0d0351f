"""A run folder that the live page opens: its policies as schedulers, and how far it has come."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, isfinite, log
from pathlib import Path
from typing import Any

from metagan_rl.agents.catalogue import load_scheduler
from metagan_rl.agents.learners.run_folder import CONFIG as TRAIN_CONFIG
from metagan_rl.agents.learners.run_folder import POLICY, read_config, read_progress
from metagan_rl.errors import FileFormatError
from metagan_rl.experiments.benchmark.records import CONFIG as BENCHMARK_CONFIG
from metagan_rl.experiments.benchmark.records import read_config as read_benchmark
from metagan_rl.experiments.benchmark.records import read_rows
from metagan_rl.files import exists
from metagan_rl.loop import Scheduler

PARTS = (".", "train", "benchmark")
"""Where a run's files may lie; a quickstart has two of them."""
CURVES = {
    "validation/distance": "distance on validation tasks",
    "validation/distance_constant": "untuned",
    "validation/distance_random": "random",
    "rollout/distance": "distance in training",
}
"""What of a training's progress is drawn, and in which words."""


@dataclass(frozen=True)
class Folder:
    """A folder of ``train``, ``quickstart``, ``tune`` or ``benchmark``.

    Args:
        path: the folder.

    Raises:
        FileFormatError: it holds no policy or schedule, no training and no benchmark, or a file is damaged.
    """

    path: Path

    def __post_init__(self) -> None:
        if not self.path.is_dir():
            raise FileFormatError(f"there is no folder {self.path}; metagan-rl train and quickstart make one")
        for name in self.schedulers():
            self.make(name)
        self.told()
        if not self.schedulers() and not self._begun():
            raise FileFormatError(
                f"{self.path} holds no policy, no training and no benchmark; give a folder of metagan-rl train, tune, "
                "quickstart or benchmark"
            )

    def schedulers(self) -> dict[str, Path]:
        """Its policies and schedules, by the names they have on the page: ``folder/file``."""
        name = self.path.resolve().name
        return {f"{name}/{path.stem}": path for path in self._files()}

    def make(self, name: str) -> Scheduler:
        """One of them, as its file is now.

        Raises:
            FileFormatError: the file is damaged or gone.
        """
        return load_scheduler(self.schedulers()[name])

    def told(self) -> dict[str, Any]:
        """What the page shows of it, as it is now.

        Returns:
            Its ``name``; ``curves`` of its training, each with a ``label`` and ``points`` (GAN updates, value); and
            ``standings`` of its benchmark, each with ``suite``, ``scheduler``, ``distance``, ``diverged``, ``runs``.

        Raises:
            FileFormatError: a file is damaged.
        """
        curves, standings = [], []
        for part in self._parts():
            if exists(part / TRAIN_CONFIG):
                read_config(part)
                curves += _curves(read_progress(part))
            if exists(part / BENCHMARK_CONFIG):
                standings += _standings(part)
        return {"name": self.path.resolve().name, "curves": curves, "standings": standings}

    def _begun(self) -> bool:
        """Whether a run has begun in it, be there something to show or not."""
        return any(exists(part / name) for part in self._parts() for name in (TRAIN_CONFIG, BENCHMARK_CONFIG))

    def _parts(self) -> list[Path]:
        return [self.path / part for part in PARTS if (self.path / part).is_dir()]

    def _files(self) -> Iterator[Path]:
        for part in self._parts():
            if exists(part / POLICY):
                yield part / POLICY
            yield from sorted(part.glob("tuned-*.json"))


def _curves(progress: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for name, label in CURVES.items():
        points = [[int(each["gan_updates"]), float(each[name])] for each in progress if _has(each, name)]
        if points:
            found.append({"label": label, "points": points})
    return found


def _has(record: dict[str, Any], name: str) -> bool:
    numbers = [record.get(each) for each in ("gan_updates", name)]
    return all(isinstance(each, (int, float)) and isfinite(each) for each in numbers)


def _standings(directory: Path) -> list[dict[str, Any]]:
    """Geometric mean of the final distance over the runs that all schedulers have finished, the best first."""
    read_benchmark(directory)
    rows = read_rows(directory)
    found = []
    for suite in dict.fromkeys((row.key.suite, row.key.split) for row in rows):
        of_suite = [row for row in rows if (row.key.suite, row.key.split) == suite and not row.error]
        cells: dict[str, dict[Any, Any]] = {}
        for row in of_suite:
            cells.setdefault(row.key.scheduler, {})[row.key.cell] = row
        shared = set.intersection(*map(set, cells.values())) if cells else set()
        for scheduler, of_scheduler in cells.items():
            some = [of_scheduler[cell] for cell in shared]
            logs = [log(row.distance) for row in some if row.distance]
            if logs:
                found.append(
                    {
                        "suite": " ".join(suite), "scheduler": scheduler, "distance": exp(sum(logs) / len(logs)),
                        "diverged": sum(row.diverged for row in some), "runs": len(some),
                    }
                )  # fmt: skip
    return sorted(found, key=lambda each: (each["suite"], each["distance"]))
