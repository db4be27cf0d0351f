"""The pages in docs/environments are those that the code makes."""

from pathlib import Path

import pytest

from metagan_rl.experiments.studies.environment_pages import pages

FOLDER = Path(__file__).parent.parent / "docs" / "environments"
PAGES = pages()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_as_the_code_makes_it(name):
    assert (FOLDER / name).read_text(encoding="utf-8") == PAGES[name]


def test_there_are_no_other_pages():
    assert {path.name for path in FOLDER.iterdir()} == set(PAGES)
