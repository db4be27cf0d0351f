"""Run folders: one configuration and one writer each.

A folder that a run writes into is held by one process at a time (:func:`held`). The lock is the operating system's, so
it ends with its process, however that ends. A folder also belongs to one configuration (:func:`refuse_another`).
"""

import contextlib
import json
import os
import shlex
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from metagan_rl.errors import InvalidValueError, OutputError
from metagan_rl.files import make_directory, readable

LOCK = ".lock"
"""The file that is locked; it names the process that holds it."""


class Held:
    """A lock file that this process holds.

    Args:
        path: path of the lock file.
        file: the same file, opened and locked.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file = path, file

    def check(self) -> None:
        """Checks that the folder is still the one that was locked; call it before every write.

        Raises:
            OutputError: the folder or its lock was deleted or replaced.
        """
        if not _is_at(self._file, self._path):
            raise OutputError(
                f"{self._path.parent} was deleted or replaced while this run wrote into it; what was there is gone: "
                "begin again"
            )


@contextlib.contextmanager
def held(folder: str | os.PathLike[str], name: str = LOCK) -> Iterator[Held]:
    """Makes a folder and keeps other processes from writing into it until the block ends.

    Args:
        folder: the folder.
        name: name of the lock file in it. A file that is not alone in its folder has a lock of its own.

    Raises:
        OutputError: another process holds it (the message names that process), or the folder cannot be written to.
    """
    path = make_directory(folder) / name
    file = _locked(path)
    try:
        with contextlib.suppress(OSError):  # a full disk must not keep a run from saying so itself
            file.truncate(0)
            file.write(json.dumps({"pid": os.getpid(), "command": _command()}).encode())
            file.flush()
        yield Held(path, file)
    finally:
        with contextlib.suppress(OSError):  # Windows deletes no open file; an empty lock file then stays
            if _is_at(file, path):
                path.unlink()
        with contextlib.suppress(OSError):
            file.close()


KINDS = {
    "config.json": "a training run", "tune.json": "a search for a schedule", "benchmark.json": "a benchmark",
    "quickstart.json": "a quickstart",
}  # fmt: skip
"""The files by which folders are known, and what each folder then holds."""


def refuse_other_kind(folder: Path, own: str) -> None:
    """Refuses a folder that holds a run of another kind.

    Args:
        folder: the folder.
        own: name of the file by which folders of this kind are known.

    Raises:
        InvalidValueError: it holds a run of another kind.
    """
    for name, kind in KINDS.items():
        if name != own and (folder / name).is_file():
            raise InvalidValueError(f"{folder} holds {kind} ({name}), not {KINDS[own]}; choose another --out")


def refuse_another(where: object, there: Mapping[str, Any], here: Mapping[str, Any], remedy: str) -> None:
    """Refuses to go on with a run of another configuration.

    Args:
        where: the run's folder.
        there: the configuration that it belongs to, as JSON holds it.
        here: the configuration that is wanted.
        remedy: what to do instead.

    Raises:
        InvalidValueError: they differ; the message names the differences.
    """
    there, here = _flat(there), _flat(here)
    differing = [
        f"{name} {readable(there.get(name))}, not {readable(here.get(name))}"
        for name in dict.fromkeys([*there, *here])
        if there.get(name) != here.get(name)
    ]
    if differing:
        raise InvalidValueError(f"{where} holds a run with {'; '.join(differing)}. {remedy}")


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record without nesting, lists in place of tuples: as it comes out of JSON."""
    plain: dict[str, Any] = {}
    for name, value in json.loads(json.dumps(record, default=str)).items():
        plain |= _flat(value) if isinstance(value, dict) else {name: value}
    return plain


def _locked(path: Path) -> BinaryIO:
    while True:
        try:
            file = path.open("ab+")
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another folder") from error
        if not _lock(file):
            holder = _holder(file)
            file.close()
            raise OutputError(
                f"{path.parent} is being written by {holder}; wait until that has ended, or choose another --out"
            )
        if _is_at(file, path):
            return file
        file.close()  # its last holder deleted it between our opening and our locking


def _lock(file: BinaryIO) -> bool:
    """Locks a file for this process alone; ``False`` if another has it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(1 << 30)  # beyond what is written, as a locked part cannot be read
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:  # some network file systems have no locks
        warnings.warn(
            f"{file.name} cannot be locked ({error.strerror or error}); let only one run write into this folder",
            RuntimeWarning,
            stacklevel=5,
        )
    return True


def _holder(file: BinaryIO) -> str:
    try:
        file.seek(0)
        record = json.loads(file.read(1 << 16))
        return f"process {int(record['pid'])} ({record['command']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        there, ours = path.stat(), os.fstat(file.fileno())
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def _command() -> str:
    name, *arguments = sys.argv or [""]
    return shlex.join([Path(name).name or "python", *arguments])[:1000]
