"""Makes the report of a benchmark: one HTML file that needs nothing else, and tables in Markdown and CSV."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from metagan_rl.agents.catalogue import is_settled, kind_of, scheduler_names
from metagan_rl.errors import MissingDependencyError
from metagan_rl.experiments.benchmark.records import TRAINING, read_config, read_curves, read_lines, read_rows
from metagan_rl.experiments.benchmark.references import FOLDER, ORACLE, References, load_references
from metagan_rl.experiments.benchmark.row import Curve, Row, RunKey
from metagan_rl.experiments.benchmark.samples import SAMPLES
from metagan_rl.experiments.report import figures, promises
from metagan_rl.experiments.report.conclusion import Conclusion, conclude, unfinished
from metagan_rl.experiments.report.curves import choices_in, quality_bands, schedule_of
from metagan_rl.experiments.report.gallery import default_pair, script_data, task_pages
from metagan_rl.experiments.report.ranking import Ranking, Standing, rank
from metagan_rl.experiments.report.summary import Group, group_rows, known, metrics_in, summarise, yardstick_of
from metagan_rl.experiments.report.tables import (
    amount,
    as_csv,
    as_markdown,
    fixed,
    fixed_interval,
    interval,
    number,
    percent,
    percents,
    shade,
    what_ranking_shows,
    whiskers,
)
from metagan_rl.files import exists, write_whole
from metagan_rl.metrics import METRICS, STABILITY_LABELS

PROMISES = "promises.csv"
TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = ("sections.js", "table.js", "charts.js", "moments.js")
MOST_SHOWN = 12
"""Most schedulers in the picture of the conclusion: those with the lowest distances."""
HEADLINE = ("precision", "coverage")
"""Metrics that the results show beside the distance. The table of stability has all other known ones."""


def write_report(directory: str | Path, *, references: str | Path = FOLDER) -> Path:
    """Writes ``report.html``, ``summary.md``, ``summary.csv`` and ``promises.csv`` into a benchmark directory.

    Args:
        directory: as ``run_benchmark`` leaves it. An interrupted benchmark gives a report of its finished runs.
        references: folder that says what tuning wins on each task, by which runs are scored.

    Returns:
        The path of ``report.html``.

    Raises:
        FileFormatError: it is not a benchmark directory, or one of its files is damaged.
        MissingDependencyError: matplotlib is not installed.
        OutputError: the directory cannot be written.
    """
    directory = Path(directory)
    config = read_config(directory)
    rows = read_rows(directory)
    curves = {curve.key: curve for curve in read_curves(directory)}
    training = read_lines(directory / TRAINING)
    schedulers = list(dict.fromkeys([*config.get("schedulers", ()), *(row.key.scheduler for row in rows)]))
    groups, yardstick = summarise(rows, schedulers), yardstick_of(schedulers)
    measured = _references(config, references)
    ranking = rank(rows, measured)
    conclusion = conclude(rows, ranking, _settled(schedulers))
    sentence = " ".join(filter(None, (unfinished(config, rows), conclusion.sentence)))
    conclusion = replace(conclusion, sentence=sentence)
    leading = [*_policies(config), *(standing.scheduler for standing in ranking.standings)]
    all_lines = figures.lines_for(schedulers, leading)
    lines = figures.quieted(all_lines, leading)
    panels = _quality_panels(rows, curves, lines)
    cards, choices = _schedule_cards(curves, schedulers, all_lines)
    promised = promises.promises(rows, list(curves.values()), ranking, measured, lines)
    profile = promises.profile(rows, measured, lines)
    commands = [str(line) for line in config.get("commands") or ["metagan_rl.experiments.run_benchmark"]]
    pages, left_out = task_pages(directory / SAMPLES, rows, curves, schedulers, all_lines, commands)
    pair = default_pair(groups, yardstick, pages)
    script = "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in SCRIPTS)
    page = (
        _environment()
        .get_template("report.html.j2")
        .render(
            config=config,
            commands=commands,
            groups=groups,
            ranking=ranking,
            conclusion=conclusion,
            shown=_shown(conclusion),
            ranked=_as_concluded(ranking, conclusion),
            profile=profile,
            promises=promised,
            schedulers=schedulers,
            kinds=_kinds(schedulers, config),
            yardstick=yardstick,
            lines=lines,
            all_lines=all_lines,
            panels=panels,
            cards=cards,
            choices=choices,
            colours=figures.CHOICE_COLOURS,
            dark=figures.DARK,
            training=_training_figures(training, all_lines, schedulers),
            pages=pages,
            pair=pair,
            data=script_data(pages, schedulers, all_lines, choices, pair),
            left_out=left_out,
            headline={name: METRICS[name].label for name in HEADLINE},
            stability=_stability_columns(groups, rows),
            runs=sum(entry.runs for group in groups for entry in group.entries),
            errors=[row for row in rows if row.error][:8],
            script=script,
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )
    write_whole(directory / "summary.csv", as_csv(groups, ranking))
    if curves or not exists(directory / PROMISES):  # else it was made from curves that are no longer there
        write_whole(directory / PROMISES, promises.as_csv([*promised, profile]))
    told = [str(line) for line in config.get("commands", [])]
    write_whole(directory / "summary.md", as_markdown(groups, ranking, conclusion.sentence, told))
    write_whole(directory / "report.html", page)
    return directory / "report.html"


def _shown(conclusion: Conclusion) -> list[str]:
    """The schedulers in the picture of the conclusion, lowest distance first."""
    named = (conclusion.reference, *conclusion.pair)
    return [name for place, name in enumerate(conclusion.ratios) if place < MOST_SHOWN or name in named]


def _as_concluded(ranking: Ranking, conclusion: Conclusion) -> list[Standing]:
    """The standings in the order of the conclusion, then all others."""
    order = list(conclusion.ratios)
    return sorted(
        ranking.standings,
        key=lambda each: order.index(each.scheduler) if each.scheduler in order else len(order),
    )


def _references(config: Mapping[str, Any], folder: str | Path) -> list[References]:
    """The references that were measured on the same version of the suites as the benchmark."""
    entries = [entry for entry in config.get("suites", ()) if isinstance(entry, dict)]
    found = [load_references(str(entry.get("suite")), str(entry.get("split")), folder) for entry in entries]
    return [
        some for some, entry in zip(found, entries, strict=True) if some.sha256 and some.sha256 == entry.get("sha256")
    ]


def _stability_columns(groups: Sequence[Group], rows: Sequence[Row]) -> dict[str, str]:
    """Headings of the table of stability: its terms, and every metric for which some run has a value."""
    means = [entry.means for group in groups for entry in group.entries]
    metrics = [
        name
        for name in metrics_in(rows)
        if name not in ("distance", *HEADLINE) and any(known(each.get(name)) for each in means)
    ]
    return {**STABILITY_LABELS, **{name: _heading(name) for name in metrics}}


def _heading(name: str) -> str:
    """A metric's name, unit and which way is better; only its name if it is not registered here."""
    if name not in METRICS:
        return name
    metric = METRICS[name]
    arrow = {"lower": " \N{DOWNWARDS ARROW}", "higher": " \N{UPWARDS ARROW}", None: ""}[metric.better]
    return metric.label + (f" ({metric.unit})" if metric.unit else "") + arrow


def _quality_panels(
    rows: Sequence[Row], curves: Mapping[RunKey, Curve], lines: Mapping[str, figures.Line]
) -> list[tuple[str, str]]:
    """Pictures of quality over the run, one for each group of tasks: title and SVG."""
    panels = []
    for place, ((suite, split, tag), members) in enumerate(group_rows(rows).items()):
        sound = {row.key: row for row in members if not row.error}
        some = [curves[key] for key in sound if key in curves and curves[key].intervals]
        if some:
            updates = {key: row.updates or 0 for key, row in sound.items() if not row.diverged}
            bands, label = quality_bands(some, updates)
            ordered = {name: bands[name] for name in sorted(bands, key=lambda name: lines[name].width)}
            svg = figures.quality_panel(f"quality{place}", ordered, lines, label)
            panels.append((f"{suite}, {split} split: {tag}", svg))
    return panels


def _schedule_cards(
    curves: Mapping[RunKey, Curve], schedulers: Sequence[str], lines: Mapping[str, figures.Line]
) -> tuple[list[tuple[str, str]], dict[str, list[str]]]:
    """Pictures of what each scheduler chose (name and SVG), and the ratios and losses for their legends."""
    trained = [curve for curve in curves.values() if curve.intervals]
    choices = choices_in(trained)
    cards = []
    for place, name in enumerate(sorted(schedulers, key=lambda name: name in figures.KNOWN_COLOURS)):  # policies first
        own = [curve for curve in trained if curve.key.scheduler == name]
        if own:
            cards.append((name, figures.schedule_card(f"schedule{place}", *schedule_of(own, choices), lines[name])))
    return cards, choices


def _policies(config: Mapping[str, Any]) -> list[str]:
    """The names of the policy files that were compared."""
    return list(dict.fromkeys(name for each in config.get("configs", ()) for name, _ in each.get("policies", ())))


def _kinds(schedulers: Sequence[str], config: Mapping[str, Any]) -> dict[str, str]:
    """The kind of each scheduler, by the module it comes from; policies are learned, unknown ones a user's own."""
    registered = scheduler_names()
    kinds = dict.fromkeys(_policies(config), "learned") | {ORACLE: "reference"}
    for name in schedulers:
        kinds.setdefault(name, kind_of(name) if name in registered else "own")
    return kinds


def _settled(schedulers: Sequence[str]) -> set[str]:
    """Those whose course is settled before a run begins."""
    registered = scheduler_names()
    return {name for name in schedulers if name in registered and is_settled(name)}


def _training_figures(
    records: Sequence[dict[str, Any]], lines: Mapping[str, figures.Line], schedulers: Sequence[str]
) -> list[tuple[str, list[tuple[str, figures.Line]], str]]:
    """Title, legend and picture of the agent's progress; empty if no training was recorded."""
    own = next((lines[name] for name in reversed(schedulers) if name not in figures.KNOWN_COLOURS), None)
    agent = own or figures.Line(figures.OTHER_COLOURS[0], width=2.2)
    references = [
        (f"validation/distance_{name}", name, figures.Line(figures.KNOWN_COLOURS[name], (5, 2)))
        for name in ("constant", "random")
    ]
    wanted = (
        ("Distance on validation tasks", "distance", [("validation/distance", "the agent", agent), *references], True),
        ("Return of the training rollouts", "return", [("rollout/return", "the agent", agent)], False),
    )
    shown = []
    for place, (title, y_label, entries, log) in enumerate(wanted):
        x = np.array([float(record.get("gan_updates", record.get("iteration", 0))) for record in records]) / 1e6
        curves = [(_column(records, name), label, line) for name, label, line in entries]
        curves = [curve for curve in curves if np.isfinite(curve[0]).any()]
        if curves:
            pairs = [(values, line) for values, _, line in curves]
            svg = figures.training_panel(f"training{place}", x, pairs, "GAN updates (millions)", y_label, log)
            shown.append((title, [(label, line) for _, label, line in curves], svg))
    return shown


def _column(records: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    values = [record.get(name) for record in records]
    return np.array([np.nan if value is None else float(value) for value in values], dtype=np.float64)


def _environment() -> Any:
    try:
        import jinja2
    except ImportError as error:
        raise MissingDependencyError("jinja2", "report", "the report") from error
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, percent=percent, interval=interval, percents=percents)
    environment.filters.update(themed=figures.themed, sortable=_sortable)
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    environment.filters.update(fixed=fixed, fixed_interval=fixed_interval, amount=amount)
    environment.globals.update(whiskers=whiskers, shade=shade, what_ranking_shows=what_ranking_shows, nan=float("nan"))
    return environment


def _sortable(value: float | None) -> str:
    """A number for the script to sort by; empty if it is unknown."""
    return "" if value is None or not np.isfinite(value) else f"{value:.6g}"
