"""The house itself: what pyproject.toml says of the packages is what the folders hold."""

import importlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
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


STUDIES = "metagan_rl.experiments.studies"
"""Run from a checkout; the wheel leaves it out with all that is in it."""


def test_the_packages_listed_are_the_packages_there_are() -> None:
    there_are = packages_under(ROOT / "metagan_rl", "metagan_rl")
    for room in ROOMS:
        there_are |= packages_under(ROOT / room, f"metagan_rl.{room}")
    studies = {name for name in there_are if f"{name}.".startswith(f"{STUDIES}.")}
    assert STUDIES in studies
    assert sorted(SETUPTOOLS["packages"]) == sorted(there_are - studies)


def test_nothing_in_the_wheel_imports_a_study() -> None:
    modules = [path for folder in ("metagan_rl", *ROOMS) for path in (ROOT / folder).rglob("*.py")]
    packed = [path for path in modules if "studies" not in path.parts]
    assert [path for path in packed if re.search(rf"(from|import) {STUDIES}", path.read_text(encoding="utf-8"))] == []


def test_no_json_is_written_without_a_digest() -> None:
    modules = [path for folder in ("metagan_rl", *ROOMS) for path in (ROOT / folder).rglob("*.py")]
    bare = re.compile(r"(write_whole|write_text|write_bytes)\([^\n]*json\.dumps")
    modules.remove(ROOT / "metagan_rl" / "records.py")
    assert [path for path in modules if bare.search(path.read_text(encoding="utf-8"))] == []


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


def test_the_package_is_imported_without_its_metadata() -> None:
    code = (
        "import importlib.metadata as m\n"
        "def version(name): raise m.PackageNotFoundError(name)\n"
        "m.version = version\n"
        "import metagan_rl; print(metagan_rl.__version__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0+unknown\n"


def test_a_checkout_without_links_works(tmp_path: Path) -> None:
    """Git on Windows, and ZIP files, leave a small text file in place of a link."""

    def left_out(folder: str, names: list[str]) -> set[str]:
        links = {name for name in names if (Path(folder) / name).is_symlink()}
        return links | {name for name in names if name in ("results", "__pycache__", "objects")}

    for room in ("metagan_rl", *ROOMS):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=left_out)
    for room in ROOMS:
        (tmp_path / "metagan_rl" / room).write_text(f"../{room}")
    code = (
        "import metagan_rl.cli, metagan_rl.agents, metagan_rl.envs, metagan_rl.experiments.report.page as page\n"
        "from metagan_rl.agents import make_scheduler\n"
        "print(page.__file__, type(make_scheduler('default')).__name__)"
    )
    alone = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path, env=alone
    )
    assert done.stdout == f"{tmp_path / 'experiments' / 'report' / 'page.py'} PolicyScheduler\n"


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


PAGES = ("signals", "throughput", "transfer", "run-to-run", "practice", "ablations", "rivals", "plug-in")


@pytest.mark.parametrize("page", PAGES)
def test_the_tables_of_a_page_are_those_of_the_code(page: str) -> None:
    from metagan_rl.experiments.studies import pictures

    tables = pictures.tables_of_pages()[f"{page}.md"]
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    assert text == pictures.filled(text, tables), "make them: python -m metagan_rl.experiments.studies.pictures"


def test_every_environment_is_one_class_that_its_page_can_be_written_of() -> None:
    from metagan_rl.envs.registration import TABLE

    assert {str(gym.spec(name).entry_point) for name in ENVIRONMENTS} == {"metagan_rl.envs.single:MetaGANEnv"}
    for each in TABLE:
        assert each.about.endswith((".", "`.")) and len(each.about) > 80, each.name
        assert each.id == f"MetaGAN/{each.name}-v{len(each.versions) - 1}"
        for name, options in each.ids().items():
            assert ENVIRONMENTS[name] == each.suite and dict(gym.spec(name).kwargs) == options


def test_files_that_schedulers_are_read_from_are_in_the_wheel() -> None:
    packages = {
        package: ROOT / package.removeprefix("metagan_rl.").replace(".", "/") for package in SETUPTOOLS["packages"]
    }
    for suffix in ("safetensors", "json"):
        for file in (ROOT / "agents").rglob(f"*.{suffix}"):
            globs = [
                folder / pattern
                for package, folder in packages.items()
                for pattern in SETUPTOOLS["package-data"].get(package, [])
            ]
            assert any(file.match(str(pattern)) for pattern in globs), file


def test_the_examples_of_extending_run_as_they_are_written(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 5
    script = tmp_path / "examples.py"
    script.write_text("\n".join(blocks), encoding="utf-8")
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_python_runs_the_package_as_the_command_line() -> None:
    told = subprocess.run([sys.executable, "-m", "metagan_rl", "list", "suites"], capture_output=True, text=True)
    assert told.returncode == 0 and told.stdout.startswith("planar ")


def test_the_page_of_results_has_the_table_of_the_committed_rows() -> None:
    pytest.importorskip("matplotlib")
    from metagan_rl.experiments.studies.full_form import table

    assert table() in (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
