"""The report: a benchmark directory becomes one HTML file that needs nothing else, and tables in Markdown and CSV."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metagan_rl.errors import FileFormatError, MissingDependencyError
from metagan_rl.experiments import figures, promises
from metagan_rl.experiments.curves import choices_in, quality_bands, schedule_of
from metagan_rl.experiments.ranking import rank
from metagan_rl.experiments.references import FOLDER, References, load_references
from metagan_rl.experiments.summary import end_distance, group_rows, reference_of, summarise
from metagan_rl.experiments.tables import (
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
from metagan_rl.files import write_whole

KIND = "metagan-rl benchmark"
KEY = ("suite", "split", "task", "seed", "scheduler")
CONTROLS = ("distance", "generator_lr", "discriminator_lr", "ratio", "loss", "penalty_weight")
TEMPLATES = Path(__file__).parent / "templates"
MAX_SAMPLE_BYTES = 3_500_000
"""Pictures of samples beyond this are left out, so that the report can be sent by mail."""
STABILITY = (
    ("vanishing", "vanishing gradient"),
    ("saturation", "saturation of\N{NO-BREAK SPACE}D"),
    ("oscillation", "oscillation"),
    ("mode_loss", "mode loss"),
    ("modes_share", "modes found"),
    ("high_quality", "samples on a mode"),
)


def write_report(directory: str | Path, *, references: str | Path = FOLDER) -> Path:
    """Writes ``report.html``, ``summary.md``, ``summary.csv`` and ``promises.csv`` into a benchmark directory.

    Args:
        directory: as ``run_benchmark`` leaves it; an interrupted benchmark gives a report of the runs there are.
        references: folder with what tuning wins on each task, by which runs are scored.

    Returns:
        The path of ``report.html``.

    Raises:
        FileFormatError: the directory is not a benchmark's, or one of its files is damaged.
        MissingDependencyError: matplotlib is not installed.
        OutputError: the directory cannot be written.
    """
    directory = Path(directory)
    config = _config(directory)
    rows = read_rows(directory)
    curves = read_lines(directory / "curves.jsonl", (*KEY, *CONTROLS))
    training = read_lines(directory / "training.jsonl", ())
    schedulers = list(dict.fromkeys([*config.get("schedulers", ()), *(row["scheduler"] for row in rows)]))
    groups = summarise(rows, schedulers)
    known = _references(config, references)
    ranking = rank(rows, known)
    lines = figures.lines_for(schedulers)
    try:
        panels, cards, choices = _curve_figures(rows, curves, schedulers, lines)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise FileFormatError(f"{directory / 'curves.jsonl'} is damaged: {error}") from error
    promised = promises.promises(rows, curves, ranking, known, lines)
    profile = promises.profile(rows, known, lines)
    samples, left_out = _sample_figures(directory / "samples.npz", rows, schedulers, lines)
    page = (
        _environment()
        .get_template("report.html.j2")
        .render(
            config=config,
            groups=groups,
            ranking=ranking,
            profile=profile,
            promises=promised,
            schedulers=schedulers,
            reference=reference_of(schedulers),
            lines=lines,
            panels=panels,
            cards=cards,
            choices=choices,
            colours={"ratio": figures.RATIO_COLOURS, "loss": figures.LOSS_COLOURS},
            training=_training_figures(training, lines, schedulers),
            samples=samples,
            left_out=left_out,
            stability=STABILITY,
            runs=sum(entry.runs for group in groups for entry in group.entries),
            errors=[row for row in rows if row.get("error")][:8],
        )
    )
    write_whole(directory / "summary.csv", as_csv(groups, ranking))
    write_whole(directory / "promises.csv", promises.as_csv([*promised, profile]))
    write_whole(
        directory / "summary.md", as_markdown(groups, ranking, [str(line) for line in config.get("commands", [])])
    )
    write_whole(directory / "report.html", page)
    return directory / "report.html"


def read_rows(directory: str | Path) -> list[dict[str, Any]]:
    """The rows of a benchmark; a half-written last line is left out.

    Args:
        directory: with ``benchmark.json`` and, once a run has finished, ``rows.jsonl``.

    Raises:
        FileFormatError: the directory is not a benchmark's, or a row is damaged; the message names file and line.
    """
    _config(Path(directory))
    path = Path(directory) / "rows.jsonl"
    rows = read_lines(path, (*KEY, "tag", "family"))
    for place, row in enumerate(rows, start=1):
        if not row.get("error") and not isinstance(row.get("distance"), (int, float)) and not row.get("diverged"):
            raise FileFormatError(f"{path}, row {place}: no distance; remove the line or run the benchmark again")
    return rows


def read_lines(path: Path, required: Sequence[str]) -> list[dict[str, Any]]:
    """The records of a file with one JSON object a line; none if there is no such file.

    Args:
        path: of the file.
        required: keys that each record must have.

    Raises:
        FileFormatError: a line that is whole (ends with a newline) is not such a record.
    """
    try:
        content = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise FileFormatError(f"cannot read {path}: {error.strerror or error}") from error
    records = []
    for place, line in enumerate(content.split(b"\n")[:-1], start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            missing = [name for name in required if name not in record]
        except (ValueError, TypeError):
            raise FileFormatError(f"{path}, line {place} is damaged: {line[:60]!r}") from None
        if not isinstance(record, dict) or missing:
            raise FileFormatError(f"{path}, line {place} is not a record of a benchmark; missing: {', '.join(missing)}")
        records.append(record)
    return records


def _config(directory: Path) -> dict[str, Any]:
    path = directory / "benchmark.json"
    if not path.is_file():
        raise FileFormatError(f"{directory} is not a benchmark directory: it has no benchmark.json")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise FileFormatError(f"{path} is damaged: {error}") from None
    if not isinstance(config, dict) or config.get("kind") != KIND:
        raise FileFormatError(f"{directory} is not a benchmark directory: {path.name} is not of kind {KIND!r}")
    return config


def _references(config: Mapping[str, Any], folder: str | Path) -> list[References]:
    """Those measured on the very suites that the benchmark ran on."""
    entries = [entry for entry in config.get("suites", ()) if isinstance(entry, dict)]
    found = [load_references(str(entry.get("suite")), str(entry.get("split")), folder) for entry in entries]
    return [
        some for some, entry in zip(found, entries, strict=True) if some.sha256 and some.sha256 == entry.get("sha256")
    ]


def _curve_figures(
    rows: Sequence[dict[str, Any]],
    curves: Sequence[dict[str, Any]],
    schedulers: Sequence[str],
    lines: Mapping[str, figures.Line],
) -> tuple[list[tuple[str, str]], list[tuple[str, str]], dict[str, list[str]]]:
    """Quality panels by title, schedule cards by scheduler, and the names of ratios and losses for their legends."""
    latest = {tuple(curve[name] for name in KEY): curve for curve in curves if curve["generator_lr"]}
    panels = []
    for place, ((suite, split, tag), members) in enumerate(group_rows(rows).items()):
        sound = {tuple(row[name] for name in KEY): row for row in members if not row.get("error")}
        some = [latest[key] for key in sound if key in latest]
        if some:
            updates = {key[2:]: row.get("updates", 0) for key, row in sound.items() if not row.get("diverged")}
            bands, label = quality_bands(some, updates)
            ordered = {name: bands[name] for name in sorted(bands, key=lambda name: lines[name].width)}
            svg = figures.quality_panel(f"quality{place}", ordered, lines, label)
            panels.append((f"{suite}, {split} split: {tag}", svg))
    choices = choices_in(latest.values())
    cards = []
    for place, name in enumerate(sorted(schedulers, key=lambda name: name in figures.KNOWN_COLOURS)):  # policies first
        own = [curve for curve in latest.values() if curve["scheduler"] == name]
        if own:
            cards.append((name, figures.schedule_card(f"schedule{place}", *schedule_of(own, choices), lines[name])))
    return panels, cards, choices


def _training_figures(
    records: Sequence[dict[str, Any]], lines: Mapping[str, figures.Line], schedulers: Sequence[str]
) -> list[tuple[str, list[tuple[str, figures.Line]], str]]:
    """Title, legend and picture of the agent's progress; nothing where no training was recorded."""
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


def _sample_figures(
    path: Path, rows: Sequence[dict[str, Any]], schedulers: Sequence[str], lines: Mapping[str, figures.Line]
) -> tuple[list[dict[str, Any]], int]:
    """One record for each task with its pictures by column, and how many tasks were left out for size."""
    if not path.exists():
        return [], 0
    first: dict[tuple[str, str], dict[str, Any]] = {}  # rows of the first seed, in the order of the tables
    for row in (row for group in group_rows(rows).values() for row in group):
        known = first.setdefault((row["task"], row["scheduler"]), row)
        if row["seed"] < known["seed"]:
            first[row["task"], row["scheduler"]] = row
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise FileFormatError(f"{path} is damaged: {error}") from None
    tags = {task: row["tag"] for (task, _), row in first.items() if f"{task}|real" in arrays}
    shown: list[dict[str, Any]] = []
    size = 0
    for task, tag in tags.items():
        real = arrays[f"{task}|real"]
        cells: dict[str, Any] = {"real": (figures.sample_picture(real, real, None), None, False)}
        for name in schedulers:
            if f"{task}|{name}" in arrays:
                picture = figures.sample_picture(arrays[f"{task}|{name}"], real, lines[name].colour)
                result = first.get((task, name), {"error": "unknown"})
                sound = not result.get("error")
                cells[name] = (picture, end_distance(result) if sound else None, sound and bool(result.get("diverged")))
        size += sum(len(picture) for picture, _, _ in cells.values())
        if size > MAX_SAMPLE_BYTES:
            break
        shown.append({"task": task, "tag": tag, "columns": real.shape[1], "cells": cells})
    return shown, len(tags) - len(shown)


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
    environment.filters.update(fixed=fixed, fixed_interval=fixed_interval, amount=amount)
    environment.globals.update(whiskers=whiskers, shade=shade, what_ranking_shows=what_ranking_shows, nan=float("nan"))
    return environment
