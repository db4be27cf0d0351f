"""Schedulers in loops that nobody here designed: ``python -m metagan_rl.experiments.studies.recipe_study``.

Three published recipes (see ``minimal/recipes.py``) train on digits and MNIST (or Fashion-MNIST), at a tenth of, at,
and at ten times the published learning rates: without a scheduler (*off*), with one that only watches (*log*), and with
one that acts (*on*). The seeds of the three are the same, so *log* must end where *off* ends, at what watching costs.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from metagan_rl import __version__
from metagan_rl.errors import InvalidValueError
from metagan_rl.experiments.benchmark.backends import Workers
from metagan_rl.experiments.benchmark.records import ROWS, append_lines, read_lines
from metagan_rl.experiments.benchmark.row import Cell
from metagan_rl.experiments.report.statistics import Estimate, geometric, paired_ratio
from metagan_rl.experiments.report.tables import brief, markdown_table
from metagan_rl.experiments.studies.command import called_as, run_command, show_line
from metagan_rl.experiments.studies.minimal import RECIPES, GANRunner, images_of
from metagan_rl.files import make_directory, write_whole
from metagan_rl.metrics.quality import WORST_DISTANCE

FACTORS = (0.1, 1.0, 10.0)
MOMENTS = 8
"""Distances of a run, at even shares of it."""
OFF, LOG = "off", "log"
KEY = ("data", "recipe", "factor", "arm", "seed", "steps", "watcher")
"""What tells a row from others."""


@dataclass(frozen=True)
class RecipeRun:
    """One run.

    Attributes:
        data: name of the images.
        recipe: name of the recipe.
        factor: of the published learning rate.
        arm: ``"off"``, ``"log"``, or the name of the scheduler that acts.
        seed: of the run.
        steps: updates of G.
        watcher: scheduler of ``"log"``; ``None`` in the other arms.
    """

    data: str
    recipe: str
    factor: float
    arm: str
    seed: int
    steps: int
    watcher: str | None = None


@dataclass
class RecipeStudy:
    """Run published recipes off, log and on."""

    out: Path = Path("runs/recipes")
    """Directory for rows and table; gone on with if it holds some."""
    data: tuple[str, ...] = ("digits", "mnist")
    """digits, mnist, fashion-mnist."""
    schedulers: tuple[str, ...] = ("loop",)
    """Schedulers that act, names or policy files; the first of them watches as well."""
    recipes: tuple[str, ...] = field(default_factory=lambda: tuple(RECIPES))
    """Recipes."""
    seeds: int = 3
    """Runs of each cell."""
    steps: int = 2000
    """Updates of G in a run."""
    workers: int | None = None
    """Runs at once; by default one for each core; 0 runs all in this process."""


def run_job(job: RecipeRun) -> dict[str, Any]:
    """Trains, and says how it went; a run that diverged is a row like any other."""
    runner = GANRunner(
        images_of(job.data, job.seed),
        job.recipe,
        steps=job.steps,
        scheduler={OFF: None, LOG: job.watcher}.get(job.arm, job.arm),
        mode="log" if job.arm == LOG else "both",
        factor=job.factor,
        seed=job.seed,
    )
    curve, seconds = [runner.distance()], 0.0
    moments = {round(job.steps * (place + 1) / MOMENTS) for place in range(MOMENTS)}
    while runner.step < job.steps:
        started = time.perf_counter()
        runner.train_step()
        seconds += time.perf_counter() - started
        if runner.step in moments:
            curve.append(runner.distance())
    controls = None if runner.scheduler is None else runner.scheduler.controls
    return {
        **asdict(job),
        "distance": curve[-1],
        "curve": [float(f"{value:.5g}") for value in curve],
        "diverged": curve[-1] >= WORST_DISTANCE,
        "advice": None if controls is None else controls.advice.status,
        "fallen_back": None if controls is None else controls.fallen_back,
        "seconds": round(seconds, 3),
        "version": __version__,
    }


def jobs_of(options: RecipeStudy) -> list[RecipeRun]:
    """All runs, seed by seed."""
    return [
        RecipeRun(data, recipe, factor, arm, seed, options.steps, options.schedulers[0] if arm == LOG else None)
        for seed in range(options.seeds)
        for data in options.data
        for recipe in options.recipes
        for factor in FACTORS
        for arm in (OFF, LOG, *options.schedulers)
    ]


def run_recipes(options: RecipeStudy, *, command: str = "", show: Any = print) -> Path:
    """Runs what is missing and writes the table of what was asked for.

    Args:
        options: what to run.
        command: how it was called, kept with the table.
        show: gets a line for each run.

    Returns:
        ``summary.md``.

    Raises:
        UnknownNameError: there are no such images, recipe or scheduler.
        InvalidValueError: a value is out of range, or a scheduler cannot work with what a loop measures.
        FileFormatError: a row or policy file is damaged.
    """
    if not (options.schedulers and options.data and options.recipes) or options.seeds < 1:
        raise InvalidValueError(f"seeds is {options.seeds}; name data, recipes and schedulers, and at least one seed")
    jobs = jobs_of(options)
    for data, recipe in product(options.data, options.recipes):  # what cannot be run is told now, not after hours
        GANRunner(images_of(data), recipe)
    for name in options.schedulers:
        run_job(replace(jobs[0], arm=name, steps=1))
    path = make_directory(options.out) / ROWS
    done = {tuple(row[name] for name in KEY) for row in read_lines(path, KEY)}
    missing = [job for job in jobs if tuple(asdict(job).values()) not in done]
    started = time.monotonic()
    with Workers(run_job, workers=options.workers) as crew:
        for number, (job, row) in enumerate(crew.run(missing), start=1):
            append_lines(path, [row])
            show(
                f"{number}/{len(missing)} in {time.monotonic() - started:.0f} s: {job.recipe} on {job.data} at "
                f"{job.factor:g}x, {job.arm}: distance {row['distance']:.3f}"
            )
    wanted = {tuple(asdict(job).values()) for job in jobs}
    rows = [row for row in read_lines(path, KEY) if tuple(row[name] for name in KEY) in wanted]
    write_whole(options.out / "summary.md", as_markdown(rows, (OFF, LOG, *options.schedulers), command))
    return options.out / "summary.md"


def as_markdown(rows: Sequence[Mapping[str, Any]], arms: Sequence[str], command: str) -> str:
    """The table: geometric mean distance over seeds, and each arm over *off*, the same seeds."""
    data = list(dict.fromkeys(row["data"] for row in rows))
    lines = [
        "# Published recipes with and without a scheduler",
        "",
        f"Made by `{command}`. Distance at the end (lower is better; 20 is the worst, and diverged), geometric mean "
        "over seeds. *log* only watches, so it has to end where *off* does. Time: of training, relative to *off*. "
        "SNGAN's own rates fall linearly to 0 when *off*; a scheduler that acts takes the place of that.",
    ]
    for name in data:
        table = []
        for recipe in dict.fromkeys(row["recipe"] for row in rows):
            for factor in FACTORS:
                own = {arm: _cells(rows, data=name, recipe=recipe, factor=factor, arm=arm) for arm in arms}
                if own[OFF]:
                    table.append([recipe, f"{factor:g}x", *_line(own)])
        headings = ["recipe", "learning rate", *arms, "diverged", "time of log"]
        lines += ["", f"## {name}", "", markdown_table(headings, table, ["---"] * len(headings))]
    lines += ["", "## All of it", "", "Ratio of distances to *off*, with 95 % intervals over recipes and data.", ""]
    table = []
    for arm in arms[1:]:
        some = [rows, *([row for row in rows if row["factor"] == factor] for factor in FACTORS)]
        ratios = [_over_off(each, arm) for each in some]
        table.append([arm, *("" if ratio is None else brief(ratio) for ratio in ratios)])
    headings = ["", "all", *(f"{factor:g}x" for factor in FACTORS)]
    return "\n".join([*lines, markdown_table(headings, table, ["---"] * len(headings))]) + "\n"


def _line(own: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> list[str]:
    """Distance of each arm, how many runs diverged, and the time of *log*."""
    distances = [{("", seed): row["distance"] for seed, row in rows.items()} for rows in own.values()]
    diverged = ", ".join(f"{arm} {sum(row['diverged'] for row in rows.values())}" for arm, rows in own.items() if rows)
    both = own[LOG].keys() & own[OFF].keys()
    times = [own[LOG][seed]["seconds"] / own[OFF][seed]["seconds"] for seed in both]
    cells = [f"{geometric(each):.3g}" if each else "" for each in distances]
    return [*cells, diverged, f"{np.median(times):.2f}" if times else ""]


def _cells(rows: Iterable[Mapping[str, Any]], **wanted: Any) -> dict[int, Mapping[str, Any]]:
    return {row["seed"]: row for row in rows if all(row[name] == value for name, value in wanted.items())}


def _over_off(rows: Iterable[Mapping[str, Any]], arm: str) -> Estimate | None:
    """Ratio over *off*, a task being one recipe at one rate on one data set."""
    distances: dict[str, dict[Cell, float]] = {arm: {}, OFF: {}}
    for row in rows:
        if row["arm"] in distances:
            cell = (f"{row['data']}/{row['recipe']}/{row['factor']:g}", row["seed"])
            distances[row["arm"]][cell] = row["distance"]
    if not distances[arm].keys() & distances[OFF].keys():
        return None
    return paired_ratio(distances[arm], distances[OFF])


def main() -> None:
    """The study as the command line says."""
    run_command(
        RecipeStudy, lambda options: print(run_recipes(options, command=called_as("recipe_study"), show=show_line))
    )


if __name__ == "__main__":
    main()
