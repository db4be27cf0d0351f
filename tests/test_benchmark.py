import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from metagan_rl.agents import Scheduler, make_scheduler, register_scheduler
from metagan_rl.agents.learners.shipped import shipped_policy
from metagan_rl.errors import FileFormatError, InvalidValueError, OutputError, UnknownNameError
from metagan_rl.experiments.benchmark import BenchmarkConfig, every_scheduler, planning, run_benchmark
from metagan_rl.experiments.benchmark.cells import gan_seed
from metagan_rl.experiments.benchmark.planning import batches_of
from metagan_rl.experiments.benchmark.samples import SampleFile, SampleKeeper, moments_of
from metagan_rl.loop.drive import drive
from metagan_rl.loop.scheduler import SCHEDULERS
from metagan_rl.metrics import METRICS
from metagan_rl.tasks import Base, Suite, register_suite, sample_task
from metagan_rl.tasks.suites import SUITES


@pytest.fixture(scope="module")
def short_suite():
    """Tasks with a budget of four intervals."""
    rng = np.random.default_rng(0)
    tasks = [
        sample_task(family, rng, name=f"{family}/{i}", budget=192, base=Base(batch_size=32))
        for family in ("ring", "moons")
        for i in range(6)
    ]
    splits = {"train": tuple(tasks[::3]), "val": tuple(tasks[1::3]), "test": tuple(tasks[2::3])}
    register_suite(Suite("short", 1, "for tests", splits))
    yield "short"
    SUITES.remove("short")


def _rows(directory):
    return [json.loads(line) for line in (directory / "rows.jsonl").read_text().splitlines()]


def _settled(rows):
    return sorted(json.dumps({k: v for k, v in row.items() if k not in ("seconds", "check")}) for row in rows)


def test_rows_are_whole_paired_and_the_same_when_made_again(short_suite, tmp_path):
    config = BenchmarkConfig(short_suite, "test", ("constant", "linear"), seeds=2)
    first = _rows(run_benchmark(config, tmp_path / "a", workers=0))
    again = _rows(run_benchmark(config, tmp_path / "b", workers=0))
    assert len(first) == 4 * 2 * 2
    assert _settled(first) == _settled(again)
    wanted = {"suite", "split", "tag", "task", "seed", "scheduler", "distance", "precision", "coverage", "diverged"}
    assert wanted | {"updates", "seconds", "engine", *METRICS} <= set(first[0])
    assert all(row["updates"] == 192 for row in first)
    starts = {(row["task"], row["seed"], row["scheduler"]): row["start"] for row in first}
    for (task, seed, scheduler), start in starts.items():
        assert start == starts[task, seed, "constant"], (scheduler, "must start from the same weights")
    rings = [row for row in first if row["family"] == "ring"]
    assert all(0 <= row["modes_share"] <= 1 for row in rings)
    assert all(row["modes"] is None for row in first if row["family"] == "moons")


def test_more_schedulers_and_seeds_extend_the_rows_and_change_none(short_suite, tmp_path):
    out = tmp_path / "grown"
    run_benchmark(BenchmarkConfig(short_suite, "test", ("constant",), seeds=1), out, workers=0)
    before = _rows(out)
    config = BenchmarkConfig(short_suite, "test", ("constant", "linear"), seeds=2)
    run_benchmark(config, out, workers=0)
    assert _rows(out)[: len(before)] == before
    whole = _rows(run_benchmark(config, tmp_path / "whole", workers=0))
    assert _settled(_rows(out)) == _settled(whole)


def test_a_half_written_last_row_is_run_again(short_suite, tmp_path):
    config = BenchmarkConfig(short_suite, "test", ("constant",), seeds=1)
    out = run_benchmark(config, tmp_path, workers=0)
    whole = _rows(out)
    text = (out / "rows.jsonl").read_text()
    (out / "rows.jsonl").write_text(text[:-40])
    run_benchmark(config, out, workers=0)
    assert _settled(_rows(out)) == _settled(whole)


def test_results_of_other_settings_are_never_mixed_in(short_suite, tmp_path):
    run_benchmark(BenchmarkConfig(short_suite, "test", ("constant",), seeds=1), tmp_path, workers=0)
    with pytest.raises(InvalidValueError, match="never mixed"):
        other = BenchmarkConfig(short_suite, "test", ("constant",), seeds=1, interval_updates=24)
        run_benchmark(other, tmp_path, workers=0)


def test_a_scheduler_that_misbehaves_has_rows_that_say_so(short_suite, tmp_path):
    @register_scheduler("not-a-number")
    class NotANumber(Scheduler):
        def propose(self, situation):
            return situation.base.replace(generator_lr_factor=np.full(len(situation), np.nan))

    try:
        config = BenchmarkConfig(short_suite, "test", ("not-a-number", "constant"), seeds=1)
        rows = _rows(run_benchmark(config, tmp_path, workers=0))
    finally:
        SCHEDULERS.remove("not-a-number")
    bad = [row for row in rows if row["scheduler"] == "not-a-number"]
    assert len(bad) == 4 and all("generator_lr_factor" in row["error"] and "nan" in row["error"] for row in bad)
    assert all(row["error"] is None for row in rows if row["scheduler"] == "constant")


def test_gan_seeds_differ_between_tasks_and_seeds(short_suite):
    from metagan_rl.tasks import get_suite

    tasks = list(get_suite(short_suite).split("test"))
    assert len({gan_seed(task, seed) for task in tasks for seed in range(5)}) == len(tasks) * 5


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"suite": "planer"}, UnknownNameError, "did you mean planar"),
        ({"split": "tset"}, UnknownNameError, "did you mean test"),
        ({"schedulers": ("cosin",)}, UnknownNameError, "did you mean cosine"),
        ({"schedulers": ()}, InvalidValueError, "at least one"),
        ({"schedulers": ("linear", "linear")}, InvalidValueError, "each once"),
        ({"seeds": 0}, InvalidValueError, "seeds is 0"),
        ({"tasks": 0}, InvalidValueError, "tasks is 0"),
        ({"policies": (("updates", "updates.safetensors"),)}, InvalidValueError, "'updates'.*rename"),
        ({"policies": (("a|b", "a|b.safetensors"),)}, InvalidValueError, "cannot hold"),
        ({"policies": (("mine", "nowhere.safetensors"),)}, FileFormatError, "nowhere.safetensors"),
    ],
)
def test_bad_settings_are_refused_before_anything_runs(changes, error, words):
    with pytest.raises(error, match=words):
        BenchmarkConfig(**{"suite": "planar", **changes})


def test_places_that_cannot_be_written_are_named(short_suite, tmp_path):
    (tmp_path / "file").write_text("")
    config = BenchmarkConfig(short_suite, "test", ("constant",), seeds=1)
    with pytest.raises(OutputError, match="cannot write into"):
        run_benchmark(config, tmp_path / "file", workers=0)
    with pytest.raises(UnknownNameError, match="unknown backend 'ry'"):
        run_benchmark(config, tmp_path, backend="ry")


def test_runs_that_failed_are_run_again(short_suite, tmp_path):
    @register_scheduler("moody")
    class Moody(Scheduler):
        source = "a test"
        broken = True

        def propose(self, situation):
            if self.broken:
                raise ZeroDivisionError("in the user's own code")
            return situation.base

    try:
        config = BenchmarkConfig(short_suite, "test", ("moody",), seeds=1)
        rows = _rows(run_benchmark(config, tmp_path, workers=0))
        assert all("Moody failed before interval 0: ZeroDivisionError" in row["error"] for row in rows)
        Moody.broken = False
        rows = _rows(run_benchmark(config, tmp_path, workers=0))
        assert len(rows) == 8 and all(row["error"] is None for row in rows[4:])
    finally:
        SCHEDULERS.remove("moody")


def test_what_a_cell_draws_at_random_does_not_depend_on_the_others(short_suite, tmp_path):
    few = BenchmarkConfig(short_suite, "test", ("random-constant",), seeds=1, tasks=1)
    rows = _rows(run_benchmark(few, tmp_path / "few", workers=0))
    every = _rows(run_benchmark(replace(few, tasks=None), tmp_path / "all", workers=0))
    whole = {row["task"]: row for row in every}
    for row in rows:
        assert row["distance"] == pytest.approx(whole[row["task"]]["distance"], rel=0.05)
    with pytest.raises(InvalidValueError, match="never mixed"):
        run_benchmark(replace(few, tasks=None), tmp_path / "few", workers=0)


def test_tasks_of_different_budgets_each_get_their_own(tmp_path):
    rng = np.random.default_rng(0)
    tasks = [
        sample_task("ring", rng, name=f"ring/{i}", budget=48 * (1 + i % 2), base=Base(batch_size=16)) for i in range(6)
    ]
    register_suite(Suite("uneven", 1, "for tests", {"train": tuple(tasks[:2]), "test": tuple(tasks[2:])}))
    try:
        with pytest.raises(InvalidValueError, match="budgets of 1 to 2 intervals"):
            drive(make_scheduler("constant"), tasks, range(6))
        rows = _rows(run_benchmark(BenchmarkConfig("uneven", "test", ("constant",), seeds=1), tmp_path, workers=0))
        assert {row["task"]: row["updates"] for row in rows} == {t.name: t.budget for t in tasks[2:]}
    finally:
        SUITES.remove("uneven")


def test_rows_tell_what_a_run_cost_besides_its_own_updates(short_suite, tmp_path):
    names = ("constant", "pbt", "tuned-constant", "default")
    config = BenchmarkConfig(short_suite, "test", names, seeds=1)
    batches = {name: [len(each.cells) for each in batches_of(config) if each.scheduler == name] for name in names}
    assert batches["constant"] == [4] and batches["pbt"] == [4]
    out = run_benchmark(replace(config, tasks=1), tmp_path, workers=0)
    rows = {(row["scheduler"], row["task"]): row for row in _rows(out)}
    assert len(rows) == 4 * 2 and all(row["updates"] == 192 for row in rows.values())
    wanted = {"constant": (0, 0), "pbt": (7 * 192, 0), "tuned-constant": (0, 2949120), "default": (0, 44820126)}
    for (name, _), row in rows.items():
        assert (row["extra_updates"], row["tuning_updates"]) == wanted[name]
    curves = [json.loads(line) for line in (out / "curves.jsonl").read_text().splitlines()]
    for curve in curves:
        decisions = 16 if curve["scheduler"] == "default" else 4  # as many as it was trained with
        assert len(curve["distance"]) == decisions + 1 and len(curve["generator_lr_factor"]) == decisions
    with np.load(out / "samples.npz") as samples:
        assert sum(name.endswith("|pbt") for name in samples.files) == 2


def test_schedulers_with_many_gans_a_run_get_fewer_cells_at_a_time(short_suite, monkeypatch):
    monkeypatch.setattr(planning, "BATCH", 16)
    config = BenchmarkConfig(short_suite, "test", ("constant", "pbt"), seeds=1)
    sizes = {(each.scheduler, len(each.cells)) for each in batches_of(config)}
    assert sizes == {("constant", 4), ("pbt", 2)}


def test_a_batch_holds_few_tasks_with_many_seeds_and_each_cell_once(short_suite):
    for seeds, tasks in ((1, None), (3, None), (11, 1), (40, 1), (5, 2)):
        config = BenchmarkConfig(short_suite, "test", ("constant",), seeds=seeds, tasks=tasks)
        batches = list(batches_of(config))
        wanted = [(key.task, key.seed) for batch in batches for key in batch.wanted]
        names = [task.name for task in config.chosen_tasks()]
        assert sorted(wanted) == sorted((name, seed) for name in names for seed in range(seeds))
        assert max(len(batch.cells) for batch in batches) <= planning.BATCH
        more = [each.cells for each in batches_of(replace(config, seeds=2 * seeds))]
        assert [batch.cells for batch in batches] == more[: len(batches)], "more seeds only add batches"


@pytest.mark.parametrize("scheduler", ["constant", "default"])
def test_rows_do_not_depend_on_how_many_seeds_were_asked_for(scheduler, short_suite, tmp_path):
    config = BenchmarkConfig(short_suite, "test", (scheduler,), tasks=1, engine="torch")
    whole = _rows(run_benchmark(replace(config, seeds=4), tmp_path / "4", workers=0))
    for seeds in (1, 2, 3):
        rows = _rows(run_benchmark(replace(config, seeds=seeds), tmp_path / str(seeds), workers=0))
        assert _settled(rows) == _settled([row for row in whole if row["seed"] < seeds])
    run_benchmark(replace(config, seeds=4), tmp_path / "1", workers=0)
    assert _settled(_rows(tmp_path / "1")) == _settled(whole)


def test_a_policy_never_takes_a_schedulers_name(short_suite, tmp_path):
    path = tmp_path / "cosine.safetensors"
    path.write_bytes(shipped_policy("default").read_bytes())
    with pytest.raises(InvalidValueError, match=r"cosine.*rename"):
        BenchmarkConfig(short_suite, "test", ("constant",), (("cosine", str(path)),))


def test_the_shipped_policys_hash_is_kept(short_suite, tmp_path):
    out = run_benchmark(BenchmarkConfig(short_suite, "test", ("default",), seeds=1, tasks=1), tmp_path, workers=0)
    record = json.loads((out / "benchmark.json").read_text())
    digest = hashlib.sha256(shipped_policy("default").read_bytes()).hexdigest()
    assert record["suites"][0]["policies"] == {"default": digest}


def test_samples_are_kept_at_moments_from_start_to_end(short_suite, tmp_path):
    config = BenchmarkConfig(short_suite, "test", ("constant", "linear"), seeds=2)
    out = run_benchmark(config, tmp_path, workers=0)
    with np.load(out / "samples.npz") as file:
        samples = {name: file[name] for name in file.files}
    curves = [json.loads(line) for line in (out / "curves.jsonl").read_text().splitlines()]
    names = {"constant", "linear", "real", "updates", "constant|distance", "linear|distance"}
    assert set(samples) == {f"short|test|{task}|{name}" for task in ("ring/2", "moons/2") for name in names}
    for task in ("ring/2", "moons/2"):
        kept = {name: samples[f"short|test|{task}|{name}"] for name in names}
        assert kept["updates"].tolist() == [0, 48, 96, 144, 192]  # seven moments, rounded up to four intervals
        assert kept["constant"].shape == kept["linear"].shape == (5, 512, 2)
        assert kept["constant"].dtype == np.float16
        curve = next(each for each in curves if (each["task"], each["scheduler"]) == (task, "linear"))
        assert kept["linear|distance"] == pytest.approx(curve["distance"], rel=1e-5)
        assert np.array_equal(kept["constant"][0], kept["linear"][0]), "both begin with the same weights and noise"
        assert not np.array_equal(kept["constant"][-1], kept["linear"][-1])
        steps = [np.abs(np.diff(kept["constant"][[0, place]], axis=0)).mean() for place in (1, 4)]
        assert 0 < steps[0] < steps[1]
    before = (out / "samples.npz").read_bytes()
    run_benchmark(replace(config, seeds=3), out, workers=0)
    assert (out / "samples.npz").read_bytes() == before, "only the first seed's are kept"


def test_who_watches_sees_every_interval_and_changes_nothing(short_suite):
    from metagan_rl.evaluation import generated
    from metagan_rl.tasks import get_suite

    tasks = list(get_suite(short_suite).split("test"))[:2]
    seen = []

    def watch(interval, runs):
        seen.append((interval, runs.done_intervals.tolist(), generated(runs.population, [0])[0].shape))

    watched, _ = drive(make_scheduler("linear"), tasks, [1, 2], watch=watch)
    alone, _ = drive(make_scheduler("linear"), tasks, [1, 2])
    assert [(interval, done) for interval, done, _ in seen] == [(each, [each, each]) for each in range(5)]
    assert np.array_equal(watched.quality.distance, alone.quality.distance)


def test_tasks_of_the_same_name_in_two_suites_keep_their_own_samples(short_suite, tmp_path):
    rng = np.random.default_rng(1)
    tasks = [sample_task("ring", rng, name=name, budget=192, base=Base(batch_size=32)) for name in ("ring/1", "ring/2")]
    register_suite(Suite("other", 1, "for tests", {"train": tuple(tasks[:1]), "test": tuple(tasks[1:])}))
    try:
        configs = [BenchmarkConfig(name, "test", ("constant",), seeds=1, tasks=1) for name in (short_suite, "other")]
        out = run_benchmark(configs, tmp_path, workers=0)
    finally:
        SUITES.remove("other")
    file = SampleFile(out / "samples.npz")
    one, other = (file.of(suite, "test", "ring/2", ["constant"]) for suite in (short_suite, "other"))
    assert not np.array_equal(one.real, other.real)
    assert not np.array_equal(one.points["constant"], other.points["constant"])
    assert not file.holds("third", "test", "ring/2")


def test_of_several_gans_of_a_task_the_best_at_each_moment_is_kept(short_suite):
    from metagan_rl.tasks import get_suite

    task = get_suite(short_suite).split("test")["ring/2"]
    keeper = SampleKeeper("short", "test", "constant", {"ring/2": range(3)}, moments_of(4, 48))
    seen = []

    def watch(interval, runs):
        keeper(interval, runs)
        seen.append(runs.quality.distance)

    drive(make_scheduler("constant"), [task] * 3, [1, 2, 3], watch=watch)
    distances = keeper.samples()["short|test|ring/2|constant|distance"]
    assert distances == pytest.approx(np.min(seen, axis=1), rel=1e-5)


@pytest.mark.parametrize("decisions", [2, 16])
def test_points_are_kept_at_the_same_moments_whatever_the_decisions(short_suite, decisions):
    from metagan_rl.tasks import get_suite

    task = get_suite(short_suite).split("test")["ring/2"]
    keeper = SampleKeeper("short", "test", "constant", {"ring/2": range(1)}, moments_of(4, 48))
    drive(make_scheduler("constant"), [task], [1], decisions=decisions, watch=keeper)
    kept = keeper.samples()
    assert kept["short|test|ring/2|updates"].tolist() == [0, 48, 96, 144, 192]
    assert len(kept["short|test|ring/2|constant"]) == len(kept["short|test|ring/2|constant|distance"]) == 5


def test_the_oracle_runs_what_was_found_for_each_task(short_suite, tmp_path, monkeypatch):
    from metagan_rl.experiments.benchmark import references
    from metagan_rl.experiments.studies.oracle import OracleSearch, make_references

    monkeypatch.setattr(references, "FOLDER", tmp_path)
    with pytest.raises(InvalidValueError, match="short-test has no references"):
        BenchmarkConfig(short_suite, "test", ("oracle",))
    options = OracleSearch(short_suite, "test", trials=4, tasks=2, workers=0, out=tmp_path / "search")
    make_references(replace(options, references=tmp_path / "short-test.json"), show=lambda line: None)
    found = references.load_references(short_suite, "test")
    assert every_scheduler(short_suite, "test")[-1] == "oracle"
    rows = _rows(
        run_benchmark(
            BenchmarkConfig(short_suite, "test", ("constant", "oracle"), seeds=1), tmp_path / "out", workers=0
        )
    )
    own = {row["task"]: row for row in rows if row["scheduler"] == "oracle"}
    assert set(own) == set(found.schedules) and len(own) == 2  # tasks without references are left out
    assert all(
        row["extra_updates"] == (2 * 4 + 4 * (4 + 2) + 4) * 192 and row["tuning_updates"] == 0 for row in own.values()
    )
    curves = [json.loads(line) for line in (tmp_path / "out" / "curves.jsonl").read_text().splitlines()]
    for curve in curves:
        if curve["scheduler"] == "oracle":
            assert curve["loss"][0] == found.schedules[curve["task"]].loss
    path = tmp_path / "short-test.json"
    record = json.loads(path.read_text())
    references.save_references(path, {**{name: record[name] for name in record if name != "sha256"}, "trials": 5})
    with pytest.raises(InvalidValueError, match="never mixed"):  # another search may have found other schedules
        run_benchmark(BenchmarkConfig(short_suite, "test", ("oracle",), seeds=2), tmp_path / "out", workers=0)


def test_fewer_tasks_are_the_first_of_each_family_and_tag():
    tasks = BenchmarkConfig("planar-mixed", "test", ("constant",), tasks=1).chosen_tasks()
    kinds = [(task.tag, task.family) for task in tasks]
    assert len(kinds) == len(set(kinds)) and {tag for tag, _ in kinds} >= {"other-network", "other-budget"}


def test_a_pattern_chooses_tasks_by_name(short_suite, tmp_path):
    config = BenchmarkConfig("planar-mixed", "test", ("constant",), only="*/budget-12288/*")
    assert {task.budget for task in config.chosen_tasks()} == {12288} and len(config.chosen_tasks()) == 6
    with pytest.raises(InvalidValueError, match=r"no task of planar-mixed-test is named 'nothing/\*'; one is '"):
        replace(config, only="nothing/*")
    few = BenchmarkConfig(short_suite, "test", ("constant",), seeds=1)
    first = few.chosen_tasks()[0].name
    run_benchmark(replace(few, only=first), tmp_path, workers=0)
    assert {row["task"] for row in _rows(tmp_path)} == {first}
    with pytest.raises(InvalidValueError, match="never mixed"):
        run_benchmark(few, tmp_path, workers=0)
