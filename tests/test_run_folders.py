"""A run folder belongs to one configuration and to one writer, and tells when it was damaged or deleted."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from metagan_rl.agents import TrainConfig, load_policy, train
from metagan_rl.agents.learners.run_folder import read_config, read_progress
from metagan_rl.agents.learners.shipped import shipped_policy
from metagan_rl.cli import main
from metagan_rl.errors import FileFormatError, InvalidValueError, OutputError
from metagan_rl.experiments import BenchmarkConfig, quickstart, run_benchmark
from metagan_rl.folders import LOCK, held, refuse_another
from metagan_rl.records import line_of, parse_line, read_record, write_record

ITERATION = 2 * 3 * 12
TINY = TrainConfig.named(
    updates=2 * ITERATION, members=2, shards=1, horizon=3, interval_updates=12, validate_every=0,
    hidden=8, epochs=1, minibatches=2,
)  # fmt: skip
OPTIONS = [
    "--members=2", "--shards=1", "--horizon=3", "--interval-updates=12", "--validate-every=0", "--hidden=8",
    "--epochs=1", "--minibatches=2",
]  # fmt: skip


def quiet(line):
    pass


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "finished"
    train(TINY, out, show=quiet)
    return out


@pytest.fixture
def run(finished, tmp_path):
    """A copy of a finished run."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- one configuration -----------------------------------------------------------------------------------------------


def test_a_run_on_data_that_have_changed_does_not_go_on(tmp_path):
    data, out = tmp_path / "mine.csv", tmp_path / "run"
    rows = np.random.default_rng(0).normal(size=(100, 3))
    np.savetxt(data, rows, delimiter=",")
    assert main(["train", "--suite", str(data), "--out", str(out), "--updates", str(2 * ITERATION), *OPTIONS]) == 0
    begun = data.read_bytes()
    for content, status in ((begun.replace(b"e-01", b"e-02", 1), 2), (begun, 0)):
        data.write_bytes(content)
        again = subprocess.run(
            [sys.executable, "-m", "metagan_rl", "train", "--resume", out], capture_output=True, text=True, check=False
        )  # a process reads a file of data once
        assert again.returncode == status, again.stderr
        assert ("holds a run on other tasks: the data" in again.stderr) == (status == 2)


def test_the_same_configuration_goes_on_and_a_finished_run_says_how(run):
    before, lines = contents(run), []
    assert train(TINY, run, show=lines.append) == run / "policy.safetensors"
    assert len(lines) == 1 and "is finished: 2 iterations" in lines[0] and "--resume" in lines[0]
    assert {path: before[path] for path in before} == {path: contents(run)[path] for path in before}


def test_a_run_that_was_stopped_goes_on_by_the_same_call(tmp_path, finished):
    def stop(line):
        if line.startswith("iteration 1 "):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(TINY, tmp_path, show=stop)
    lines = []
    train(TINY, tmp_path, show=lines.append)
    assert "going on" in lines[0] and "after 1 iterations" in lines[0] and len(lines) == 2
    one, other = (safetensors.torch.load_file(out / "policy.safetensors") for out in (tmp_path, finished))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 7}, "seed 0, not 7"),
        ({"updates": 3 * ITERATION}, f"updates {2 * ITERATION}, not {3 * ITERATION}"),
        ({"suite": "ring8", "members": 3}, "members 2, not 3; suite planar, not ring8|suite planar.*members 2"),
        ({"learner": replace(TINY.learner, epochs=2)}, "epochs 1, not 2"),
    ],
)
def test_another_configuration_is_refused_before_any_work(changes, words, run, monkeypatch):
    monkeypatch.setattr("metagan_rl.agents.learners.training.TrainingRun.go", lambda *_: pytest.fail("worked"))
    before = contents(run)
    with pytest.raises(InvalidValueError, match=words):
        train(replace(TINY, **changes), run, show=quiet)
    assert contents(run) == before


def test_resume_takes_no_other_options_than_the_length(run, capsys):
    before = contents(run)
    for option, words in (
        ("--seed=5", "seed 0, not 5"),
        ("--hidden=9", "hidden 8, not 9"),
        ("--algorithm=dqn", "algorithm recurrent-ppo, not dqn"),
        ("--reward=balance", "reward quality, not balance"),
    ):
        assert main(["train", "--resume", str(run), option]) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1
    assert contents(run) == before
    assert main(["train", "--resume", str(run), f"--updates={3 * ITERATION}"]) == 0
    assert [record["iteration"] for record in read_progress(run)] == [1, 2, 3]
    assert main(["train", f"--resume={run}"]) == 0
    assert "is finished: 3 iterations" in capsys.readouterr().out


def test_an_option_that_equals_a_default_is_asked_for_too(tmp_path, capsys):
    train(replace(TINY, seed=3), tmp_path, show=quiet)
    assert main(["train", "--resume", str(tmp_path), "--seed=0"]) == 2
    assert "seed 3, not 0" in capsys.readouterr().err


def test_the_command_line_goes_on_where_it_stopped(finished, tmp_path, capsys):
    out = shutil.copytree(finished, tmp_path / "run")
    command = ["train", f"--out={out}", f"--updates={2 * ITERATION}", *OPTIONS]
    assert main(command) == 0
    assert "is finished" in capsys.readouterr().out
    assert main([*command, "--seed=1"]) == 2
    assert "seed 0, not 1" in capsys.readouterr().err


def test_minutes_and_updates_together_are_refused():
    with pytest.raises(InvalidValueError, match="give one of the two"):
        replace(TINY, minutes=1.0)


def test_a_quickstart_belongs_to_its_options(tmp_path, monkeypatch):
    for name in ("train", "run_benchmark"):
        monkeypatch.setattr(quickstart, name, lambda *_, **__: pytest.fail("worked"))
    write_record(
        tmp_path / quickstart.OPTIONS,
        {
            "kind": quickstart.KIND,
            "options": {"minutes": 6.0, "seed": 0, "seeds": 1, "device": "cpu", "engine": "auto"},
        },
    )
    for given, words in (((6.0, 7, 1), "seed 0, not 7"), ((12.0, 0, 1), "minutes 6.0, not 12.0")):
        minutes, seed, seeds = given
        with pytest.raises(InvalidValueError, match=words):
            quickstart.quickstart(minutes, tmp_path, seed, seeds, command="", show=quiet)


@pytest.mark.parametrize("begin", ["train", "tune", "benchmark", "quickstart"])
def test_a_folder_of_another_kind_of_run_is_refused(begin, tmp_path, capsys):
    options = {
        "train": ("--suite", "dirac", "--updates", "100"),
        "tune": ("--suite", "dirac", "--trials", "1", "--workers", "0"),
        "benchmark": ("--suite", "dirac", "--workers", "0"),
        "quickstart": ("--minutes", "1"),
    }
    others = {
        "train": "config.json",
        "tune": "tune.json",
        "benchmark": "benchmark.json",
        "quickstart": "quickstart.json",
    }
    for kind, name in others.items():
        if kind != begin:
            folder = tmp_path / kind
            folder.mkdir()
            (folder / name).write_text("{}")
            assert main([begin, *options[begin], "--out", str(folder)]) != 0
            assert f"({name}), not" in capsys.readouterr().err
            assert sorted(each.name for each in folder.iterdir()) == [name]


def test_differences_are_named_whatever_their_form():
    refuse_another("here", {"a": (1, 2), "b": {"c": 1}}, {"a": [1, 2], "b": {"c": 1}}, "")
    with pytest.raises(InvalidValueError, match=r"here holds a run with c 1, not 2; d none, not x\. Stop"):
        refuse_another("here", {"b": {"c": 1}}, {"b": {"c": 2}, "d": "x"}, "Stop")


# --- fine-tuning -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["recurrent-ppo", "ppo", "dqn", "autoloss"])
def test_training_from_a_policy_begins_at_its_weights(algorithm, tmp_path):
    own = {"hidden": 8, "epochs": 1, **({} if algorithm == "dqn" else {"minibatches": 2})}
    rest = {"updates": ITERATION, "members": 2, "shards": 1, "horizon": 3, "interval_updates": 12, "validate_every": 0}
    config = TrainConfig.named(algorithm=algorithm, **own, **rest)
    first = train(config, tmp_path / "first", show=quiet)
    second = replace(config.settled(), start=str(first), seed=1)
    learner = second.kind(second)
    try:
        learner.start_from(load_policy(first))
        weights = learner.weights()
    finally:
        learner.close()
    for name, value in load_policy(first).network.state_dict().items():
        assert torch.equal(weights[name], value), name
    policy = load_policy(train(second, tmp_path / "second", show=quiet))
    assert policy.cost == 2 * load_policy(first).cost
    assert policy.metadata["training"]["start"].startswith("sha256:")
    first.unlink()  # the run has its own copy
    longer = replace(read_config(tmp_path / "second"), updates=2 * ITERATION)
    assert load_policy(train(longer, tmp_path / "second", resume=True, show=quiet)).cost == 3 * ITERATION


def test_a_policy_of_another_shape_is_refused_and_the_difference_named(finished, tmp_path):
    config = replace(TINY, start=str(finished / "policy.safetensors"), knobs=("ratio",))
    with pytest.raises(InvalidValueError, match="has other knobs"):
        train(config, tmp_path / "other", show=quiet)
    assert not (tmp_path / "other" / "config.json").exists()


def test_the_command_line_takes_the_options_that_shape_a_policy_from_it(finished, tmp_path, capsys):
    rest = ["--members=2", "--shards=1", "--validate-every=0", "--epochs=1", f"--updates={ITERATION}"]
    policy = finished / "policy.safetensors"
    assert main(["train", "--from", str(policy), "--suite=ring8", f"--out={tmp_path / 'mine'}", *rest]) == 0
    config = read_config(tmp_path / "mine")
    assert (config.learner.hidden, config.horizon, config.suite) == (8, 3, "ring8")
    assert main(["train", "--from=nowhere.safetensors", f"--out={tmp_path / 'none'}"]) == 2
    assert "nowhere.safetensors" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["default", "without-quality", "loop", "dqn", "autoloss", "on-top"])
def test_shipped_policies_can_be_trained_further(name, tmp_path):
    from metagan_rl.agents.learners.run_folder import options_of_policy

    path = shipped_policy(name)
    short = {"members": 2, "shards": 1, "validate_every": 0, "updates": 1}
    config = TrainConfig(**{**options_of_policy(path), **short})
    learner = config.kind(config)
    try:
        learner.start_from(load_policy(path))
        assert all(torch.equal(learner.weights()[k], v) for k, v in load_policy(path).network.state_dict().items())
    finally:
        learner.close()


# --- one writer ------------------------------------------------------------------------------------------------------

HOLDER = """
import sys
from metagan_rl.folders import held
with held(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(folder):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_writer_is_refused_and_told_who_the_first_is(tmp_path, capsys):
    process = holder(tmp_path)
    try:
        with pytest.raises(OutputError, match=rf"written by process {process.pid} \(-c .*\); wait"), held(tmp_path):
            pass
        for command in (
            ["train", f"--out={tmp_path}", f"--updates={ITERATION}", *OPTIONS],
            ["benchmark", "--suite=dirac", "--schedulers=constant", "--workers=0", f"--out={tmp_path}"],
            ["quickstart", f"--out={tmp_path}"],
            ["tune", "--workers=0", f"--out={tmp_path}"],
        ):
            assert main(command) == 2
            assert f"process {process.pid}" in capsys.readouterr().err
    finally:
        process.communicate("")
    assert list(tmp_path.iterdir()) == []
    with held(tmp_path):
        pass


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="it needs a signal that no process survives")
def test_a_lock_ends_with_its_process_however_that_ends(tmp_path):
    process = holder(tmp_path)
    process.kill()
    process.communicate()
    assert (tmp_path / LOCK).exists()
    with held(tmp_path) as lock:
        lock.check()
    assert not (tmp_path / LOCK).exists()


def test_a_folder_deleted_in_mid_run_is_an_error(tmp_path):
    out = tmp_path / "run"
    with pytest.raises(OutputError, match="was deleted or replaced"):
        train(TINY, out, show=lambda line: shutil.rmtree(out) if line.startswith("iteration 1 ") else None)
    assert not out.exists()


def test_a_benchmark_whose_folder_was_deleted_is_an_error(tmp_path):
    out = tmp_path / "benchmark"
    config = BenchmarkConfig("dirac", "val", ("constant", "cosine"), seeds=1, tasks=1)
    with pytest.raises(OutputError, match="was deleted or replaced"):
        run_benchmark(config, out, workers=0, show=lambda line: shutil.rmtree(out))
    assert not out.exists()


# --- damage ----------------------------------------------------------------------------------------------------------


def flipped(content, place, bit=0):
    changed = bytearray(content)
    changed[place] ^= 1 << bit
    return bytes(changed)


@pytest.mark.parametrize("name", ["config.json", "checkpoint.pt", "progress.jsonl"])
def test_a_flipped_bit_in_a_run_is_noticed_before_any_work(name, run, monkeypatch):
    monkeypatch.setattr("metagan_rl.agents.learners.training.TrainingRun.go", lambda *_: None)
    path = run / name
    whole = path.read_bytes()
    for place in range(3, len(whole) - 1, max(1, len(whole) // 40)):
        path.write_bytes(flipped(whole, place, place % 7))
        try:
            train(None, run, resume=True, show=quiet)
        except FileFormatError as error:
            assert str(path) in str(error) and "\n" not in str(error)
        else:  # no bit that says anything: white space, or the name of a checksum
            assert name != "checkpoint.pt"
            assert read_config(run) == TINY.settled() or name == "progress.jsonl"


@pytest.mark.parametrize("line", [b"not JSON", b"[1]", b"{}", b'{"iteration": "x"}', b'{"iteration": 1e999}', b"\xff"])
def test_damaged_progress_is_one_line(line, run):
    path = run / "progress.jsonl"
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.raises(FileFormatError, match=r"progress\.jsonl, line 3 is damaged"):
        train(None, run, resume=True, show=quiet)


def test_damaged_results_are_told_before_a_benchmark_adds_to_them(tmp_path, monkeypatch):
    config = BenchmarkConfig("planar", "val", ("constant",), seeds=1, tasks=1, only="ring/*", horizon=1)
    out = run_benchmark(config, tmp_path, workers=0)
    monkeypatch.setattr("metagan_rl.experiments.benchmark.cells.drive", lambda *_, **__: pytest.fail("worked"))
    for name in ("samples.npz", "rows.jsonl", "curves.jsonl", "benchmark.json"):
        whole = (out / name).read_bytes()
        for place in (len(whole) // 3, len(whole) // 2):
            (out / name).write_bytes(flipped(whole, place, 1))
            with pytest.raises(FileFormatError, match=name.replace(".", r"\.")):
                run_benchmark(replace(config, seeds=2), out, workers=0)
        (out / name).write_bytes(whole)


def test_records_and_lines_come_back_as_they_were(tmp_path):
    record = {"kind": "k", "number": 0.1 + 0.2, "none": None, "words": "ä²", "list": [1, {"x": float("inf")}]}
    write_record(tmp_path / "r.json", record)
    assert read_record(tmp_path / "r.json", "a record", kind="k") == record
    for each in (record, {}, {"check": 1}):
        line = line_of(each).encode()
        assert parse_line(line) == {name: value for name, value in each.items() if name != "check"}
        with pytest.raises(ValueError, match=r"checksum|JSON|char"):
            parse_line(flipped(line, len(line) - 5))
    assert json.loads(line_of(record))["number"] == record["number"]


def test_locks_are_released_when_work_fails(tmp_path):
    with pytest.raises(ZeroDivisionError), held(tmp_path):
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []
