"""The report's samples: pictures of how runs ended, and data of their course that the page's script draws."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metagan_rl.envs.render import is_image
from metagan_rl.experiments.benchmark.row import (
    DISCRIMINATOR_RATE,
    DRAWN_WORDS,
    GENERATOR_RATE,
    PENALTY_WEIGHT,
    Curve,
    Row,
    RunKey,
)
from metagan_rl.experiments.benchmark.samples import SampleFile, TaskSamples
from metagan_rl.experiments.report.curves import GRID, resampled, sound_distances
from metagan_rl.experiments.report.figures import CHOICE_COLOURS, DARK, Line
from metagan_rl.experiments.report.sample_pictures import STEPS, coordinates, image_png, scatter_png
from metagan_rl.experiments.report.summary import Group, end_distance, group_rows
from metagan_rl.metrics.quality import WORST_DISTANCE

MAX_BYTES = 4_000_000
"""Most bytes of pictures and data. Further tasks are left out, so that the report can be sent by mail."""


@dataclass(frozen=True)
class Ending:
    """How a run ended: its picture as a data address, its distance (``None`` if unknown), and whether it diverged."""

    picture: str
    distance: float | None = None
    diverged: bool = False


@dataclass(frozen=True)
class TaskPage:
    """What the report shows of one task.

    Attributes:
        suite, split, tag, task: which task.
        seed: seed of the GANs shown.
        columns: number of columns of the data.
        pixels: whether the samples are images.
        cells: the end of each run, by scheduler, and of ``real``.
        commands: the commands that made its rows.
        data: data for the script.
    """

    suite: str
    split: str
    tag: str
    task: str
    seed: int
    columns: int
    pixels: bool
    cells: Mapping[str, Ending]
    commands: Sequence[str]
    data: Mapping[str, Any]


def task_pages(
    path: Path,
    rows: Iterable[Row],
    curves: Mapping[RunKey, Curve],
    schedulers: Sequence[str],
    lines: Mapping[str, Line],
    commands: Sequence[str],
) -> tuple[list[TaskPage], int]:
    """One page for each task with samples, in the order of the tables, and the number of tasks left out for size.

    Args:
        path: path of the file of samples; without the file there are no pages.
        rows: rows of the benchmark.
        curves: curves by run.
        schedulers: schedulers to show.
        lines: how schedulers are drawn.
        commands: the commands that made the benchmark.

    Raises:
        FileFormatError: the file is damaged.
    """
    file = SampleFile(path)
    first: dict[tuple[str, str, str], dict[str, Row]] = {}  # rows of the first seed, by task and scheduler
    for row in (row for group in group_rows(rows).values() for row in group):
        known = first.setdefault((row.key.suite, row.key.split, row.key.task), {})
        if row.key.seed <= known.get(row.key.scheduler, row).key.seed:
            known[row.key.scheduler] = row
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
    """Everything that the script shows, as one object for JSON.

    Args:
        pages: pages of the tasks.
        schedulers: schedulers in the order of the runs in ``pages``.
        lines: how schedulers are drawn.
        choices: names of the ratios and losses.
        pair: the two schedulers to show first.
    """
    return {
        "schedulers": [
            {"name": name, "light": line.colour, "dark": DARK.get(line.colour, line.colour), "dashes": line.dashes}
            for name, line in ((name, lines[name]) for name in schedulers)
        ],
        "pair": [schedulers.index(name) for name in pair],
        "steps": STEPS,
        "choices": {
            kind: [[name, colours[place % len(colours)]] for place, name in enumerate(choices[kind])]
            for kind, colours in CHOICE_COLOURS.items()
        },
        "tasks": [_with_words(page.data, choices) for page in pages],
    }


def default_pair(groups: Sequence[Group], yardstick: str, pages: Sequence[TaskPage]) -> list[str]:
    """The two schedulers to show first: the yardstick, and the one with the lowest distance over all groups."""
    shown = dict.fromkeys(name for page in pages for name in page.cells if name != "real")
    logs: dict[str, list[float]] = {}
    for entry in (entry for group in groups for entry in group.entries):
        if entry.scheduler in shown and np.isfinite(entry.distance.value):
            logs.setdefault(entry.scheduler, []).append(float(np.log(entry.distance.value)))
    most = max(map(len, logs.values()), default=0)
    others = {name: np.mean(each) for name, each in logs.items() if name != yardstick and len(each) == most}
    best = min(others, key=lambda name: others[name], default=None)
    pair = [name for name in (yardstick, best) if name in shown]
    return (pair + [name for name in shown if name not in pair])[:2]


def _page(
    samples: TaskSamples,
    rows: Mapping[str, Row],
    curves: Mapping[RunKey, Curve],
    schedulers: Sequence[str],
    lines: Mapping[str, Line],
    commands: Sequence[str],
) -> TaskPage:
    real, pixels = samples.real, is_image(samples.real)

    def still(points: np.ndarray, colour: str | None) -> str:
        return image_png(points[None], real) if pixels else scatter_png(points, real, colour)

    def moving(points: np.ndarray) -> str:
        return image_png(points, real) if pixels else coordinates(points, real)

    cells = {"real": Ending(still(real, None))}
    runs: list[dict[str, Any] | None] = []
    for name in schedulers:
        row, points = rows.get(name), samples.points.get(name)
        if row is None or points is None:
            runs.append(None)
            continue
        sound, curve = not row.error, curves.get(row.key)
        diverged = sound and row.diverged
        cells[name] = Ending(still(points[-1], lines[name].colour), end_distance(row) if sound else None, diverged)
        run = {"points": moving(points), "moments": len(points), "diverged": diverged}
        at = samples.distances.get(name, ())
        runs.append({**run, "at": _short(np.nan_to_num(at, nan=WORST_DISTANCE)), "curve": _curve(curve)})
    some = next(iter(rows.values()))
    data = {
        "task": some.key.task,
        "updates": samples.updates.tolist(),
        "pixels": pixels,
        "real": moving(real[None]),
        "runs": runs,
    }
    place = (some.key.suite, some.key.split, some.tag, some.key.task, some.key.seed)
    own = [line for line in commands if re.search(rf"--suite[ =]{re.escape(some.key.suite)}(\s|$)", line)]
    return TaskPage(*place, real.shape[1], pixels, cells, own or commands, data)


def _curve(curve: Curve | None) -> dict[str, Any] | None:
    """The distance and controls of a run over time, in few steps and digits."""
    if curve is None or not curve.intervals:
        return None
    steps = min(GRID, curve.intervals)
    distance = sound_distances(curve)[np.round(np.linspace(0, curve.intervals, steps + 1)).astype(int)]
    held = {name: resampled(values, steps) for name, values in curve.controls.items()}
    return {
        "distance": _short(distance),
        "generator": _short(held[GENERATOR_RATE]),
        "discriminator": _short(held[DISCRIMINATOR_RATE]),
        "weight": _short(held[PENALTY_WEIGHT]),
        **{kind: held[kind] for kind in DRAWN_WORDS},
    }


def _with_words(data: Mapping[str, Any], choices: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The data of a task, with ratios and losses as places in ``choices``."""
    runs = []
    for run in data["runs"]:
        curve = run and run["curve"]
        coded = curve and {
            **curve,
            **{kind: [choices[kind].index(word) for word in curve[kind]] for kind in DRAWN_WORDS},
        }
        runs.append(run and {**run, "curve": coded})
    return {**data, "runs": runs}


def _short(values: Iterable[float]) -> list[float]:
    """Rounds to three digits; a control that is not finite, which no scheduler may set, becomes 0."""
    return [float(f"{value:.3g}") if np.isfinite(value) else 0.0 for value in values]
