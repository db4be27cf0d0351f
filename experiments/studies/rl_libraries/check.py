"""What a check is, and the row that it leaves."""

import contextlib
import io
import platform
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SHORT: dict[str, Any] = {"horizon": 4, "interval_updates": 12}
"""Options of environments that train for a moment only."""
PASSED, FAILED, ABSENT = "passed", "failed", "not installed"


class CheckFailed(Exception):  # noqa: N818  (a result, as a failed test is)
    """A check found something wrong; the message says what in one line."""


@dataclass(frozen=True)
class Place:
    """Where a check may write, and the checkouts that it may need.

    Attributes:
        scratch: an empty folder.
        checkouts: folders of source code by library.
    """

    scratch: Path
    checkouts: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """One way in which a library takes our environments.

    Attributes:
        library: its name on PyPI, or that of its repository.
        what: what is run, in Markdown.
        ids: the environments, without ``MetaGAN/``.
        act: runs it and returns what it came to, in a few words; raises if anything is wrong.
        needs: modules that must be importable, of the library first.
        checkout: whether it needs a checkout of the library.
        light: whether it takes a few seconds only, so that it can be a test.
    """

    library: str
    what: str
    ids: tuple[str, ...]
    act: Callable[[Place], str]
    needs: tuple[str, ...]
    checkout: bool = False
    light: bool = False

    @property
    def name(self) -> str:
        """How rows, options and tests name it."""
        return f"{self.library}: {self.what.replace('`', '')}"

    def missing(self, place: Place) -> str:
        """What keeps it from running, or nothing."""
        if self.checkout and self.library not in place.checkouts:
            return f"no checkout of {self.library}"
        return next((f"{module} is not installed" for module in self.needs if find_spec(module) is None), "")

    def version(self, place: Place) -> str:
        """The library's version; a checkout's is its commit."""
        if self.checkout:
            return commit_of(place.checkouts[self.library])
        return version(self.library)


def commit_of(checkout: Path) -> str:
    """The first characters of the commit that a checkout is at; ``"unknown"`` without git."""
    head = checkout / ".git" / "HEAD"
    if not head.is_file():
        return "unknown"
    text = head.read_text(encoding="utf-8").strip()
    if not text.startswith("ref: "):
        return text[:8]
    reference = checkout / ".git" / text[5:]
    return reference.read_text(encoding="utf-8").strip()[:8] if reference.is_file() else "unknown"


def run_check(check: Check, checkouts: Mapping[str, Path]) -> dict[str, Any]:
    """Runs a check in an empty folder; its row. What the library prints is kept from the terminal."""
    row: dict[str, Any] = {"library": check.library, "what": check.what, "ids": list(check.ids)}
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder), checkouts)
        missing = check.missing(place)
        if missing:
            return {**row, "outcome": ABSENT, "detail": missing}
        row["version"] = check.version(place)
        began, said = time.monotonic(), io.StringIO()
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                outcome, detail = PASSED, check.act(place)
        except Exception as error:  # whatever a library raises is a result
            outcome, detail = FAILED, without_paths(f"{type(error).__name__}: {error}")
        seconds = round(time.monotonic() - began, 1)
    return {**row, "outcome": outcome, "detail": detail, "seconds": seconds, **surroundings()}


def without_paths(text: str) -> str:
    """One line without the folders of this machine."""
    return re.sub(r"(?:/[\w.+-]+)+/", "", " ".join(text.split()))[:300]


def surroundings() -> dict[str, str]:
    """What the outcome may depend on."""
    found = {"python": platform.python_version()}
    for name in ("gymnasium", "torch", "metagan-rl"):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
