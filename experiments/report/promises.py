"""The four promises of a learned schedule: for each a picture, the numbers behind it, and what would falsify it.

The promises are fewer trials, generalisation, stability and quick adaptation. Each function below works one out from
rows, curves and references, for all schedulers in the same way. If its data are missing, there is no picture, and the
caption says what is missing.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metagan_rl.experiments.benchmark.references import References
from metagan_rl.experiments.benchmark.row import Curve, Row, RunKey
from metagan_rl.experiments.report import promise_figures as draw
from metagan_rl.experiments.report.aggregates import performance_profile
from metagan_rl.experiments.report.curves import BAND_RESAMPLES, GRID, geometric_band, log_distances
from metagan_rl.experiments.report.figures import Band, Line
from metagan_rl.experiments.report.ranking import BASELINE, Ranking, rooms_of, scores_of
from metagan_rl.experiments.report.statistics import Estimate, by_task, fixed_stream, geometric_mean, mean_interval
from metagan_rl.experiments.report.summary import TAGS, YARDSTICK, by_scheduler, distances_of
from metagan_rl.experiments.report.worth import in_words, worth_in_trials

NEW_CONDITIONS = ("other-network", "other-budget")
"""Tags of tasks that differ from the training tasks only in their networks or budget."""
COLUMNS = ("promise", "tier", "scheduler", "quantity", "x", "value", "low", "high")
SCORES = (-1.0, 1.3)
"""The range of scores that is drawn; values beyond it are at the edge."""


@dataclass(frozen=True)
class Promise:
    """One picture of the report.

    Attributes:
        title: what is promised.
        caption: what is shown and what would falsify it, or what is missing.
        svg: the picture, ready for an HTML page; ``None`` if data are missing.
        numbers: what was drawn. The keys are ``COLUMNS``, without those that do not apply.
        legend: schedulers whose lines the page has to explain.
    """

    title: str
    caption: str
    svg: str | None = None
    numbers: tuple[dict[str, Any], ...] = ()
    legend: tuple[str, ...] = ()


def promises(
    rows: Iterable[Row],
    curves: Iterable[Curve],
    ranking: Ranking,
    references: Sequence[References],
    lines: Mapping[str, Line],
) -> list[Promise]:
    """The four promises, in order.

    Args:
        rows: rows of the benchmark.
        curves: curves of the benchmark, from ``curves.jsonl``.
        ranking: ranking of the same rows.
        references: references of the splits that have them.
        lines: how schedulers are drawn.
    """
    rows = list(rows)
    return [
        fewer_trials(rows, ranking, references, lines),
        generalisation(ranking),
        stability(ranking),
        adaptation(rows, curves, lines),
    ]


def fewer_trials(
    rows: Iterable[Row], ranking: Ranking, references: Sequence[References], lines: Mapping[str, Line]
) -> Promise:
    """How many trials of random search on each task a scheduler is worth, though it spends none there."""
    title = "Fewer hyper-parameter trials"
    tried = {f"{some.suite}/{some.split}/{task}": curve for some in references for task, curve in some.curves.items()}
    sound = by_scheduler(rows)[0]
    own = {name: {task for task, _ in cells} & tried.keys() for name, cells in sound.items()}
    taking_part = {name: cells for name, cells in sound.items() if own[name]}
    tasks = sorted(set.intersection(*(own[name] for name in taking_part))) if taking_part else []
    if not tasks:
        return Promise(title, "Left out: random search was not measured on the tasks that all schedulers ran on.")
    trials = sorted(set.intersection(*({float(n) for n in tried[task][:, 0]} for task in tasks)))
    search = np.log([[_at(tried[task], n) for n in trials] for task in tasks])  # [K, T]
    middle, low, high = (np.exp(ends) for ends in mean_interval(search))
    numbers = [
        {"scheduler": "random search", "quantity": "distance", "x": n, "value": v, "low": a, "high": b}
        for n, v, a, b in zip(trials, middle, low, high, strict=True)
    ]
    extra = {standing.scheduler: standing.extra_runs for standing in ranking.standings}
    marks = []
    for name, cells in taking_part.items():
        distances = {cell: value for cell, value in distances_of(cells).items() if cell[0] in set(tasks)}
        distance = geometric_mean(distances)
        logs = by_task({cell: np.log(value) for cell, value in distances.items()})
        worth = worth_in_trials(search, logs, np.array(trials))
        spent = f", +{extra[name]:.1f} runs" if extra[name] > 0 else ""
        marks.append(draw.Mark(name, distance.value, worth.value, in_words(worth, trials[-1]) + spent))
        numbers += [_number(name, "distance", distance), _number(name, "worth in trials", worth)]
    marks.sort(key=lambda mark: (-mark.distance, mark.name))
    caption = (
        f"Grey: random search. It tries n constants on each of {len(tasks)} tasks with one seed and keeps the best. "
        "The curve shows what that constant reaches with another seed (geometric mean, 95 % band over tasks). "
        "Lines: what each scheduler reaches on the same tasks without a trial (or with the runs after a +). "
        "A scheduler is worth as many trials as the curve needs to reach its line (95 % interval over tasks). "
        "The promise is false if the interval of a learned schedule includes one trial. Training it does not pay if "
        f"{BASELINE}, tuned once for all tasks, is worth as many."
    )
    svg = draw.trials_figure("trials", Band(np.array(trials), middle, low, high), marks, lines)
    return Promise(title, caption, svg, tuple(numbers))


def generalisation(ranking: Ranking) -> Promise:
    """The score of each scheduler on each tier of tasks."""
    title = "Generalisation"
    standings = [standing for standing in ranking.standings if standing.tiers]
    tiers = [tier for tier in ranking.tiers if any(tier in standing.tiers for standing in standings)]
    if len(tiers) < 2:
        return Promise(title, "Left out: this needs scores on known families and on another kind of tasks, and their "
                       "references were not measured.")  # fmt: skip
    series = {tier: {s.scheduler: s.tiers[tier] for s in standings if tier in s.tiers} for tier in tiers}
    numbers = [_number(name, "score", value, tier) for tier, values in series.items() for name, value in values.items()]
    numbers += [_number(s.scheduler, "gap", gap, tier) for s in standings for tier, gap in s.gaps.items()]
    svg = draw.rows_figure(
        "generalisation", [s.scheduler for s in standings], series, "score (share of the room)", SCORES,
        draw.ROOM_ENDS,
    )  # fmt: skip
    caption = (
        "Score by kind of tasks: 0 is the median random constant, 1 is the best schedule that a search found for that "
        "very task. Marks are interquartile means with 95 % intervals over tasks. Arrows point to values beyond the "
        "frame. Learned schedules trained on known families only (the first mark). Everything else is new to them. "
        "The promise is false where the interval of another kind of tasks includes 0. It is weak where that interval "
        "lies completely below the one of the known families."
    )
    return Promise(title, caption, svg, tuple(numbers))


def stability(ranking: Ranking) -> Promise:
    """Each scheduler's rates of divergence, mode loss and vanishing gradient."""
    title = "Stability"
    standings = [standing for standing in ranking.standings if standing.runs]
    series = {
        label: {s.scheduler: getattr(s, name) for s in standings if np.isfinite(getattr(s, name).value)}
        for label, name in (("diverged", "diverged"), ("modes lost", "modes_lost"), ("vanishing gradient", "vanished"))
    }
    series = {label: values for label, values in series.items() if values}
    if not series:
        return Promise(title, "Left out: no run has finished yet.")
    numbers = [_number(name, label, value) for label, values in series.items() for name, value in values.items()]
    svg = draw.rows_figure(
        "stability", [s.scheduler for s in standings], series, "share of runs", (0.0, 1.0), {}, per_cent=True
    )
    caption = (
        "Share of runs that diverged. Of the other runs: the share that lost modes, and the share in which the "
        "generator's gradient vanished for a part of the run. A run lost modes if it ended without some known mode. "
        "Where no modes are known, its coverage ended more than 0.1 below its own best, on average. Intervals are "
        "Wilson's, 95 %, with n = tasks. Left is better. The promise is false if a learned schedule's interval of any "
        f"of the three lies completely above that of {YARDSTICK}."
    )
    return Promise(title, caption, svg, tuple(numbers))


def adaptation(rows: Iterable[Row], curves: Iterable[Curve], lines: Mapping[str, Line]) -> Promise:
    """Distance relative to the start against the share of the budget, under known and new conditions."""
    title = "Quick adaptation"
    rows = [row for row in rows if not row.error]
    suites = {(row.key.suite, row.key.split) for row in rows if row.tag in NEW_CONDITIONS}
    tags = {row.key: row.tag for row in rows if (row.key.suite, row.key.split) in suites}
    by_tag: dict[str, dict[RunKey, Curve]] = {}
    for curve in curves:
        if curve.key in tags and curve.intervals:
            by_tag.setdefault(tags[curve.key], {})[curve.key] = curve
    tiers = [tier for tier in (TAGS[0], *NEW_CONDITIONS) if tier in by_tag]
    if not set(tiers) & set(NEW_CONDITIONS):
        return Promise(title, "Left out: this needs curves on tasks with other networks or other budgets, such as "
                       "those in the test split of suite planar-mixed.")  # fmt: skip
    share = np.linspace(0, 1, GRID + 1)
    panels, level, numbers = {}, {}, []
    for tier in tiers:
        bands = {
            name: geometric_band(share, {cell: log - log[0] for cell, log in cells.items()})
            for name, cells in log_distances(by_tag[tier].values(), share).items()
        }
        panels[tier] = bands
        if YARDSTICK in bands:
            level[tier] = float(bands[YARDSTICK].middle[-1])
        for name, band in bands.items():
            at = draw.first_below(band, level.get(tier, float("nan")))
            value = float("nan") if at is None else at
            numbers.append(
                _number(name, f"share of the budget to {YARDSTICK}'s end", Estimate(value, *[np.nan] * 2), tier)
            )
            numbers += [
                {**_number(name, "distance relative to the start", Estimate(*map(float, ends)), tier), "x": x}
                for x, *ends in list(zip(band.x, band.middle, band.low, band.high, strict=True))[:: GRID // 16]
            ]
    caption = (
        "Distance relative to the start, against the share of the budget (geometric mean over tasks; some schedules "
        f"have 95 % bands). The dotted line shows where {YARDSTICK} ends. A dot shows where a schedule first gets "
        "there. Distances during training are measured on fewer points than those of the scores, so they are shown "
        "relative to the start. The promise is false if, on other networks or budgets, a learned schedule needs a much "
        "larger share of the budget to reach its dot than on known families, or never reaches it."
    )
    shown = tuple(name for name in lines if any(name in bands for bands in panels.values()))
    return Promise(title, caption, draw.panels_figure("adaptation", panels, lines, level), tuple(numbers), shown)


def profile(rows: Iterable[Row], references: Sequence[References], lines: Mapping[str, Line]) -> Promise:
    """The share of runs above each score: the whole distribution that the ranking sums up."""
    title, rooms = "Performance profile", rooms_of(references)
    thresholds = np.linspace(*SCORES, 93)
    scored = {name: scores_of(cells, rooms) for name, cells in by_scheduler(rows)[0].items()}
    bands = {
        name: Band(thresholds, *performance_profile(scores, thresholds, fixed_stream(), resamples=BAND_RESAMPLES))
        for name, scores in scored.items()
        if scores
    }
    if not bands:
        return Promise(title, "Left out: these tasks have no references, so there are no scores.")
    numbers = [
        {**_number(name, "share of runs above x", Estimate(*map(float, ends))), "x": float(x)}
        for name, band in bands.items()
        for x, *ends in list(zip(band.x, band.middle, band.low, band.high, strict=True))[::4]
    ]
    caption = (
        "Share of runs with a score above \N{GREEK SMALL LETTER TAU}. All tasks count the same. Higher is better. A "
        "line that is above another everywhere is better in every respect. Some schedules have bands, 95 % over other "
        "seeds. With one seed a task there are none."
    )
    shown = tuple(name for name in lines if name in bands)
    return Promise(title, caption, draw.profile_figure("profile", bands, lines), tuple(numbers), shown)


def as_csv(pictures: Iterable[Promise]) -> str:
    """The numbers behind the pictures, one a line; unknown ones and columns that do not apply are empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    for picture in pictures:
        for number in picture.numbers:
            plain = {
                name: value if isinstance(value, str) else f"{value:.6g}" if value == value else ""
                for name, value in number.items()
            }
            writer.writerow({"promise": picture.title, **plain})
    return text.getvalue()


def _at(curve: np.ndarray, trials: float) -> float:
    return float(curve[curve[:, 0] == trials, 1][0])


def _number(name: str, quantity: str, estimate: Estimate, tier: str | None = None) -> dict[str, Any]:
    number = {"scheduler": name, "quantity": quantity, "value": estimate.value}
    number |= {"low": estimate.low, "high": estimate.high}
    return number if tier is None else {"tier": tier, **number}
