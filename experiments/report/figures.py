"""The report's curves as inline SVG, for a light or a dark page. The page itself has the names and legends."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from metagan_rl.envs.render import DIM, STYLE, log_axis
from metagan_rl.errors import MissingDependencyError
from metagan_rl.experiments.benchmark.row import DISCRIMINATOR_RATE, GENERATOR_RATE, LOSS, PENALTY_WEIGHT, RATIO
from metagan_rl.loop.knobs import LR_FACTOR, MAX_PENALTY_WEIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SVG = {**STYLE, "svg.fonttype": "none", "svg.hashsalt": "metagan-rl", "axes.grid": True, "grid.color": "#ececec"}
FONT = "Helvetica, Arial, 'DejaVu Sans', sans-serif"

# Okabe and Ito's colours, then Tol's "muted" ones: all common kinds of colour vision can tell them apart.
KNOWN_COLOURS = {
    "constant": "#000000",
    "tuned-constant": "#56b4e9",
    "linear": "#009e73",
    "cosine": "#0072b2",
    "ttur": "#e69f00",
    "random": "#999933",
    "gap-aware": "#cc79a7",
    "pbt": "#882255",
}
OTHER_COLOURS = ("#d55e00", "#332288", "#117733", "#aa4499", "#661100", "#44aa99", "#6699cc")
DASHES = ((), (6, 2), (2, 1.5), (6, 2, 1.5, 2), (10, 3))
CHOICE_COLOURS = {
    RATIO: ("#00224e", "#35456c", "#666970", "#948e77", "#c8b866", "#fee838"),  # six steps of cividis
    LOSS: ("#77aadd", "#ee8866", "#eedd88", "#bbcc33", "#ffaabb", "#44bb99", "#dddddd"),  # Tol's "light"
}
DARK = {
    "#000000": "#f4f4f2", "#56b4e9": "#63bdf0", "#009e73": "#2fc79a", "#0072b2": "#4ba0e4", "#e69f00": "#eeaa22",
    "#999933": "#b9b957", "#cc79a7": "#de92bb", "#882255": "#d0649b", "#d55e00": "#f5813a", "#332288": "#9a8bf0",
    "#117733": "#46b56d", "#aa4499": "#d27ac4", "#661100": "#cc6b55", "#44aa99": "#58c6b3", "#6699cc": "#83b4e6",
    "#222222": "#d9dbde", "#3c3c3c": "#c3c6ca", "#bdbdbd": "#5d6167", "#ececec": "#34373c",
    "#6e6e6e": "#a2a7ad", "#e4e4e4": "#34373c", "#d9d9d9": "#45494f",
}  # fmt: skip
"""The colour that replaces each one on a dark page: first those of schedulers, then of text, axes and grids."""


MOST_LINES = 10
"""Most schedulers that can be told apart in one picture. If there are more, only the leading ones get a colour."""


@dataclass(frozen=True)
class Line:
    """How one scheduler is drawn, in all pictures.

    Attributes:
        colour: as ``#rrggbb``.
        dashes: lengths of its dashes, in line widths.
        width: line width, in points.
        band: opacity of its band; 0 for none.
        quiet: whether it is one of many grey lines that only show where the others lie.
    """

    colour: str
    dashes: tuple[float, ...] = ()
    width: float = 1.5
    band: float = 0.0
    quiet: bool = False


QUIET = Line("#bdbdbd", width=0.8, quiet=True)


@dataclass(frozen=True)
class Band:
    """A curve with its band, ``[T]`` each."""

    x: np.ndarray
    middle: np.ndarray
    low: np.ndarray
    high: np.ndarray


def lines_for(schedulers: Sequence[str], leading: Sequence[str] = ()) -> dict[str, Line]:
    """A colour and a dash for each scheduler; unknown names (policies) get a solid, strong line.

    Args:
        schedulers: names of the schedulers.
        leading: schedulers that get a colour of their own first.
    """
    lines: dict[str, Line] = {}
    ordered = dict.fromkeys([*(name for name in leading if name in schedulers), *schedulers])
    unknown = [name for name in ordered if name not in KNOWN_COLOURS]
    for place, name in enumerate(unknown):
        colour = OTHER_COLOURS[place % len(OTHER_COLOURS)]
        lines[name] = Line(colour, DASHES[(place // len(OTHER_COLOURS)) % len(DASHES)], width=2.2, band=0.13)
    for place, (name, colour) in enumerate(KNOWN_COLOURS.items()):
        if name in schedulers:
            lines[name] = Line(colour, DASHES[place % len(DASHES)], band=0.13 if name == "constant" else 0.0)
    return lines


def quieted(lines: Mapping[str, Line], leading: Sequence[str]) -> dict[str, Line]:
    """All lines if they are few; otherwise only ``constant`` and leading schedulers keep theirs, the rest are grey."""
    if len(lines) <= MOST_LINES:
        return dict(lines)
    kept = list(dict.fromkeys(["constant", *(name for name in leading if name in lines)]))[: MOST_LINES - 1]
    return {name: line if name in kept else QUIET for name, line in lines.items()}


def new_figure(width: float, height: float, **options: Any) -> "Figure":
    """An empty figure; width and height are in inches.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError("matplotlib", "report", "the report") from error
    return Figure(figsize=(width, height), layout="constrained", **options)


def style() -> Any:
    """A context for making and writing figures with the report's settings, not the user's.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise MissingDependencyError("matplotlib", "report", "the report") from error
    return mpl.rc_context(SVG)


def inline_svg(figure: "Figure", key: str) -> str:
    """The figure as an ``<svg>`` element for an HTML page, without prolog or external names; see :func:`themed`.

    Args:
        figure: the figure to write.
        key: prefix of its ids.
    """
    buffer = io.StringIO()
    figure.savefig(
        buffer, format="svg", transparent=True, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type"))
    )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    opening, rest = text.split(">", 1)
    opening = re.sub(r'\s(?:xmlns(?::\w+)?|width|height|version)="[^"]*"', "", opening)
    rest = re.sub(r'\bid="', f'id="{key}-', rest)
    rest = re.sub(r'(url\(#|href="#)', rf"\1{key}-", rest)
    rest = re.sub(r"(?<=: )#[0-9a-f]{6}\b", lambda found: themed(found[0]), rest)
    rest = re.sub(r"((?:font|font-family): ?[^;\"]*?)'DejaVu Sans'(?:, sans-serif)?", rf"\1{FONT}", rest)
    return f'{opening} aria-hidden="true">{rest}'


def themed(colour: str) -> str:
    """A colour ``#rrggbb`` as CSS that follows the page; on a dark page it becomes its partner in ``DARK``."""
    return f"var(--c{colour[1:]},{colour})" if colour in DARK else colour


def quality_panel(key: str, curves: Mapping[str, Band], lines: Mapping[str, Line], x_label: str) -> str:
    """Draws distance against updates, one line for each scheduler in order; the last is on top."""
    with style():
        figure = new_figure(4.3, 3.3)
        axes = figure.add_subplot()
        for name, band in curves.items():
            draw_line(axes, band, lines[name], lines[name].band)
        seen = np.concatenate([band.middle for band in curves.values()])
        start = max(float(band.middle[0]) for band in curves.values())
        log_axis(axes, float(np.nanmin(seen)) / 1.25, min(float(np.nanmax(seen)) * 1.1, 1.8 * start))
        axes.set(xlabel=x_label, ylabel="distance", xlim=(0, None))
        axes.margins(x=0)
        return inline_svg(figure, key)


def schedule_card(key: str, bands: Mapping[str, Band], shares: Mapping[str, np.ndarray], line: Line) -> str:
    """Draws what a scheduler chose: learning rates, shares of step ratios and losses, penalty weight.

    Args:
        key: the picture's key.
        bands: medians and quartiles against progress, by name, of controls that are numbers.
        shares: shares ``[choices, T]``, by name, of controls that are words; each column sums to 1.
        line: how the scheduler is drawn.
    """
    with style():
        figure = new_figure(5.0, 3.1)
        rates, ratio, weight, loss = figure.subplots(2, 2, sharex=True).ravel()
        rates.axhline(1, color="#bdbdbd", linewidth=0.8)
        draw_line(rates, bands[GENERATOR_RATE], Line(line.colour, width=2.4), 0.25)
        draw_line(rates, bands[DISCRIMINATOR_RATE], Line("#3c3c3c", (4, 2.5), width=1.1), 0.12)
        rates.set_yscale("log")
        rates.set_ylim(1 / LR_FACTOR / 1.25, LR_FACTOR * 1.25)
        rates.set_yticks([1 / 30, 1 / 5, 1, 5, 30], ["1/30", "1/5", "1", "5", "30"])
        rates.minorticks_off()
        draw_line(weight, bands[PENALTY_WEIGHT], Line(line.colour, width=1.8), 0.2)
        weight.set_yscale("symlog", linthresh=0.01)
        weight.set_ylim(-0.002, MAX_PENALTY_WEIGHT * 1.5)
        weight.set_yticks([0, 0.01, 0.1, 1, 10, 100], ["0", "0.01", "0.1", "1", "10", "100"])
        weight.minorticks_off()
        for axes, name in ((ratio, RATIO), (loss, LOSS)):
            colours = CHOICE_COLOURS[name]
            steps = np.linspace(0, 1, shares[name].shape[1] + 1)
            held = np.column_stack([shares[name], shares[name][:, -1]])
            shades = [colours[place % len(colours)] for place in range(len(held))]
            axes.stackplot(steps, held, colors=shades, step="post", linewidth=0)
            axes.set(ylim=(0, 1), yticks=[0, 0.5, 1], yticklabels=["0", "50 %", "100 %"])
            axes.grid(False)
        titles = ("learning rate / base", "D:G update ratio", "penalty weight", "loss")
        for axes, title in zip((rates, ratio, weight, loss), titles, strict=True):
            axes.set_title(title, loc="left", fontsize=9, fontweight="bold")
            axes.set(xlim=(0, 1), xticks=[0, 0.5, 1], xticklabels=["start", "half", "end"])
        return inline_svg(figure, key)


def training_panel(
    key: str, x: np.ndarray, curves: Sequence[tuple[np.ndarray, Line]], x_label: str, y_label: str, log: bool
) -> str:
    """Draws the progress of the agent's training: curves ``[T]`` that may have gaps (NaN)."""
    with style():
        figure = new_figure(4.3, 2.9)
        axes = figure.add_subplot()
        for values, line in curves:
            known = np.isfinite(values)
            axes.plot(x[known], values[known], color=line.colour, linestyle=_dash(line), linewidth=line.width)
        if log:
            seen = np.concatenate([values[np.isfinite(values)] for values, _ in curves])
            log_axis(axes, float(seen.min()) / 1.1, float(seen.max()) * 1.1)
        axes.set(xlabel=x_label, ylabel=y_label)
        return inline_svg(figure, key)


def mark_values(axes: "Axes", marks: Mapping[float, str]) -> None:
    """Draws upright lines at some values, each with its label above it."""
    for value, label in marks.items():
        axes.axvline(value, color=DIM, linewidth=0.9, zorder=1)
        axes.annotate(
            label, (value, 1), (0, 2), xycoords=("data", "axes fraction"), textcoords="offset points", ha="center",
            fontsize=7.5, color=DIM,
        )  # fmt: skip


def fill_band(axes: "Axes", band: Band, colour: str, opacity: float) -> None:
    """Draws a curve's band wherever its ends are known."""
    if opacity and np.isfinite(band.low).all():
        axes.fill_between(band.x, band.low, band.high, color=colour, alpha=opacity, linewidth=0)


def draw_line(axes: "Axes", band: Band, line: Line, opacity: float) -> None:
    """Draws a curve in its scheduler's usual style, and below it a band if ``opacity`` is above 0."""
    fill_band(axes, band, line.colour, opacity)
    axes.plot(band.x, band.middle, color=line.colour, linestyle=_dash(line), linewidth=line.width)


def _dash(line: Line) -> Any:
    return (0, line.dashes) if line.dashes else "-"
