"""The study that runs Gymnasium's own tests puts our environments in the place of theirs, and counts what came out."""

import pytest

from metagan_rl.errors import FileFormatError
from metagan_rl.experiments.studies.gymnasium_tests import FILES, LISTED, UTILITIES, adapted, counts, prepared, run

UTILS = f"""\
import gymnasium as gym
import metagan_rl.errors
specs = [env_spec for env_spec in gym.envs.registry.values() if isinstance(env_spec.entry_point, str) and {LISTED}]
"""
TEST = """\
import gymnasium as gym
import pytest
from tests.envs.utils import specs


@pytest.mark.parametrize("spec", specs, ids=[spec.id for spec in specs])
def test_ours(spec):
    assert spec.id.startswith("MetaGAN/") and len(specs) == 5


def test_not_cartpole():
    assert gym.spec("CartPole-v1").id == "MetaGAN/Ring8-Moves-v2"


def test_fails():
    assert False
"""


def test_tests_of_a_checkout_run_on_our_environments(tmp_path):
    for name in (UTILITIES, *FILES):
        path = tmp_path / "checkout" / "tests" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(UTILS if name == UTILITIES else TEST, encoding="utf-8")
    (tmp_path / "copy").mkdir()
    prepared(tmp_path / "checkout", tmp_path / "copy")
    table = run(tmp_path / "copy", FILES[:1])
    assert table.splitlines()[-1] == f"| `{FILES[0]}` | 6 | 1 | 0 |"


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(FileFormatError, match="give a checkout of Gymnasium"):
        prepared(tmp_path, tmp_path / "copy")
    with pytest.raises(FileFormatError, match="take a checkout of"):
        adapted("import gymnasium as gym\n", listing=True)


def test_counts_are_those_of_pytests_last_line():
    assert counts("....\n1 failed, 22 passed, 3 skipped in 2.00s\n") == {"failed": 1, "passed": 22, "skipped": 3}
    assert counts("2 errors in 0.1s") == {"errors": 2} and counts("") == {}
