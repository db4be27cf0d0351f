"""Settings of the whole process. Only its owner should call them: the command line, worker processes, scripts."""

import contextlib
import ctypes
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch

from metagan_rl.errors import InvalidValueError
from metagan_rl.extensions import load_extensions_again
from metagan_rl.reproducible import reproducible

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # constants from glibc's malloc.h


def prepare_process(threads: int = 1) -> None:
    """Prepares this process for training populations. The library never calls it by itself.

    It sets one torch thread: use the cores with processes, as two threads on two busy cores are many times slower than
    one. It flushes denormal numbers to zero, as dead GANs fill up with them. It keeps freed memory, as small networks
    allocate and free the same few megabytes thousands of times a second. A worker process also imports what users had
    imported in the process that started it.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_THRESHOLD, 1 << 25)
        libc.mallopt(M_TRIM_THRESHOLD, 1 << 30)
    except (OSError, AttributeError):
        pass  # not glibc: training is only slower
    load_extensions_again()


@contextlib.contextmanager
def limited_threads(threads: int = 1) -> Iterator[None]:
    """Limits torch's threads in this block, and restores what was set before; usable as a decorator.

    Small networks lose by more threads: they wait for each other many times in every update. What a user's program does
    outside of the block keeps its threads. Warns once if torch does not allow it.
    """
    global _warned
    before = torch.get_num_threads()
    if before <= threads:
        yield
        return
    torch.set_num_threads(threads)
    if torch.get_num_threads() > threads and not _warned:
        _warned = True
        warnings.warn(
            f"torch keeps {before} threads, with which small GANs train many times slower; start Python with "
            "OMP_NUM_THREADS=1",
            RuntimeWarning,
            stacklevel=4,
        )
    try:
        yield
    finally:
        torch.set_num_threads(before)


_warned = False


@contextlib.contextmanager
def usual_torch() -> Iterator[None]:
    """One thread, float32 on the CPU unless something else is said: whatever the user's process has as its defaults.

    It restores the user's defaults behind it; usable as a decorator.
    """
    dtype = torch.get_default_dtype()
    elsewhere = torch.get_default_device().type != "cpu"
    with limited_threads(), torch.device("cpu") if elsewhere else contextlib.nullcontext():
        if dtype == torch.float32:
            yield
            return
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)


def find_device(name: str | torch.device) -> torch.device:
    """The device of that name, if this machine and this torch have it.

    Raises:
        InvalidValueError: there is none. No other device is silently used instead.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InvalidValueError(f"device is {name!r}; it must be 'cpu' or 'cuda'") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InvalidValueError(f"device is {name!r}, but torch {torch.__version__} finds no CUDA GPU here; use 'cpu'")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InvalidValueError(f"device is {name!r}, but there are {torch.cuda.device_count()} CUDA GPUs")
    if device.type not in ("cpu", "cuda"):
        raise InvalidValueError(f"device is {name!r}; it must be 'cpu' or 'cuda'")
    return device


def available_memory(device: torch.device) -> int | None:
    """Bytes still free on a device; ``None`` if the system does not tell."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return None


def _compute_as_elsewhere() -> None:
    """What :mod:`metagan_rl.reproducible` cannot set from outside.

    oneDNN and NNPACK cut their work by the size of the caches. MKL's square root begins with an instruction (rsqrtps)
    whose last bits differ between makers of CPUs. Torch rounds reciprocals of numbers and of square roots itself, as
    IEEE 754 says.
    """
    torch.backends.mkldnn.set_flags(False)
    torch.backends.nnpack.set_flags(False)
    roots = torch.library.Library("aten", "IMPL")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch tells of every operator that is replaced
        roots.impl("sqrt", lambda x: x.rsqrt().reciprocal_(), "CPU")
        roots.impl("sqrt_", lambda x: x.rsqrt_().reciprocal_(), "CPU")
        roots.impl("sqrt.out", lambda x, *, out: torch.rsqrt(x, out=out).reciprocal_(), "CPU")
    _kept.append(roots)


_kept: list[torch.library.Library] = []
"""Torch forgets an operator with the object that brought it."""
if reproducible():
    _compute_as_elsewhere()
