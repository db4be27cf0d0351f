"""The data that loops train on: ``python -m metagan_rl.experiments.studies.practice.data FILE.npz`` packs them.

A machine without the packages that bring the data reads them from such a file (``--data FILE.npz``).
"""

import importlib
import io
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from metagan_rl.archives import check_seal, sealed
from metagan_rl.errors import FileFormatError, MetaGANError, MissingDataError, MissingDependencyError
from metagan_rl.experiments.studies.command import show_line
from metagan_rl.files import write_whole
from metagan_rl.tasks import FAMILIES
from metagan_rl.tasks.images import SIDE
from metagan_rl.tasks.real import LabelledImages

MNIST, FASHION, TABLE = "mnist", "fashion-mnist", "breast-cancer"
"""The sets. The table is scikit-learn's: 569 rows of 30 continuous columns, and a class, which is the last column."""
WHITE = 255


@dataclass(frozen=True)
class Halves:
    """A data set, cut in half at random, but always the same.

    Attributes:
        name: of the data set.
        train: what loops train on: images ``[N, 1, 28, 28]`` in [-1, 1], or rows ``[N, D]`` in their own units.
        held_out: the other half, which samples are compared with.
    """

    name: str
    train: Tensor
    held_out: Tensor


@cache
def halves_of(name: str, file: Path | None = None) -> Halves:
    """A data set.

    Args:
        name: ``"mnist"``, ``"fashion-mnist"`` or ``"breast-cancer"``. Where Fashion-MNIST is missing, it is MNIST.
        file: what :func:`pack` wrote; ``None`` for the packages that bring the data.

    Raises:
        MissingDependencyError: a package is not installed.
        FileFormatError: the file is missing or damaged, or does not hold that set.
    """
    try:
        values = _numbers(name) if file is None else _packed(name, file)
    except MissingDataError:
        if name != FASHION:
            raise
        return halves_of(MNIST, file)
    order = np.random.default_rng(0).permutation(len(values))
    samples = torch.from_numpy(values[order]).float()
    if name != TABLE:
        samples = samples.reshape(-1, 1, SIDE, SIDE) / (WHITE / 2) - 1
    half = len(samples) // 2
    return Halves(name, samples[:half], samples[half:])


def pack(file: Path) -> None:
    """Writes all sets into one file; Fashion-MNIST only where it is installed."""
    found = {}
    for name in (MNIST, FASHION, TABLE):
        try:
            found[name] = _numbers(name)
        except MissingDataError as error:
            show_line(f"left out: {error}")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **found)  # type: ignore[arg-type]
    write_whole(file, sealed(buffer.getvalue()))


def _numbers(name: str) -> np.ndarray:
    if name == TABLE:
        try:
            datasets = importlib.import_module("sklearn.datasets")
        except ImportError as error:
            raise MissingDependencyError("scikit-learn", "data", f"the data set {name!r}") from error
        return np.column_stack(datasets.load_breast_cancer(return_X_y=True))
    family = FAMILIES[name]
    assert isinstance(family, LabelledImages)
    return family.images()[0]


def _packed(name: str, file: Path) -> np.ndarray:
    remedy = "make it again with python -m metagan_rl.experiments.studies.practice.data FILE.npz"
    check_seal(file, remedy)
    with np.load(file, allow_pickle=False) as archive:
        if name in archive:
            return np.asarray(archive[name])
    if name == FASHION:
        raise MissingDataError(f"{file} holds no {name}")
    raise FileFormatError(f"{file} holds no {name}; {remedy}")


if __name__ == "__main__":
    try:
        pack(Path(sys.argv[1]))
    except IndexError:
        sys.exit("error: name the file to write, such as practice.npz")
    except MetaGANError as error:
        sys.exit(f"error: {error}")
