"""Libraries of reinforcement learning take our environments as they are, wherever they are installed."""

from pathlib import Path

import pytest

from metagan_rl.experiments.benchmark.records import ROWS, read_lines
from metagan_rl.experiments.studies.full_form import RESULTS
from metagan_rl.experiments.studies.pictures import filled
from metagan_rl.experiments.studies.rl_libraries import commands
from metagan_rl.experiments.studies.rl_libraries.__main__ import CHECKS, merged, table
from metagan_rl.experiments.studies.rl_libraries.check import Check, CheckFailed, Place, run_check

LIGHT = [check for check in CHECKS if check.light]
PAGE = (Path(__file__).parent.parent / "docs" / "suite.md").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore")  # those of the libraries are theirs
@pytest.mark.parametrize("check", LIGHT, ids=lambda check: check.name)
def test_a_library_takes_our_environments(check, tmp_path):
    place = Place(tmp_path)
    if check.missing(place):
        pytest.skip(f"for want of the package {check.library}")
    check.act(place)


def test_the_page_shows_the_committed_rows_and_all_passed():
    rows = read_lines(RESULTS / "rl-libraries" / ROWS)
    assert [(row["library"], row["what"]) for row in rows] == [(check.library, check.what) for check in CHECKS]
    assert {row["outcome"] for row in rows} == {"passed"}
    assert filled(PAGE, [table(rows)]) == PAGE


def check_that(act, **options):
    return Check("numpy", "`it`", ("Ring8-v2",), act, **{"needs": ("numpy",), **options})


def test_a_row_tells_what_came_out_and_no_folder_of_the_machine(tmp_path):
    def fails(place):
        print("much ado")
        raise ValueError(f"no such file:\n {place.scratch}/agent.zip")

    row = run_check(check_that(fails), {})
    assert (row["outcome"], row["detail"]) == ("failed", "ValueError: no such file: agent.zip")
    row = run_check(check_that(lambda place: "3 steps"), {})
    assert (row["outcome"], row["detail"], row["ids"]) == ("passed", "3 steps", ["Ring8-v2"])
    assert row["version"] and row["gymnasium"] and row["seconds"] >= 0
    row = run_check(check_that(fails, needs=("numpy", "nowhere_to_be_found")), {})
    assert (row["outcome"], row["detail"]) == ("not installed", "nowhere_to_be_found is not installed")
    assert run_check(check_that(fails, checkout=True), {})["detail"] == "no checkout of numpy"
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("0123456789abcdef\n", "utf-8")
    row = run_check(check_that(lambda place: str(len(place.checkouts)), checkout=True), {"numpy": tmp_path})
    assert (row["version"], row["detail"]) == ("01234567", "1")


def test_what_is_not_installed_now_keeps_the_row_that_it_had():
    first, second = CHECKS[0], CHECKS[1]
    ran = {"library": second.library, "what": second.what, "outcome": "passed"}
    absent = {"library": second.library, "what": second.what, "outcome": "not installed"}
    other = {"library": first.library, "what": first.what, "outcome": "failed"}
    gone = {"library": "no longer", "what": "tried", "outcome": "passed"}
    assert merged([ran, gone], [absent, other]) == [other, ran]
    assert merged([], [absent]) == [absent]
    assert merged([absent], [ran]) == [ran]


SCRIPT = """\
import sys
from pathlib import Path
import cleanrl_utils

assert sys.argv[1:3] == ["--env-id", "metagan_rl:MetaGAN/Ring8-Box-v2"] and "--no-cuda" in sys.argv
TransformObservation = lambda env, act, space: None
class env: observation_space = 1
TransformObservation(env, lambda obs: np.clip(obs, -10, 10))
Path("runs").mkdir()
Path("runs/events.1").write_text("")
"""


def test_cleanrls_scripts_run_from_a_checkout(tmp_path):
    for name, text in (("cleanrl/script.py", SCRIPT), ("cleanrl_utils/__init__.py", "")):
        path = tmp_path / "checkout" / name
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    (tmp_path / "scratch").mkdir()
    place = Place(tmp_path / "scratch", {"cleanrl": tmp_path / "checkout"})
    assert commands.cleanrl("script.py", "Ring8-Box-v2", (), place).endswith("fit for Gymnasium 1")
    (tmp_path / "checkout" / "cleanrl" / "script.py").write_text("raise SystemExit('no such id')", encoding="utf-8")
    with pytest.raises(CheckFailed, match=r"^no such id$"):
        commands.cleanrl("script.py", "Ring8-Box-v2", (), place)


SB3_TEST = f"""\
import gymnasium as gym
import pytest
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

{commands.SB3_CLASSES}


@pytest.mark.parametrize("kind", VEC_ENV_CLASSES)
def test_kind(kind):
    if kind not in (DummyVecEnv, SubprocVecEnv):
        env = kind([lambda: gym.make("CartPole-v1")] * 2)
        assert env.reset().shape[0] == 2 and env.action_space == gym.spaces.Discrete(11)
    assert gym.make("Pendulum-v1").action_space.shape == (1,)


@pytest.mark.parametrize("kind", VEC_ENV_CLASSES)
def test_custom_calls(kind):
    assert kind in (DummyVecEnv, SubprocVecEnv)
"""


def test_tests_of_stable_baselines3_run_on_our_environments(tmp_path):
    tests, files = tmp_path / "checkout" / "tests", (*commands.SB3_VECTORS, commands.SB3_TRAININGS[0])
    tests.mkdir(parents=True)
    for name in files:
        vectors = name == "test_vec_envs.py"
        (tests / name).write_text(SB3_TEST if vectors else "def test_it():\n    pass\n", encoding="utf-8")
    (tmp_path / "scratch").mkdir()
    place = Place(tmp_path / "scratch", {"stable-baselines3": tmp_path / "checkout"})
    passed = len(files) - 1 + 3 + 2
    assert commands.sb3_tests(files, place) == f"{passed} tests passed, 0 skipped by themselves"
