"""Draws the promises: curves of random search, rows of estimates, curves against budget, and profiles."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from metagan_rl.envs.render import DIM, INK, log_axis
from metagan_rl.experiments.report.figures import (
    Band,
    Line,
    draw_line,
    fill_band,
    inline_svg,
    mark_values,
    new_figure,
    style,
)
from metagan_rl.experiments.report.statistics import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SERIES = (
    ("#000000", "o"), ("#0072b2", "s"), ("#e69f00", "^"), ("#009e73", "v"), ("#d55e00", "D"), ("#cc79a7", "P"),
    ("#56b4e9", "X"),
)  # fmt: skip
"""Okabe and Ito's colours, each with its own marker, so that they differ in a grey print too."""
ROOM_ENDS = {0.0: "untuned", 1.0: "oracle"}
"""Scores that are marked."""
WIDTH = 4.6
"""Width in inches. Words remain readable when the picture fills a phone."""
LONGEST_NAME = 22
ROW = 0.115
"""Inches from one estimate to the next in a row."""


@dataclass(frozen=True)
class Mark:
    """A scheduler, marked on the curve of random search.

    Attributes:
        name: the scheduler's name.
        distance: the distance it reaches.
        trials: how many trials of random search it is worth: 0 for less than one, infinite for more than were tried.
        label: the same in words.
    """

    name: str
    distance: float
    trials: float
    label: str


def trials_figure(key: str, search: Band, marks: Sequence[Mark], lines: Mapping[str, Line]) -> str:
    """Draws the distance of random search against its trials, and marks what each scheduler's distance is worth."""
    with _drawing():
        figure = new_figure(WIDTH, max(3.1, 0.9 + 0.175 * len(marks)))
        axes = figure.add_subplot()
        fill_band(axes, search, DIM, 0.18)
        axes.plot(search.x, search.middle, color=DIM, linewidth=2.4, marker="o", markersize=3.5, label="random search")
        low = min(
            search.low.min() if np.isfinite(search.low).all() else search.middle.min(), *(m.distance for m in marks)
        )
        high = float(search.middle.max() * 1.6)
        axes.set_xscale("log", base=2)
        axes.set_xlim(search.x[0] / 1.1, search.x[-1] * 1.1)
        axes.set_xticks(search.x, [f"{trials:g}" for trials in search.x])
        axes.minorticks_off()
        log_axis(axes, float(low) / 1.12, high)
        axes.set(xlabel="trials of random search on each task", ylabel="distance")
        bottom, top = np.log(axes.get_ylim())
        heights = [float(np.clip((np.log(mark.distance) - bottom) / (top - bottom), 0, 1)) for mark in marks]
        places = spread_out(heights, 0.13 / (figure.get_figheight() - 0.6))
        for mark, height, place in zip(marks, heights, places, strict=True):
            line = lines[mark.name]
            reach = float(np.clip(mark.trials, search.x[0], search.x[-1]))
            if height < 1:
                axes.plot([axes.get_xlim()[0], reach], [mark.distance] * 2, color=line.colour, linewidth=1)
                axes.plot([reach, axes.get_xlim()[1]], [mark.distance] * 2, color=line.colour, linewidth=0.6, alpha=0.5)
            end = ">" if np.isinf(mark.trials) else "<" if mark.trials < 1 else "o"
            at = (reach, mark.distance) if height < 1 else (search.x[0], np.exp(top))
            axes.plot(*at, marker="^" if height >= 1 else end, color=line.colour, markersize=6, clip_on=False, zorder=3)
            axes.annotate(
                f"{_short(mark.name)}: {mark.label}", (1.0, height), (1.045, place), xycoords="axes fraction",
                textcoords="axes fraction", fontsize=7.5, va="center", annotation_clip=False, parse_math=False,
                arrowprops={"arrowstyle": "-", "color": line.colour, "linewidth": 0.6, "relpos": (0, 0.5), "shrinkA": 1,
                            "shrinkB": 0},
            )  # fmt: skip
        axes.legend(loc="upper right", fontsize=8, edgecolor="white", framealpha=0.85, borderpad=0.2)
        return inline_svg(figure, key)


def rows_figure(
    key: str,
    names: Sequence[str],
    series: Mapping[str, Mapping[str, Estimate]],
    x_label: str,
    limits: tuple[float, float],
    marks: Mapping[float, str],
    *,
    per_cent: bool = False,
) -> str:
    """Draws a row for each name, with an estimate and its interval for each series; values beyond are at the edge.

    Args:
        key: the picture's key.
        names: names of the rows, from the top.
        series: for each series, estimates by name; absent or unknown ones are left out.
        x_label: label of the axis.
        limits: limits of the axis.
        marks: values that get a line, each with its label.
        per_cent: whether the values are shares.
    """
    with _drawing():
        height = len(names) * (ROW * len(series) + 0.1)
        figure = new_figure(WIDTH, height + 0.95)
        axes = figure.add_subplot()
        spacing = ROW / (ROW * len(series) + 0.1)
        mark_values(axes, marks)
        for place, (label, estimates) in enumerate(series.items()):
            colour, marker = SERIES[place % len(SERIES)]
            for row, name in enumerate(names):
                y = row + spacing * (place - (len(series) - 1) / 2)
                estimate = estimates.get(name)
                if estimate is not None and np.isfinite(estimate.value):
                    _estimate(axes, estimate, y, limits, colour, marker)
            axes.plot([], [], color=colour, marker=marker, markersize=5, linewidth=1.2, label=label)
        axes.set_yticks(range(len(names)), [_short(name) for name in names])
        for text in axes.get_yticklabels():
            text.set_parse_math(False)
        axes.hlines(np.arange(len(names) - 1) + 0.5, *limits, color="#e4e4e4", linewidth=0.7, zorder=0)
        axes.set(xlabel=x_label, xlim=limits, ylim=(len(names) - 0.5, -0.5))
        axes.tick_params(axis="y", length=0, pad=7)
        axes.grid(False, axis="y")
        if per_cent:
            axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
        columns = min(3, len(series))
        figure.legend(loc="outside upper center", ncols=columns, frameon=False, fontsize=8, handlelength=1.4)
        return inline_svg(figure, key)


def panels_figure(
    key: str, panels: Mapping[str, Mapping[str, Band]], lines: Mapping[str, Line], level: Mapping[str, float]
) -> str:
    """Draws curves against the share of the budget, one panel for each tier, all on one scale.

    Args:
        key: the picture's key.
        panels: for each tier, bands by scheduler.
        lines: how schedulers are drawn.
        level: height of each tier's dotted line. A dot marks where each curve first falls to it.
    """
    with _drawing():
        figure = new_figure(WIDTH, 3.0)
        every = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        seen = np.concatenate([band.middle for bands in panels.values() for band in bands.values()])
        for axes, (tier, bands) in zip(every, panels.items(), strict=True):
            for name in sorted(bands, key=lambda name: lines[name].width):
                draw_line(axes, bands[name], lines[name], lines[name].band)
                at = first_below(bands[name], level.get(tier, float("nan")))
                if at is not None and not lines[name].quiet:
                    axes.plot(at, level[tier], marker="o", markersize=4, color=lines[name].colour, zorder=4)
            if tier in level:
                axes.axhline(level[tier], color=INK, linewidth=0.8, linestyle=":")
            axes.set_title(tier, loc="left", fontsize=9, fontweight="bold")
            axes.set(xlim=(0, 1), xticks=[0, 0.5, 1], xticklabels=["0", "half", "all"])
        log_axis(every[0], float(np.nanmin(seen)) / 1.15, min(float(np.nanmax(seen)) * 1.05, 1.8))
        every[0].set_ylabel("distance / distance at the start")
        figure.supxlabel("share of the update budget", fontsize=9)
        return inline_svg(figure, key)


def profile_figure(key: str, bands: Mapping[str, Band], lines: Mapping[str, Line]) -> str:
    """Draws the share of runs with a score above each threshold, one line for each scheduler."""
    with _drawing():
        figure = new_figure(WIDTH, 3.0)
        axes = figure.add_subplot()
        mark_values(axes, ROOM_ENDS)
        for name in sorted(bands, key=lambda name: lines[name].width):
            draw_line(axes, bands[name], lines[name], lines[name].band)
        band = next(iter(bands.values()))
        axes.set(xlabel="score \N{GREEK SMALL LETTER TAU}", ylabel="share of runs above \N{GREEK SMALL LETTER TAU}")
        axes.set(xlim=(band.x[0], band.x[-1]), ylim=(0, 1.01), yticks=[0, 0.5, 1], yticklabels=["0", "50 %", "100 %"])
        return inline_svg(figure, key)


def first_below(band: Band, level: float) -> float | None:
    """Where a curve, linear between its points, first falls to a level; ``None`` if it never does."""
    below = np.flatnonzero(band.middle <= level)
    if not len(below):
        return None
    after = int(below[0])
    if not after:
        return float(band.x[0])
    drop = band.middle[after - 1] - band.middle[after]
    part = (band.middle[after - 1] - level) / drop
    return float(band.x[after - 1] + part * (band.x[after] - band.x[after - 1]))


def spread_out(heights: Sequence[float], gap: float) -> list[float]:
    """Places near ``heights`` (0 to 1), in the same order and at least ``gap`` apart."""
    order = np.argsort(heights, kind="stable")
    places = np.array(heights, dtype=np.float64)[order]
    for _ in range(200):
        close = np.flatnonzero(np.diff(places) < gap - 1e-9)
        for lower in close:
            lack = (gap - (places[lower + 1] - places[lower])) / 2
            places[lower] -= lack
            places[lower + 1] += lack
        if not len(close):
            break
    result = np.empty_like(places)
    result[order] = places
    return result.tolist()


def _estimate(
    axes: "Axes", estimate: Estimate, y: float, limits: tuple[float, float], colour: str, marker: str
) -> None:
    low, value, high = np.clip([estimate.low, estimate.value, estimate.high], *limits)
    if np.isfinite(low):
        axes.plot([low, high], [y, y], color=colour, linewidth=1.2, zorder=2, solid_capstyle="butt")
    if estimate.value < limits[0] or estimate.value > limits[1]:
        marker = "<" if estimate.value < limits[0] else ">"
    axes.plot(value, y, color=colour, marker=marker, markersize=4.6, clip_on=False, zorder=3)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "\N{HORIZONTAL ELLIPSIS}"


@contextmanager
def _drawing() -> Iterator[Any]:
    """The report's settings. Names in any script are allowed, because the browser draws them, not matplotlib."""
    with style(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield
