"""The study's runs, and the loop that does those that are missing.

A run is a method with its settings and a seed, on one kind of data: starting weights are learned; how GANs adapt from
them is chosen on other tasks; GANs of new tasks adapt so, and their rows are kept. The rates of learning are chosen
first, on the same other tasks and by another seed, with a part of the updates.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from metagan_rl import __version__
from metagan_rl.errors import InvalidValueError
from metagan_rl.experiments.benchmark.backends import Workers
from metagan_rl.experiments.benchmark.records import ROWS, append_lines, read_lines
from metagan_rl.experiments.studies.meta_init.adapting import MOMENTS, adapt, geometric, measure
from metagan_rl.experiments.studies.meta_init.kinds import ADAPTATIONS, FACTORS, KINDS, Adaptation, Kind, adapted
from metagan_rl.files import make_directory, write_whole
from metagan_rl.meta_init import MetaDiscriminator, MetaGenerator, MetaInit, load_meta_init, save_meta_init
from metagan_rl.meta_init.command import METHODS, settings_for
from metagan_rl.meta_init.loop import meta_train
from metagan_rl.tasks import Task

FRESH = "fresh"
STARTS = (FRESH, "joint", "reptile", "fomaml", "maml")
"""Where GANs may start: at fresh weights, or at those that a method learned."""
GRIDS: dict[str, dict[str, tuple[float, ...]]] = {
    FRESH: {},
    "joint": {"inner_lr": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)},
    "reptile": {"inner_lr": (1e-3, 3e-3, 1e-2), "outer_lr": (0.3, 1.0)},
    "fomaml": {"inner_lr": (0.02, 0.1), "outer_lr": (1e-4, 3e-4, 2e-3)},
    "maml": {"inner_lr": (0.02, 0.1), "outer_lr": (1e-4, 3e-4, 2e-3)},
}
"""Rates that are tried, six settings of each method; nothing can be chosen for fresh weights but how they adapt."""
CHOOSING_SEED, CHOOSING_SHARE = 1000, 0.25
"""Seed of the choice, and the part of the updates that is spent on it."""
CHOOSING_MOMENTS = (10, 100)
"""Updates of adaptation at which distances are compared: soon, and later."""
CHOICES, ADAPTING, WEIGHTS = "choosing.jsonl", "adapting.jsonl", "weights"
COLUMNS = ("kind", "start", "seed", "settings", "adaptation", "scale", "task", "shots", "updates", "distance")
"""What every row has at least."""


@dataclass(frozen=True)
class StudyRun:
    """A method with its settings and a seed, on one kind of data.

    Attributes:
        kind: name in ``KINDS``.
        start: one of ``STARTS``.
        seed: of learning and of the GANs.
        settings: rates of learning, as in ``MetaSettings``.
        choosing: on the tasks that rates are chosen on, with a part of the updates.
        scale: factor of the updates, for trying the study out.
        learned: file of the weights, if they have been learned already.
    """

    kind: str
    start: str
    seed: int
    settings: Mapping[str, float] = field(default_factory=dict)
    choosing: bool = False
    scale: float = 1.0
    learned: Path | None = None

    def key(self) -> tuple[Any, ...]:
        """What tells its rows from others."""
        return self.kind, self.start, self.seed, tuple(sorted(self.settings.items()))

    def name(self) -> str:
        """Of its file of weights."""
        return f"{self.kind}-{self.start}-{self.seed}"


@dataclass(frozen=True)
class Learned:
    """Rows of a run, those by which its adaptation was chosen, and its weights as the content of a file, if any."""

    rows: list[dict[str, Any]]
    tried: list[dict[str, Any]] = field(default_factory=list)
    weights: bytes | None = None


def run_cell(cell: StudyRun) -> Learned:
    """Learns starting weights, chooses how GANs adapt from them, and lets GANs of new tasks adapt so.

    When the settings of learning are chosen, GANs of the tasks for that adapt by Adam with each of ``FACTORS``.
    """
    kind = KINDS[cell.kind]()
    start = None if cell.start == FRESH else learn(kind, cell)
    if cell.choosing:
        return Learned([row for factor in FACTORS for row in _tried(cell, kind, start, Adaptation("adam", factor))])
    tried = {adaptation: _tried(cell, kind, start, adaptation) for adaptation in ADAPTATIONS}
    best = min(ADAPTATIONS, key=lambda adaptation: geometric(tried[adaptation]))
    own = {**_names(cell), "adaptation": best.rate, "optimizer": best.optimizer}
    rows = [{**own, **row} for row in _curves(start, kind.new(cell.seed), best, cell.seed, MOMENTS)]
    every = [{**row, "optimizer": adaptation.optimizer} for adaptation, some in tried.items() for row in some]
    if start is None:
        return Learned(rows, every)
    spent = {"meta_updates": start.metadata["gan_updates"], "skipped": start.metadata["skipped"]}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        save_meta_init(path, start.generator, start.discriminator, start.metadata)
        return Learned([{**row, **spent} for row in rows], every, path.read_bytes())


def _tried(cell: StudyRun, kind: Kind, start: MetaInit | None, adaptation: Adaptation) -> list[dict[str, Any]]:
    own = {**_names(cell), "adaptation": adaptation.rate}
    return [{**own, **row} for row in _curves(start, kind.choosing, adaptation, cell.seed, CHOOSING_MOMENTS)]


def _curves(
    start: MetaInit | None, tasks: Sequence[Task], adaptation: Adaptation, seed: int, moments: Sequence[int]
) -> Iterator[dict[str, Any]]:
    seeds = [100_000 * (seed + 1) + place for place in range(len(tasks))]
    for moment, population in adapt(start, [adapted(task, adaptation) for task in tasks], seeds, moments):
        for task, row in zip(tasks, measure(population), strict=True):
            yield {**_describe(task), "updates": moment, **row}


def learn(kind: Kind, cell: StudyRun) -> MetaInit:
    """The starting weights of a cell; loss and penalty of learning are those of adapting.

    Raises:
        InvalidValueError: the file of weights that were learned already is of other settings.
    """
    share = CHOOSING_SHARE if cell.choosing else 1.0
    base = adapted(kind.choosing[0]).base
    settings = settings_for(
        cell.start,
        max(1, round(kind.updates * cell.scale * share)),
        **cell.settings,
        seed=cell.seed,
        loss=base.loss,
        penalty_weight=base.penalty_weight,
    )
    if cell.learned is not None:
        there = load_meta_init(cell.learned)
        if there.metadata["settings"] != json.loads(json.dumps(asdict(settings))):
            raise InvalidValueError(f"{cell.learned} was learned by other settings; use another directory")
        return there
    task = kind.learned[0]
    fresh = MetaInit(MetaGenerator.of(task, seed=cell.seed), MetaDiscriminator.of(task, seed=cell.seed))
    return meta_train(METHODS[cell.start](settings), fresh, kind.learned)


def run_study(
    out: str | Path,
    *,
    kinds: Iterable[str] = ("planar", "digits"),
    seeds: int = 5,
    workers: int | None = None,
    scale: float = 1.0,
    show: Callable[[str], None] = print,
) -> Path:
    """Chooses rates, and runs every cell that ``out`` does not hold yet.

    Args:
        out: directory for ``choosing.jsonl``, ``rows.jsonl`` and ``weights``.
        kinds: names of kinds of data.
        seeds: of each method.
        workers: cells run at once; by default one for each core; 0 runs all in this process.
        scale: factor of all updates of learning.
        show: gets a line for each cell.

    Returns:
        The directory.

    Raises:
        InvalidValueError: ``out`` holds rows of another scale.
        FileFormatError: one of its files is damaged.
        OutputError: it cannot be written.
    """
    out = make_directory(out)
    make_directory(out / WEIGHTS)
    with Workers(run_cell, workers=workers) as crew:
        candidates = [
            StudyRun(kind, start, CHOOSING_SEED, dict(zip(grid, values, strict=True)), choosing=True, scale=scale)
            for kind in kinds
            for start, grid in GRIDS.items()
            for values in product(*grid.values())
        ]
        _run(crew, candidates, out / CHOICES, None, show)
        best = chosen_settings(read(out / CHOICES))
        cells = [
            StudyRun(kind, start, seed, best[kind, start], scale=scale)
            for seed in range(seeds)
            for kind in kinds
            for start in STARTS
        ]
        _run(crew, cells, out / ROWS, out / WEIGHTS, show)
    return out


def _run(
    crew: "Workers[StudyRun, Learned]",
    cells: list[StudyRun],
    path: Path,
    weights: Path | None,
    show: Callable[[str], None],
) -> None:
    rows = read(path)
    others = {row["scale"] for row in rows} - {cell.scale for cell in cells}
    if others:
        raise InvalidValueError(
            f"{path} holds rows of scale {min(others):g}, not {cells[0].scale:g}; results are never mixed: use another "
            "directory"
        )
    done = {StudyRun(row["kind"], row["start"], row["seed"], row["settings"]).key() for row in rows}
    if weights is not None and not done <= {cell.key() for cell in cells}:
        raise InvalidValueError(
            f"{path} holds rows of seeds or settings that you did not ask for; use another directory"
        )
    missing = [cell for cell in cells if cell.key() not in done]
    if weights is not None:
        missing = [_with_weights(cell, weights / f"{cell.name()}.safetensors") for cell in missing]
    started = time.monotonic()
    for number, (cell, result) in enumerate(crew.run(missing), start=1):
        if weights is not None and result.weights is not None:
            write_whole(weights / f"{cell.name()}.safetensors", result.weights)
        append_lines(path.with_name(ADAPTING), result.tried)
        append_lines(path, result.rows)
        last = [row for row in result.rows if row["updates"] == result.rows[-1]["updates"]]
        show(
            f"{number}/{len(missing)} in {time.monotonic() - started:.0f} s: {cell.name()} {dict(cell.settings)}, "
            f"distance {geometric(last):.3f} after {last[0]['updates']} updates"
        )


def _with_weights(cell: StudyRun, file: Path) -> StudyRun:
    return replace(cell, learned=file) if file.exists() else cell


def read(path: Path) -> list[dict[str, Any]]:
    """Rows of the study; none if there is no file.

    Raises:
        FileFormatError: a row is damaged.
    """
    return read_lines(path, COLUMNS)


def chosen_settings(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], dict[str, float]]:
    """For each kind of data and start: the settings with the lowest distance, at the best of ``FACTORS`` for each."""
    return {key: json.loads(settings) for key, (settings, _) in _best(rows).items()}


def chosen_distance(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], float]:
    """The distance that those settings came to."""
    return {key: distance for key, (_, distance) in _best(rows).items()}


def _best(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], tuple[str, float]]:
    tried: dict[tuple[str, str], dict[tuple[str, float], list[dict[str, Any]]]] = {}
    for row in rows:
        by_settings = tried.setdefault((row["kind"], row["start"]), {})
        by_settings.setdefault((json.dumps(row["settings"]), row["adaptation"]), []).append(dict(row))
    return {
        key: min(((settings, geometric(own)) for (settings, _), own in some.items()), key=lambda pair: pair[1])
        for key, some in tried.items()
    }


def chosen_adaptations(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], dict[int, Adaptation]]:
    """How GANs adapted, by kind of data and start, and seed."""
    found: dict[tuple[str, str], dict[int, Adaptation]] = {}
    for row in rows:
        of_start = found.setdefault((row["kind"], row["start"]), {})
        of_start[row["seed"]] = Adaptation(row["optimizer"], row["adaptation"])
    return found


def weights_of(out: Path, kind: str, start: str, seed: int) -> MetaInit:
    """Starting weights that the study learned."""
    return load_meta_init(out / WEIGHTS / f"{StudyRun(kind, start, seed).name()}.safetensors")


def _names(cell: StudyRun) -> dict[str, Any]:
    names = {"kind": cell.kind, "start": cell.start, "seed": cell.seed, "settings": dict(cell.settings)}
    return {**names, "scale": cell.scale, "version": __version__}


def _describe(task: Task) -> dict[str, Any]:
    return {"task": task.name, "family": task.family, "shots": task.shots}
