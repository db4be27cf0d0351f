"""Files of tensors with a JSON head and a digest of both: one writer and one reader for all kinds.

They are safetensors files, so no code of theirs is ever run. The digest shows damage, not forgery.
"""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metagan_rl.errors import FileFormatError, brief
from metagan_rl.files import write_whole
from metagan_rl.records import DIGEST, digest_of

KEY = "metagan_rl"
"""The key of the head in the file's own metadata, which hold nothing else."""


def content_of(head: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> bytes:
    """The content of a file: tensors by name, and a JSON-able head whose ``format`` and ``version`` name its kind."""
    import safetensors.torch  # here, as below: what has no files needs only torch and NumPy

    ready = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    whole = json.dumps({**head, DIGEST: _digest(head, ready)}, sort_keys=True)
    return safetensors.torch.save(ready, metadata={KEY: whole})


def write_tensors(path: Path, head: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Writes :func:`content_of` head and tensors, completely or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    write_whole(path, content_of(head, tensors))


def read_tensors(
    path: Path, what: str, head: Mapping[str, Any], remedy: str
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Reads the head, without its digest, and the tensors of a file that :func:`write_tensors` wrote.

    Args:
        path: the file, which exists.
        what: what it should be, for messages: "policy".
        head: its ``format`` and its ``version``.
        remedy: what to do if it is damaged: "train or fetch it again".

    Raises:
        FileFormatError: the file is truncated, changed, of another kind or version, or is a zip archive too.
    """
    import safetensors

    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            found = json.loads(metadata.get(KEY, "null"))
            # Copies, as the reader's tensors lie in the file: they would change if it were written over.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118  (not a mapping)
    except Exception as error:  # the reader raises whatever a damaged header leads to
        raise FileFormatError(f"{path} is not a complete {what} file ({brief(error)}); {remedy}") from None
    if not isinstance(found, dict) or found.get("format") != head["format"]:
        raise FileFormatError(f"{path} holds tensors, but is no {what} file; {remedy}")
    if found.get("version") != head["version"]:
        raise FileFormatError(
            f"{path} is a {what} file of format {found.get('version')}; this version reads {head['version']}"
        )
    try:
        same = found.pop(DIGEST, None) == _digest(found, tensors)
    except (RecursionError, ValueError, TypeError, RuntimeError):
        same = False
    if not same or metadata.keys() != {KEY}:
        raise FileFormatError(f"{path} was changed after it was made; {remedy}")
    if _is_archive(path):  # Python would run one
        raise FileFormatError(f"{path} is a zip archive as well as a {what} file, so it was made to deceive; {remedy}")
    return found, tensors


def _digest(head: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(digest_of(head).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _is_archive(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    try:
        zipfile.ZipFile(path).close()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):  # only bytes that look like an archive's end
        return False
    return True
