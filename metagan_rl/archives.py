"""Zip archives with a digest: the samples of a benchmark (``.npz``), and checkpoints of training (``.pt``).

The archive's comment is ``sha256:`` and the digest of all bytes before the digest. Whoever reads archives reads these
too.
"""

import hashlib
import io
import zipfile
from pathlib import Path

from metagan_rl.errors import FileFormatError

MARK = b"sha256:"
DIGITS = 64
"""Length of a digest in hexadecimal digits."""
PIECE = 1 << 20
"""Bytes read at a time."""


def sealed(archive: bytes) -> bytes:
    """The archive with its digest, in place of any comment that it has."""
    buffer = io.BytesIO(archive)
    with zipfile.ZipFile(buffer, "a") as opened:
        opened.comment = MARK + b"0" * DIGITS
    content = buffer.getvalue()[:-DIGITS]
    return content + hashlib.sha256(content).hexdigest().encode()


def check_seal(path: Path, remedy: str) -> None:
    """Checks an archive's digest.

    Args:
        path: the archive.
        remedy: what to do if it is damaged.

    Raises:
        FileFormatError: it cannot be read, or its digest is missing or another.
    """
    digest = hashlib.sha256()
    try:
        left = path.stat().st_size - DIGITS
        with path.open("rb") as file:
            while left > 0 and (part := file.read(min(left, PIECE))):
                digest.update(part)
                left -= len(part)
            stated = file.read()
    except OSError as error:
        raise FileFormatError(f"cannot read {path}: {error.strerror or error}") from None
    if stated != digest.hexdigest().encode():
        raise FileFormatError(f"{path} is damaged: its digest is another; {remedy}")
