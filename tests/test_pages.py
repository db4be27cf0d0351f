"""Pages in docs that the code makes are as it makes them, and what other pages say of the code is so."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from metagan_rl.cli import main
from metagan_rl.experiments.benchmark.row import COLUMNS
from metagan_rl.experiments.report.summary import TAGS
from metagan_rl.experiments.studies import environment_pages, scheduler_pages
from metagan_rl.metrics import METRICS
from metagan_rl.tasks import get_suite
from metagan_rl.tasks.suites import BUILT_IN

DOCS = Path(__file__).parent.parent / "docs"
MADE = {"environments": environment_pages.pages(), "schedulers": scheduler_pages.pages()}
PAGES = [(folder, name) for folder, pages in MADE.items() for name in pages]
API = [path.stem for path in (DOCS / "api").glob("*.md") if path.stem != "README"]


@pytest.mark.parametrize(("folder", "name"), PAGES)
def test_a_page_is_as_the_code_makes_it(folder, name):
    remedy = f"make it: python -m metagan_rl.experiments.studies.{folder[:-1]}_pages"
    assert (DOCS / folder / name).read_text(encoding="utf-8") == MADE[folder][name], remedy


@pytest.mark.parametrize("folder", MADE)
def test_there_are_no_other_pages(folder):
    assert {path.name for path in (DOCS / folder).iterdir()} == set(MADE[folder])


def test_every_column_and_tag_has_its_line():
    told = set(re.findall(r"`([\w.-]+)`", (DOCS / "columns.md").read_text(encoding="utf-8")))
    tags = {task.tag for name in BUILT_IN for split in get_suite(name).splits.values() for task in split}
    assert {*COLUMNS, *METRICS, *tags, *TAGS, "own"} - told == set()


def test_every_package_that_is_listed_has_its_page():
    listed = re.findall(
        r"^\| \[`([\w.]+)`\]\((\w+)\.md\)", (DOCS / "api" / "README.md").read_text(), flags=re.MULTILINE
    )
    assert [stem for _, stem in sorted(listed, key=lambda each: each[1])] == sorted(API) and len(API) == 7
    for package, stem in listed:
        assert f".. automodule:: {package}\n" in (DOCS / "api" / f"{stem}.md").read_text(encoding="utf-8")
        assert import_module(package).__all__


def blocks(page, language):
    """The code blocks of a page, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


WITH_CODE = [
    *(DOCS / "how-to").glob("*.md"),
    *(DOCS / name for name in ("index.md", "schedulers/README.md", "own-data.md")),
]
THEIR_FILES = ("own-data.md",)
"""Pages whose commands are about files of the reader's."""
SHORT = {"--minutes 20": "--updates 768 --members 4 --shards 1 --validate-every 0"}
"""What the pages' commands are shortened by."""


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_the_code_of_a_page_runs_as_it_is_written(page, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    python = blocks(page, "python")
    for block in python:
        if named := re.match(r"# (\w+\.py)\n", block):  # the page gives it a name
            Path(named[1]).write_text(block, encoding="utf-8")
    done = subprocess.run([sys.executable, "-c", "\n".join(python)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for line in [] if page.name in THEIR_FILES else "".join(blocks(page, "bash")).splitlines():
        for long, short in SHORT.items():
            line = line.replace(long, short)
        command, *arguments = line.split()
        assert command == "metagan-rl"
        here = ["--workers", "0", "--horizon", "2"] if arguments[0] == "benchmark" else []
        assert main([*arguments, *here]) == 0, line
