"""How Sphinx makes the site: ``make docs``. The sources are the pages in this repository, as they are read there.

The root of the sources is the repository, so links from page to page are the same on the site and in the repository.
"""

import inspect
import re
import shutil
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from sphinx.ext.autodoc.mock import mock
from sphinx.util.logging import getLogger

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
SAMPLE = ROOT / "experiments" / "results" / "quickstart"
"""The rows of the sample report."""

project = "metagan_rl"
author = copyright = "The metagan_rl authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/**",
    "agents/policies/README.md",
    "experiments/results/**.md",
    "tests/extending/README.md",
]
exclude_patterns = ["build", "dist", "runs", ".*", "**/__pycache__", "docs/templates"]
suppress_warnings = [
    "toc.not_included",  # summaries of results are reached by links alone
    "myst.header",  # the scoreboard goes from its title to the third level
]

myst_heading_anchors = 4
autodoc_typehints = "none"  # signatures stay readable; docstrings give shapes, units and ranges
autodoc_member_order = "bysource"
napoleon_use_ivar = True  # a class's attributes as a list
autodoc_default_options = {"members": True}
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = "metagan_rl"
html_copy_source = False
html_static_path = ["static"]
html_css_files = ["site.css"]
templates_path = ["templates"]
html_additional_pages = {"index": "to_the_start.html"}  # the start page is docs/index.html

PAGES_BELOW = "\n```{{toctree}}\n:hidden:\n:glob:\n\n{}\n```\n"
LISTS = {"docs/environments/README": "*", "docs/schedulers/README": "*", "docs/api/README": "*"}
"""Pages that list others of their folder."""
REPORT = "sample-report.html"
READY = f'<p><a class="button" href="{REPORT}">Open the sample report</a></p>'


def documented():
    """The classes and functions that the pages of the API document, by package; all of them are loaded."""
    found = {}
    for page in (ROOT / "docs" / "api").glob("*.md"):
        for package in re.findall(r"automodule:: (\S+)", page.read_text(encoding="utf-8")):
            module = import_module(package)
            with mock(["lightning"]):  # its callback is documented without it
                names = {name: getattr(module, name) for name in module.__all__}
            vars(module).update(names)  # autodoc does not ask a package for names that it loads late
            found[package] = [name for name, each in names.items() if inspect.isclass(each) or inspect.isroutine(each)]
    return found


def check_api(app, env):
    """Warns of classes and functions that are missing in the API."""
    shown = {name.rpartition(".")[2] for name in env.domains["py"].objects}
    for package, names in documented().items():
        for name in names:
            if name not in shown:
                getLogger(__name__).warning("the API lacks %s.%s", package, name)


def adapt(app, docname, source):
    """Makes a page of the repository one of the site: its links to folders, and what only the site has."""
    source[0] = re.sub(r"\[([^\]]*)\]\(([^)\s#:]+)\)", lambda link: _to_a_page(link, ROOT / docname), source[0])
    source[0] = source[0].replace("<!-- on the site: the sample report -->", READY)
    if docname in LISTS:
        source[0] += PAGES_BELOW.format(LISTS[docname])


def _to_a_page(link, page):
    """A link to a folder leads to its README, if it has one; else only the words stay."""
    words, target = link.groups()
    folder = page.parent / target
    if not folder.is_dir():
        return link[0]
    return f"[{words}]({target.rstrip('/')}/README.md)" if (folder / "README.md").exists() else words


def write_sample_report(app, error):
    """Makes the sample report from the committed rows."""
    if error or app.builder.name != "html":
        return
    from metagan_rl.experiments import write_report

    with tempfile.TemporaryDirectory() as folder:
        rows = shutil.copytree(SAMPLE, Path(folder) / "quickstart")
        shutil.copy(write_report(rows), Path(app.outdir) / "docs" / REPORT)


def setup(app):
    """Connects these to Sphinx."""
    app.connect("builder-inited", lambda app: documented())
    app.connect("env-check-consistency", check_api)
    app.connect("source-read", adapt)
    app.connect("build-finished", write_sample_report)
