"""Writes files so that a half-written file never looks complete."""

import os
from pathlib import Path

from metagan_rl.errors import OutputError


def write_whole(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Writes a file in one step. A reader sees the old content or the new, never a part.

    Raises:
        OutputError: no permission, no space, or there is a folder of that name.
    """
    path = Path(path)
    temporary = path.parent / f".{path.name}.{os.getpid()}.tmp"
    data = content.encode() if isinstance(content, str) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if temporary.parent.is_dir():
            temporary.unlink(missing_ok=True)
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}; choose another place or free some space"
        ) from error


def make_directory(path: str | os.PathLike[str]) -> Path:
    """Makes a folder with its parents and checks that it can be written to.

    Raises:
        OutputError: the folder cannot be made or written to.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(f"cannot write into {path}: {error.strerror or error}; choose another folder") from error
    return path
