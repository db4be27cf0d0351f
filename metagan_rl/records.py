"""JSON that tells when it was damaged: records with a digest, and files of lines with a checksum each.

A digest shows damage, not forgery: whoever changes a file on purpose can work it out again.
"""

import hashlib
import json
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from metagan_rl.errors import FileFormatError, brief
from metagan_rl.files import write_whole

DIGEST = "sha256"
CHECK = "check"
"""The key of a line's checksum: CRC-32 of the line's other keys as JSON, in eight hexadecimal digits."""
CHECKED = f'"{CHECK}": "'.encode()
"""What is in every line that has a checksum."""
UNREADABLE = (ValueError, TypeError, RecursionError, MemoryError, OverflowError)
"""What reading JSON from anywhere may raise; a ``UnicodeDecodeError`` is a ``ValueError``."""


def digest_of(record: Mapping[str, Any]) -> str:
    """SHA-256 of a record's canonical JSON, without the digest that it may hold."""
    plain = {name: value for name, value in record.items() if name != DIGEST}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Writes a record as JSON with its digest, completely or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    write_whole(path, json.dumps({**record, DIGEST: digest_of(record)}, indent=2) + "\n")


def read_json(path: Path, what: str) -> Any:
    """Reads a JSON file, whatever it holds.

    Args:
        path: the file.
        what: what it should be, for messages: "a schedule".

    Raises:
        FileFormatError: there is no such file, or it is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise FileFormatError(f"cannot read {path}: {error.strerror or error}") from None
    except UNREADABLE as error:
        raise FileFormatError(f"{path} is not {what}, or it is damaged: {brief(error)}") from None


def read_record(
    path: Path, what: str, *, kind: str, known: Collection[str] | None = None, strict: bool = True
) -> dict[str, Any]:
    """Reads a record with its kind, and checks its digest; returns it without its digest.

    Args:
        path: the file.
        what: what it should be, for messages: "a schedule".
        kind: its value of ``kind``.
        known: keys that it may have; ``None`` for any.
        strict: whether it must have a digest. A record that a person may write or change needs none.

    Raises:
        FileFormatError: the file is missing, damaged, changed or of another kind.
    """
    record = read_json(path, what)
    if not isinstance(record, dict) or record.get("kind") != kind:
        raise FileFormatError(f"{path} is not {what}: it is not of kind {kind!r}")
    stated = record.pop(DIGEST, None)
    if (strict or stated is not None) and stated != digest_of(record):
        remedy = "" if strict else f", or take out its {DIGEST} if you changed it yourself"
        raise FileFormatError(f"{path} was changed after it was written; restore it{remedy}")
    strange = [] if known is None else sorted(record.keys() - {*known, "kind"})
    if strange:
        raise FileFormatError(f"{path} is not {what}: {strange[0]!r} is not known")
    return record


def line_of(record: Mapping[str, Any]) -> str:
    """A record as one line of JSON with its checksum, which is its last key."""
    text = json.dumps({name: value for name, value in record.items() if name != CHECK})
    check = f"{json.dumps(CHECK)}: {json.dumps(_checksum(text))}}}\n"
    return f"{{{check}" if text == "{}" else f"{text[:-1]}, {check}"


def parse_line(line: bytes, *, strict: bool = False) -> dict[str, Any]:
    """The record of a line, without its checksum, which may be missing unless ``strict``.

    Raises:
        ValueError: it is not a JSON object, or its checksum is another.
    """
    try:
        record = json.loads(line)
    except UNREADABLE as error:
        raise ValueError(brief(error)) from None
    if not isinstance(record, dict):
        raise ValueError("it is not a JSON object")
    check = record.pop(CHECK, None)
    if (strict or check is not None) and check != _checksum(json.dumps(record)):
        raise ValueError("its checksum is another")
    return record


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"
