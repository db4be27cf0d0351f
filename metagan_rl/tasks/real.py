"""Families of real rows: scikit-learn's small tables, its 8x8 digits, and a user's own array."""

import importlib
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from metagan_rl.errors import DataError, InvalidValueError, MissingDependencyError, UnknownNameError
from metagan_rl.tasks.packaged import packaged_file, read_numbers
from metagan_rl.tasks.task import Family, register_family

TABLES = {"wine": 13, "breast-cancer": 30, "diabetes": 10, "iris": 4}
"""The tables of the family ``table`` and their numbers of columns."""
CLASSES = 10
MIN_ROWS = 8
"""Fewest rows of a table. Half of them train the GAN, the other half measures it."""


@cache
def _load(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows ``[N, D]`` and targets ``[N]`` of one of scikit-learn's bundled data sets; nothing is downloaded."""
    quick = _read(name)
    if quick is not None:
        return quick
    try:
        datasets = importlib.import_module("sklearn.datasets")
    except ImportError as error:
        raise MissingDependencyError("scikit-learn", "data", f"the data set {name!r}") from error
    rows, target = getattr(datasets, f"load_{name.replace('-', '_')}")(return_X_y=True)
    rows = np.asarray(rows, dtype=np.float64)
    rows.setflags(write=False)
    return rows, np.asarray(target)


def _read(name: str) -> tuple[np.ndarray, np.ndarray] | None:
    """The same rows and targets from the files themselves, in a fiftieth of the time; ``None`` if there are none."""
    if name not in FILES:
        return None
    file, options = FILES[name]
    path = packaged_file("sklearn", f"datasets/data/{file}")
    if path is None:
        return None
    table = read_numbers(path, **options)
    rows, target = table[:, :-1], table[:, -1].astype(np.int64)
    if name == "diabetes":  # its target is in another file and no task needs it; scaled as scikit-learn does
        rows = table - table.mean(axis=0)
        rows /= table.std(axis=0)
        rows /= len(rows) ** 0.5
    rows = np.ascontiguousarray(rows)
    rows.setflags(write=False)
    return rows, target


LARGEST = 1e100
"""Larger numbers are refused: the square of their spread would not be finite."""
FILES: dict[str, tuple[str, dict[str, Any]]] = {
    "wine": ("wine_data.csv", {"skip": 1}),
    "breast-cancer": ("breast_cancer.csv", {"skip": 1}),
    "iris": ("iris.csv", {"skip": 1}),
    "diabetes": ("diabetes_data_raw.csv.gz", {"separator": " "}),
    "digits": ("digits.csv.gz", {}),
}
"""The files that scikit-learn reads, and how."""


@register_family("table")
class Table(Family):
    """One of scikit-learn's tables without its target column. The task's seed decides which half trains."""

    def parameters(self, rng: np.random.Generator) -> dict[str, Any]:
        """``name`` of the table."""
        return {"name": list(TABLES)[rng.integers(len(TABLES))]}

    def dimension(self, parameters: Mapping[str, Any]) -> int:
        """Columns of the table.

        Raises:
            UnknownNameError: no such table.
        """
        if parameters["name"] not in TABLES:
            raise UnknownNameError("table", parameters["name"], TABLES)
        return TABLES[parameters["name"]]

    def rows(self, parameters: Mapping[str, Any]) -> np.ndarray:
        """All rows ``[N, D]`` in the table's own units.

        Raises:
            UnknownNameError: no such table.
            MissingDependencyError: scikit-learn is not installed.
        """
        self.dimension(parameters)
        return _load(parameters["name"])[0]


class LabelledImages(Family):
    """Grey images of ten classes; a task has all classes or some. Subclasses write ``dim`` and ``images``."""

    # One mean and one deviation for the whole image, as many border pixels are constant.
    standardise = "whole"
    white: float = 255.0
    """The brightest possible grey value; the darkest is 0."""

    def images(self) -> tuple[np.ndarray, np.ndarray]:
        """All images ``[N, D]`` and their classes ``[N]``, from 0 to 9."""
        raise NotImplementedError(f"{type(self).__name__} must define images()")

    def parameters(self, rng: np.random.Generator) -> dict[str, Any]:
        """``classes``: one, two, five or all ten of the digits, in ascending order."""
        size = (1, 2, 5, CLASSES)[rng.integers(4)]
        return {"classes": sorted(int(digit) for digit in rng.permutation(CLASSES)[:size])}

    def rows(self, parameters: Mapping[str, Any]) -> np.ndarray:
        """All images ``[N, D]`` of the chosen classes, in their own grey values.

        Raises:
            InvalidValueError: no class is given, one is repeated, or one is not a digit.
            MissingDependencyError: the images are not installed.
        """
        classes = list(parameters["classes"])
        if not classes or len(set(classes)) != len(classes) or not set(classes) <= set(range(CLASSES)):
            raise InvalidValueError(f"classes is {classes!r}; it must list different digits from 0 to 9")
        images, digit = self.images()
        return images[np.isin(digit, classes)]


@register_family("digits")
class Digits(LabelledImages):
    """Handwritten digits, 8x8 grey values from 0 to 16, about 180 of each class; tasks have all ten classes or some."""

    dim = 64
    white = 16.0

    def images(self) -> tuple[np.ndarray, np.ndarray]:
        """The 1,797 images ``[N, 64]`` from scikit-learn, and their digits."""
        return _load("digits")


class ArrayTable(Family):
    """A user's own rows, made by ``table_from_array``."""

    def __init__(self, rows: np.ndarray) -> None:
        """Args: rows: checked data ``[N, D]``."""
        self.dim = rows.shape[1]
        self._rows = rows

    def parameters(self, rng: np.random.Generator) -> dict[str, Any]:
        """Nothing: there is only one such table."""
        return {}

    def rows(self, parameters: Mapping[str, Any]) -> np.ndarray:
        """All rows ``[N, D]``."""
        return self._rows


def table_from_array(name: str, array: Any) -> Family:
    """Registers your own rows as a family, ready for ``sample_task`` and ``register_suite``.

    Args:
        name: the family's name, lower-case words joined by hyphens.
        array: numbers ``[N, D]`` (anything ``numpy.asarray`` takes), one row per sample, at least 8 rows; copied.

    Returns:
        The registered family. Each column is standardised, and a task's seed decides which half trains.

    Raises:
        DataError: the array is not an ``[N, D]`` table of numbers, is empty, has fewer than 8 rows, holds NaN or
            infinite values, or has a constant column.
        InvalidValueError: the name is malformed or taken.
    """
    rows = checked_rows(name, array)
    family = ArrayTable(rows)
    register_family(name, family)
    return family


def checked_rows(name: str, array: Any, *, whole: bool = False) -> np.ndarray:
    """A user's rows as float64 ``[N, D]``, copied and made read-only, after checking that a GAN can train on them.

    Args:
        name: name of the table, for messages.
        array: anything ``numpy.asarray`` takes.
        whole: whether it will be standardised as a whole; single columns may then be constant.

    Raises:
        DataError: see :func:`table_from_array`.
    """
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        raise DataError(
            f"table {name!r} has {int(np.sum(np.ma.getmaskarray(array)))} masked values; fill them or drop their rows"
        )
    try:
        if np.iscomplexobj(array):
            raise DataError(f"table {name!r} has complex numbers; give real and imaginary parts as columns")
        rows = np.array(array, dtype=np.float64)
    except DataError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"table {name!r} is not an array of numbers ({error}); encode text as numbers first") from None
    if rows.ndim != 2:
        raise DataError(f"table {name!r} has shape {list(rows.shape)}; it must be [rows, columns]")
    if rows.size == 0:
        raise DataError(f"table {name!r} is empty (shape {list(rows.shape)}); give it at least {MIN_ROWS} rows")
    if len(rows) < MIN_ROWS:
        count = "1 row" if len(rows) == 1 else f"{len(rows)} rows"
        raise DataError(f"table {name!r} has {count}; at least {MIN_ROWS} are needed to train on half of them")
    if not np.isfinite(rows).all():
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        raise DataError(
            f"table {name!r} has {len(bad)} rows with NaN or infinite values (the first is row {bad[0]}); "
            "drop or impute them first"
        )
    if np.abs(rows).max() > LARGEST:
        row, column = np.unravel_index(np.abs(rows).argmax(), rows.shape)
        raise DataError(
            f"table {name!r} has {rows[row, column]:g} in row {row}, column {column}; numbers above {LARGEST:g} cannot "
            "be standardised: use another unit, or correct it"
        )
    constant = np.flatnonzero((rows == rows[0]).all(axis=0))
    if len(constant) == rows.shape[1] or (len(constant) and not whole):
        columns = ", ".join(str(column) for column in constant[:8])
        raise DataError(f"table {name!r}: column {columns} is constant; drop it")
    rows.setflags(write=False)
    return rows
