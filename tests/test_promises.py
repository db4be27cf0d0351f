"""The ranking and the promises: closed cases, the tables they go into, and plain words where data are missing."""

import csv
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metagan_rl.agents.searches.tuned import tuned_constant
from metagan_rl.experiments.benchmark.references import References, Room, save_references
from metagan_rl.experiments.benchmark.row import Curve, Row
from metagan_rl.experiments.report import promises as pr
from metagan_rl.experiments.report.figures import MOST_LINES, QUIET, Band, lines_for, quieted
from metagan_rl.experiments.report.page import write_report
from metagan_rl.experiments.report.promise_figures import first_below, spread_out
from metagan_rl.experiments.report.ranking import Ranking, gradient_vanished, modes_lost, rank
from metagan_rl.experiments.report.statistics import Estimate
from metagan_rl.experiments.report.summary import Group, summarise
from metagan_rl.experiments.report.tables import DASH, amount, as_csv, as_markdown, fixed
from metagan_rl.experiments.report.worth import in_words, worth_in_trials
from metagan_rl.records import write_record
from metagan_rl.tasks import get_suite

pytest.importorskip("matplotlib")

TIERS = {"known-family": 4, "held-out-family": 3, "other-network": 3, "other-budget": 2}
SCHEDULERS = {"constant": 1.0, "tuned-constant": 0.6, "learned": 0.5}
UNTUNED, ORACLE = 1.0, 0.25
TRIALS = np.array([1.0, 2, 4, 8, 16])

Data = tuple[list[dict[str, Any]], list[dict[str, Any]], list[References]]


def make(schedulers: dict[str, float] = SCHEDULERS, seeds: int = 2, noise: float = 0.05) -> Data:
    """Rows, curves and references in which a scheduler ends at its factor times the task's difficulty."""
    source = np.random.default_rng(0)
    suite = get_suite("planar-mixed")
    rows, curves, rooms, searches = [], [], {}, {}
    for tag, count in TIERS.items():
        for task in [task for task in suite.split("test") if task.tag == tag][:count]:
            difficulty = float(np.exp(source.normal(0, 0.5)))
            rooms[task.name] = Room(UNTUNED * difficulty, ORACLE * difficulty)
            searches[task.name] = np.column_stack([TRIALS, difficulty * TRIALS**-0.5])
            for name, factor in schedulers.items():
                for seed in range(seeds):
                    key = {"suite": "planar-mixed", "split": "test", "task": task.name, "seed": seed, "scheduler": name}
                    end = factor * difficulty * float(np.exp(source.normal(0, noise)))
                    rows.append(
                        {**key, "tag": tag, "family": task.family, "distance": end, "floor": 0.1, "start": 2.0,
                         "modes_share": 1.0, "mode_loss": 0.02, "vanishing": 0.0, "diverged": False, "updates": 3072,
                         "error": None, "tuning_updates": 3_000_000 * (name == "tuned-constant"), "extra_updates": 0}
                    )  # fmt: skip
                    fall = 2 * difficulty * np.exp(-np.linspace(0, 1, 9) * np.log(2 * difficulty / end))
                    curves.append(
                        {**key, "distance": fall.tolist(), "generator_lr": [1.0] * 8, "discriminator_lr": [1.0] * 8,
                         "ratio": ["1:1"] * 8, "loss": ["hinge"] * 8, "penalty_weight": [0.0] * 8}
                    )  # fmt: skip
    return rows, curves, [References("planar-mixed", "test", suite.sha256, rooms, searches)]


def rows_of(records: list[dict[str, Any]]) -> list[Row]:
    return [Row.from_dict(record) for record in records]


def curves_of(records: list[dict[str, Any]]) -> list[Curve]:
    return [Curve.from_dict(record) for record in records]


def rank_of(records: list[dict[str, Any]], references: Any = ()) -> Ranking:
    return rank(rows_of(records), references)


def summarise_of(records: list[dict[str, Any]], schedulers: list[str]) -> list[Group]:
    return summarise(rows_of(records), schedulers)


def told(**values: Any) -> Row:
    """A row that says just this."""
    names = {"suite": "s", "split": "test", "task": "t", "seed": 0, "scheduler": "a", "tag": "real", "family": "f"}
    return Row.from_dict({**names, **values})


@pytest.fixture(scope="module")
def data() -> Data:
    return make()


@pytest.fixture(scope="module")
def ranking(data: Data) -> Ranking:
    return rank_of(data[0], data[2])


def of(ranking: Ranking, name: str) -> Any:
    return next(standing for standing in ranking.standings if standing.scheduler == name)


def test_scores_are_shares_of_the_room_by_tier(ranking: Ranking) -> None:
    assert [standing.scheduler for standing in ranking.standings] == ["learned", "tuned-constant", "constant"]
    for name, factor in SCHEDULERS.items():
        standing = of(ranking, name)
        share = np.log(UNTUNED / factor) / np.log(UNTUNED / ORACLE)
        assert standing.score.low <= standing.score.value <= standing.score.high
        assert [standing.score.value, *(t.value for t in standing.tiers.values())] == pytest.approx(
            [share] * 5, abs=0.05
        )
        assert set(standing.tiers) == set(TIERS) and set(standing.gaps) == set(TIERS) - {"known-family"}
        assert all(gap.low < 0 < gap.high for gap in standing.gaps.values())  # there is none
        assert standing.optimality_gap.value == pytest.approx(1 - share, abs=0.05)
        assert standing.low_score.value < standing.score.value
        assert (standing.tasks, standing.seeds, standing.runs, standing.scored) == (12, 2, 24, 24)
    assert of(ranking, "learned").improvement.value > 0.9 > 0.1 > of(ranking, "constant").improvement.value
    assert np.isnan(of(ranking, "tuned-constant").improvement.value)
    assert of(ranking, "tuned-constant").tuning_updates == 3_000_000


def test_a_loss_on_other_tiers_is_a_gap(data: Data) -> None:
    rows = [{**row, "distance": row["distance"] * (2 if row["tag"] == "held-out-family" else 1)} for row in data[0]]
    gap = of(rank_of(rows, data[2]), "learned").gaps["held-out-family"]
    assert gap.value == pytest.approx(0.5, abs=0.05) and gap.low > 0


def test_tiers_are_resampled_apart() -> None:
    rows, rooms = [], {}
    for tag in ("known-family", "held-out-family"):
        for place in range(10):
            name = f"{tag}/{place}"
            rooms[name] = Room(1.0, 0.1)
            rows.append({"suite": "s", "split": "test", "task": name, "seed": 0, "scheduler": "a", "tag": tag,
                         "family": "f", "distance": 0.1 + 0.08 * place, "diverged": False})  # fmt: skip
    gap = of(rank_of(rows, [References("s", "test", "", rooms, {})]), "a").gaps["held-out-family"]
    assert gap.value == 0 and gap.low < -0.05 and gap.high > 0.05  # alike in every task, and yet not sure to be


def test_tasks_without_room_or_reference_are_counted_and_not_scored(data: Data) -> None:
    rows, _, [references] = data
    names = list(references.rooms)
    rooms = {**references.rooms, names[0]: Room(1.0, 0.9), names[1]: Room(0.5, 0.6)}
    del rooms[names[2]]
    ranking = rank_of(rows, [References("planar-mixed", "test", "", rooms, {})])
    assert (ranking.tasks, ranking.narrow, ranking.unreferenced, ranking.scored) == (12, 2, 1, 9)
    assert of(ranking, "learned").scored == 18 and of(ranking, "learned").runs == 24


def test_benchmarks_without_references_or_baseline_work(data: Data) -> None:
    rows = [row for row in data[0] if row["scheduler"] != "tuned-constant"]
    bare = [{k: v for k, v in row.items() if k not in ("tuning_updates", "extra_updates", "vanishing")} for row in rows]
    ranking = rank_of(bare)
    assert [standing.scheduler for standing in ranking.standings] == ["learned", "constant"]  # by distance
    learned = of(ranking, "learned")
    unknown = (learned.score.value, learned.improvement.value, learned.vanished.value, learned.tuning_updates)
    assert np.isnan(unknown).all()
    table = as_markdown(summarise_of(bare, list(SCHEDULERS)), ranking, "Use it.", []).split("## ")[1]
    cells = [cell.strip() for cell in next(line for line in table.splitlines() if "learned" in line).split("|")[1:-1]]
    assert cells[1] == DASH and "nan" not in table and cells[-1] == "12 x 2"
    assert not rank_of([]).standings and not rank_of([]).baseline


def test_failed_diverged_and_repeated_rows(data: Data) -> None:
    rows = [dict(row) for row in data[0] if row["scheduler"] == "learned"]
    rows[0] |= {"diverged": True, "distance": None, "modes_share": 0.0, "vanishing": 0.9}
    rows[5] |= {"error": "no controls"}
    del rows[5]["distance"]
    rows[7] |= {"modes_share": 0.5}
    rows[9] |= {"vanishing": 0.2}
    standing = of(rank_of([*rows, *rows], data[2]), "learned")
    assert (standing.runs, standing.failed) == (23, 1)
    assert standing.diverged.value == pytest.approx(0.5 / 12)
    # Of the tasks' finished runs: the diverged one tells of nothing else, the failed one of nothing at all.
    assert standing.modes_lost.value == pytest.approx(0.5 / 12) == standing.vanished.value
    everything = of(rank_of([{**row, "diverged": True} for row in rows[:2]]), "learned")
    assert everything.diverged.value == 1 and np.isnan(everything.modes_lost.value)


def test_what_counts_as_lost() -> None:
    assert modes_lost(told(modes_share=0.9, mode_loss=0.0)) and not modes_lost(told(modes_share=1.0, mode_loss=0.9))
    assert modes_lost(told(modes_share=None, mode_loss=0.2)) and modes_lost(told(mode_loss=0.05)) is False
    assert modes_lost(told()) is None and gradient_vanished(told(vanishing=None)) is None
    assert gradient_vanished(told(vanishing=0.06)) and gradient_vanished(told(vanishing=0.04)) is False


def test_the_summary_holds_the_ranking(data: Data, ranking: Ranking) -> None:
    groups = summarise_of(data[0], list(SCHEDULERS))
    records = list(csv.DictReader(io.StringIO(as_csv(groups, ranking))))
    learned = next(r for r in records if r["tag"] == "all" and r["scheduler"] == "learned")
    standing = of(ranking, "learned")
    assert float(learned["score"]) == pytest.approx(standing.score.value, rel=1e-5)
    assert float(learned["score_over_tasks_low"]) == pytest.approx(standing.score_over_tasks.low, rel=1e-5)
    assert float(learned["gap_other-network_high"]) == pytest.approx(standing.gaps["other-network"].high, rel=1e-5)
    assert (learned["tuning_updates"], learned["vanished"], learned["scored"]) == ("0", "0", "24")
    assert len(records) == len(SCHEDULERS) * (1 + len(TIERS))
    markdown = as_markdown(groups, ranking, "Use it.", [])
    assert "| 3 M | 0 |" in markdown and "12 of 12 tasks have a score." in markdown


def test_a_scheduler_is_worth_the_trials_its_distance_takes(data: Data, ranking: Ranking) -> None:
    promise = pr.fewer_trials(rows_of(data[0]), ranking, data[2], lines_for(list(SCHEDULERS)))
    worth = {n["scheduler"]: n for n in promise.numbers if n["quantity"] == "worth in trials"}
    # Search reaches difficulty / sqrt(n), so a factor f is worth 1 / f² trials.
    assert worth["learned"]["value"] == pytest.approx(4, rel=0.1)
    assert worth["tuned-constant"]["value"] == pytest.approx(1 / 0.36, rel=0.1)
    assert worth["learned"]["low"] <= worth["learned"]["value"] <= worth["learned"]["high"] < 5  # tasks are paired
    assert promise.svg and "learned: 4" in promise.svg and "12 tasks" in promise.caption


def test_worth_beyond_the_search_is_said() -> None:
    search, trials = np.log([[1.0, 0.5, 0.25]] * 3), np.array([1.0, 2, 4])
    for level, found in ((2.0, 0), (1.0, 1), (0.5, 2), (0.25, 4), (0.2, np.inf)):
        assert worth_in_trials(search, np.log([level] * 3), trials).value == pytest.approx(found)
    assert worth_in_trials(search, np.log([0.5**0.5] * 3), trials).value == pytest.approx(2**0.5)
    assert worth_in_trials(search[:, :1], np.log([0.5] * 3), trials[:1]).value == np.inf
    assert np.isnan(worth_in_trials(search[:1], np.log([0.5]), trials).low)
    assert in_words(Estimate(np.inf, 40.0, np.inf), 64) == ">64 trials [40, >64]"
    assert in_words(Estimate(0.0, 0.0, 0.0), 64) == "<1 trial"


def test_tiers_and_rates_are_drawn_with_their_numbers(ranking: Ranking) -> None:
    general, stable = pr.generalisation(ranking), pr.stability(ranking)
    scores = [n for n in general.numbers if n["quantity"] == "score"]
    assert len(scores) == len(TIERS) * len(SCHEDULERS)
    assert {n["quantity"] for n in stable.numbers} == {"diverged", "modes lost", "vanishing gradient"}
    assert all(0 == n["value"] < n["high"] < 0.3 for n in stable.numbers)
    for promise, words in ((general, [*TIERS, *SCHEDULERS, "oracle"]), (stable, ["diverged", *SCHEDULERS])):
        assert promise.svg and all(f">{word}<" in promise.svg for word in words)
        assert "false" in promise.caption


def test_adaptation_tells_when_the_constants_end_is_reached(data: Data) -> None:
    promise = pr.adaptation(rows_of(data[0]), curves_of(data[1]), lines_for(list(SCHEDULERS)))
    reached = {(n["tier"], n["scheduler"]): n["value"] for n in promise.numbers if "constant's end" in n["quantity"]}
    for tier in ("known-family", "other-network", "other-budget"):
        # Log distance falls evenly from 2 to 0.5: that of 1 is half of the way.
        assert reached[tier, "learned"] == pytest.approx(0.5, abs=0.05)
        assert reached[tier, "constant"] == pytest.approx(1.0)
    assert promise.legend == tuple(lines_for(list(SCHEDULERS)))
    ends = [n for n in promise.numbers if n.get("x") == 1 and n["scheduler"] == "learned"]
    assert [n["value"] for n in ends] == pytest.approx([0.25] * 3, rel=0.1)


def test_the_profile_counts_runs(data: Data) -> None:
    promise = pr.profile(rows_of(data[0]), data[2], lines_for(list(SCHEDULERS)))
    constant = {n["x"]: n["value"] for n in promise.numbers if n["scheduler"] == "constant"}
    assert constant[-1.0] == 1 and constant[max(constant)] == 0


def test_missing_data_are_told(data: Data) -> None:
    rows, curves, references = data
    known = [row for row in rows if row["tag"] == "known-family"]
    lines = lines_for(list(SCHEDULERS))
    for promise in (
        *pr.promises([], [], rank_of([]), [], lines),
        pr.fewer_trials(rows_of(rows), rank_of(rows), [], lines),
        pr.generalisation(rank_of(rows)),
        pr.generalisation(rank_of(known, references)),
        pr.adaptation(rows_of(known), curves_of(curves), lines),
        pr.adaptation(rows_of(rows), [], lines),
        pr.profile(rows_of(rows), [], lines),
    ):
        assert promise.svg is None and promise.caption.startswith("Left out:") and not promise.numbers
    assert pr.stability(rank_of(rows)).svg  # needs rows alone


def test_odd_benchmarks_are_drawn(data: Data) -> None:
    names = {"constant": 1.0, "<b>böse</b> & $x_1$|学习": 0.5, "worst": 15.0, "a-name-that-is-far-too-long-to-fit": 0.1}
    rows, curves, references = make(names, seeds=1)
    one_task = [row for row in rows if row["task"] == rows[0]["task"]]
    lines = lines_for(list(names))
    some = [
        *pr.promises(rows_of(rows), curves_of(curves), rank_of(rows, references), references, lines),
        pr.profile(rows_of(rows), references, lines),
    ]
    some += pr.promises(rows_of(one_task), curves_of(curves), rank_of(one_task, references), references, lines)
    for promise in some:
        if promise.svg:
            root = ElementTree.fromstring(promise.svg.replace("xlink:href", "href"))
            assert root.tag == "svg" and "nan" not in re.sub(r"<text.*?</text>", "", promise.svg)
            assert "<b>" not in promise.svg
    assert "学习" in (some[1].svg or "") and "$x_1$" in (some[1].svg or "")
    assert "extra" not in some[0].caption


def test_of_many_schedulers_only_the_leading_ones_and_the_constant_get_a_colour() -> None:
    names = ["constant", *(f"policy {place}" for place in range(20))]
    leading = [f"policy {place}" for place in (7, 3, 19, 0, 1, 2, 4, 5, 6, 8)]
    lines = quieted(lines_for(names, leading), leading)
    assert list(lines) == sorted(names, key=list(lines).index) and set(lines) == set(names)
    coloured = {name for name, line in lines.items() if line != QUIET}
    assert coloured == {"constant", *leading[: MOST_LINES - 2]}
    drawn = [(lines[name].colour, lines[name].dashes) for name in coloured]
    assert len(set(drawn)) == len(drawn) and lines["policy 7"].dashes == ()
    few = lines_for(names[:5])
    assert quieted(few, []) == few


def test_the_csv_holds_every_number(data: Data, ranking: Ranking) -> None:
    rows, curves, references = data
    pictures = pr.promises(rows_of(rows), curves_of(curves), ranking, references, lines_for(list(SCHEDULERS)))
    records = list(csv.DictReader(io.StringIO(pr.as_csv(pictures))))
    assert len(records) == sum(len(picture.numbers) for picture in pictures)
    assert tuple(records[0]) == pr.COLUMNS
    assert {record["promise"] for record in records} == {picture.title for picture in pictures}
    assert "nan" not in {value for record in records for value in record.values()}


def test_the_report_shows_them_only_for_the_suite_they_were_measured_on(tmp_path: Path, data: Data) -> None:
    rows, curves, [references] = data
    config = {"kind": "metagan-rl benchmark", "schedulers": list(SCHEDULERS)}
    suite = {"suite": "planar-mixed", "split": "test"}
    schedule = asdict(tuned_constant().schedule)
    tasks = {
        name: {**asdict(room), "schedule": schedule, "curve": references.curves[name].tolist()}
        for name, room in references.rooms.items()
    }
    (tmp_path / "refs").mkdir()
    record = {**suite, "suite_sha256": references.sha256, "runs": 8, "tasks": tasks}
    save_references(tmp_path / "refs" / "planar-mixed-test.json", record)
    for name, records in (("rows", rows), ("curves", curves)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    write_record(tmp_path / "benchmark.json", {**config, "suites": [{**suite, "sha256": references.sha256}]})
    page = write_report(tmp_path, references=tmp_path / "refs").read_text(encoding="utf-8")
    assert all(title in page for title in ("Fewer hyper-parameter trials", "Generalisation", "Quick adaptation"))
    assert "Left out" not in page and "optimality" in page
    assert len((tmp_path / "promises.csv").read_text().splitlines()) > 100
    write_record(tmp_path / "benchmark.json", {**config, "suites": [{**suite, "sha256": "0f" * 32}]})
    page = write_report(tmp_path, references=tmp_path / "refs").read_text(encoding="utf-8")
    assert page.count("Left out") == 2 and "optimality" not in page.split("Ranking")[1].split("</table>")[0]


def test_labels_are_spread_and_levels_found() -> None:
    places = spread_out([0.5, 0.1, 0.5, 0.52], 0.1)
    assert np.diff(sorted(places)).min() == pytest.approx(0.1, abs=1e-3) and places[1] == 0.1
    assert places[0] < places[2] < places[3]
    band = Band(np.array([0.0, 0.5, 1.0]), *[np.array([1.0, 0.5, 0.6])] * 3)
    assert [first_below(band, level) for level in (2.0, 1.0, 0.75, 0.4, float("nan"))] == [0, 0, 0.25, None, None]


def test_numbers_in_words() -> None:
    values = (0, 950, 3072, 9_216, 99_960, 3_000_000, 20_000_000, 1e9, float("nan"), None)
    assert [amount(v) for v in values] == [
        "0",
        "950",
        "3.1 k",
        "9.2 k",
        "100 k",
        "3 M",
        "20 M",
        "1 G",
        DASH,
        DASH,
    ]
    assert [fixed(v) for v in (0.876, -0.5, -0.001, float("nan"))] == ["0.88", "\N{MINUS SIGN}0.50", "0.00", DASH]


def test_a_scheduler_with_the_easy_tasks_alone_is_listed_apart() -> None:
    """It would otherwise stand above those that also have the hard ones, although it is no better on its own tasks."""
    records, _, references = make({"constant": 1.0, "tuned-constant": 0.6, "lucky": 0.62})
    easy = {record["task"] for record in records if record["tag"] == "known-family"}
    for record in records:
        if record["task"] not in easy:
            record["distance"] *= 2
    records = [record for record in records if record["scheduler"] != "lucky" or record["task"] in easy]
    ranking = rank_of(records, references)
    assert [standing.scheduler for standing in ranking.standings] == ["tuned-constant", "constant", "lucky"]
    lucky = of(ranking, "lucky")
    assert lucky.apart and lucky.score.value > of(ranking, "tuned-constant").score.value
    told = as_markdown(summarise_of(records, ["constant"]), ranking, "Use it.", [])
    assert (
        "lucky *(apart)*" in told
        and "Listed apart, below, and not to be compared with the ranked: lucky (4 tasks)" in told
    )
    whole = rank_of(make()[0], references)
    assert whole.common == whole.tasks and not any(standing.apart for standing in whole.standings)


def test_without_one_that_has_all_tasks_the_common_ones_count() -> None:
    records, _, references = make({"constant": 1.0, "learned": 0.5})
    names = sorted({record["task"] for record in records})
    lacking = {"constant": names[0], "learned": names[1]}
    some = [record for record in records if lacking[record["scheduler"]] != record["task"]]
    ranking = rank_of(some, references)
    assert ranking.common == len(names) - 2 and ranking.tasks == len(names)
    assert [standing.tasks for standing in ranking.standings] == [len(names) - 2] * 2
    told = as_markdown([], ranking, "Use it.", [])
    assert told.count("compared on") == 0  # no rows, no ranking
    assert f"compared on the {len(names) - 2} of {len(names)} tasks" in as_markdown(
        summarise_of(some, []), ranking, "Use it.", []
    )
    halves = [r for r in records if (r["task"] in names[: len(names) // 2]) == (r["scheduler"] == "constant")]
    assert all(standing.apart for standing in rank_of(halves, references).standings)
