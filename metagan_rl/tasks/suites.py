"""Suites: named, versioned sets of tasks in the splits train, val and test, each fixed by a manifest file."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, overload

import numpy as np

from metagan_rl.errors import FileFormatError, InvalidValueError, MetaGANError, UnknownNameError, brief
from metagan_rl.files import write_whole
from metagan_rl.records import read_json
from metagan_rl.registry import Registry
from metagan_rl.tasks.hidden import Hidden
from metagan_rl.tasks.task import Task

SPLITS = ("train", "val", "test")
MANIFESTS = Path(__file__).with_name("manifests")
"""Folder of the manifests of the built-in suites; ``make_manifests`` writes them."""
BUILT_IN = (
    "planar", "planar-mixed", "planar-loops", "ring8", "grid25", "dirac", "tabular", "digits", "mnist", "fashion-mnist",
    "unknown", "faults", "drift", "shift", "wide", "wide-loops",
)  # fmt: skip
FORMAT = "metagan-rl suite"
FORMAT_VERSION = 1
USUAL = {"tag": "known-family"}
"""Values that hashes leave out, besides those at their default. The first suites were made with this default."""


@dataclass(frozen=True)
class Split(Sequence[Task]):
    """The tasks of one split, in a fixed order.

    Attributes:
        suite: name of the suite.
        name: ``"train"``, ``"val"`` or ``"test"``.
        tasks: the tasks.
    """

    suite: str
    name: str
    tasks: tuple[Task, ...]

    def __len__(self) -> int:
        """Number of tasks."""
        return len(self.tasks)

    def __iter__(self) -> Iterator[Task]:
        """The tasks in order."""
        return iter(self.tasks)

    @overload
    def __getitem__(self, key: int | str) -> Task: ...
    @overload
    def __getitem__(self, key: slice) -> "Split": ...
    def __getitem__(self, key: int | str | slice) -> "Task | Split":
        """The task at a place or with a name; a slice gives a smaller split.

        Raises:
            UnknownNameError: no task has that name; the message offers the nearest names.
            IndexError: there is no such place.
        """
        if isinstance(key, slice):
            return replace(self, tasks=self.tasks[key])
        if not isinstance(key, str):
            return self.tasks[key]
        for task in self.tasks:
            if task.name == key:
                return task
        raise UnknownNameError(f"{self.suite}/{self.name} task", key, [task.name for task in self.tasks])

    def sample(self, rng: np.random.Generator) -> Task:
        """One task at random, all equally likely."""
        return self.tasks[int(rng.integers(len(self.tasks)))]


@dataclass(frozen=True)
class Suite:
    """A named, versioned set of tasks.

    Attributes:
        name: lower-case words joined by hyphens.
        version: whole number of at least 1; it changes whenever a task changes.
        description: one sentence for listings.
        splits: tasks by split name; train, val and test, or some of these.

    Raises:
        InvalidValueError: a split is misnamed or empty, two tasks share a name, or two splits share data (the same
            family, parameters and seed).
    """

    name: str
    version: int
    description: str
    splits: Mapping[str, tuple[Task, ...]] = field(repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "splits", {split: tuple(tasks) for split, tasks in self.splits.items()})
        if not isinstance(self.version, int) or self.version < 1:
            raise InvalidValueError(
                f"suite {self.name!r} has version {self.version!r}; it must be a whole number of at least 1"
            )
        if not self.splits:
            raise InvalidValueError(f"suite {self.name!r} has no splits; give it one of {', '.join(SPLITS)}")
        for split, tasks in self.splits.items():
            if split not in SPLITS:
                raise InvalidValueError(
                    f"suite {self.name!r} has a split {split!r}; splits are called {', '.join(SPLITS)}"
                )
            if not tasks:
                raise InvalidValueError(
                    f"split {split!r} of suite {self.name!r} is empty; give it a task or leave it out"
                )
        self._check_disjoint()

    def _check_disjoint(self) -> None:
        names: set[str] = set()
        first_use: dict[str, tuple[str, Task]] = {}
        for split, tasks in self.splits.items():
            for task in tasks:
                if not isinstance(task, Task):
                    raise InvalidValueError(
                        f"split {split!r} of suite {self.name!r} holds {task!r}, which is not a Task"
                    )
                if task.name in names:
                    raise InvalidValueError(f"suite {self.name!r} has two tasks named {task.name!r}; rename one")
                names.add(task.name)
                other_split, other = first_use.setdefault(_data_identity(task), (split, task))
                if other_split != split:
                    raise InvalidValueError(
                        f"suite {self.name!r}: {task.name!r} ({split}) and {other.name!r} ({other_split}) have the "
                        f"same family, parameters and seed {task.seed}: splits would share data; give one another seed"
                    )

    def split(self, name: str) -> Split:
        """One split.

        Raises:
            UnknownNameError: the suite has no such split; the message offers the nearest names.
        """
        if name not in self.splits:
            raise UnknownNameError(f"{self.name} split", name, self.splits)
        return Split(self.name, name, self.splits[name])

    @property
    def sha256(self) -> str:
        """SHA-256 (hexadecimal) of the canonical JSON of all tasks by split.

        Values at their default are left out, so that a setting added by a later release changes no hash.
        """
        records = {split: [_canonical(task) for task in tasks] for split, tasks in self.splits.items()}
        return hashlib.sha256(_json(records, sort_keys=True).encode()).hexdigest()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the manifest: JSON with one task per line. An existing file is replaced whole or not at all.

        Raises:
            OutputError: the file cannot be written.
        """
        records = {split: [task.to_dict() for task in tasks] for split, tasks in self.splits.items()}
        shared = _shared([record for split in records.values() for record in split])
        head = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "name": self.name,
            "version": self.version,
            "description": self.description,
            "sha256": self.sha256,
            "shared": shared,
        }
        lines = [f"{_json(key)}:{_json(value)}" for key, value in head.items()]
        splits = [
            f"{_json(split)}:[\n" + ",\n".join(_json(_without(record, shared)) for record in tasks) + "\n]"
            for split, tasks in records.items()
        ]
        write_whole(Path(path), "{\n" + ",\n".join([*lines, '"splits":{\n' + ",\n".join(splits) + "\n}"]) + "\n}\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Suite":
        """Reads a manifest that ``save`` wrote.

        Raises:
            FileFormatError: the file is missing, truncated, edited, of another kind or of a newer version.
        """
        content = read_json(Path(path), "a suite manifest")
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise FileFormatError(f'{path} is not a suite manifest: it does not say "format": "{FORMAT}"')
        if content.get("format_version") != FORMAT_VERSION:
            raise FileFormatError(
                f"{path} has format version {content.get('format_version')!r}; this release reads {FORMAT_VERSION}"
            )
        try:
            splits = {
                split: tuple(Task.from_dict(_with(record, content["shared"])) for record in records)
                for split, records in content["splits"].items()
            }
            suite = cls(content["name"], content["version"], content["description"], splits)
            found, stated = suite.sha256, content["sha256"]
        except (MetaGANError, KeyError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
            detail = f"there is no {error} in it" if type(error) is KeyError else brief(error)
            raise FileFormatError(f"{path} is not a valid suite manifest: {detail}") from error
        if found != stated:
            raise FileFormatError(
                f"{path}: its tasks have SHA-256 {found[:12]}…, but it states {str(stated)[:12]}…; "
                "the file was changed after it was made: restore it, or save the suite again"
            )
        return suite


SUITES: Registry[Callable[[], Suite]] = Registry("suite", importable=True)
"""Suites by name. An entry is a function that makes the suite; ``get_suite`` calls it only once."""
READERS: dict[str, Callable[[str], Suite]] = {".json": Suite.load}
"""Functions that make a suite from a file, by its ending; ``""`` stands for a folder."""


def get_suite(name: str) -> Suite:
    """The suite of that name.

    Args:
        name: a registered name; ``module:attribute`` of a suite or of a function that makes one; or a file: a manifest
            (``.json``), a table (``.csv``, ``.npy``), or a folder of images.

    Raises:
        UnknownNameError: there is none; the message offers the nearest names.
        FileFormatError: its manifest is damaged.
        DataError: its data cannot be trained on.
    """
    if name not in SUITES and is_suite(name):
        return _from_file(str(Path(name).resolve()))
    if name not in SUITES:
        raise UnknownNameError("suite", name, SUITES, missing_file(name))
    found = SUITES[name]
    return found if isinstance(found, Suite) else _make(found, name)


def is_suite(name: str) -> bool:
    """Whether :func:`get_suite` would find a suite under that name."""
    if name in SUITES:
        return True
    path = Path(name)
    return bool(name) and (path.is_dir() or (path.suffix in READERS and path.is_file()))


def missing_file(name: str) -> str:
    """What is wrong with a suite's name that is meant to be a file or folder; ``""`` if it is not."""
    kinds = [kind for kind in READERS if kind]
    if Path(name).is_file():
        return f"a file of data must end in {', '.join(kinds)}"
    return "there is no such file or folder" if Path(name).suffix in kinds or name.endswith(("/", os.sep)) else ""


@cache
def _from_file(path: str) -> Suite:
    return READERS["" if Path(path).is_dir() else Path(path).suffix](path)


def register_suite(suite: Suite | Callable[[], Suite], name: str | None = None) -> None:
    """Registers a suite, or a function without arguments that makes one when it is first needed.

    Args:
        suite: the suite, or the function.
        name: the name to register it under (lower-case words joined by hyphens). A function needs one; by default a
            suite keeps its own name. The suite is renamed to it.

    Raises:
        InvalidValueError: the name is missing, malformed or taken, or ``suite`` is neither of the two. A function's
            suite is checked when it is first needed.
    """
    if isinstance(suite, Suite):
        named = suite if name is None else replace(suite, name=name)
        SUITES.register(named.name, lambda: named)
        return
    if not callable(suite):
        raise InvalidValueError(f"suite is {suite!r}; give a Suite, or a function that returns one")
    if name is None:
        raise InvalidValueError("a function that makes a suite needs a name: register_suite(function, name=...)")
    SUITES.register(name, suite)


@cache
def _make(function: Callable[[], Suite], name: str) -> Suite:
    suite = function()
    if not isinstance(suite, Suite):
        raise InvalidValueError(f"the function registered as suite {name!r} returned {suite!r}; it must return a Suite")
    return suite if suite.name == name else replace(suite, name=name)


for _name in BUILT_IN:
    register_suite(partial(Suite.load, MANIFESTS / f"{_name}.json"), name=_name)


def _json(value: Any, sort_keys: bool = False) -> str:
    return json.dumps(value, sort_keys=sort_keys, separators=(",", ":"), allow_nan=False)


def _canonical(task: Task) -> dict[str, Any]:
    def chosen(record: Any) -> dict[str, Any]:
        usual = {item.name: USUAL.get(item.name, item.default) for item in fields(record)}
        found = {name: getattr(record, name) for name in usual if getattr(record, name) != usual[name]}
        return {name: value.to_dict() if isinstance(value, Hidden) else value for name, value in found.items()}

    return {
        **chosen(task),
        "parameters": dict(task.parameters),
        "networks": chosen(task.networks),
        "base": chosen(task.base),
    }


def _data_identity(task: Task) -> str:
    try:
        return _json([task.family, dict(task.parameters), task.seed], sort_keys=True)
    except (TypeError, ValueError) as error:
        raise InvalidValueError(
            f"task {task.name!r} has parameters that JSON cannot hold ({error}); use Python numbers, strings and lists"
        ) from None


def _shared(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Values that all records share, one level down into ``networks`` and ``base``. They are written only once."""
    first, shared = records[0], {}
    for key, value in first.items():
        values = [record.get(key) for record in records]
        if key in ("networks", "base"):
            shared[key] = {
                name: value[name] for name in value if all(each[key][name] == value[name] for each in records)
            }
        elif key != "parameters" and all(other == value for other in values):
            shared[key] = value
    return shared


def _without(record: dict[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    short = {key: value for key, value in record.items() if key not in shared}
    for key in ("networks", "base"):
        own = {name: value for name, value in record[key].items() if name not in shared[key]}
        if own:
            short[key] = own
    return short


def _with(record: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    nested = {key: {**shared[key], **record.get(key, {})} for key in ("networks", "base")}
    return {**shared, **record, **nested}
