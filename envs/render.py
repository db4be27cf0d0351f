"""Draws a run: real and generated samples, the quality so far, and what the scheduler does."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from metagan_rl.errors import MissingDependencyError
from metagan_rl.evaluation import generated
from metagan_rl.loop.knobs import LR_FACTOR
from metagan_rl.loop.runs import Runs
from metagan_rl.networks.base import find_networks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
View = Callable[[Runs, Sequence[Mapping[str, Any]]], None]
"""Shows the samples of a run."""
LOWEST_SHARE = 1e-4
"""Where there is no floor, distances are drawn down to this share of the start."""
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


class Frame:
    """Draws one run, again and again. What does not change is drawn once, so that a frame takes a few milliseconds.

    The same run always gives the same pixels.

    Args:
        runs: the runs.
        member: which of them to draw.
        start: the entry before training: its distance and controls as words and numbers (``Controls.describe``).

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """

    def __init__(self, runs: Runs, member: int, start: Mapping[str, Any]) -> None:
        try:
            import matplotlib as mpl
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
        except ImportError as error:
            raise MissingDependencyError("matplotlib", "report", "rendering") from error

        context: Any = mpl.rc_context  # these and the canvas's methods have no annotations
        canvas: Any = FigureCanvasAgg
        self._style: Callable[[], Any] = lambda: context(STYLE)
        self._member = member
        self._moving: list[Any] = []
        with self._style():
            self._figure = Figure(figsize=(FRAME[0] / 100, FRAME[1] / 100), dpi=100, facecolor="white")
            self._canvas = canvas(self._figure)
            self._state = self._title(runs)
            self._samples = self._sample_view(runs, float(start["distance"]))
            self._distance = self._quality(runs, float(start["distance"]))
            self._rates = self._controls(runs)
            self._words = self._now()
            self._canvas.draw()  # all but what moves
            self._background = self._canvas.copy_from_bbox(self._figure.bbox)

    def draw(self, runs: Runs, history: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """The run as it is now.

        Args:
            runs: the runs.
            history: one entry for the start and one for each interval since; see the class.

        Returns:
            uint8 ``[480, 720, 3]``.
        """
        with self._style():
            self._tell(runs, history)
            self._samples(runs, history)
            self._distance(history)
            self._rates(history)
            for name, text in self._words.items():
                value = history[-1][name]
                text.set_text(f"{value:.3g}" if isinstance(value, float) else str(value))
            self._canvas.restore_region(self._background)
            renderer = self._canvas.get_renderer()
            for artist in self._moving:
                artist.draw(renderer)
            return np.asarray(self._canvas.buffer_rgba())[..., :3].copy()

    def _moves(self, artist: Any) -> Any:
        artist.set_animated(True)
        self._moving.append(artist)
        return artist

    def _title(self, runs: Runs) -> Any:
        name = runs.tasks[self._member].name
        self._figure.text(0.03, 0.945, name, fontsize=14, fontweight="bold", va="center", parse_math=False)
        return self._moves(self._figure.text(0.97, 0.945, "", fontsize=11, ha="right", va="center"))

    def _tell(self, runs: Runs, history: Sequence[Mapping[str, Any]]) -> None:
        diverged = bool(runs.population.diverged[self._member])
        state = "diverged" if diverged else f"distance {history[-1]['distance']:.3g}"
        where = f"interval {runs.done_intervals[self._member]} of {runs.horizons[self._member]}"
        self._state.set_text(f"{where}   ·   {state}")
        self._state.set_color(FAKE if diverged else INK)

    def _sample_view(self, runs: Runs, start: float) -> View:
        task = runs.population.tasks[self._member]  # as its data are now
        if find_networks(task.networks.kind).judge is not None:
            return self._phase_plane(self._figure.add_axes((0.075, 0.12, 0.45, 0.675)), start)
        if is_image(task.data().reward_reference.numpy()):
            return self._images(runs)
        return self._points(self._figure.add_axes((0.03, 0.07, 0.495, 0.7425)), runs)  # square in pixels

    def _images(self, runs: Runs) -> View:
        real = runs.population.tasks[self._member].data().reward_reference.numpy()
        low, high = float(real.min()), float(real.max())
        pictures = []
        for bottom, name, colour in ((0.47, "real", INK), (0.045, "generated", FAKE)):
            axes = self._figure.add_axes((0.03, bottom, 0.495, 0.37))
            picture = axes.imshow(
                mosaic(real, 4, 8, low, high), cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto"
            )
            axes.set_axis_off()
            axes.text(0.0, 1.015, name, transform=axes.transAxes, color=colour, fontweight="bold", va="bottom")
            pictures.append(picture)
        fake = self._moves(pictures[1])

        def show(runs: Runs, history: Sequence[Mapping[str, Any]]) -> None:
            points = generated(runs.population, [self._member])[0].numpy(force=True)
            fake.set_data(mosaic(points, 4, 8, low, high))

        return show

    def _points(self, axes: "Axes", runs: Runs) -> View:
        task = runs.population.tasks[self._member]
        plane = Plane(task.data().reward_reference.numpy())
        axes.set(xlim=(plane.low[0], plane.high[0]), ylim=(plane.low[1], plane.high[1]), xticks=[], yticks=[])
        axes.spines[["top", "right"]].set_visible(True)
        axes.spines[:].set_color(FAINT)
        if plane.principal:
            axes.set_xlabel(f"first two principal axes of the real rows ({task.dim} columns)", fontsize=8)
        _legend(axes, (("real", DIM), ("generated", FAKE)))
        dots: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 2.6, "markeredgewidth": 0}
        real = self._moves(axes.plot([], [], color=REAL, **dots)[0])
        fake = self._moves(axes.plot([], [], color=FAKE, alpha=0.7, **dots)[0])
        outside = self._moves(
            axes.text(1, 1.02, "", transform=axes.transAxes, ha="right", va="bottom", fontsize=8, color=FAKE)
        )

        def show(runs: Runs, history: Sequence[Mapping[str, Any]]) -> None:
            now = runs.population.tasks[self._member].data().reward_reference.numpy()  # data may drift
            real.set_data(*plane(now).T)
            placed = plane(generated(runs.population, [self._member])[0].numpy(force=True))
            shown = plane.inside(placed)
            fake.set_data(*placed[shown].T)
            outside.set_text(f"{1 - shown.mean():.0%} outside the frame" if shown.mean() < 0.995 else "")

        return show

    def _phase_plane(self, axes: "Axes", start: float) -> View:
        """The Dirac-GAN's two numbers, and the radius (its distance) of the last intervals as circles."""
        angle = np.append(np.linspace(0, 2 * np.pi, 181), np.nan)  # a gap behind each circle
        circle = np.array([np.cos(angle), np.sin(angle)])
        axes.plot(*(start * circle), color=REAL, linewidth=1, linestyle=(0, (4, 3)))
        axes.scatter([0], [0], marker="+", s=90, color=INK, zorder=3)
        axes.set(xlim=(-1.6 * start, 1.6 * start), ylim=(-1.6 * start, 1.6 * start))
        axes.locator_params(nbins=4)
        axes.set_xlabel("theta: where G puts its mass (data at 0)")
        axes.set_ylabel("psi: slope of D", labelpad=1)
        _legend(axes, (("now", FAKE), ("start radius", DIM), ("equilibrium (+)", INK)))
        rings = self._moves(axes.plot([], [], color=FAINT, linewidth=0.8)[0])
        arm = self._moves(axes.plot([], [], color=FAKE, linewidth=1, marker="o", markersize=7, markevery=[1])[0])

        def show(runs: Runs, history: Sequence[Mapping[str, Any]]) -> None:
            radii = [float(entry["distance"]) for entry in history[-12:]]
            rings.set_data(*np.concatenate([radius * circle for radius in radii], axis=1))
            theta, psi = (float(weights) for weights in runs.population.weights(self._member))
            arm.set_data([0, theta], [0, psi])

        return show

    def _quality(self, runs: Runs, start: float) -> Callable[[Sequence[Mapping[str, Any]]], None]:
        axes = self._figure.add_axes((0.62, 0.575, 0.35, 0.2375))
        floor = float(runs.ledger.floor[self._member])
        lowest = start * LOWEST_SHARE
        if floor > SHOWN_DECADES_BELOW:
            axes.axhline(floor, color=REAL, linewidth=1.2, linestyle=(0, (4, 3)))
            across = axes.get_yaxis_transform()
            axes.text(
                1, floor * 1.06, "real against real", transform=across, ha="right", va="bottom", fontsize=8, color=DIM
            )
            lowest = floor / 1.35
        highest = start * 2.5
        log_axis(axes, lowest, highest)
        self._intervals(axes, runs)
        axes.set_title("distance (lower is better)", loc="left", fontsize=9, fontweight="bold")
        line = self._moves(axes.plot([], [], color=FAKE, marker="o")[0])

        def show(history: Sequence[Mapping[str, Any]]) -> None:
            distances = np.clip([float(entry["distance"]) for entry in history], lowest * 1.05, highest / 1.05)
            line.set_data(np.arange(len(distances)), distances)
            line.set_markersize(3 if len(history) < 30 else 0)

        return show

    def _controls(self, runs: Runs) -> Callable[[Sequence[Mapping[str, Any]]], None]:
        axes = self._figure.add_axes((0.62, 0.225, 0.35, 0.22))
        axes.axhline(1, color=FAINT, linewidth=1)
        axes.set_yscale("log")
        axes.set_ylim(1 / LR_FACTOR / 1.3, LR_FACTOR * 1.3)
        axes.set_yticks([1 / 30, 1, 30], ["1/30", "1", "30"])
        axes.minorticks_off()
        self._intervals(axes, runs)
        axes.set_xlabel("interval")
        axes.set_title("learning rate / base", loc="left", fontsize=9, fontweight="bold")
        _legend(axes, (("G", GENERATOR), ("D", DISCRIMINATOR)), right=True)
        lines = {
            name: self._moves(axes.plot([], [], drawstyle="steps-pre", color=colour, linestyle=dashes)[0])
            for name, colour, dashes in (
                ("discriminator_lr_factor", DISCRIMINATOR, "--"),
                ("generator_lr_factor", GENERATOR, "-"),
            )
        }

        def show(history: Sequence[Mapping[str, Any]]) -> None:
            for name, line in lines.items():
                values = [float(entry[name]) for entry in history[1:]]  # an entry holds the controls that led to it
                line.set_data(np.arange(len(history) if values else 0), [values[0], *values] if values else [])

        return show

    def _now(self) -> dict[str, Any]:
        texts = {}
        for name, words, x in (
            ("ratio", "D : G updates", 0.575),
            ("loss", "loss", 0.702),
            ("penalty_weight", "penalty weight", 0.875),
        ):
            self._figure.text(x, 0.083, words, fontsize=8, color=DIM, va="center")
            text = self._figure.text(x, 0.043, "", fontsize=9.5, fontweight="bold", va="center", parse_math=False)
            texts[name] = self._moves(text)
        return texts

    def _intervals(self, axes: "Axes", runs: Runs) -> None:
        horizon = int(runs.horizons[self._member])
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
