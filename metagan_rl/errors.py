"""The exceptions of the library: every one names the value that was wrong and what to do about it."""

import difflib
from collections.abc import Iterable
from typing import Any


class MetaGANError(Exception):
    """Base of all errors that are a user's to mend; the command line prints them as one line and exits with 2."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors travel between processes by their message: constructors may take something else."""
        return _rebuilt, (type(self), self.args)


def _rebuilt(kind: type[MetaGANError], arguments: tuple[Any, ...]) -> MetaGANError:
    error = kind.__new__(kind)
    error.args = arguments
    return error


class UnknownNameError(MetaGANError, KeyError):
    """A name that no registry, suite or file list knows; the nearest known names are offered."""

    def __init__(self, kind: str, name: object, known: Iterable[str]) -> None:
        """Args: kind: what was looked for ("family"). name: what was asked for. known: what there is."""
        names = sorted(known)
        near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names) or 'none'}"
        super().__init__(f"unknown {kind} {name!r}; {hint}")

    def __str__(self) -> str:
        """The message as it is (KeyError would quote it)."""
        return str(self.args[0])


class InvalidValueError(MetaGANError, ValueError):
    """A value outside its range, or of a shape or type that does not fit."""


class DataError(MetaGANError, ValueError):
    """Data a GAN cannot be trained on: empty, constant, one row, or not finite."""


class MissingDependencyError(MetaGANError, ImportError):
    """An optional library is needed; the message says which extra brings it."""

    def __init__(self, library: str, extra: str, purpose: str) -> None:
        """Args: library: what is missing. extra: the extra that installs it. purpose: what needs it."""
        super().__init__(f"{purpose} needs {library}; install it with: pip install 'metagan-rl[{extra}]'")


class MissingDataError(MissingDependencyError):
    """A data set is needed that no Python package brings; the message says how to get it."""

    def __init__(self, message: str) -> None:
        """Args: message: what is missing, and the remedies."""
        ImportError.__init__(self, message)


class FileFormatError(MetaGANError, ValueError):
    """A file or run directory that is not what it should be: truncated, of another kind or another version."""


class OutputError(MetaGANError, OSError):
    """Results cannot be written: no permission, no space, or something else is in the place."""


class ExtensionError(MetaGANError, ImportError):
    """A user's file or module that cannot be imported; the message holds the user's own traceback."""


class SchedulerError(MetaGANError, RuntimeError):
    """A scheduler raised, or gave something that is no controls."""


class WorkerError(MetaGANError, RuntimeError):
    """A worker process failed or was killed."""
