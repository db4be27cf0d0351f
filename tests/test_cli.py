import os
import shlex
import subprocess
import sys

import pytest

from metagan_rl.agents.catalogue import scheduler_names
from metagan_rl.cli import main
from metagan_rl.envs.registration import ENVIRONMENTS


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--suite", "planer", "--minutes", "1"], "did you mean planar"),
        (["train", "--minutes", "-1"], "minutes is -1"),
        (["train", "--minutes", "soon"], "soon"),
        (["train", "--knobs", "lr"], "unknown knob 'lr'"),
        (["train", "--resume", "nowhere"], "nowhere is not a training run"),
        (["benchmark", "--schedulers", "constnt"], "did you mean constant"),
        (["benchmark", "--split", "tset"], "did you mean test"),
        (["benchmark", "--suite", " ,"], "suite is ' ,'; name at least one"),
        (["benchmark", "--policy", "nowhere.safetensors"], "nowhere.safetensors"),
        (["benchmark", "--backend", "proces", "--seeds", "1"], "did you mean process"),
        (["report", "nowhere"], "nowhere"),
        (["list", "things"], "metagan-rl: invalid choice 'things'"),
        (["list"], "metagan-rl: Missing from metagan-rl list: {environments,"),
        (["benchmark", "--suite", "missing.csv"], "there is no such file"),
        (["trane"], "trane"),
        ([], "a command is missing: one of {quickstart"),
    ],
)
def test_a_users_mistake_is_one_line_and_status_2(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("metagan-rl: ") and error.count("\n") == 1
    assert words in error


def called(*arguments, shell="", **environment):
    """``metagan-rl ...`` in a process of its own, with its output led somewhere by the shell."""
    command = f"{shlex.join([sys.executable, '-m', 'metagan_rl', *arguments])} {shell}"
    return subprocess.run(
        ["bash", "-c", command], capture_output=True, check=False, env={**os.environ, "PYTHONUTF8": "0", **environment}
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="for want of a device that is full")
@pytest.mark.parametrize("arguments", [("list", "schedulers"), ("train", "--help"), ("--version",)])
def test_output_that_nobody_can_take_is_no_traceback(arguments):
    full = called(*arguments, shell="> /dev/full")
    assert full.returncode == 2 and b"No space left on device" in full.stderr and full.stderr.count(b"\n") == 1
    broken = called(*arguments, shell="| true; exit ${PIPESTATUS[0]}")
    assert broken.returncode in (0, 141) and broken.stderr == b""


@pytest.mark.parametrize("console", [{"PYTHONIOENCODING": "cp932"}, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}])
def test_a_console_without_our_letters_shows_the_rest(console):
    shown = called("list", "schedulers", **console)
    assert shown.returncode == 0 and b"(RL?)" in shown.stdout and shown.stderr == b""


def test_a_working_folder_that_was_deleted_is_told(tmp_path, monkeypatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert main(["list", "suites"]) == 2
    assert capsys.readouterr().err == "metagan-rl: the working folder was deleted; change to another\n"


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        MemoryError(),
        OverflowError("int too large"),
        RuntimeError("[enforce fail] can't allocate memory\nat x.cpp"),
    ],
)
def test_what_the_system_refuses_is_one_line(error, monkeypatch, capsys):
    def fail(*_):
        raise error

    monkeypatch.setattr("metagan_rl.cli.listing", fail)
    assert main(["list", "schedulers"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("metagan-rl: ") and told.count("\n") == 1


def test_a_reader_that_went_away_ends_the_command_in_silence(monkeypatch, capfd):
    def fail(*_):
        raise BrokenPipeError

    monkeypatch.setattr("metagan_rl.cli.listing", fail)
    monkeypatch.setattr("metagan_rl.cli._drop_output", lambda: None)
    assert main(["list", "schedulers"]) == 141
    assert capfd.readouterr().err == ""


def test_ctrl_c_while_the_command_line_is_imported_is_one_line(monkeypatch, capsys):
    from metagan_rl import __main__

    monkeypatch.setitem(sys.modules, "metagan_rl.cli", None)
    interrupted = lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt)  # noqa: E731
    monkeypatch.setattr("builtins.__import__", interrupted)
    status = __main__.main()
    monkeypatch.undo()
    assert status == 130 and capsys.readouterr().err == "metagan-rl: interrupted before anything was done\n"


def test_list_tells_what_there_is(capsys):
    for what, names in (
        ("environments", ENVIRONMENTS),
        ("suites", ["planar", "tabular", "digits"]),
        ("schedulers", ["constant", "cosine", "random"]),
    ):
        assert main(["list", what]) == 0
        shown = capsys.readouterr().out
        assert all(name in shown for name in names)
    assert main(["list", "policies"]) == 0


def test_importing_the_package_registers_without_torch():
    code = "import sys, gymnasium as g, metagan_rl; print('MetaGAN/Planar-v0' in g.registry, 'torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.strip() == "True False"


def test_quick_is_everything_once(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(
        "metagan_rl.experiments.benchmark.run_benchmark", lambda configs, *_, **__: asked.extend(configs)
    )
    monkeypatch.setattr("metagan_rl.experiments.write_report", lambda out: out / "report.html", raising=False)
    (tmp_path / "summary.md").write_text("summary")
    assert main(["benchmark", "--suite", "planar", "--split", "val", "--quick", "--out", str(tmp_path)]) == 0
    assert [config.suite for config in asked] == ["planar", "planar-mixed", "tabular", "digits"]
    assert all(set(scheduler_names()) <= set(config.schedulers) for config in asked)
    assert all(config.seeds == config.tasks == 1 for config in asked)
    for more in (("--schedulers", "constant"), ("--seeds", "7"), ("--tasks", "2")):
        assert main(["benchmark", "--suite", "planar", "--quick", *more, "--out", str(tmp_path)]) != 0
    asked.clear()
    without = ("--schedulers", "all", "--without", "pbt,mf-pbt,oracle")
    main(["benchmark", "--suite", "planar", *without, "--out", str(tmp_path)])
    assert set(scheduler_names()) - set(asked[0].schedulers) == {"pbt", "mf-pbt"}
    assert "oracle" not in asked[0].schedulers
    assert main(["benchmark", "--schedulers", "all", "--without", "pbd", "--out", str(tmp_path)]) != 0
    asked.clear()
    main(["benchmark", "--suite", "ring8,grid25", "--schedulers", "constant, cosine", "--out", str(tmp_path)])
    assert [(config.suite, config.schedulers) for config in asked] == [
        ("ring8", ("constant", "cosine")),
        ("grid25", ("constant", "cosine")),
    ]
