"""The files of a benchmark directory: one JSON record a line, added to by runs that may be stopped at any time.

Finished files may be compressed. If ``rows.jsonl.gz`` exists, it is read before ``rows.jsonl``.
"""

import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from metagan_rl.errors import FileFormatError, OutputError
from metagan_rl.experiments.benchmark.row import CURVE_COLUMNS, REQUIRED, Curve, Row
from metagan_rl.files import exists
from metagan_rl.records import CHECKED, line_of, parse_line, read_record

BENCHMARK_KIND = "metagan-rl benchmark"
CONFIG, ROWS, CURVES = "benchmark.json", "rows.jsonl", "curves.jsonl"
KEYS = ("version", "commands", "suites", "schedulers", "seeds", "configs", "runs")
"""What ``benchmark.json`` holds besides its kind."""
TRAINING = "training.jsonl"
"""The progress of the training that a compared policy comes from; the report draws it."""
T = TypeVar("T")


def read_config(directory: Path) -> dict[str, Any]:
    """Reads ``benchmark.json``.

    Raises:
        FileFormatError: it is not a benchmark directory, or the file is damaged.
    """
    path = directory / CONFIG
    if not exists(path):
        raise FileFormatError(f"{directory} is not a benchmark directory: it has no {CONFIG}")
    return read_record(path, "the record of a benchmark directory", kind=BENCHMARK_KIND, known=KEYS)


def read_rows(directory: str | Path) -> list[Row]:
    """Reads the rows of a benchmark; a half-written last line is left out.

    Args:
        directory: holds ``benchmark.json`` and, once a run has finished, ``rows.jsonl``.

    Raises:
        FileFormatError: it is not a benchmark directory, or a row is damaged; the message names file and line.
    """
    read_config(Path(directory))
    path = Path(directory) / ROWS
    rows = list(_read(path, REQUIRED, Row.from_dict))
    for place, row in enumerate(rows, start=1):
        if not row.error and row.distance is None and not row.diverged:
            raise FileFormatError(f"{path}, row {place}: no distance; remove the line or run the benchmark again")
    return rows


def read_curves(directory: Path) -> list[Curve]:
    """Reads the curves of a benchmark; none if it kept none.

    Raises:
        FileFormatError: the file is damaged.
    """
    return list(_read(directory / CURVES, CURVE_COLUMNS, Curve.from_dict))


def read_lines(path: Path, required: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Reads the records of a file with one JSON object a line; none if there is no such file.

    Args:
        path: path of the file, without the ``.gz`` of a compressed one.
        required: keys that each record must have.

    Raises:
        FileFormatError: a whole line (one that ends with a newline) is not such a record.
    """
    return list(_lines(path, required))


def append_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Adds records to such a file and syncs it to disk; half a line left by a stopped run is cut off first.

    Lines get checksums, but in a file whose lines have none.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        with path.open("ab+") as file:
            size = file.tell()
            file.seek(0)
            first = file.readline()
            bare = first.endswith(b"\n") and CHECKED not in first
            lines = "".join(json.dumps(record) + "\n" if bare else line_of(record) for record in records)
            if size:
                file.seek(size - 1)
                if file.read(1) != b"\n":
                    file.seek(0)
                    file.truncate(file.read().rfind(b"\n") + 1)
            file.write(lines.encode())  # goes to the end, wherever we read last
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; what is there stays usable") from error


def _read(path: Path, required: Sequence[str], make: Callable[[Mapping[str, Any]], T]) -> Iterator[T]:
    for record in _lines(path, required):
        try:
            yield make(record)
        except (TypeError, ValueError, KeyError, OverflowError) as error:
            raise FileFormatError(f"{path} is damaged: {error}") from None


def _lines(path: Path, required: Sequence[str]) -> Iterator[dict[str, Any]]:
    packed = path.with_name(path.name + ".gz")
    for source in (packed, path):
        if not exists(source):
            continue
        try:
            with gzip.open(source, "rb") if source is packed else source.open("rb") as file:
                checked: bool | None = None  # all lines have a checksum, or none, in files from before there were any
                for place, line in enumerate(file, start=1):
                    if line.strip() and line.endswith(b"\n"):  # else the run was stopped while writing it
                        if checked is False and CHECKED in line:
                            raise FileFormatError(f"{source}, line {place - 1} is damaged: its checksum is missing")
                        yield _record(source, place, line, required, strict=bool(checked))
                        checked = CHECKED in line if checked is None else checked
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise FileFormatError(f"{source} is damaged: {error}; restore it") from None
        except OSError as error:
            raise FileFormatError(f"cannot read {source}: {error.strerror or error}") from error


def _record(path: Path, place: int, line: bytes, required: Sequence[str], *, strict: bool) -> dict[str, Any]:
    try:
        record = parse_line(line, strict=strict)
    except ValueError as error:
        raise FileFormatError(
            f"{path}, line {place} is damaged ({error}): {line.rstrip()[:60]!r}; restore it, or remove the line"
        ) from None
    missing = [name for name in required if name not in record]
    if missing:
        raise FileFormatError(f"{path}, line {place} is not a record of its kind; missing: {', '.join(missing)}")
    return record
