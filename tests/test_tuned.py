"""Tuned schedules: absolute rates whatever the base, files that are whole, a search that finds the better setting."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metagan_rl.agents import make_scheduler
from metagan_rl.agents.searches.tuned import Candidates, Schedule, Tuned, load_schedule, save_schedule
from metagan_rl.errors import FileFormatError, InvalidValueError, MetaGANError, UnknownNameError
from metagan_rl.loop import Controls, Situation
from metagan_rl.records import write_record
from metagan_rl.tasks import Base, get_suite

SCHEDULE = Schedule((2e-3, 2e-4), (4e-3, 4e-3), 0.5, "2:1", "rpgan", 0.1)


def situation(progress: float, *rates: tuple[float, float]) -> Situation:
    count = len(rates)
    base = Controls.base([Base()] * count)
    return Situation({"progress": np.full(count, progress)}, base, base, np.zeros(count), np.array(rates))


def test_rates_are_absolute_whatever_the_base() -> None:
    for progress, wanted in ((0.0, 2e-3), (0.5, 2e-3), (0.75, 2e-3 / 10**0.5), (1.0, 2e-4)):
        shown = situation(progress, (1e-3, 1e-3), (5e-3, 2e-4))
        controls = Tuned(SCHEDULE).propose(shown)
        assert shown.rates is not None
        np.testing.assert_allclose(controls.generator_lr_factor * shown.rates[:, 0], wanted)
        np.testing.assert_allclose(controls.discriminator_lr_factor * shown.rates[:, 1], 4e-3)
        assert controls.describe(1)["ratio"] == "2:1" and controls.describe(1)["loss"] == "rpgan"


def test_a_base_too_far_off_gets_what_controls_can_reach() -> None:
    controls = Tuned(SCHEDULE).propose(situation(0.0, (1e-6, 10.0)))
    assert controls.generator_lr_factor[0] == pytest.approx(30) and controls.discriminator_lr_factor[
        0
    ] == pytest.approx(1 / 30)


def test_ratio_loss_and_penalty_switch_once_and_rates_do_not_notice() -> None:
    changes = {"later_ratio": "1:1", "later_loss": "lsgan", "later_penalty_weight": 0.0}
    switching = replace(SCHEDULE, switch=0.25, **changes)
    only_ratio = replace(SCHEDULE, switch=0.5, later_ratio="3:1")
    many = Candidates([SCHEDULE, switching, only_ratio])
    for progress, now in ((0.0, False), (0.24, False), (0.25, True), (1.0, True)):
        shown = situation(progress, *[(1e-3, 1e-3)] * 3)
        plain, switched, partly = (many.propose(shown).describe(run) for run in range(3))
        assert plain == Tuned(SCHEDULE).propose(shown).describe(0)
        later = {"ratio": "1:1", "loss": "lsgan", "penalty_weight": 0.0}
        assert switched == ({**plain, **later} if now else plain)
        assert partly == ({**plain, "ratio": "3:1"} if progress >= 0.5 else plain)


def test_momentum_is_the_runs_own_unless_a_schedule_sets_it() -> None:
    shown = situation(0.5, *[(1e-3, 1e-3)] * 2)
    both = Candidates([SCHEDULE, replace(SCHEDULE, beta1=0.0)]).propose(shown)
    assert both.beta1.tolist() == [Base().beta1, 0.0]
    bare = make_scheduler("tuned-decay-no-momentum").propose(shown)
    with_momentum = make_scheduler("tuned-decay").propose(shown)
    assert {**with_momentum.describe(0), "beta1": 0.0} == bare.describe(0) != with_momentum.describe(0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"beta1": 1.5}, "beta1"),
        ({"switch": 1.0}, "switch is 1.0"),
        ({"switch": -0.1}, "switch is -0.1"),
        ({"later_loss": "lsgan"}, "later_loss is given, but switch is None"),
        ({"switch": 0.5, "later_penalty_weight": 101.0}, "later_penalty_weight is 101.0"),
        ({"switch": 0.5, "later_ratio": "9:1"}, "9:1"),
    ],
)
def test_a_switch_that_makes_no_sense_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises((InvalidValueError, UnknownNameError), match=words):
        replace(SCHEDULE, **change)


def test_without_the_base_rates_nothing_is_guessed() -> None:
    with pytest.raises(InvalidValueError, match="absolute base rates"):
        Tuned(SCHEDULE).propose(replace(situation(0.0, (1e-3, 1e-3)), rates=None))


def test_files_keep_schedule_and_metadata(tmp_path: Path) -> None:
    save_schedule(tmp_path / "mine.json", Tuned(SCHEDULE, {"made": "by hand"}))
    loaded = load_schedule(tmp_path / "mine.json")
    assert loaded.schedule == SCHEDULE and loaded.metadata == {"made": "by hand"}
    switching = replace(SCHEDULE, switch=0.25, later_ratio="1:1")
    save_schedule(tmp_path / "switching.json", Tuned(switching))
    assert load_schedule(tmp_path / "switching.json").schedule == switching


def test_files_from_before_schedules_could_switch_still_load(tmp_path: Path) -> None:
    save_schedule(tmp_path / "mine.json", Tuned(SCHEDULE))
    record = json.loads((tmp_path / "mine.json").read_text())
    del record["sha256"]
    for name in ("switch", "later_ratio", "later_loss", "later_penalty_weight"):
        del record["schedule"][name]
    (tmp_path / "mine.json").write_text(json.dumps(record))
    assert load_schedule(tmp_path / "mine.json").schedule == SCHEDULE


def test_damaged_files_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    with pytest.raises(FileFormatError, match=r"mine\.json"):
        load_schedule(path)
    save_schedule(path, Tuned(SCHEDULE))
    record = json.loads(path.read_text())
    del record["sha256"]
    changes: list[dict[str, object]] = [{"hold": 1.0}, {"loss": "nope"}, {"generator_lr": [0.0, 1.0]}, {"more": 1}]
    for change in changes:
        path.write_text(json.dumps({**record, "schedule": {**record["schedule"], **change}}))
        with pytest.raises((FileFormatError, UnknownNameError)):
            load_schedule(path)
    for text in ("", "[]", json.dumps({**record, "kind": "other"})):
        path.write_text(text)
        with pytest.raises(FileFormatError, match=r"mine\.json"):
            load_schedule(path)


def test_the_search_tells_a_good_setting_from_a_dead_one() -> None:
    from metagan_rl.experiments.tune import Part, score, spread
    from metagan_rl.loop import RunOptions
    from metagan_rl.tasks import get_suite

    tasks = [replace(task, budget=480) for task in spread(list(get_suite("planar").split("train")), 3)]
    good = Schedule((2e-3, 2e-3), (2e-3, 2e-3), 0.0, "1:1", "non-saturating", 0.0)
    dead = replace(good, generator_lr=(1e-4, 1e-4), discriminator_lr=(1e-4, 1e-4))
    part = Part(0, (good, dead), tuple(tasks), (0,), RunOptions())
    better, worse = score(part)
    assert better < worse - 0.2
    assert score(replace(part, schedules=(dead,)))[0] == pytest.approx(worse, abs=0.02)


def test_optuna_proposes_within_the_ranges(tmp_path: Path) -> None:
    optuna = pytest.importorskip("optuna")
    from metagan_rl.experiments.tune import suggest

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    schedules = [suggest(study.ask(), kind) for kind in ("constant", "decay") for _ in range(30)]
    assert all(schedule.generator_lr[0] == schedule.generator_lr[1] for schedule in schedules[:30])
    assert all(schedule.generator_lr[0] >= schedule.generator_lr[1] for schedule in schedules)
    assert len({schedule.loss for schedule in schedules}) == 5 and len({schedule.ratio for schedule in schedules}) == 6


def test_a_search_can_begin_at_a_schedule_and_its_decays() -> None:
    optuna = pytest.importorskip("optuna")
    from metagan_rl.experiments.tune import neighbours, suggest

    constant = Schedule((2e-3, 2e-3), (4e-3, 4e-3), 0.0, "2:1", "rpgan", 0.1)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    wanted = neighbours(constant, "decay")
    for parameters in wanted:
        study.enqueue_trial(parameters)
    schedules = [suggest(study.ask(), "decay") for _ in wanted]
    assert schedules[0] == constant
    assert schedules[1] == replace(constant, generator_lr=(2e-3, 2e-3 / 3), discriminator_lr=(4e-3, 4e-3 / 3))
    assert len(set(schedules)) == len(wanted) == 10


def test_a_search_finds_the_same_wherever_it_is_run(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    from metagan_rl.experiments.tune import TuneConfig, tune

    options = {"suite": "dirac", "trials": 3, "tasks": 2, "finalists": 2, "batch": 2}
    results = []
    for workers in (0, 2):
        out = tmp_path / str(workers)
        found = tune(TuneConfig(**options), out, workers=workers)
        results.append((found.schedule, found.metadata, (out / "trials.jsonl").read_text()))
    assert results[0] == results[1]
    assert results[0][2].count("\n") == 5


@pytest.mark.parametrize("kind", ["constant", "rule"])
def test_a_search_on_own_data_runs_in_workers(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    from metagan_rl.experiments.tune import TuneConfig, tune
    from metagan_rl.experiments.tune_rule import tune_rule

    table, out = tmp_path / "own.csv", tmp_path / "out"
    rows = np.random.default_rng(0).normal(size=(400, 2))
    np.savetxt(table, rows, delimiter=",", header="a,b", comments="")
    sizes: dict[str, Any] = {"trials": 1, "rounds": 1, "tasks": 1, "finalists": 1, "horizon": 2}
    config = TuneConfig(suite=str(table), kind=kind, **sizes)  # type: ignore[arg-type]
    search: Any = tune if kind == "constant" else tune_rule
    search(config, out, workers=1)
    if kind == "constant":
        lines: list[str] = []
        tune(config, out, workers=0, show=lines.append)
        assert lines[0] == "going on with a search of 1 trials"
        there = json.loads((out / "tune.json").read_text())
        there["options"]["sha256"] = get_suite("dirac").sha256
        write_record(out / "tune.json", {name: value for name, value in there.items() if name != "digest"})
        with pytest.raises(InvalidValueError, match="sha256"):  # as if the table had been another
            tune(config, out, workers=0)


def test_a_search_that_is_stopped_anywhere_ends_with_the_same_schedule(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    from metagan_rl.experiments.tune import TuneConfig, tune

    config = TuneConfig(suite="dirac", trials=7, tasks=2, finalists=2, batch=2, sampler="tpe")
    whole = tune(config, tmp_path / "whole", workers=0)
    text = (tmp_path / "whole" / "trials.jsonl").read_text()
    for stops in (1, 2, 4):
        left, out = stops, tmp_path / str(stops)

        def stop(line: str) -> None:
            nonlocal left
            left -= "trials, best" in line
            if left == 0:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            tune(config, out, workers=0, show=stop)
        lines: list[str] = []
        found = tune(config, out, workers=0, show=lines.append)
        assert lines[0] == f"going on with a search of {min(7, 2 * stops)} trials"
        assert (found.schedule, found.metadata) == (whole.schedule, whole.metadata)
        assert (out / "trials.jsonl").read_text() == text
    (tmp_path / "1" / "trials.jsonl").write_text("".join(text.splitlines(keepends=True)[:3]))  # within a batch
    assert tune(config, tmp_path / "1", workers=0).schedule == whole.schedule
    with pytest.raises(InvalidValueError, match="kind constant, not decay"):
        tune(replace(config, kind="decay"), tmp_path / "1", workers=0)
    (tmp_path / "1" / "trials.jsonl").write_text("".join(text.splitlines(keepends=True)[1:]))
    with pytest.raises(FileFormatError, match=r"trials\.jsonl, line 1 is not what this search tries"):
        tune(config, tmp_path / "1", workers=0)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"parts": 0}, "parts is 0"),
        ({"kind": "constnt"}, "unknown kind 'constnt'; did you mean constant"),
        ({"sampler": "grid"}, "unknown sampler 'grid'; known: random, tpe"),
        ({"suite": "planr"}, "did you mean planar"),
        ({"start": Path("nowhere.json")}, "nowhere"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused_before_it_begins(wrong: dict[str, Any], words: str) -> None:
    from metagan_rl.experiments.tune import TuneConfig

    with pytest.raises(MetaGANError, match=words):
        TuneConfig(**wrong)
