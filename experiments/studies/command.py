"""What all studies do alike: they read the command line, tell how they were called, and draw pictures."""

import shlex
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import tyro

from metagan_rl.errors import MetaGANError, UnknownNameError
from metagan_rl.experiments.report.figures import new_figure, style
from metagan_rl.files import make_directory, write_whole
from metagan_rl.runtime import prepare_process

if TYPE_CHECKING:
    from matplotlib.figure import Figure

T = TypeVar("T")


def run_command(options: type[T], act: Callable[[T], object]) -> None:
    """Reads the command line into a dataclass of options and acts on it; a user's mistake is one line."""
    prepare_process()
    given = tyro.cli(options)
    try:
        act(given)
    except MetaGANError as error:
        sys.exit(f"error: {error}")


def check_names(kind: str, names: Iterable[str], known: Collection[str]) -> None:
    """Checks that all names that were asked for are known.

    Raises:
        UnknownNameError: one is not.
    """
    for name in names:
        if name not in known:
            raise UnknownNameError(kind, name, known)


@contextmanager
def picture_file(path: Path, width: float, height: float) -> Iterator["Figure"]:
    """A figure in the report's style, in inches, that is written when the block ends.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    with style():
        figure = new_figure(width, height, dpi=150)
        yield figure
        figure.savefig(path)


def write_pages(pages: Mapping[str, str], folder: str) -> None:
    """Writes pages by the name of their file, into the folder that the command line names or the usual one."""
    out = make_directory(Path(sys.argv[1] if len(sys.argv) > 1 else folder))
    for name, text in pages.items():
        write_whole(out / name, text)
        show_line(out / name)


def until(jobs: Iterable[T], minutes: float | None) -> Iterator[T]:
    """The jobs that can begin within so many minutes from now; all without a limit."""
    end = None if minutes is None else time.monotonic() + 60 * minutes
    return takewhile(lambda _: end is None or time.monotonic() < end, jobs)


def show_line(line: object) -> None:
    """Prints at once, for those who watch a file."""
    print(line, flush=True)


def called_as(study: str) -> str:
    """The command line that a study was called by, but for where results go and how many workers there are."""
    kept, arguments = [], iter(sys.argv[1:])
    for argument in arguments:
        if argument.split("=")[0] in ("--out", "--workers"):
            if "=" not in argument:
                next(arguments, None)
        else:
            kept.append(argument)
    return shlex.join(["python", "-m", f"metagan_rl.experiments.studies.{study}", *kept])
