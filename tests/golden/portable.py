"""A short run of a little of everything under ``--reproducible``: the same bits on every machine.

    METAGAN_RL_REPRODUCIBLE=1 PYTHONPATH=tests python -m golden.portable [--write]

prints a digest of each part's numbers, or writes them down. They are the same wherever the versions of torch and NumPy
are; those of the native engine also need an object that the same compiler made.
"""

# isort: off
import metagan_rl  # noqa: F401  # first: it sets what NumPy and torch read when they are loaded
# isort: on

import hashlib
import json
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

from golden import record
from metagan_rl.engine.library import VARIABLE, Library, load_library
from metagan_rl.reproducible import reproducible
from metagan_rl.runtime import prepare_process
from metagan_rl.tasks import get_suite

PORTABLE = Path(__file__).with_name("portable.json")


def recurrent_ppo() -> dict[str, Any]:
    """Two iterations of training, with an LSTM and Adam."""
    with mock.patch.object(record, "ALGORITHMS", ("recurrent-ppo",)):
        return record.learned()


def images() -> dict[str, Any]:
    """Convolutions."""
    return {name: record.driven("cosine", [get_suite(name).split("val")[0]], 1) for name in ("digits", "mnist")}


PARTS = {
    "torch": (record.meta_initialisation, recurrent_ppo, images),
    "native": (record.environments, record.tuned),
}


def digests() -> dict[str, Any]:
    """The versions that equal bits need, and the digest of each part by the engine that trains."""
    assert reproducible(), __doc__
    prepare_process()
    library = load_library()
    told: dict[str, Any] = {name: version(name) for name in ("torch", "numpy")}
    told["engine"] = f"{library.variant} {library.build}" if isinstance(library, Library) else "none"
    for engine, parts in PARTS.items():
        switch = {VARIABLE: "none", record.SAID: "1"} if engine == "torch" else {}
        with mock.patch.dict(os.environ, switch):
            told |= {f"{engine}: {part.__name__}": digest(part()) for part in parts}
    return told


def digest(numbers: Any) -> str:
    """Of all bits: JSON writes a number so that it is read back the same."""
    return hashlib.sha256(json.dumps(record.plain(numbers), sort_keys=True).encode()).hexdigest()[:16]


if __name__ == "__main__":
    content = json.dumps(digests(), indent=2) + "\n"
    if "--write" in sys.argv:
        PORTABLE.write_text(content, encoding="utf-8")
    print(content, end="")
