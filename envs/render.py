"""Draws a run: real and generated samples, the quality so far, and what the scheduler does."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from metagan_rl.errors import MissingDependencyError
from metagan_rl.evaluation import generated
from metagan_rl.loop.knobs import LR_FACTOR
from metagan_rl.loop.runs import Runs
from metagan_rl.networks.base import find_networks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

IMAGE_SIDES = (8, 28)
"""Data with this many squared columns are drawn as grey images."""
REAL, FAKE = "#9a9a9a", "#d55e00"
INK, DIM, FAINT = "#222222", "#6e6e6e", "#d9d9d9"
GENERATOR, DISCRIMINATOR = "#d55e00", "#0072b2"
FRAME = (720, 480)
"""Width and height in pixels."""
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "text.usetex": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.facecolor": "white",
    "axes.grid": False,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "text.color": INK,
}
SHOWN_DECADES_BELOW = 1e-6
"""A floor lower than this (the Dirac-GAN's is 1e-12) is not drawn: it would flatten everything else."""


class Plane:
    """Places points of any dimension in a plane. Two columns stay as they are, others use the real points' main axes.

    Args:
        real: real points ``[N, D]``; they decide the axes and limits.
        margin: room around the real points, as a share of their extent.
    """

    def __init__(self, real: np.ndarray, margin: float = 0.3) -> None:
        real = np.asarray(real, dtype=np.float64)
        self.principal = real.shape[1] > 2
        self._centre = real.mean(axis=0) if self.principal else np.zeros(real.shape[1])
        self._axes = np.eye(real.shape[1])
        if self.principal:
            axes = np.linalg.svd(real - self._centre, full_matrices=False)[2][:2]
            # The sign of a principal axis is arbitrary. Making its largest entry positive keeps pictures alike.
            axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
            self._axes = axes.T
        drawn = self(real)
        middle, half = (drawn.max(axis=0) + drawn.min(axis=0)) / 2, np.ptp(drawn, axis=0).max() / 2 * (1 + margin)
        half = max(float(half), 1e-6)
        self.low, self.high = middle - half, middle + half

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Coordinates ``[N, 2]`` of points ``[N, D]``. A single column is spread evenly over the height."""
        placed = (np.asarray(points, dtype=np.float64) - self._centre) @ self._axes
        if placed.shape[1] == 1:
            placed = np.column_stack([placed, np.linspace(-1, 1, len(placed))])
        return np.asarray(placed)

    def inside(self, placed: np.ndarray) -> np.ndarray:
        """Which coordinates are finite and within the limits, bool ``[N]``."""
        return np.asarray(((placed >= self.low) & (placed <= self.high)).all(axis=1))  # NaN is outside


def is_image(points: np.ndarray) -> bool:
    """Whether rows ``[N, D]`` are drawn as square images, 8x8 or 28x28."""
    return points.shape[1] in [side**2 for side in IMAGE_SIDES]


def mosaic(points: np.ndarray, rows: int, columns: int, low: float, high: float) -> np.ndarray:
    """Puts images side by side.

    Args:
        points: ``[N, S * S]``; the first ones are shown, and missing ones stay white.
        rows: rows of images.
        columns: columns of images.
        low: the value drawn white.
        high: the value drawn black.

    Returns:
        Grey values, uint8 ``[(S + 1) rows - 1, (S + 1) columns - 1]``.
    """
    size = math.isqrt(points.shape[1])
    side = size + 1
    canvas = np.full((side * rows, side * columns), 255, dtype=np.uint8)
    grey = np.nan_to_num((points[: rows * columns] - low) / max(high - low, 1e-12), nan=0.0).clip(0, 1)
    for place, image in enumerate(grey):
        top, left = side * (place // columns), side * (place % columns)
        canvas[top : top + size, left : left + size] = np.round(255 * (1 - image)).reshape(size, size)
    return canvas[:-1, :-1]


def draw(runs: Runs, member: int, history: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Draws one run. The same run always gives the same pixels.

    Args:
        runs: the runs.
        member: which of them to draw.
        history: one entry for the start and one for each interval since. Each has ``distance`` and the five controls as
            words and numbers (``Controls.describe``).

    Returns:
        uint8 ``[480, 720, 3]``.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError("matplotlib", "report", "rendering") from error

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(FRAME[0] / 100, FRAME[1] / 100), dpi=100, facecolor="white")
        canvas: Any = FigureCanvasAgg(figure)  # its methods have no annotations
        _title(figure, runs, member, history)
        _samples(figure, runs, member, history)
        _quality(figure.add_axes((0.62, 0.575, 0.35, 0.2375)), runs, member, history)
        _controls(figure.add_axes((0.62, 0.225, 0.35, 0.22)), runs, member, history)
        _now(figure, history[-1])
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _title(figure: "Figure", runs: Runs, member: int, history: Sequence[Mapping[str, Any]]) -> None:
    task, diverged = runs.tasks[member], bool(runs.population.diverged[member])
    figure.text(0.03, 0.945, task.name, fontsize=14, fontweight="bold", va="center", parse_math=False)
    state = "diverged" if diverged else f"distance {history[-1]['distance']:.3g}"
    where = f"interval {runs.done_intervals[member]} of {runs.horizons[member]}"
    figure.text(
        0.97, 0.945, f"{where}   ·   {state}", fontsize=11, ha="right", va="center", color=FAKE if diverged else INK
    )


def _samples(figure: "Figure", runs: Runs, member: int, history: Sequence[Mapping[str, Any]]) -> None:
    task = runs.population.tasks[member]  # as its data are now
    if find_networks(task.networks.kind).judge is not None:
        _phase_plane(figure.add_axes((0.075, 0.12, 0.45, 0.675)), runs, member, history)
        return
    real = task.data().reward_reference.numpy()
    fake = generated(runs.population, [member])[0].numpy(force=True)
    if is_image(real):
        low, high = float(real.min()), float(real.max())
        for points, bottom, name, colour in ((real, 0.47, "real", INK), (fake, 0.045, "generated", FAKE)):
            axes = figure.add_axes((0.03, bottom, 0.495, 0.37))
            axes.imshow(
                mosaic(points, 4, 8, low, high), cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto"
            )
            axes.set_axis_off()
            axes.text(0.0, 1.015, name, transform=axes.transAxes, color=colour, fontweight="bold", va="bottom")
        return
    axes = figure.add_axes((0.03, 0.07, 0.495, 0.7425))  # square in pixels
    plane = Plane(real)
    placed = plane(fake)
    shown = plane.inside(placed)
    axes.scatter(plane(real)[:, 0], plane(real)[:, 1], s=7, color=REAL, linewidths=0)
    axes.scatter(placed[shown, 0], placed[shown, 1], s=7, color=FAKE, alpha=0.7, linewidths=0)
    axes.set(xlim=(plane.low[0], plane.high[0]), ylim=(plane.low[1], plane.high[1]), xticks=[], yticks=[])
    axes.spines[["top", "right"]].set_visible(True)
    axes.spines[:].set_color(FAINT)
    if plane.principal:
        axes.set_xlabel(f"first two principal axes of the real rows ({task.dim} columns)", fontsize=8)
    _legend(axes, (("real", DIM), ("generated", FAKE)))
    if shown.mean() < 0.995:
        text = f"{1 - shown.mean():.0%} outside the frame"
        axes.text(1, 1.02, text, transform=axes.transAxes, ha="right", va="bottom", fontsize=8, color=FAKE)


def _phase_plane(axes: "Axes", runs: Runs, member: int, history: Sequence[Mapping[str, Any]]) -> None:
    """Draws the Dirac-GAN's two numbers, and the radius (its distance) of every interval as a circle."""
    theta, psi = (float(weights) for weights in runs.population.weights(member))
    radii = [float(entry["distance"]) for entry in history]
    angle = np.linspace(0, 2 * np.pi, 181)
    for radius in radii[-12:]:
        axes.plot(radius * np.cos(angle), radius * np.sin(angle), color=FAINT, linewidth=0.8)
    axes.plot(radii[0] * np.cos(angle), radii[0] * np.sin(angle), color=REAL, linewidth=1, linestyle=(0, (4, 3)))
    axes.plot([0, theta], [0, psi], color=FAKE, linewidth=1)
    axes.scatter([0], [0], marker="+", s=90, color=INK, zorder=3)
    axes.scatter([theta], [psi], s=50, color=FAKE, zorder=4)
    reach = 1.25 * max(radii[0], min(float(np.hypot(theta, psi)), 4 * radii[0]))
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
    axes.locator_params(nbins=4)
    axes.set_xlabel("theta: where G puts its mass (data at 0)")
    axes.set_ylabel("psi: slope of D", labelpad=1)
    _legend(axes, (("now", FAKE), ("start radius", DIM), ("equilibrium (+)", INK)))


def _quality(axes: "Axes", runs: Runs, member: int, history: Sequence[Mapping[str, Any]]) -> None:
    distances = np.array([max(float(entry["distance"]), 1e-12) for entry in history])
    lowest, highest = distances.min(), distances.max()
    floor = float(runs.ledger.floor[member])
    if floor > SHOWN_DECADES_BELOW:
        axes.axhline(floor, color=REAL, linewidth=1.2, linestyle=(0, (4, 3)))
        across = axes.get_yaxis_transform()
        axes.text(
            1, floor * 1.06, "real against real", transform=across, ha="right", va="bottom", fontsize=8, color=DIM
        )
        lowest = min(lowest, floor)
    axes.plot(distances, color=FAKE, marker="o", markersize=3 if len(history) < 30 else 0)
    log_axis(axes, lowest / 1.35, highest * 1.35)
    _intervals(axes, runs, member)
    axes.set_title("distance (lower is better)", loc="left", fontsize=9, fontweight="bold")


def _controls(axes: "Axes", runs: Runs, member: int, history: Sequence[Mapping[str, Any]]) -> None:
    axes.axhline(1, color=FAINT, linewidth=1)
    steps = np.arange(len(history))
    for name, colour, dashes in (
        ("discriminator_lr_factor", DISCRIMINATOR, "--"),
        ("generator_lr_factor", GENERATOR, "-"),
    ):
        values = [float(entry[name]) for entry in history[1:]]  # an entry holds the controls that led to it
        if values:
            axes.plot(steps, [values[0], *values], drawstyle="steps-pre", color=colour, linestyle=dashes)
    axes.set_yscale("log")
    axes.set_ylim(1 / LR_FACTOR / 1.3, LR_FACTOR * 1.3)
    axes.set_yticks([1 / 30, 1, 30], ["1/30", "1", "30"])
    axes.minorticks_off()
    _intervals(axes, runs, member)
    axes.set_xlabel("interval")
    axes.set_title("learning rate / base", loc="left", fontsize=9, fontweight="bold")
    _legend(axes, (("G", GENERATOR), ("D", DISCRIMINATOR)), right=True)


def _now(figure: "Figure", entry: Mapping[str, Any]) -> None:
    words = (
        ("D : G updates", str(entry["ratio"])),
        ("loss", str(entry["loss"])),
        ("penalty weight", f"{float(entry['penalty_weight']):.3g}"),
    )
    for (name, value), x in zip(words, (0.575, 0.702, 0.875), strict=True):
        figure.text(x, 0.083, name, fontsize=8, color=DIM, va="center")
        figure.text(x, 0.043, value, fontsize=9.5, fontweight="bold", va="center", parse_math=False)


def _intervals(axes: "Axes", runs: Runs, member: int) -> None:
    horizon = int(runs.horizons[member])
    step = horizon // 4 if horizon % 4 == 0 else max(1, int(np.ceil(horizon / 6)))
    axes.set_xlim(-0.02 * horizon, 1.02 * horizon)
    axes.set_xticks(range(0, horizon + 1, step))


def log_axis(axes: "Axes", low: float, high: float) -> None:
    """A log axis with a few ticks in plain numbers, even where it spans less than a decade."""
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    span = np.log10(high / low)
    steps = (
        (1,)
        if span > 2.5
        else (1, 3)
        if span > 1
        else (1, 2, 5)
        if span > 0.5
        else (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
    )
    ticks = [step * 10.0**power for power in decades for step in steps]
    every = max(1, len(decades) // 6) if len(steps) == 1 else 1
    ticks = [tick for tick in ticks[::every] if low <= tick <= high]
    axes.set_yticks(ticks, [f"{tick:.4g}" for tick in ticks])
    axes.minorticks_off()


def _legend(axes: "Axes", entries: Sequence[tuple[str, str]], right: bool = False) -> None:
    """Coloured words above the axes. They read quicker than a legend box and hide nothing."""
    x, direction, align = (1.0, -1, "right") if right else (0.0, 1, "left")
    offset = 0.0
    for name, colour in reversed(entries) if right else entries:
        axes.annotate(
            name, (x, 1), xycoords="axes fraction", xytext=(direction * offset, 6), textcoords="offset points",
            ha=align, va="bottom", color=colour, fontweight="bold",
        )  # fmt: skip
        offset += 6.4 * len(name) + 10
