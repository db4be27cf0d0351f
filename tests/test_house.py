"""The house itself: what pyproject.toml says of the packages is what the folders hold."""

import importlib
import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from metagan_rl.envs.registration import ENVIRONMENTS

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("envs", "agents", "experiments")
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PYPROJECT["tool"]["setuptools"]
SCRIPTS = PYPROJECT["project"]["scripts"]


def packages_under(folder: Path, name: str) -> set[str]:
    """The dotted names of the folders with an ``__init__.py``; links are left to their own folder."""
    found = set()
    for path, folders, files in os.walk(folder):
        folders[:] = [each for each in folders if not (Path(path) / each).is_symlink()]
        if "__init__.py" in files:
            found.add(".".join((name, *Path(path).relative_to(folder).parts)))
    return found


def test_the_packages_listed_are_the_packages_there_are() -> None:
    there_are = packages_under(ROOT / "metagan_rl", "metagan_rl")
    for room in ROOMS:
        there_are |= packages_under(ROOT / room, f"metagan_rl.{room}")
    assert sorted(SETUPTOOLS["packages"]) == sorted(there_are)


def test_every_folder_of_modules_is_a_package() -> None:
    modules = [path for folder in ("metagan_rl", *ROOMS) for path in (ROOT / folder).rglob("*.py")]
    assert [path for path in modules if not (path.parent / "__init__.py").exists()] == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_mapped_and_linked(room: str) -> None:
    assert SETUPTOOLS["package-dir"][f"metagan_rl.{room}"] == room
    link = ROOT / "metagan_rl" / room
    # A checkout without symbolic links holds the target as text; the mapping serves it alone.
    target = os.readlink(link) if link.is_symlink() else link.read_text(encoding="utf-8")
    assert target == f"../{room}"


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_imported_from_its_folder(room: str) -> None:
    spec = importlib.util.find_spec(f"metagan_rl.{room}")
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).resolve() == ROOT / room / "__init__.py"


def test_the_version_is_written_once() -> None:
    version = PYPROJECT["project"]["version"]
    assert importlib.metadata.version("metagan-rl") == version
    assert importlib.import_module("metagan_rl").__version__ == version
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.+)$", citation, flags=re.MULTILINE) == [version]


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_command_has_something_to_call(script: str) -> None:
    module, _, function = SCRIPTS[script].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_data_files_belong_to_packages() -> None:
    for package, patterns in SETUPTOOLS["package-data"].items():
        assert package in SETUPTOOLS["packages"], f"package-data names {package}, which is no package, for {patterns}"


def test_constraints_are_exact() -> None:
    pins = {}
    for path in (ROOT / "constraints").glob("*.txt"):
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
        pins[path.stem] = [line for line in lines if line != "-c common.txt"]
        assert [pin for pin in pins[path.stem] if not re.fullmatch(r"[\w.-]+==[0-9][0-9A-Za-z.]*", pin)] == [], path
        assert (path.stem == "common") != ("-c common.txt" in lines), path
    assert "torch==2.13.0" in pins["common"]


def test_the_page_of_signals_is_that_of_the_code() -> None:
    from metagan_rl.experiments.pictures import signals_page

    page = (ROOT / "docs" / "signals.md").read_text(encoding="utf-8")
    assert page == signals_page(), "make it again: python -m metagan_rl.experiments.pictures"


def test_pages_of_environments_say_the_same_where_they_are_the_same() -> None:
    pages = {}
    for name in ENVIRONMENTS:
        module, _, class_name = str(gym.spec(name).entry_point).partition(":")
        parts = re.split(
            r"^    ## (.+)$", getattr(importlib.import_module(module), class_name).__doc__, flags=re.MULTILINE
        )
        pages[name] = dict(zip(parts[1::2], parts[2::2], strict=True))
    for name, page in pages.items():
        assert list(page) == list(pages["MetaGAN/Planar-v0"]), name
        for heading in ("Action Space", "Observation Space", "Starting State", "Arguments"):
            assert page[heading] == pages["MetaGAN/Planar-v0"][heading], (name, heading)


def test_the_examples_of_contributing_run_as_they_are_written(tmp_path: Path) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4
    script = tmp_path / "examples.py"
    script.write_text("\n".join(blocks), encoding="utf-8")
    code = (
        f"import runpy; runpy.run_path({str(script)!r}, run_name='examples')"  # the long run under __main__ is left out
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_python_runs_the_package_as_the_command_line() -> None:
    told = subprocess.run([sys.executable, "-m", "metagan_rl", "list", "suites"], capture_output=True, text=True)
    assert told.returncode == 0 and told.stdout.startswith("planar ")


def test_the_readme_has_the_table_of_the_committed_rows() -> None:
    pytest.importorskip("matplotlib")
    from metagan_rl.experiments.standing import table

    assert table() in (ROOT / "README.md").read_text(encoding="utf-8")
