"""The report's samples: how runs ended, as pictures, and how they got there, as data that the page's script draws."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metagan_rl.envs.render import is_image
from metagan_rl.experiments.report.curves import GRID, resampled
from metagan_rl.experiments.report.figures import DARK, LOSS_COLOURS, RATIO_COLOURS, Line
from metagan_rl.experiments.benchmark.records import KEY, WORDS
from metagan_rl.experiments.report.sample_pictures import STEPS, coordinates, image_png, scatter_png
from metagan_rl.experiments.benchmark.samples import SampleFile, TaskSamples
from metagan_rl.experiments.report.summary import SMALLEST, Group, end_distance, group_rows
from metagan_rl.metrics.quality import WORST_DISTANCE

MAX_BYTES = 4_000_000
"""Tasks whose pictures and data would go beyond this are left out, so that the report can be sent by mail."""


@dataclass(frozen=True)
class Cell:
    """A picture of the end of a run: data address, distance (``None`` where unknown), whether it diverged."""

    picture: str
    distance: float | None = None
    diverged: bool = False


@dataclass(frozen=True)
class TaskPage:
    """What the report shows of one task.

    Attributes:
        suite, split, tag, task: which.
        seed: of the GANs shown.
        columns: of the data.
        pixels: the pictures are of images.
        cells: the end of each run, by scheduler, and ``real``.
        commands: that made its rows.
        data: for the script.
    """

    suite: str
    split: str
    tag: str
    task: str
    seed: int
    columns: int
    pixels: bool
    cells: Mapping[str, Cell]
    commands: Sequence[str]
    data: Mapping[str, Any]


def task_pages(
    path: Path,
    rows: Iterable[dict[str, Any]],
    curves: Mapping[tuple[Any, ...], Mapping[str, Any]],
    schedulers: Sequence[str],
    lines: Mapping[str, Line],
    commands: Sequence[str],
) -> tuple[list[TaskPage], int]:
    """One page for each task with samples, in the order of the tables, and how many tasks were left out for size.

    Args:
        path: of the file of samples; without it there are no pages.
        rows: of the benchmark.
        curves: by ``KEY``.
        schedulers: to show.
        lines: how they are drawn.
        commands: that made the benchmark.

    Raises:
        FileFormatError: the file is damaged.
    """
    file = SampleFile(path)
    first: dict[tuple[str, str, str], dict[str, dict[str, Any]]] = {}  # rows of the first seed, by task and scheduler
    for row in (row for group in group_rows(rows).values() for row in group):
        known = first.setdefault((row["suite"], row["split"], row["task"]), {})
        if row["seed"] <= known.get(row["scheduler"], row)["seed"]:
            known[row["scheduler"]] = row
    tasks = [key for key in first if file.holds(*key)]
    pages: list[TaskPage] = []
    size = 0
    for key in tasks:
        page = _page(file.of(*key, schedulers), first[key], curves, schedulers, lines, commands)
        size += sum(len(cell.picture) for cell in page.cells.values())
        size += sum(len(run["points"]) + 2500 for run in page.data["runs"] if run)
        if size > MAX_BYTES:
            break
        pages.append(page)
    return pages, len(tasks) - len(pages)


def script_data(
    pages: Sequence[TaskPage],
    schedulers: Sequence[str],
    lines: Mapping[str, Line],
    choices: Mapping[str, Sequence[str]],
    pair: Sequence[str],
) -> dict[str, Any]:
    """Everything the script shows, as one object for JSON.

    Args:
        pages: of the tasks.
        schedulers: in the order of the runs in ``pages``.
        lines: how they are drawn.
        choices: names of the ratios and losses.
        pair: the two schedulers shown first.
    """
    colours = {"ratio": RATIO_COLOURS, "loss": LOSS_COLOURS}
    return {
        "schedulers": [
            {"name": name, "light": line.colour, "dark": DARK.get(line.colour, line.colour), "dashes": line.dashes}
            for name, line in ((name, lines[name]) for name in schedulers)
        ],
        "pair": [schedulers.index(name) for name in pair],
        "steps": STEPS,
        "choices": {
            kind: [[name, colours[kind][place % len(colours[kind])]] for place, name in enumerate(choices[kind])]
            for kind in WORDS
        },
        "tasks": [_with_words(page.data, choices) for page in pages],
    }


def default_pair(groups: Sequence[Group], reference: str, pages: Sequence[TaskPage]) -> list[str]:
    """The two schedulers shown first: the reference, and the one with the lowest distance over all groups."""
    shown = dict.fromkeys(name for page in pages for name in page.cells if name != "real")
    logs: dict[str, list[float]] = {}
    for entry in (entry for group in groups for entry in group.entries):
        if entry.scheduler in shown and np.isfinite(entry.distance.value):
            logs.setdefault(entry.scheduler, []).append(float(np.log(entry.distance.value)))
    most = max(map(len, logs.values()), default=0)
    others = {name: np.mean(each) for name, each in logs.items() if name != reference and len(each) == most}
    best = min(others, key=lambda name: others[name], default=None)
    pair = [name for name in (reference, best) if name in shown]
    return (pair + [name for name in shown if name not in pair])[:2]


def _page(
    samples: TaskSamples,
    rows: Mapping[str, dict[str, Any]],
    curves: Mapping[tuple[Any, ...], Mapping[str, Any]],
    schedulers: Sequence[str],
    lines: Mapping[str, Line],
    commands: Sequence[str],
) -> TaskPage:
    real, pixels = samples.real, is_image(samples.real)

    def still(points: np.ndarray, colour: str | None) -> str:
        return image_png(points[None], real) if pixels else scatter_png(points, real, colour)

    def moving(points: np.ndarray) -> str:
        return image_png(points, real) if pixels else coordinates(points, real)

    cells = {"real": Cell(still(real, None))}
    runs: list[dict[str, Any] | None] = []
    for name in schedulers:
        row, points = rows.get(name), samples.points.get(name)
        if row is None or points is None:
            runs.append(None)
            continue
        sound, curve = not row.get("error"), curves.get(tuple(row[part] for part in KEY))
        diverged = sound and bool(row.get("diverged"))
        cells[name] = Cell(still(points[-1], lines[name].colour), end_distance(row) if sound else None, diverged)
        run = {"points": moving(points), "moments": len(points), "diverged": diverged}
        at = samples.distances.get(name, ())
        if not len(at) and len(points) == 1 and curve is not None:
            at = curve["distance"][-1:]
        runs.append({**run, "at": _short(np.nan_to_num(at, nan=WORST_DISTANCE)), "curve": _curve(curve)})
    some = next(iter(rows.values()))
    data = {
        "task": some["task"],
        "updates": samples.updates.tolist(),
        "pixels": pixels,
        "real": moving(real[None]),
        "runs": runs,
    }
    place = (some["suite"], some["split"], some["tag"], some["task"], some["seed"])
    own = [line for line in commands if re.search(rf"--suite[ =]{re.escape(some['suite'])}(\s|$)", line)]
    return TaskPage(*place, real.shape[1], pixels, cells, own or commands, data)


def _curve(curve: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Distance and controls of a run over time, in few steps and digits."""
    if curve is None or not curve["generator_lr"]:
        return None
    distance = np.nan_to_num(np.asarray(curve["distance"], dtype=np.float64), nan=WORST_DISTANCE)
    distance = distance.clip(SMALLEST, WORST_DISTANCE)
    last = len(distance) - 1
    steps = min(GRID, last)
    return {
        "distance": _short(distance[np.round(np.linspace(0, last, steps + 1)).astype(int)]),
        "generator": _short(resampled(curve["generator_lr"], steps)),
        "discriminator": _short(resampled(curve["discriminator_lr"], steps)),
        "weight": _short(resampled(curve["penalty_weight"], steps)),
        **{kind: resampled(curve[kind], steps) for kind in WORDS},
    }


def _with_words(data: Mapping[str, Any], choices: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The data of a task with ratios and losses as places in ``choices``."""
    runs = []
    for run in data["runs"]:
        curve = run and run["curve"]
        coded = curve and {**curve, **{kind: [choices[kind].index(word) for word in curve[kind]] for kind in WORDS}}
        runs.append(run and {**run, "curve": coded})
    return {**data, "runs": runs}


def _short(values: Iterable[float]) -> list[float]:
    """Three digits; a control that is no number, which no scheduler may set, is 0."""
    return [float(f"{value:.3g}") if np.isfinite(value) else 0.0 for value in values]
