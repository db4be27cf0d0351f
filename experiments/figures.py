"""The report's pictures: inline SVG for curves, PNG for samples. Names and legends belong to the page."""

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import convolve

from metagan_rl.controls import LR_FACTOR, MAX_PENALTY_WEIGHT
from metagan_rl.envs.render import STYLE, Plane, is_image, log_axis, mosaic
from metagan_rl.errors import MissingDependencyError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SVG = {**STYLE, "svg.fonttype": "none", "svg.hashsalt": "metagan-rl", "axes.grid": True, "grid.color": "#ececec"}
FONT = "Helvetica, Arial, 'DejaVu Sans', sans-serif"
PIXELS = 200
"""Width of a picture of samples, shown at half of that or less."""
REAL_GREY = "#9a9a9a"

# Okabe and Ito's colours and, where they run out, Tol's "muted" ones: told apart by all common kinds of colour vision.
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
RATIO_COLOURS = ("#00224e", "#35456c", "#666970", "#948e77", "#c8b866", "#fee838")  # six steps of cividis
LOSS_COLOURS = ("#77aadd", "#ee8866", "#eedd88", "#bbcc33", "#ffaabb", "#44bb99", "#dddddd")  # Tol's "light"


@dataclass(frozen=True)
class Line:
    """How one scheduler is drawn, in all pictures: colour as ``#rrggbb``, dashes in line widths, width in points."""

    colour: str
    dashes: tuple[float, ...] = ()
    width: float = 1.5


@dataclass(frozen=True)
class Band:
    """A curve with its band, ``[T]`` each."""

    x: np.ndarray
    middle: np.ndarray
    low: np.ndarray
    high: np.ndarray


def lines_for(schedulers: Sequence[str]) -> dict[str, Line]:
    """One colour and dash for each scheduler; unknown names (policies) get a solid, strong line."""
    lines: dict[str, Line] = {}
    unknown = [name for name in schedulers if name not in KNOWN_COLOURS]
    for place, name in enumerate(unknown):
        colour = OTHER_COLOURS[place % len(OTHER_COLOURS)]
        lines[name] = Line(colour, DASHES[(place // len(OTHER_COLOURS)) % len(DASHES)], width=2.2)
    for place, (name, colour) in enumerate(KNOWN_COLOURS.items()):
        if name in schedulers:
            lines[name] = Line(colour, DASHES[place % len(DASHES)])
    return lines


def new_figure(width: float, height: float, **options: Any) -> "Figure":
    """An empty figure, in inches.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError("matplotlib", "report", "the report") from error
    return Figure(figsize=(width, height), layout="constrained", **options)


def style() -> Any:
    """Context in which figures are made and written: the report's settings, not the user's.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise MissingDependencyError("matplotlib", "report", "the report") from error
    return mpl.rc_context(SVG)


def inline_svg(figure: "Figure", key: str) -> str:
    """The figure as an ``<svg>`` element for an HTML page: no prolog, no external names, its ids under ``key``."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    opening, rest = text.split(">", 1)
    opening = re.sub(r'\s(?:xmlns(?::\w+)?|width|height|version)="[^"]*"', "", opening)
    rest = re.sub(r'\bid="', f'id="{key}-', rest)
    rest = re.sub(r'(url\(#|href="#)', rf"\1{key}-", rest)
    rest = re.sub(r"((?:font|font-family): ?[^;\"]*?)'DejaVu Sans'(?:, sans-serif)?", rf"\1{FONT}", rest)
    return f'{opening} aria-hidden="true">{rest}'


def quality_panel(key: str, curves: Mapping[str, Band], lines: Mapping[str, Line], x_label: str) -> str:
    """Distance against updates, one line for each scheduler, in their order; the last is drawn on top."""
    with style():
        figure = new_figure(4.3, 3.3)
        axes = figure.add_subplot()
        for name, band in curves.items():
            draw_line(axes, band, lines[name], 0.13 if name == "constant" or name not in KNOWN_COLOURS else 0.0)
        seen = np.concatenate([band.middle for band in curves.values()])
        start = max(float(band.middle[0]) for band in curves.values())
        log_axis(axes, float(np.nanmin(seen)) / 1.25, min(float(np.nanmax(seen)) * 1.1, 1.8 * start))
        axes.set(xlabel=x_label, ylabel="distance", xlim=(0, None))
        axes.margins(x=0)
        return inline_svg(figure, key)


def schedule_card(key: str, bands: Mapping[str, Band], shares: Mapping[str, np.ndarray], line: Line) -> str:
    """What a scheduler chose: learning rates, shares of step ratio and of loss, penalty weight.

    Args:
        key: of the picture.
        bands: ``generator_lr``, ``discriminator_lr`` and ``penalty_weight``, medians and quartiles against progress.
        shares: ``ratio`` and ``loss``, ``[choices, T]``, each column summing to 1.
        line: of the scheduler.
    """
    with style():
        figure = new_figure(5.0, 3.1)
        rates, ratio, weight, loss = figure.subplots(2, 2, sharex=True).ravel()
        rates.axhline(1, color="#bdbdbd", linewidth=0.8)
        draw_line(rates, bands["generator_lr"], Line(line.colour, width=2.4), 0.25)
        draw_line(rates, bands["discriminator_lr"], Line("#3c3c3c", (4, 2.5), width=1.1), 0.12)
        rates.set_yscale("log")
        rates.set_ylim(1 / LR_FACTOR / 1.25, LR_FACTOR * 1.25)
        rates.set_yticks([1 / 30, 1 / 5, 1, 5, 30], ["1/30", "1/5", "1", "5", "30"])
        rates.minorticks_off()
        draw_line(weight, bands["penalty_weight"], Line(line.colour, width=1.8), 0.2)
        weight.set_yscale("symlog", linthresh=0.01)
        weight.set_ylim(-0.002, MAX_PENALTY_WEIGHT * 1.5)
        weight.set_yticks([0, 0.01, 0.1, 1, 10, 100], ["0", "0.01", "0.1", "1", "10", "100"])
        weight.minorticks_off()
        for axes, name, colours in ((ratio, "ratio", RATIO_COLOURS), (loss, "loss", LOSS_COLOURS)):
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
    """Progress of the agent's training: curves ``[T]`` that may have gaps (NaN)."""
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


def sample_picture(points: np.ndarray, real: np.ndarray, colour: str | None) -> str:
    """Samples as a PNG in a data address: a mosaic of images, else a scatter over the real points in grey.

    Args:
        points: ``[N, D]``.
        real: ``[M, D]``, decide axes and limits.
        colour: of the points; ``None`` for real points by themselves.
    """
    points, real = np.asarray(points, dtype=np.float64), np.asarray(real, dtype=np.float64)
    if is_image(real):
        grey = mosaic(points, 6, 6, float(real.min()), float(real.max()))
        return _png(np.repeat(grey[..., None], 3, axis=2))
    plane = Plane(real, margin=0.25)
    picture = np.ones((PIXELS, PIXELS, 3))
    layers = [(real, REAL_GREY, 0.75 if colour is None else 0.4)]
    if colour is not None:
        layers.append((points, colour, 0.75))
    for layer, shade, opacity in layers:
        ink = np.array([int(shade[start : start + 2], 16) / 255 for start in (1, 3, 5)])
        cover = 1 - (1 - opacity) ** _splat(plane, layer)
        picture = picture * (1 - cover[..., None]) + ink * cover[..., None]
    return _png(np.round(255 * picture).astype(np.uint8))


def _splat(plane: Plane, points: np.ndarray) -> np.ndarray:
    """How many dots cover each pixel ``[PIXELS, PIXELS]``."""
    placed = plane(points)
    x, y = ((placed - plane.low) / (plane.high - plane.low))[plane.inside(placed)].T
    counts = np.histogram2d(1 - y, x, bins=PIXELS, range=[[0, 1], [0, 1]])[0]
    offsets = np.hypot(*np.mgrid[-3:4, -3:4])
    return np.asarray(convolve(counts, np.clip(2.6 - offsets, 0, 1), mode="constant"))


def _png(pixels: np.ndarray) -> str:
    try:
        from matplotlib.image import imsave
    except ImportError as error:
        raise MissingDependencyError("matplotlib", "report", "the report") from error
    buffer = io.BytesIO()
    imsave(buffer, pixels, format="png", pil_kwargs={"optimize": True})
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def draw_line(axes: "Axes", band: Band, line: Line, opacity: float) -> None:
    """Draws a curve as its scheduler is drawn everywhere, over its band where ``opacity`` is above 0."""
    if opacity and np.isfinite(band.low).all():
        axes.fill_between(band.x, band.low, band.high, color=line.colour, alpha=opacity, linewidth=0)
    axes.plot(band.x, band.middle, color=line.colour, linestyle=_dash(line), linewidth=line.width)


def _dash(line: Line) -> Any:
    return (0, line.dashes) if line.dashes else "-"
