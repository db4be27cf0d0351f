"""The same numbers on other machines: what ``--reproducible`` and METAGAN_RL_REPRODUCIBLE=1 set for the CPU libraries.

Left alone, each library takes the best instructions that a CPU has, and other instructions add in another order. Here
all take those that every x86-64 CPU with AVX2 has. The libraries read this when they are loaded, so it is set before.
Nothing but the standard library is imported. docs/trust.md says what is equal where.
"""

import logging
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from metagan_rl.errors import InvalidValueError

VARIABLE = "METAGAN_RL_REPRODUCIBLE"
"""The environment variable that asks for it; worker processes inherit it."""
FLAG = "--reproducible"
SHARED = "x86-64-v3"
"""The kind of CPU that all machines are taken for."""
LIBRARIES = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "COMPATIBLE",  # any other branch is another one on Intel's CPUs than on AMD's
    "OPENBLAS_CORETYPE": "Haswell",
    "METAGAN_RL_ENGINE_VARIANT": SHARED,
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""Environment variables of torch, oneDNN, MKL, NumPy's OpenBLAS and the native engine; threads share sums out."""
LOADED = ("torch", "numpy")


def reproducible() -> bool:
    """Whether it is asked for."""
    return os.environ.get(VARIABLE, "") not in ("", "0")


def mark() -> dict[str, bool]:
    """What the configuration of a run says of it: nothing if it is not asked for. Runs are not mixed."""
    return {"reproducible": True} if reproducible() else {}


def variables() -> dict[str, str]:
    """The environment variables to set on this machine; none if its CPU is of another kind."""
    from metagan_rl.engine.build import variants_here  # importing the package loads no part of the engine
    from metagan_rl.engine.library import cpu_flags

    if not any(each.name == SHARED and each.needs <= cpu_flags() for each in variants_here()):
        return {}
    return {**LIBRARIES, "NPY_ENABLE_CPU_FEATURES": _numpy_features()}


def set_libraries() -> None:
    """Sets the variables if this is asked for; called before anything else of the package is imported.

    Raises:
        InvalidValueError: torch or NumPy was imported before, with other variables.
    """
    if not reproducible():
        return
    wanted = variables()
    if not wanted:
        logging.getLogger("metagan_rl").warning(
            "reproducible: this is no Linux on a CPU of the kind %s; numbers differ from those of machines that are",
            SHARED,
        )
    if all(os.environ.get(name) == value for name, value in wanted.items()):
        return
    early = [name for name in LOADED if name in sys.modules]
    if early:
        raise InvalidValueError(
            f"{VARIABLE} is set, but {early[0]} was imported before metagan_rl and cannot be changed any more; import "
            "metagan_rl first"
        )
    os.environ.pop("NPY_DISABLE_CPU_FEATURES", None)  # NumPy takes only one of the two
    os.environ.update(wanted)


def asked(arguments: Sequence[str]) -> bool:
    """Whether a command line asks for it."""
    return FLAG in arguments


def restart() -> None:
    """Starts this Python anew with the variable set, as NumPy is loaded by now. Does not return."""
    os.environ[VARIABLE] = "1"
    command = [sys.executable, *sys.orig_argv[1:]]
    if sys.platform != "win32":
        os.execv(sys.executable, command)
    import subprocess

    sys.exit(subprocess.run(command).returncode)


def _numpy_features() -> str:
    """The shared kind of CPU in NumPy's words."""
    try:
        new = tuple(map(int, version("numpy").split(".")[:2])) >= (2, 4)
    except (PackageNotFoundError, ValueError):
        new = True
    return "X86_V3" if new else "SSSE3 SSE41 POPCNT SSE42 AVX F16C FMA3 AVX2"
