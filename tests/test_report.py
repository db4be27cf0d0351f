"""The report: whole, self-contained, escaped; and plain words about a directory that is none."""

import base64
import csv
import hashlib
import json
import re
import shutil
import sys
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metagan_rl.errors import FileFormatError, MissingDependencyError
from metagan_rl.experiments import read_rows, write_report
from metagan_rl.experiments.benchmark import BenchmarkConfig, run_benchmark
from metagan_rl.experiments.benchmark.records import read_curves
from metagan_rl.experiments.benchmark.row import FIRST_ENGINE, Curve, Row
from metagan_rl.experiments.benchmark.samples import write_samples
from metagan_rl.experiments.report.summary import summarise
from metagan_rl.experiments.report.tables import number, shade
from metagan_rl.records import write_record

pytest.importorskip("matplotlib")

SCHEDULERS = ("constant", "cosine", "learned")
FACTORS = {
    "constant": 1.0,
    "linear": 0.93,
    "cosine": 0.9,
    "ttur": 1.1,
    "random": 2.4,
    "gap-aware": 0.85,
    "learned": 0.6,
}
GROUPS = (
    ("planar", "known-family", ("ring", "grid"), 2),
    ("planar", "held-out-family", ("spiral", "rose"), 2),
    ("tabular", "real", ("wine",), 13),
    ("digits", "real", ("digits",), 64),
)


SHARES = (0.0, 0.25, 0.5, 1.0)
"""Moments at which samples are kept."""


def make_benchmark(
    directory: Path,
    schedulers: Sequence[str] = SCHEDULERS,
    tasks: int = 2,
    seeds: int = 2,
    intervals: int = 6,
) -> Path:
    """A directory as ``run_benchmark`` leaves it, with made-up results."""
    rng = np.random.default_rng(0)
    rows, curves, samples = [], [], {}
    for suite, tag, families, dim in GROUPS:
        for family in families:
            for index in range(tasks):
                name, difficulty = f"{family}/test/{index:04d}", np.exp(rng.normal(-1, 0.5))
                real = ring(rng, dim)
                stored = f"{suite}|test|{name}"
                if index == 0:
                    samples[f"{stored}|real"] = real.astype(np.float16)
                    samples[f"{stored}|updates"] = (3072 * np.array(SHARES)).astype(np.int64)
                for seed in range(seeds):
                    for scheduler in schedulers:
                        key = {"suite": suite, "split": "test", "task": name, "seed": seed, "scheduler": scheduler}
                        factor = FACTORS.get(scheduler, 0.7)
                        diverged = scheduler == "random" and rng.random() < 0.2
                        end = 20.0 if diverged else float(difficulty * factor * np.exp(rng.normal(0, 0.15)))
                        rows.append(row(key, tag, family, end, diverged, rng))
                        curves.append(curve(key, end, intervals, rng))
                        if index == seed == 0:
                            points = ring(rng, dim) * (1 + rng.normal(0, 0.12 * factor, (len(real), dim)))
                            moving = np.stack([share * points for share in SHARES])
                            samples[f"{stored}|{scheduler}"] = moving.astype(np.float16)
                            samples[f"{stored}|{scheduler}|distance"] = np.array([1.9, 1.5, 1.2, end])
    config = {
        "kind": "metagan-rl benchmark",
        "version": "0.1.0",
        "commands": ["metagan-rl benchmark --suite planar --split test --schedulers constant,cosine"],
        "suites": [{"suite": s, "split": "test", "sha256": "0f" * 32} for s in ("planar", "tabular", "digits")],
        "schedulers": list(schedulers),
        "seeds": seeds,
    }
    directory.mkdir(parents=True, exist_ok=True)
    write_record(directory / "benchmark.json", config)
    for file, records in (("rows", rows), ("curves", curves), ("training", training())):
        (directory / f"{file}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    write_samples(directory / "samples.npz", samples)
    return directory


def ring(rng: np.random.Generator, dim: int) -> np.ndarray:
    angle = rng.integers(8, size=200) * np.pi / 4
    plane = 1.4 * np.column_stack([np.cos(angle), np.sin(angle)]) + rng.normal(0, 0.08, (200, 2))
    return np.asarray(plane @ np.random.default_rng(5).normal(size=(2, dim)) if dim > 2 else plane)


def row(
    key: dict[str, Any], tag: str, family: str, distance: float, diverged: bool, rng: np.random.Generator
) -> dict[str, Any]:
    quality = float(np.exp(-distance))
    values = {"vanishing": 0.05, "saturation": 0.2, "oscillation": 0.1, "mode_loss": 0.03}
    return {
        **key, "tag": tag, "family": family, "distance": distance, "floor": 0.09, "start": 1.9,
        "sliced_wasserstein": distance / 3, "precision": quality, "coverage": quality * 0.9,
        "modes": 7.0 if family == "ring" else None, "modes_share": 0.875 if family == "ring" else None,
        "high_quality": 0.8 if family == "ring" else None, "diverged": diverged,
        **{name: float(value * rng.uniform(0.5, 2)) for name, value in values.items()},
        "updates": 3072, "seconds": 1.5, "error": None,
    }  # fmt: skip


def curve(key: dict[str, Any], end: float, intervals: int, rng: np.random.Generator) -> dict[str, Any]:
    share = np.linspace(0, 1, intervals + 1)
    distance = end + (1.9 - end) * np.exp(-4 * share) * np.exp(rng.normal(0, 0.05, intervals + 1))
    decay = np.ones(intervals)
    if key["scheduler"] in ("cosine", "linear"):
        decay = np.maximum((1 + np.cos(np.pi * share[:-1])) / 2, 1 / 30)
    if key["scheduler"] in ("learned", "random"):
        decay = np.exp(rng.normal(0, 0.8, intervals) - share[:-1])
    learned = key["scheduler"] == "learned"
    return {
        **key,
        "distance": distance.tolist(),
        "generator_lr": decay.tolist(),
        "discriminator_lr": (decay * (2 if learned else 1)).tolist(),
        "ratio": rng.choice(["1:1", "2:1", "5:1"], intervals).tolist() if learned else ["1:1"] * intervals,
        "loss": rng.choice(["rpgan", "hinge"], intervals).tolist() if learned else ["non-saturating"] * intervals,
        "penalty_weight": (rng.choice([0, 0.1, 1, 10], intervals) if learned else np.zeros(intervals)).tolist(),
    }


def training() -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    for step in range(40):
        record: dict[str, Any] = {"iteration": step + 1, "gan_updates": 150_000 * (step + 1)}
        record["rollout/return"] = 0.5 + 1.2 * (1 - np.exp(-step / 12)) + 0.1 * np.sin(3.0 * step)
        if step % 5 == 4:
            record["validation/distance"] = 0.35 + 0.5 * np.exp(-step / 10)
            record.update({"validation/distance_constant": 0.6, "validation/distance_random": 1.3})
        records.append(record)
    return records


class Page(HTMLParser):
    """Text, tags and attributes of the page; fails on tags that do not match."""

    VOID = frozenset({"meta", "br", "img", "input"})
    CONTROLS = frozenset({"input", "select", "button", "textarea"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.headings: list[str] = []
        self.open: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.scripts: list[tuple[str | None, str]] = []
        self.unlabelled: list[dict[str, str | None]] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "srcset")]
        assert not [name for name, _ in attrs if name.startswith("on")], "scripts live in one place"
        if tag == "script":
            self.scripts.append((dict(attrs).get("type"), ""))
        if tag in self.CONTROLS - {"button"} and "label" not in self.open and "aria-label" not in dict(attrs):
            self.unlabelled.append(dict(attrs))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self.open[-1:] == ["script"]:
            self.scripts[-1] = (self.scripts[-1][0], data)
        if self.open[-1:] == ["h2"]:
            self.headings.append(data)


def page_data(directory: Path) -> dict[str, Any]:
    """What the page's script is given."""
    data: dict[str, Any] = json.loads(Page((directory / "report.html").read_text(encoding="utf-8")).scripts[0][1])
    return data


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = make_benchmark(tmp_path_factory.mktemp("benchmark"))
    assert write_report(directory) == directory / "report.html"
    return directory


@pytest.fixture
def fresh(benchmark: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(benchmark, tmp_path / "copy"))


def test_the_report_needs_nothing_else(benchmark: Path) -> None:
    html = (benchmark / "report.html").read_text(encoding="utf-8")
    assert len(html) < 6_000_000
    for outside in ("http:", "https:", "//www", "<link", "@import", "file:", "fetch(", "XMLHttpRequest", "innerHTML"):
        assert outside not in html
    assert set(re.findall(r"url\((.)", html)) <= {"#"}
    page = Page(html)
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in page.addresses)
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= set(page.ids)
    assert {"svg", "img", "table", "style"} <= page.tags
    assert len(set(page.ids)) == len(page.ids)


def test_the_browser_may_run_the_pages_own_script_only(benchmark: Path) -> None:
    html = (benchmark / "report.html").read_text(encoding="utf-8")
    (kind, _), (own, script) = Page(html).scripts
    assert (kind, own) == ("application/json", None)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in html


def test_every_control_has_a_label(benchmark: Path) -> None:
    page = Page((benchmark / "report.html").read_text(encoding="utf-8"))
    assert {"select", "input", "button"} <= page.tags
    assert page.unlabelled == []
    assert "Play" in page.words


def test_samples_over_time_are_in_the_data(benchmark: Path) -> None:
    data = page_data(benchmark)
    assert [each["name"] for each in data["schedulers"]] == list(SCHEDULERS)
    assert [SCHEDULERS[place] for place in data["pair"]] == ["constant", "learned"]
    assert [task["task"] for task in data["tasks"]][-1] == "digits/test/0000"
    for task in data["tasks"]:
        assert task["updates"] == [0, 768, 1536, 3072]
        for run in task["runs"]:
            assert run["moments"] == len(run["at"]) == len(SHARES)
            assert len(run["curve"]["distance"]) == 7 and len(run["curve"]["loss"]) == 6
            assert run["at"][:3] == [1.9, 1.5, 1.2]
    ring, digits = data["tasks"][0], data["tasks"][-1]
    points = np.frombuffer(base64.b64decode(ring["runs"][0]["points"]), dtype=np.int8).reshape(len(SHARES), 200, 2)
    assert len(set(map(tuple, points[0].tolist()))) == 1, "all points begin in one place"
    inside = points[-1][(points[-1] != -128).all(axis=1)]
    assert len(inside) > 150 and (np.abs(inside) <= 120).all() and inside.std() > 40
    assert digits["pixels"] and digits["runs"][0]["points"].startswith("data:image/png;base64,")


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("planar|test|ring/test/0000|cosine", np.zeros((3, 5, 2)), "4 moments and 2 columns"),
        ("planar|test|ring/test/0000|cosine", np.zeros((4, 5, 3)), "4 moments and 2 columns"),
        ("planar|test|ring/test/0000|cosine", np.zeros(5), "4 moments and 2 columns"),
        ("planar|test|ring/test/0000|cosine", np.zeros((4, 0, 2)), "shape"),
        ("planar|test|ring/test/0000|cosine", np.array(["a"]), "<U1"),
        ("planar|test|ring/test/0000|cosine", np.array([{}], dtype=object), "allow_pickle"),
        ("planar|test|ring/test/0000|cosine|distance", np.zeros(3), "as many distances"),
        ("planar|test|ring/test/0000|real", np.zeros(3), "make no sense"),
        ("planar|test|ring/test/0000|updates", np.array([0, 0, 1, 2]), "make no sense"),
    ],
)
def test_damaged_samples_are_named(fresh: Path, name: str, array: np.ndarray, words: str) -> None:
    with np.load(fresh / "samples.npz") as file:
        arrays = {each: file[each] for each in file.files}
    assert name in arrays
    write_samples(fresh / "samples.npz", {**arrays, name: array})
    with pytest.raises(FileFormatError, match=rf"samples\.npz is damaged.*{words}"):
        write_report(fresh)


def test_samples_damaged_in_the_middle_are_named(fresh: Path) -> None:
    content = bytearray((fresh / "samples.npz").read_bytes())
    content[len(content) // 3 : len(content) // 3 + 4000] = bytes(4000)
    (fresh / "samples.npz").write_bytes(content)
    with pytest.raises(FileFormatError, match=r"samples\.npz is damaged"):
        write_report(fresh)


def test_samples_beyond_the_size_limit_are_left_out_and_told(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metagan_rl.experiments.report.gallery.MAX_BYTES", 60_000)
    text = write_report(fresh).read_text(encoding="utf-8")
    shown = len(page_data(fresh)["tasks"])
    assert 0 < shown < 6 and f"{6 - shown} more task" in text


@pytest.mark.parametrize(
    "hostile", ["</script><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a\u2028'{{ 7*7 }}"]
)
def test_hostile_names_do_nothing(tmp_path: Path, hostile: str) -> None:
    directory = make_benchmark(tmp_path, ("constant", hostile), tasks=1, seeds=1, intervals=3)
    for file in ("rows.jsonl", "curves.jsonl"):
        path = directory / file
        records = [json.loads(line) for line in path.read_text().splitlines()]
        for record in records:
            record["task"] = record["task"].replace("ring/", f"{hostile}/")
            record["loss"] = [hostile] * 3
            record["suite"] = record["suite"].replace("planar", hostile)
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    with np.load(directory / "samples.npz") as file:
        arrays = {name.replace("planar", hostile).replace("ring/", f"{hostile}/"): file[name] for name in file.files}
    write_samples(directory / "samples.npz", arrays)
    html = write_report(directory).read_text(encoding="utf-8")
    page = Page(html)  # which refuses event handlers and unknown addresses
    assert len(page.scripts) == 2
    if "<" in hostile:  # a picture's text may hold an apostrophe as it is
        assert hostile not in html
    data = page_data(directory)
    assert data["schedulers"][1]["name"] == hostile and data["choices"]["loss"][0][0] == hostile
    assert f"{hostile}/test/0000" in [task["task"] for task in data["tasks"]]
    assert hostile in page.words


def test_everything_is_in_the_report_in_order(benchmark: Path) -> None:
    page = Page((benchmark / "report.html").read_text(encoding="utf-8"))
    words = " ".join(page.words)
    for name in (*SCHEDULERS, "known-family", "held-out-family", "wine", "spiral/test/0000", "floor", "0f0f"):
        assert name in words
    assert page.headings == [
        "Ranking",
        "Results",
        "The four promises",
        "Families",
        "Training of the agent",
        "Quality over the run",
        "Schedules chosen",
        "Samples at the end",
        "Samples over time",
        "Stability",
        "How to read this",
    ]


def test_the_report_begins_with_what_it_says(benchmark: Path) -> None:
    html = (benchmark / "report.html").read_text(encoding="utf-8")
    sentence = "Use learned: its final distance is 0.6"
    assert html.index(sentence) < html.index('<figure class="verdicts">') < html.index("<h2")
    assert f"**{sentence}" in (benchmark / "summary.md").read_text(encoding="utf-8").split("## Ranking")[0]
    ranking = html[html.index("<h2") :]
    assert ranking[: ranking.index("</thead>")].count("<th ") == 5
    parts = html[html.index('<details class="part">') :]
    assert parts.count("<details") == 9 and parts.count("<h2") == 10, "all but the ranking and the reading on demand"


def test_the_report_made_again_is_the_same(fresh: Path) -> None:
    names = ("report.html", "summary.md", "summary.csv", "promises.csv")
    before = [(fresh / name).read_bytes() for name in names]
    write_report(fresh)
    assert [(fresh / name).read_bytes() for name in names] == before


def test_summaries_hold_the_tables(benchmark: Path) -> None:
    with (benchmark / "summary.csv").open(encoding="utf-8", newline="") as file:
        records = list(csv.DictReader(file))
    overall = [record for record in records if record["tag"] == "all"]
    assert {record["scheduler"] for record in overall} == set(SCHEDULERS)
    assert all(record["score"] == "" and float(record["distance"]) > 0 for record in overall)  # nothing to score by
    assert len(records) - len(overall) == len(GROUPS) * len(SCHEDULERS)
    learned = next(r for r in records if r["scheduler"] == "learned" and r["tag"] == "known-family")
    assert float(learned["ratio_low"]) < float(learned["ratio"]) == pytest.approx(0.6, rel=0.2)
    assert learned["tasks"] == "4"
    markdown = (benchmark / "summary.md").read_text(encoding="utf-8")
    assert "## Ranking" in markdown
    for section in markdown.split("\n## ")[1:]:
        lines = [line for line in section.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) == 1
    assert "held-out-family" in markdown


def test_tags_of_ones_own_come_after_those_of_the_package(fresh: Path) -> None:
    own = {"planar": "own", "digits": "<i>mine</i>|"}
    path = fresh / "rows.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    for record in records:
        if record["tag"] != "known-family":
            record["tag"] = own.get(record["suite"], record["tag"])
    path.write_text("".join(json.dumps(record) + "\n" for record in reversed(records)))
    html = write_report(fresh).read_text(encoding="utf-8")
    assert [group.tag for group in summarise(read_rows(fresh), SCHEDULERS)] == [
        "known-family",
        "real",
        "<i>mine</i>|",
        "own",
    ]
    assert "<i>mine" not in html and "&lt;i&gt;mine" in html
    assert "digits, test split: &lt;i&gt;mine&lt;/i&gt;\\|" in (fresh / "summary.md").read_text(encoding="utf-8")


def test_rows_and_curves_are_what_they_were_written_from(fresh: Path) -> None:
    rows, curves = read_rows(fresh), read_curves(fresh)
    assert [Row.from_dict(row.to_dict()) for row in rows] == rows
    assert [Curve.from_dict(curve.to_dict()) for curve in curves] == curves
    assert {name for row in rows for name in row.metrics} == {
        "distance", "sliced_wasserstein", "precision", "coverage", "modes", "modes_share", "high_quality"
    }  # fmt: skip
    assert rows[0].engine == FIRST_ENGINE and rows[0].to_dict()["engine"] == FIRST_ENGINE
    assert Row.from_dict({**rows[0].to_dict(), "engine": "another"}).engine == "another"


def test_a_curve_may_hold_controls_that_no_picture_shows(fresh: Path) -> None:
    path = fresh / "curves.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    more = [{**record, "momentum": [0.5] * 6, "mood": ["calm"] * 6} for record in records]
    path.write_text("".join(json.dumps(record) + "\n" for record in more))
    curve = read_curves(fresh)[0]
    assert list(curve.controls["momentum"]) == [0.5] * 6 and curve.controls["mood"] == ["calm"] * 6
    assert curve.intervals == 6
    write_report(fresh)


def test_names_are_escaped(tmp_path: Path) -> None:
    names = ("constant", "<b>böse</b> & $x_1$|学习")
    directory = make_benchmark(tmp_path, names, tasks=1, seeds=1, intervals=3)
    page = Page(write_report(directory).read_text(encoding="utf-8"))
    assert "b" not in page.tags or "<b>böse" not in (directory / "report.html").read_text(encoding="utf-8")
    assert any(names[1] in words for words in page.words)
    markdown = (directory / "summary.md").read_text(encoding="utf-8")
    assert "\\|学习" in markdown and "<b>" not in markdown


def test_a_half_written_last_line_is_left_out(fresh: Path) -> None:
    rows = len(read_rows(fresh))
    for name in ("rows", "curves"):
        with (fresh / f"{name}.jsonl").open("ab") as file:
            file.write('{"suite": "planar", "task": "ä'.encode()[:-1])
    assert len(read_rows(fresh)) == rows
    write_report(fresh)


@pytest.mark.parametrize("damage", ['{"suite": "pla', "[1, 2]", '"text"', '{"suite": "planar"}', "7"])
@pytest.mark.parametrize("name", ["rows", "curves"])
def test_a_line_damaged_in_the_middle_is_named(fresh: Path, name: str, damage: str) -> None:
    path = fresh / f"{name}.jsonl"
    lines = path.read_text().splitlines()
    lines[2] = damage
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(FileFormatError, match=rf"{name}\.jsonl, line 3"):
        write_report(fresh)


def test_damage_elsewhere_is_named(fresh: Path) -> None:
    lines = (fresh / "curves.jsonl").read_text().splitlines()
    broken = {**json.loads(lines[0]), "generator_lr": ["fast"] * 6}
    (fresh / "curves.jsonl").write_text("\n".join([json.dumps(broken), *lines[1:]]) + "\n")
    with pytest.raises(FileFormatError, match=r"curves\.jsonl is damaged"):
        write_report(fresh)
    (fresh / "curves.jsonl").unlink()
    (fresh / "samples.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(FileFormatError, match=r"samples\.npz is damaged"):
        write_report(fresh)
    record = {**json.loads((fresh / "rows.jsonl").read_text().splitlines()[0]), "distance": "low"}
    (fresh / "rows.jsonl").write_text(json.dumps(record) + "\n")
    with pytest.raises(FileFormatError, match="row 1: no distance"):
        read_rows(fresh)


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"kind": "something else"}'])
def test_other_directories_are_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "benchmark.json").write_text(content)
    for read in (read_rows, write_report):
        with pytest.raises(FileFormatError, match=tmp_path.name):
            read(tmp_path)
    with pytest.raises(FileFormatError, match="nowhere"):
        read_rows(tmp_path / "nowhere")


def test_a_benchmark_without_rows_says_so(fresh: Path) -> None:
    for name in ("rows.jsonl", "curves.jsonl", "samples.npz", "training.jsonl"):
        (fresh / name).unlink()
    assert read_rows(fresh) == []
    assert "No run has finished yet" in write_report(fresh).read_text(encoding="utf-8")


def test_failed_and_missing_runs_are_told(fresh: Path) -> None:
    path = fresh / "rows.jsonl"
    kept = [record for record in map(json.loads, path.read_text().splitlines()) if record["family"] == "ring"]
    for record in kept:
        if record["scheduler"] == "cosine":
            for name in set(record) - {"suite", "split", "task", "seed", "scheduler", "tag", "family"}:
                del record[name]
            record["error"] = "controls <of> nothing"
    path.write_text("".join(json.dumps(record) + "\n" for record in kept[:-1]))
    text = write_report(fresh).read_text(encoding="utf-8")
    assert "controls &lt;of&gt; nothing" in text
    assert "0 of 4 runs, 4 failed" in text
    assert "3 of 4 runs" in text


def test_bold_needs_a_lead(benchmark: Path) -> None:
    groups = summarise(read_rows(benchmark), SCHEDULERS)
    for group in groups:
        assert [entry.distance.value for entry in group.entries] == sorted(e.distance.value for e in group.entries)
        assert group.entries[0].best == group.lead.excludes(1.0)
        assert not any(entry.best for entry in group.entries[1:])
    assert groups[0].entries[0].best
    one_task = [row for row in read_rows(benchmark) if row.key.task == "ring/test/0000"]
    assert not any(entry.best for entry in summarise(one_task, SCHEDULERS)[0].entries)


def test_a_row_written_twice_counts_once(benchmark: Path) -> None:
    rows = read_rows(benchmark)
    assert repr(summarise(rows, SCHEDULERS)) == repr(summarise([*rows, *rows], SCHEDULERS))


def test_matplotlib_missing_is_said(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r"the report needs matplotlib.*pip install 'matplotlib>="):
        write_report(fresh)


def test_numbers_are_short() -> None:
    values = (0.5, 1.234, 20.0, 123.4, 0.0, float("nan"), None)
    assert [number(value) for value in values] == ["0.500", "1.23", "20.0", "123", "0", "\u2013", "\u2013"]
    assert shade(0.4, 1.0).startswith("rgba(0,114,178,0.42")
    assert shade(float("nan"), 1.0) == "transparent"


def test_a_benchmark_that_was_stopped_says_so(tmp_path: Path) -> None:
    config = BenchmarkConfig("dirac", "val", ("constant", "cosine"), seeds=2, tasks=1, horizon=2)
    run_benchmark(config, tmp_path, workers=0)
    rows = (tmp_path / "rows.jsonl").read_text().splitlines(keepends=True)
    write_report(tmp_path)
    assert "Unfinished" not in (tmp_path / "summary.md").read_text()
    (tmp_path / "rows.jsonl").write_text("".join(rows[:-1]))
    for name in ("summary.md", "report.html"):
        write_report(tmp_path)
        told = f"Unfinished: {len(rows) - 1} of {len(rows)} runs are there. Run the command again to go on."
        assert told in (tmp_path / name).read_text()
    run_benchmark(config, tmp_path, workers=0)
    write_report(tmp_path)
    assert "Unfinished" not in (tmp_path / "summary.md").read_text()
