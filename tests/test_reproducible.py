"""``--reproducible``: the numbers of short runs are those of every machine, and nothing is asked for too late."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from metagan_rl.agents import TrainConfig, train
from metagan_rl.cli import main
from metagan_rl.errors import InvalidValueError
from metagan_rl.experiments import BenchmarkConfig, run_benchmark
from metagan_rl.experiments.tune import TuneConfig, claim
from metagan_rl.reproducible import VARIABLE, set_libraries, variables

ROOT = Path(__file__).parent
shared = pytest.mark.skipif(not variables(), reason="this machine is of another kind than those that compute alike")
OTHERWISE = {
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "MKL_CBWR": "AVX2",
    "OPENBLAS_CORETYPE": "Nehalem",
    "METAGAN_RL_ENGINE_VARIANT": "none",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3",
}
"""Another machine, as far as one can be told to be another."""
SHOW = """
import os, torch, numpy
from metagan_rl.engine import load_library
x = torch.rand(1000)
roots = x.rsqrt().reciprocal()
assert torch.equal(x.sqrt(), roots) and torch.equal(x.clone().sqrt_(), roots)
assert torch.equal(torch.sqrt(x, out=torch.empty(0)), roots) and torch.tensor(9).sqrt() == 3
features = numpy._core._multiarray_umath.__cpu_features__
print(torch.backends.cpu.get_cpu_capability(), torch.backends.mkldnn.enabled, os.environ["MKL_CBWR"],
      features["AVX512_SKX"] if "AVX512_SKX" in features else features["X86_V4"])
"""


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(ROOT.parent), str(ROOT)])
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
    )


@shared
def test_the_numbers_are_those_of_every_machine():
    wanted = json.loads((ROOT / "golden" / "portable.json").read_text(encoding="utf-8"))
    told = python("-m", "golden.portable", **OTHERWISE, **{VARIABLE: "1"})
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    if [wanted[name] for name in ("torch", "numpy")] != [found[name] for name in ("torch", "numpy")]:
        pytest.skip(f"the numbers are of torch {wanted['torch']} and NumPy {wanted['numpy']}")
    if found["engine"] != wanted["engine"]:  # another compiler
        wanted = {name: each for name, each in wanted.items() if not name.startswith(("native", "engine"))}
    assert {name: found[name] for name in wanted} == wanted


@shared
def test_the_command_starts_anew_with_what_the_libraries_need(tmp_path):
    (tmp_path / "show.py").write_text(SHOW, encoding="utf-8")
    show = str(tmp_path / "show.py")
    told = python("-m", "metagan_rl", "list", "losses", "--reproducible", "--import", show, **OTHERWISE)
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith("AVX2 False COMPATIBLE False\n")


@shared
def test_it_is_refused_once_numpy_was_imported():
    told = python("-c", "import numpy, metagan_rl", **{VARIABLE: "1"})
    assert "InvalidValueError: METAGAN_RL_REPRODUCIBLE is set, but numpy was imported before" in told.stderr


def test_it_is_refused_in_a_process_that_began_without(capsys):
    assert main(["list", "suites", "--reproducible"]) == 2
    assert "--reproducible comes too late" in capsys.readouterr().err


def test_other_cpus_are_told_that_their_numbers_differ(monkeypatch, caplog):
    monkeypatch.setenv(VARIABLE, "1")
    monkeypatch.setattr("metagan_rl.engine.library.cpu_flags", frozenset)
    with caplog.at_level(logging.WARNING, "metagan_rl"):
        set_libraries()
    assert "numbers differ" in caplog.text


def test_a_run_says_so_and_is_not_mixed_with_others(tmp_path, monkeypatch):
    tuning = TuneConfig("dirac", "constant", trials=1, tasks=1)
    comparing = BenchmarkConfig("dirac", "val", ("constant",), seeds=1, tasks=1)
    training = TrainConfig.named(
        members=2, shards=1, horizon=1, updates=96, validate_every=0, hidden=8, epochs=1, minibatches=1
    )
    (tmp_path / "tune").mkdir()
    monkeypatch.setenv(VARIABLE, "1")
    claim(tmp_path / "tune", tuning)
    run_benchmark(comparing, tmp_path / "benchmark", workers=0)
    train(training, tmp_path / "train", show=lambda line: None)
    for name in ("tune/tune.json", "benchmark/benchmark.json", "train/config.json"):
        assert '"reproducible": true' in (tmp_path / name).read_text(encoding="utf-8"), name
    monkeypatch.delenv(VARIABLE)
    for again in (
        lambda: claim(tmp_path / "tune", tuning),
        lambda: run_benchmark(comparing, tmp_path / "benchmark", workers=0),
        lambda: train(training, tmp_path / "train", show=lambda line: None),
    ):
        with pytest.raises(InvalidValueError, match="reproducible True, not none"):
            again()
