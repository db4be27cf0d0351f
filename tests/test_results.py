"""Committed results: every table is what its rows say, compressed or not, and no file is large."""

import gzip
import re
import shutil
from pathlib import Path

import pytest

from metagan_rl.errors import FileFormatError
from metagan_rl.experiments import read_rows, write_report
from metagan_rl.experiments.benchmark.records import ROWS, append_lines, read_curves, read_lines
from metagan_rl.experiments.benchmark.row import FIRST_ENGINE
from metagan_rl.experiments.studies.full_form import RESULTS

LARGEST = 1_000_000
BENCHMARKS = sorted(path.parent for path in RESULTS.rglob("benchmark.json") if (path.parent / "summary.csv").exists())
PATIENCE = 600
"""Seconds for the largest: 18,720 rows, a quarter of a minute on an idle core."""


def test_no_committed_result_is_large() -> None:
    sizes = {path: path.stat().st_size for path in RESULTS.rglob("*") if path.is_file() and path.name != "report.html"}
    assert BENCHMARKS and {path.name for path, size in sizes.items() if size > LARGEST} == set()


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize("directory", BENCHMARKS, ids=lambda path: path.relative_to(RESULTS).as_posix())
def test_tables_are_made_again_from_their_rows(directory: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("benchmark.json", ROWS, f"{ROWS}.gz"):
        if (directory / name).exists():
            shutil.copy(directory / name, tmp_path)
    write_report(tmp_path)
    for name in ("summary.md", "summary.csv"):
        assert (tmp_path / name).read_text(encoding="utf-8") == (directory / name).read_text(encoding="utf-8"), name


def test_the_table_of_starting_weights_is_made_again_from_its_rows() -> None:
    from metagan_rl.experiments.studies.meta_init import combining, study, tables

    out = RESULTS / "meta-init"
    rows, choices = study.read(out / ROWS), study.read(out / study.CHOICES)
    text = (out / "summary.md").read_text(encoding="utf-8")
    command = re.findall(r"Made by `(.*)`", text)[0]
    settings, adaptations = study.chosen_settings(choices), study.chosen_adaptations(rows)
    made = tables.as_markdown(tables.panels(rows), combining.combinations(out), settings, adaptations, command)
    assert made == text


def test_the_table_of_recipes_is_made_again_from_its_rows() -> None:
    from metagan_rl.experiments.studies import recipe_study

    text = (RESULTS / "recipes" / "summary.md").read_text(encoding="utf-8")
    rows = read_lines(RESULTS / "recipes" / ROWS)
    command = re.findall(r"Made by `(.*)`", text)[0]
    assert recipe_study.as_markdown(rows, ("off", "log", "loop"), command) == text


def test_the_table_of_advice_is_made_again_from_its_rows() -> None:
    from metagan_rl.experiments.studies import detector_study

    text = (RESULTS / "detector" / "summary.md").read_text(encoding="utf-8")
    command = re.findall(r"Made by `(.*)`", text)[0]
    assert detector_study.summary(read_lines(RESULTS / "detector" / ROWS), command) == text


def test_rows_from_before_there_were_engines_are_those_of_torch() -> None:
    rows = [row for row in read_rows(RESULTS / "planar") if row.key.scheduler == "constant"]
    assert len(rows) > 300 and {row.engine for row in rows} == {FIRST_ENGINE} == {"torch"}
    assert {type(row.metrics["precision"]) for row in rows} == {float}


def test_a_compressed_benchmark_is_read_and_extended_as_it_is(tmp_path: Path) -> None:
    source = RESULTS / "quickstart"
    shutil.copy(source / "benchmark.json", tmp_path)
    (tmp_path / f"{ROWS}.gz").write_bytes(gzip.compress((source / ROWS).read_bytes()))
    rows = read_rows(source)
    assert read_rows(tmp_path) == rows
    append_lines(tmp_path / ROWS, [rows[0].to_dict()])
    assert read_rows(tmp_path) == [*rows, rows[0]]
    assert len(read_curves(source)) == len(rows)


def test_a_damaged_compressed_file_is_named(tmp_path: Path) -> None:
    source = RESULTS / "planar"
    shutil.copy(source / "benchmark.json", tmp_path)
    content = (source / f"{ROWS}.gz").read_bytes()
    for damaged in (content[: len(content) // 2], b"rows", content[:1000] + bytes(500) + content[1500:]):
        (tmp_path / f"{ROWS}.gz").write_bytes(damaged)
        with pytest.raises(FileFormatError, match=r"rows\.jsonl\.gz.* damaged"):
            read_rows(tmp_path)
