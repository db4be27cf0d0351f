"""What the study looks like: curves of adaptation, and samples after a few updates from each start."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metagan_rl.envs.render import mosaic
from metagan_rl.evaluation import generated
from metagan_rl.experiments.benchmark.records import ROWS
from metagan_rl.experiments.report.figures import Band, fill_band
from metagan_rl.experiments.studies.command import picture_file
from metagan_rl.experiments.studies.meta_init.adapting import MOMENTS, adapt
from metagan_rl.experiments.studies.meta_init.kinds import KINDS, adapted
from metagan_rl.experiments.studies.meta_init.study import FRESH, STARTS, chosen_adaptations, read, weights_of
from metagan_rl.experiments.studies.meta_init.tables import Panel
from metagan_rl.tasks import Task

COLOURS = {"fresh": "#000000", "joint": "#e69f00", "reptile": "#0072b2", "fomaml": "#009e73", "maml": "#d55e00"}
SAMPLED = (0, 1, 10, 100)
"""Updates of the pictures' columns."""
GRID = 4
"""Images along a side of a tile."""
BRIGHTEST = 2.5
"""Standardised grey value that is shown white, as are the lines between images."""


def curves(panels: Sequence[Panel], path: Path) -> None:
    """Distance against updates from each start, a panel for each kind of data and number of images."""
    with picture_file(path, 3.1 * len(panels) + 0.4, 3.3) as figure:
        every = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, panel in zip(every, panels, strict=True):
            for start in panel.distances:
                curve = panel.curve(start)
                x = np.array(list(curve))
                low, middle, high = (
                    np.array([getattr(estimate, end) for estimate in curve.values()])
                    for end in ("low", "value", "high")
                )
                fill_band(axes, Band(x, middle, low, high), COLOURS[start], 0.12)
                axes.plot(x, middle, color=COLOURS[start], marker="o", markersize=3, linewidth=1.5, label=start)
            axes.set_xscale("symlog", linthresh=1)
            axes.set_xticks([0, 1, 10, 100, MOMENTS[-1]], ["0", "1", "10", "100", f"{MOMENTS[-1]:,}"])
            axes.set_yscale("log")
            axes.set_yticks([0.25, 0.5, 1, 2], ["0.25", "0.5", "1", "2"])
            axes.set_ylim(0.22, 3.2)
            axes.minorticks_off()
            head, _, tail = panel.title.partition(" (")
            axes.set_title(f"{head}\n({tail}", loc="left", fontsize=8.5)
            axes.set_xlabel("updates of both networks")
        every[0].set_ylabel("distance")
        every[0].legend(frameon=False, fontsize=8)


def samples(out: Path, kind: str, path: Path, *, seed: int = 0) -> None:
    """Points or images of one new task after 0, 1, 10 and 100 updates, a row for each start; real ones at the right."""
    task, chosen = KINDS[kind]().new(seed)[-1], chosen_adaptations(read(out / ROWS))
    with picture_file(path, 1.55 * (len(SAMPLED) + 1) + 0.5, 1.55 * len(STARTS) + 0.6) as figure:
        grid = figure.subplots(len(STARTS), len(SAMPLED) + 1, squeeze=False)
        for row, start in enumerate(STARTS):
            own = adapted(task, chosen[kind, start][seed])
            weights = None if start == FRESH else weights_of(out, kind, start, seed)
            for column, (moment, population) in enumerate(adapt(weights, [own], [seed], SAMPLED)):
                points = generated(population, [0], report=True)[0].numpy(force=True)
                _tile(grid[row, column], points, task, COLOURS[start])
                if row == 0:
                    grid[row, column].set_title(f"after {moment}", fontsize=9)
            _tile(grid[row, -1], task.data().report_reference.numpy(force=True), task, "#6e6e6e")
            grid[row, 0].set_ylabel(start, fontsize=9)
        grid[0, -1].set_title("real", fontsize=9)
        figure.suptitle(f"{task.name}, from each start, after so many updates of both networks", fontsize=9)


def _tile(axes: Any, points: np.ndarray, task: Task, colour: str) -> None:
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    if task.dim == 2:
        axes.scatter(points[:600, 0], points[:600, 1], s=1.2, color=colour, linewidth=0)
        axes.set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal")
        return
    axes.imshow(mosaic(-points, GRID, GRID, -BRIGHTEST, 1.0), cmap="gray", vmin=0, vmax=255)  # bright is white
