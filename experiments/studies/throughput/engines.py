"""What trains populations here: the engines at hand, and the peak of the core that they run on."""

import ctypes
import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import cache
from typing import Any

from metagan_rl.errors import MetaGANError
from metagan_rl.experiments.studies.throughput.turns import Side
from metagan_rl.populations.options import PopulationOptions

TORCH, NATIVE, SEPARATE, JAX, PEAK = "torch", "native", "separate", "jax", "peak"
"""Names of the sides in rows: two engines, two peers, and the most that the core can do."""
ENGINES = (TORCH, NATIVE)
FMA_ROUNDS = 2_000_000


@cache
def missing() -> dict[str, str]:
    """In words, why a side is not at hand, for each that is not."""
    reasons = {}
    if isinstance(library(), str):
        reasons[NATIVE] = str(library())
    if importlib.util.find_spec("jax") is None:
        reasons[JAX] = "jax is not installed; pip install 'metagan-rl[peers]'"
    return reasons


@cache
def library() -> Any:
    """The handle of the engine's shared object, or in words why there is none."""
    if "engine" not in {field.name for field in fields(PopulationOptions)}:
        return "populations have no option 'engine'"
    try:
        found = importlib.import_module("metagan_rl.engine.library").load_library()
    except ModuleNotFoundError as error:
        return str(error)
    handle = getattr(found, "handle", None)
    return str(found) if handle is None else handle


def engines() -> Sequence[str]:
    """The engines at hand, torch first."""
    return [engine for engine in ENGINES if engine not in missing()]


def by(engine: str) -> dict[str, Any]:
    """The keyword that has populations and environments trained by an engine."""
    return {"engine": engine} if NATIVE not in missing() else {}


def by_each(make: Callable[[str], Side]) -> list[Side]:
    """A side for each engine at hand that can train what is asked for; what it refuses is said in a line."""
    sides = []
    for engine in engines():
        try:
            sides.append(make(engine))
        except MetaGANError as error:
            if engine == TORCH:
                raise
            print(f"left out: {engine}: {error}", flush=True)
    return sides


def peak() -> list[Side]:
    """Multiplications and additions in registers, as many as the core can do; none without the engine's library."""
    handle = library()
    if isinstance(handle, str):
        return []
    operations = handle.metagan_fma_peak
    operations.argtypes, operations.restype = [ctypes.c_int64], ctypes.c_double
    return [Side(PEAK, lambda: operations(FMA_ROUNDS))]
