"""The published names have real types: mypy --strict on a user's file finds nothing, and would find a mistake."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
USERS_FILE = ROOT / "tests" / "typed" / "users_file.py"


def mypy(path: Path, cache: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull, "--cache-dir", str(cache)]
    # Other libraries' own types are not what is tested here
    command += ["--follow-imports=silent", "--ignore-missing-imports", str(path)]
    where = {**os.environ, "MYPYPATH": str(ROOT)}
    return subprocess.run(command, cwd=path.parent, env=where, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("mypy")


def test_a_users_file_is_well_typed(cache, tmp_path):
    path = tmp_path / "users_file.py"
    path.write_text(USERS_FILE.read_text(encoding="utf-8"), encoding="utf-8")
    done = mypy(path, cache)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_users_mistake_is_found(cache, tmp_path):
    path = tmp_path / "mistake.py"
    path.write_text("from metagan_rl.agents import make_scheduler\n\nmake_scheduler(3).nothing()\n", encoding="utf-8")
    done = mypy(path, cache)
    assert "incompatible type" in done.stdout and 'has no attribute "nothing"' in done.stdout, done.stdout
