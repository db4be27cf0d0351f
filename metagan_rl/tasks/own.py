"""Makes suites from your own data in one call: from an array, a CSV or NumPy file, or a folder of images.

A suite made here has ``tasks`` tasks in each split. Each split has its own rows, so no row of ``test`` is ever seen in
``train``. All tasks of a split use the same rows. They differ in which half of them trains, and in the base learning
rates.
"""

import csv
import hashlib
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from metagan_rl.errors import DataError, InvalidValueError, MissingDependencyError
from metagan_rl.tasks.real import ArrayTable, checked_rows
from metagan_rl.tasks.suites import READERS, SPLITS, SUITES, Suite, register_suite
from metagan_rl.tasks.task import FAMILIES, Base, Networks, Task

SPREAD = 10.0
"""The tasks' base learning rates are off the given ones by up to this factor, as if the user had not tuned them."""
SHARES = {"train": 0.5, "val": 0.2, "test": 0.3}
"""Share of the rows in each split."""
SIDES = tuple(range(8, 65, 4))
"""Sides of images, in pixels, that the convolutional networks accept."""
LARGEST_FLAT = 64
"""Images with more pixels than this are trained by convolutional networks."""
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")


def suite_from_array(
    name: str,
    rows: Any,
    *,
    tasks: int = 12,
    networks: Networks | None = None,
    base: Base | None = None,
    budget: int = 3072,
    images: bool = False,
    register: bool = True,
) -> Suite:
    """Makes a suite from your own rows, ready to train on and to benchmark.

    Args:
        name: name of the suite, lower-case words joined by hyphens.
        rows: numbers ``[N, D]``, one row per sample, at least 80 rows; or grey images ``[N, side, side]``. Copied.
        tasks: number of tasks in each split.
        networks: networks of every task; by default the usual ones, or convolutions for images larger than 8x8 pixels.
        base: what an unscheduled run uses. The tasks' learning rates are up to 10 times higher or lower.
        budget: updates of a run.
        images: whether rows are square images, which are standardised as a whole.
        register: whether to register the suite under its name.

    Raises:
        DataError: the rows are not a table of numbers, too few, not all finite, or a column is constant.
        InvalidValueError: the name is malformed or taken, or an argument is out of range.
    """
    if tasks < 1:
        raise InvalidValueError(f"tasks is {tasks}; it must be at least 1")
    if register and name in SUITES:
        raise InvalidValueError(f"suite {name!r} is registered already; choose another name")
    try:
        table = np.asanyarray(rows)  # a mask is refused below, not lost
    except ValueError as error:
        raise DataError(f"table {name!r} is not an array of numbers ({error}); give rows of one length") from None
    if table.ndim == 3:
        _check_sides(f"table {name!r}", table.shape[1], table.shape[2], networks)
        table, images = table.reshape(len(table), -1), True
    elif images and table.ndim == 2:
        side = math.isqrt(table.shape[1])
        _check_sides(f"table {name!r}", side, table.shape[1] / max(side, 1), networks)
    table = checked_rows(name, table, whole=images)
    if len(table) < 80:
        raise DataError(f"table {name!r} has {len(table)} rows; at least 80 are needed for three splits")
    if networks is None:
        large = images and table.shape[1] > LARGEST_FLAT
        networks = Networks(latent_dim=64, width=16, kind="conv") if large else Networks()
    digest = hashlib.sha256(repr((table.shape, images)).encode() + table.tobytes()).hexdigest()[:8]
    rng = np.random.default_rng(list(name.encode()))
    parts = np.split(
        rng.permutation(len(table)), (np.cumsum([SHARES["train"], SHARES["val"]]) * len(table)).astype(int)
    )
    splits: dict[str, tuple[Task, ...]] = {}
    for split, places in zip(SPLITS, parts, strict=True):
        constant = np.flatnonzero((table[places] == table[places[0]]).all(axis=0))
        if len(constant) == table.shape[1] or (len(constant) and not images):
            raise DataError(
                f"table {name!r}: column {constant[0]} differs in so few rows that it is constant in the {split} "
                "split; drop it, or give more rows"
            )
        family_name = f"{name}-{split}-{digest}"  # the digest keeps apart two tables of one name
        if family_name not in FAMILIES:
            family = ArrayTable(table[np.sort(places)])
            family.standardise = "whole" if images else "columns"
            FAMILIES.register(family_name, family)
        splits[split] = tuple(
            _task(f"{name}/{split}/{index:04d}", family_name, table.shape[1], networks, base or Base(), budget, rng)
            for index in range(tasks)
        )
    suite = Suite(name, 1, f"{len(table)} rows of {table.shape[1]} columns, a user's own", splits)
    if register:
        register_suite(suite)
    return suite


def suite_from_npy(path: str | os.PathLike[str], name: str | None = None, **options: Any) -> Suite:
    """Makes a suite from a NumPy file: rows ``[N, D]``, or grey images ``[N, side, side]``.

    Args:
        path: the file; it is read without pickle.
        name: name of the suite; by default the file's.
        **options: options of :func:`suite_from_array`; by default the suite is not registered.

    Raises:
        DataError: the file is damaged, or its data cannot be trained on.
    """
    try:
        rows = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"cannot read {path} as an array ({error}); write it with numpy.save") from None
    if not isinstance(rows, np.ndarray):
        raise DataError(f"{path} holds several arrays; save the one you want with numpy.save")
    return suite_from_array(name or _stem(path), rows, **{"register": False, **options})


def suite_from_csv(path: str | os.PathLike[str], name: str | None = None, **options: Any) -> Suite:
    """Makes a suite from a CSV file: one row per sample, only numbers, with or without a line of column names.

    Args:
        path: the file, in UTF-8.
        name: name of the suite; by default the file's.
        **options: options of :func:`suite_from_array`; by default the suite is not registered.

    Raises:
        DataError: the file cannot be read, a cell is not a finite number (the message gives line and column), or lines
            differ in length.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            lines = [(number, line) for number, line in enumerate(csv.reader(file), start=1) if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {path} as CSV: {error}") from None
    if lines and not any(_is_number(cell) for cell in lines[0][1]):
        header, lines = lines[0][1], lines[1:]
    else:
        header = [f"{place + 1}" for place in range(len(lines[0][1]))] if lines else []
    rows = []
    for number, line in lines:
        if len(line) != len(header):
            raise DataError(
                f"{path}, line {number} has {len(line)} cells, the first has {len(header)}; correct the line"
            )
        for place, cell in enumerate(line):
            if not _is_number(cell):
                raise DataError(
                    f"{path}, line {number}, column {header[place]!r}: {cell[:40]!r} is not a number; encode text as "
                    "numbers, and drop or fill missing values first"
                )
            if not math.isfinite(float(cell)):
                raise DataError(
                    f"{path}, line {number}, column {header[place]!r}: {cell[:40]!r} is not finite; drop or fill such "
                    "values first"
                )
        rows.append([float(cell) for cell in line])
    if not rows:
        raise DataError(f"{path} has no rows; give it at least 80")
    return suite_from_array(name or _stem(path), rows, **{"register": False, **options})


def suite_from_images(folder: str | os.PathLike[str], name: str | None = None, **options: Any) -> Suite:
    """Makes a suite from a folder of square images of one size. They are read as grey values.

    Args:
        folder: the folder; images in folders inside it count too.
        name: name of the suite; by default the folder's.
        **options: options of :func:`suite_from_array`; by default the suite is not registered.

    Raises:
        DataError: there are no images, one cannot be read, or they differ in size.
        MissingDependencyError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependencyError("Pillow", "data", "reading images") from error
    paths = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in PICTURES)
    if not paths:
        raise DataError(f"{folder} holds no images; they end in {', '.join(PICTURES)}")
    images = []
    for path in paths:
        try:
            with Image.open(path) as image:
                images.append(np.asarray(image.convert("L"), dtype=np.float64))
        except OSError as error:
            raise DataError(f"cannot read {path} as an image: {error}") from None
        height, width = images[-1].shape[:2]
        _check_sides(str(path), height, width, options.get("networks"), images[0].shape[0])
    return suite_from_array(name or _stem(folder), np.stack(images), **{"register": False, **options})


def _task(
    name: str, family: str, dim: int, networks: Networks, base: Base, budget: int, rng: np.random.Generator
) -> Task:
    factors = SPREAD ** rng.uniform(-1, 1, 2)
    task = Task(name, family, dim, networks=networks, base=base, budget=budget, seed=int(rng.integers(2**31)))
    return task.with_base(
        generator_lr=float(np.clip(base.generator_lr * factors[0], 1e-7, 10)),
        discriminator_lr=float(np.clip(base.discriminator_lr * factors[1], 1e-7, 10)),
    )


def _check_sides(what: str, height: float, width: float, networks: Networks | None, side: float | None = None) -> None:
    """Checks that images are square, have the first one's side, and that there are networks for them."""
    flat = height**2 <= LARGEST_FLAT if networks is None else networks.kind != "conv"
    if height != width or height != (side or height) or not (flat or height in SIDES):
        raise DataError(
            f"{what} is of {width:g}x{height:g} pixels; all must be square, of one size, with a side of "
            f"{', '.join(map(str, SIDES[:4]))} ... {SIDES[-1]}: resize them first"
        )


def _stem(path: str | os.PathLike[str]) -> str:
    stem = "".join(letter if letter.isalnum() else "-" for letter in Path(path).stem.lower()).strip("-")
    return stem or "own"


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


for _ending, _reader in ((".csv", suite_from_csv), (".npy", suite_from_npy), ("", suite_from_images)):
    READERS[_ending] = _reader
