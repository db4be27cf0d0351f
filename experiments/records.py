"""Files with one JSON record a line, which runs that may be stopped add to; and what a benchmark directory holds."""

import json
import os
import shlex
import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from metagan_rl.errors import FileFormatError, OutputError

KIND = "metagan-rl benchmark"
KEY = ("suite", "split", "task", "seed", "scheduler")
NUMBERS = ("distance", "generator_lr", "discriminator_lr", "penalty_weight")
WORDS = ("ratio", "loss")


def called_as(study: str) -> str:
    """The command line that a study was called by, but for where results go and how many workers there are."""
    kept, arguments = [], iter(sys.argv[1:])
    for argument in arguments:
        if argument.split("=")[0] in ("--out", "--workers"):
            if "=" not in argument:
                next(arguments, None)
        else:
            kept.append(argument)
    return shlex.join(["python", "-m", f"metagan_rl.experiments.{study}", *kept])


def read_config(directory: Path) -> dict[str, Any]:
    """What ``benchmark.json`` says.

    Raises:
        FileFormatError: the directory is not a benchmark's, or the file is damaged.
    """
    path = directory / "benchmark.json"
    if not path.is_file():
        raise FileFormatError(f"{directory} is not a benchmark directory: it has no benchmark.json")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise FileFormatError(f"{path} is damaged: {error}") from None
    if not isinstance(config, dict) or config.get("kind") != KIND:
        raise FileFormatError(f"{directory} is not a benchmark directory: {path.name} is not of kind {KIND!r}")
    return config


def read_rows(directory: str | Path) -> list[dict[str, Any]]:
    """The rows of a benchmark; a half-written last line is left out.

    Args:
        directory: with ``benchmark.json`` and, once a run has finished, ``rows.jsonl``.

    Raises:
        FileFormatError: the directory is not a benchmark's, or a row is damaged; the message names file and line.
    """
    read_config(Path(directory))
    path = Path(directory) / "rows.jsonl"
    rows = read_lines(path, (*KEY, "tag", "family"))
    for place, row in enumerate(rows, start=1):
        if not row.get("error") and not isinstance(row.get("distance"), (int, float)) and not row.get("diverged"):
            raise FileFormatError(f"{path}, row {place}: no distance; remove the line or run the benchmark again")
    return rows


def read_curves(path: Path) -> list[dict[str, Any]]:
    """The curves of a benchmark: numbers packed as float32 ``[T]`` (distance ``[T + 1]``), names as shared strings.

    As JSON's own lists they would take several times the memory.

    Raises:
        FileFormatError: the file is damaged.
    """
    curves = []
    for curve in _lines(path, (*KEY, *NUMBERS, *WORDS)):
        try:
            curve.update({name: array("f", curve[name]) for name in NUMBERS})
            curve.update({name: [sys.intern(str(word)) for word in curve[name]] for name in WORDS})
            intervals = {len(curve["distance"]) - 1, *(len(curve[name]) for name in (*NUMBERS[1:], *WORDS))}
        except (TypeError, ValueError) as error:
            raise FileFormatError(f"{path} is damaged: {error}") from None
        if len(intervals) > 1:
            raise FileFormatError(f"{path} is damaged: {curve['task']} under {curve['scheduler']} has uneven columns")
        curves.append(curve)
    return curves


def read_lines(path: Path, required: Sequence[str]) -> list[dict[str, Any]]:
    """The records of a file with one JSON object a line; none if there is no such file.

    Args:
        path: of the file.
        required: keys that each record must have.

    Raises:
        FileFormatError: a line that is whole (ends with a newline) is not such a record.
    """
    return list(_lines(path, required))


def append_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Adds records to such a file, on the disk when this returns; half a line of a stopped run is cut off first.

    Raises:
        OutputError: the file cannot be written.
    """
    lines = "".join(json.dumps(record) + "\n" for record in records)
    try:
        with path.open("ab+") as file:
            size = file.tell()
            if size:
                file.seek(size - 1)
                if file.read(1) != b"\n":
                    file.seek(0)
                    file.truncate(file.read().rfind(b"\n") + 1)
            file.write(lines.encode())  # at the end, wherever was read last
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; what is there stays usable") from error


def _lines(path: Path, required: Sequence[str]) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    try:
        with path.open("rb") as file:
            for place, line in enumerate(file, start=1):
                if line.strip() and line.endswith(b"\n"):  # else it was being written when the run was stopped
                    yield _record(path, place, line, required)
    except OSError as error:
        raise FileFormatError(f"cannot read {path}: {error.strerror or error}") from error


def _record(path: Path, place: int, line: bytes, required: Sequence[str]) -> dict[str, Any]:
    try:
        record = json.loads(line)
        missing = [name for name in required if name not in record]
    except (ValueError, TypeError):
        raise FileFormatError(f"{path}, line {place} is damaged: {line.rstrip()[:60]!r}") from None
    if not isinstance(record, dict) or missing:
        raise FileFormatError(f"{path}, line {place} is not a record of its kind; missing: {', '.join(missing)}")
    return record
