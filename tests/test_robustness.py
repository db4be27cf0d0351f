"""Light versions of the tools in ``tests/robustness``, where README.md has the figures of the full ones."""

import sys

import pytest
from robustness import damage


@pytest.mark.parametrize("name", damage.KINDS)
def test_damaged_files_are_refused_in_one_line_or_mean_the_same(name):
    faults = []
    for outcome, words, _ in damage.outcomes(damage.KINDS[name], 60, seed=1):
        if outcome in ("other", "traceback"):
            faults.append((outcome, words))
    assert faults == []


@pytest.mark.skipif(sys.platform != "linux", reason="it forks, and limits memory as Linux does")
@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "--updates=1", "--out="),
        ("train", "--updates=1", "--out=" + "a" * 300),
        ("train", "--updates=1", "--suite="),
        ("train", "--updates=1", "--members=10000000"),
        ("train", "--updates=1", "--members=2", "--shards=1", "--horizon=" + "1" * 30),
        ("train", "--from=" + "a" * 300),
        ("train", "--resume=" + "a" * 300),
        ("benchmark", "--suite=" + "a" * 300),
        ("benchmark", "--policy=" + "a" * 300),
        ("benchmark", "--out=" + "a" * 300, "--suite=dirac", "--schedulers=constant", "--workers=0"),
        ("benchmark", "--initial-weights=" + "a" * 300),
        ("benchmark", "--suite=dirac", "--schedulers=constant", "--workers=0", "--horizon=" + "1" * 30),
        ("tune", "--start=" + "a" * 300),
        ("meta-init", "--method=reptile", "--suite=dirac", "--out=" + "a" * 300),
        ("meta-init", "--method=reptile", "--suite=dirac", "--out="),
        ("report", "a" * 300),
        ("report", ""),
        ("watch", "--no-browser", "a" * 300),
        ("watch", "--no-browser", ""),
        ("watch", "--no-browser", "/dev/null"),
        ("watch", "--no-browser", "--port=" + "1" * 30),
        ("list", "schedulers", "--import=" + "a" * 300),
        ("list", "schedulers", "--import=\udcff.py"),
    ],
    ids=lambda arguments: " ".join(each[:30] for each in arguments).encode("ascii", "replace").decode(),
)
def test_odd_arguments_are_one_line(arguments):
    from robustness.odd_arguments import called

    call = called(arguments, seconds=120)
    assert not call.bad and call.status == 2, call.output
    assert call.output.startswith("metagan-rl: ") and len(call.output.splitlines()) == 1, call.output
