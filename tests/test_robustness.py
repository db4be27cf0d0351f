"""Light versions of the tools in ``tests/robustness``, whose full runs docs/trust.md has figures of."""

import json
import random
import sys

import pytest
import safetensors
from robustness import damage, kills

from metagan_rl.agents import load_policy
from metagan_rl.agents.learners.policy_files import describe
from metagan_rl.errors import FileFormatError
from metagan_rl.tensor_files import KEY, write_tensors


@pytest.mark.parametrize("name", damage.KINDS)
def test_damaged_files_are_refused_in_one_line_or_mean_the_same(name):
    faults = []
    for outcome, words, _ in damage.outcomes(damage.KINDS[name], 60, seed=1):
        if outcome in ("other", "traceback"):
            faults.append((outcome, words))
    assert faults == []


def resealed(path, **changes):
    """Changes the head of a file of tensors as someone would who can work out digests."""
    with safetensors.safe_open(str(path), framework="pt") as file:
        head, tensors = json.loads(file.metadata()[KEY]), {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    head.pop("sha256")
    write_tensors(path, {**head, **changes}, tensors)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("policy", {"config": {"signals": {}}}),
        ("features", {"metadata": "x"}),
    ],
)
def test_files_that_fuzzing_found_are_refused_in_one_line(name, changes, tmp_path):
    kind = damage.KINDS[name]
    path = tmp_path / kind.name
    kind.make(path)
    if "config" in changes:  # weights of other shapes are listed over several lines by torch
        changes = {"config": {**describe(load_policy(path).config), **changes["config"]}}
    resealed(path, **changes)
    with pytest.raises(FileFormatError) as refused:
        kind.read(path)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="it forks, and limits memory as Linux does")
def test_a_name_of_many_bytes_is_a_name(tmp_path):
    from robustness.odd_arguments import called

    name = "\u00e9" * 110 + ".safetensors"  # 232 bytes
    command = ("meta-init", "--method=reptile", "--suite=dirac", "--updates=1", "--validation-tasks=0")
    call = called((*command, f"--out={name}"), seconds=120)
    assert call.status == 0, call.output


@pytest.mark.skipif(sys.platform != "linux", reason="it forks, and limits memory as Linux does")
@pytest.mark.parametrize("name", ["tune", "meta-init"])
def test_a_run_that_is_killed_twice_ends_as_if_it_had_not_been(name):
    job = kills.JOBS[name]
    expected, seconds = kills.unbroken(job)
    killed, wrong = kills.broken(job, expected, seconds, 2, random.Random(1))
    assert wrong == "", f"after {killed} kills"


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
        ("meta-init", "--method=reptile", "--suite=dirac", "--out=" + "a" * 240 + ".safetensors"),
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
