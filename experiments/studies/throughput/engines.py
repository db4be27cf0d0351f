"""What trains populations here: the engines at hand, and the peak of the core that they run on."""

import ctypes
import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from metagan_rl.engine.build import variants_here
from metagan_rl.engine.library import VARIABLE, Library, NoLibrary, find_library, load_library
from metagan_rl.errors import InvalidValueError
from metagan_rl.experiments.studies.command import show_line
from metagan_rl.experiments.studies.throughput.turns import Side

TORCH, NATIVE, SEPARATE, JAX, PEAK = "torch", "native", "separate", "jax", "peak"
"""Names of the sides in rows: two engines, two peers, and the most that the core can do."""
ENGINES = (TORCH, NATIVE)
FMA_ROUNDS = 2_000_000


def missing() -> dict[str, str]:
    """In words, why a side is not at hand, for each that is not."""
    reasons = {}
    if isinstance(library := load_library(), NoLibrary):
        reasons[NATIVE] = library.reason
    if importlib.util.find_spec("jax") is None:
        reasons[JAX] = "jax is not installed; pip install 'jax>=0.5'"
    return reasons


def engines() -> Sequence[str]:
    """The engines at hand, torch first."""
    return [engine for engine in ENGINES if engine not in missing()]


def by_each(make: Callable[[str], Side]) -> list[Side]:
    """A side for each engine at hand that can train what is asked for; what it refuses is said in a line."""
    sides = []
    for engine in engines():
        try:
            sides.append(make(engine))
        except InvalidValueError as error:
            if engine == TORCH:
                raise
            show_line(f"left out: {engine}: {error}")
    return sides


def variants() -> list[str]:
    """The native engine's objects that this CPU runs, best first."""
    return [each.name for each in variants_here() if isinstance(find_library(each.name), Library)]


@contextmanager
def variant(name: str) -> Iterator[None]:
    """Populations made within the block are trained by this object of the native engine."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = name
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def peak() -> list[Side]:
    """Multiplications and additions in registers, as many as the core can do; none without the native engine."""
    library = load_library()
    if isinstance(library, NoLibrary):
        return []
    operations = library.handle.metagan_fma_peak
    operations.argtypes, operations.restype = [ctypes.c_int64], ctypes.c_double
    return [Side(PEAK, lambda: operations(FMA_ROUNDS))]
