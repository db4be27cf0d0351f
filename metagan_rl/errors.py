"""The exceptions of the library. Each names the value that was wrong and says what to do about it."""

import difflib
import re
import shlex
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires
from typing import Any, Self


class MetaGANError(Exception):
    """Base of all errors that a user can fix. The command line prints them as one line and exits with 2."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuilds an error in another process from its message, as constructors may take other arguments."""
        return _rebuilt, (type(self), self.args)


def _rebuilt(kind: type[MetaGANError], arguments: tuple[Any, ...]) -> MetaGANError:
    error = kind.__new__(kind)
    error.args = arguments
    return error


class UnknownNameError(MetaGANError, KeyError):
    """A name that no registry, suite or file list knows. The message offers the nearest known names."""

    def __init__(self, kind: str, name: object, known: Iterable[str], hint: str = "") -> None:
        """Args: kind: what was looked for ("family"). name: the name that was given. known: the existing names.

        hint: what to do about it; by default the nearest names.
        """
        super().__init__(f"unknown {kind} {name!r}; {hint or _hint(name, known)}")

    def __str__(self) -> str:
        """The message without quotes, which KeyError would add."""
        return str(self.args[0])


class UnknownOptionError(UnknownNameError, TypeError):
    """A keyword that nothing takes. It is a ``TypeError`` in Python's own words, which other libraries look for."""

    def __init__(self, message: str) -> None:
        """Args: message: what is wrong. Gymnasium makes type errors anew from longer messages."""
        KeyError.__init__(self, message)

    @classmethod
    def of(cls, name: str, known: Iterable[str]) -> Self:
        """Args: name: the keyword that was given. known: the existing keywords."""
        return cls(f"unknown option: unexpected keyword argument {name!r}; {_hint(name, known)}")


def brief(error: BaseException) -> str:
    """What an error says, in one line of at most 200 characters; its kind if it says nothing."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def _hint(name: object, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names) or 'none'}"


class InvalidValueError(MetaGANError, ValueError):
    """A value that is out of range, or whose shape or type does not fit."""


class DataError(MetaGANError, ValueError):
    """Data that a GAN cannot be trained on: empty, constant, one row, or not finite."""


class MissingDependencyError(MetaGANError, ImportError):
    """An optional library is missing. The message says what to install."""

    def __init__(self, library: str, extra: str, purpose: str) -> None:
        """Args: library: what is missing. extra: the extra that it belongs to. purpose: what needs it."""
        super().__init__(f"{purpose} needs {library}; install it with: pip install {_requirements(library, extra)}")


def _requirements(library: str, extra: str) -> str:
    """What pip is to install: the libraries of an extra by their own names, as this package is on no index."""
    try:
        lines = requires("metagan-rl") or []
    except PackageNotFoundError:
        lines = []
    wanted = [line.partition(";")[0].strip() for line in lines if re.search(rf"extra == .{extra}\W", line)]
    return shlex.join([each for each in wanted if not each.startswith("metagan")] or [library])


class MissingDataError(MissingDependencyError):
    """A data set is missing that no Python package brings. The message says how to get it."""

    def __init__(self, message: str) -> None:
        """Args: message: what is missing, and how to get it."""
        ImportError.__init__(self, message)


class FileFormatError(MetaGANError, ValueError):
    """A file or run directory is not what it should be: truncated, of another kind or of another version."""


class OutputError(MetaGANError, OSError):
    """Results cannot be written: no permission, no space, or something else is in the way."""


class ExtensionError(MetaGANError, ImportError):
    """A user's file or module cannot be imported. The message holds the user's own traceback."""


class SchedulerError(MetaGANError, RuntimeError):
    """A scheduler raised, or returned something other than controls."""


class WorkerError(MetaGANError, RuntimeError):
    """A worker process failed or was killed."""
