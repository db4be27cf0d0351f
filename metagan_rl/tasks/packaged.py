"""Reads the data files that other packages bring, without importing those packages, which takes seconds."""

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np


def packaged_file(package: str, path: str) -> Path | None:
    """A file of an installed package; ``None`` if there is no such package or file."""
    try:
        spec = find_spec(package)
    except ValueError:  # something that is no module stands in its place
        return None
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        file = Path(folder) / path
        if file.is_file():
            return file
    return None


def read_numbers(file: Path, *, skip: int = 0, separator: str = ",") -> np.ndarray:
    """The numbers of a text file, float64 ``[N, D]``; a name that ends in ``.gz`` is unpacked.

    Args:
        file: the file; all rows have the same number of columns.
        skip: lines to leave out at the beginning.
        separator: what stands between two numbers; a space stands for any white space.

    Raises:
        ValueError: it does not hold such a table.
    """
    content = file.read_bytes()
    text = (gzip.decompress(content) if file.suffix == ".gz" else content).decode("utf-8")
    lines = text.splitlines()[skip:]
    columns = len(lines[0].split(None if separator == " " else separator))
    return np.fromstring(separator.join(lines), sep=separator).reshape(-1, columns)
