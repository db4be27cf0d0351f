"""Writes files so that a half-written file never looks complete."""

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Any

from metagan_rl.errors import FileFormatError, OutputError


def write_whole(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Writes a file in one step. A reader sees the old content or the new, never a part.

    Raises:
        OutputError: no permission, no space, or there is a folder of that name.
    """
    path = Path(path)
    temporary = path.parent / f".{shortened(path.name)}.{os.getpid()}.tmp"
    data = content.encode() if isinstance(content, str) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if not isinstance(error, (OSError, ValueError)):  # Ctrl-C
            raise
        raise OutputError(f"cannot write {path}: {reason(error)}; choose another place or free some space") from error


def shortened(name: str) -> str:
    """As much of a file's name as leaves room for an ending; file systems count bytes, mostly to 255."""
    return os.fsencode(name)[:200].decode(errors="ignore")


def check_name(path: str | os.PathLike[str]) -> None:
    """Checks, before any work, that a file can have such a name.

    Raises:
        OutputError: it is too long, or holds what no name can hold.
    """
    try:
        os.stat(path)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise OutputError(f"cannot write {path}: {reason(error)}; choose another name") from None


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
    except (OSError, ValueError) as error:
        raise OutputError(f"cannot write into {path}: {reason(error)}; choose another folder") from error
    return path


def exists(path: str | os.PathLike[str]) -> bool:
    """Whether there is a file or folder of that name; names that no file can have do not exist."""
    try:
        os.stat(path)
    except (OSError, ValueError):
        return False
    return True


def file_digest(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, hexadecimal.

    Raises:
        FileFormatError: it cannot be read.
    """
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except (OSError, ValueError) as error:
        raise FileFormatError(f"cannot read {path}: {reason(error)}") from None


def reason(error: BaseException) -> str:
    """What the operating system says went wrong. A name with a null byte is a ``ValueError``."""
    return str(getattr(error, "strerror", None) or error)


def readable(value: Any, most: int = 80) -> str:
    """A value of a configuration for a message, not too long."""
    text = "none" if value is None else str(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"
