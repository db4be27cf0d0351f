"""How a study is called from the command line, and how it tells that again."""

import shlex
import sys
from collections.abc import Callable
from typing import TypeVar

import tyro

from metagan_rl.errors import MetaGANError
from metagan_rl.runtime import prepare_process

T = TypeVar("T")


def run_command(options: type[T], act: Callable[[T], object]) -> None:
    """Reads the command line into a dataclass of options and acts on it; a user's mistake is one line."""
    prepare_process()
    given = tyro.cli(options)
    try:
        act(given)
    except MetaGANError as error:
        sys.exit(f"error: {error}")


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
