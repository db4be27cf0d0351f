"""Finds the native engine's object for this CPU and loads it. It starts no compiler and warns of what it refuses."""

import ctypes
import functools
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

from metagan_rl.engine.build import (
    COMMAND,
    OBJECTS,
    SOURCE,
    VARIANTS,
    Variant,
    fault,
    stamp,
    unsupported,
    variants_here,
)
from metagan_rl.errors import UnknownNameError

VERSION = 1
"""Of the C interface. An object that states another is refused."""
VARIABLE = "METAGAN_RL_ENGINE_VARIANT"
"""The environment variable that names the one variant to use, or ``none``."""


@dataclass(frozen=True)
class Library:
    """The native engine, loaded."""

    handle: ctypes.CDLL
    """Its C functions."""
    variant: str
    """The kind of CPU it was built for: ``x86-64-v4``, ``x86-64-v3`` or ``aarch64``."""
    path: Path
    """Where it was loaded from."""
    lanes: int
    """Floats in a vector."""
    build: str
    """A hash of its sources and flags, a space, and the compiler's version."""


@dataclass(frozen=True)
class NoLibrary:
    """There is no native engine here, so torch trains."""

    reason: str
    """Why, and what to do about it."""


class _RefusedError(Exception):
    """Why one object is not used."""


def load_library() -> Library | NoLibrary:
    """The native engine for this CPU, or why there is none.

    It is loaded with the first call, and the answer is kept. An object that is damaged or foreign is refused with a
    ``RuntimeWarning`` that names it, and the next best is taken.

    Raises:
        UnknownNameError: the environment variable METAGAN_RL_ENGINE_VARIANT names no variant.
    """
    return _load_once(os.environ.get(VARIABLE, ""))


@functools.cache
def _load_once(wanted: str) -> Library | NoLibrary:
    return find_library(wanted)


def find_library(
    wanted: str = "", folder: Path = OBJECTS, source: Path = SOURCE, cpu: frozenset[str] | None = None
) -> Library | NoLibrary:
    """What :func:`load_library` does, at every call and wherever the objects are.

    Args:
        wanted: the one variant to use, ``none``, or the empty string: the best that the CPU runs.
        folder: where the objects are.
        source: where their sources are. If they are there, an object of others is refused.
        cpu: what the CPU has, as ``/proc/cpuinfo`` names it; ``None``: this one.

    Raises:
        UnknownNameError: ``wanted`` names no variant.
    """
    names = [each.name for each in VARIANTS]
    if wanted and wanted not in (*names, "none"):
        raise UnknownNameError(f"engine variant in {VARIABLE}", wanted, [*names, "none"])
    if wanted == "none":
        return NoLibrary(f"the native engine is switched off: {VARIABLE} is 'none'")
    if not (here := variants_here()):
        return NoLibrary(f"there is no native engine here: {unsupported()}")
    if wanted and wanted not in (each.name for each in here):
        return NoLibrary(f"{VARIABLE} is {wanted!r}, which is for other machines; known here: {_names(here)}")
    chosen = [each for each in here if each.name == wanted or not wanted]
    cpu = cpu_flags() if cpu is None else cpu
    runnable = [each for each in chosen if each.needs <= cpu]
    if not runnable:
        lacking = ", ".join(sorted(chosen[-1].needs - cpu))
        return NoLibrary(f"the native engine's {chosen[-1].name} does not run here: this CPU lacks {lacking}")
    refused = False
    for variant in runnable:
        path = variant.path(folder)
        if not os.path.exists(path):
            continue
        try:
            return _open(variant, path, stamp(variant, source))
        except _RefusedError as error:
            refused = True
            warnings.warn(f"{path} is refused: {error}; build it again: {COMMAND}", RuntimeWarning, stacklevel=2)
    if refused:
        return NoLibrary(f"the native engine in {folder} was refused; build it again: {COMMAND}")
    return NoLibrary(f"the native engine is not built ({_names(runnable)}); run {COMMAND}, which needs a C++ compiler")


def cpu_flags() -> frozenset[str]:
    """What this CPU has, as Linux names it; nothing if Linux does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), ()))


def _open(variant: Variant, path: Path, expected: str | None) -> Library:
    """Loads an object, after all that can be told without running any of it."""
    try:
        if wrong := fault(path):
            raise _RefusedError(wrong)
        handle = ctypes.CDLL(str(path))
        version, lanes = handle.metagan_engine_version, handle.metagan_engine_lanes
        build = handle.metagan_engine_build
    except OSError as error:  # of another architecture, or needs a newer libc
        raise _RefusedError(f"it cannot be loaded ({error.strerror or error})") from error
    except AttributeError as error:
        raise _RefusedError(f"it is not the native engine ({error})") from error
    build.restype = ctypes.c_char_p
    if (found := version()) != VERSION:
        raise _RefusedError(f"its interface has version {found}, this release needs {VERSION}")
    if (width := lanes()) != variant.lanes:
        raise _RefusedError(f"its vectors hold {width} floats, those of {variant.name} hold {variant.lanes}")
    made = build().decode(errors="replace")
    if expected is not None and made.partition(" ")[0] != expected:
        raise _RefusedError("it was built from other sources than those beside it")
    return Library(handle, variant.name, path, width, made)


def _names(variants: tuple[Variant, ...] | list[Variant]) -> str:
    return ", ".join(each.name for each in variants)
