"""Settings of the whole process, for those who own one: the command line, worker processes, scripts."""

import ctypes
import os
from pathlib import Path

import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # numbers of glibc's malloc.h


def prepare_process(threads: int = 1) -> None:
    """Makes this process fit for training populations. The library never calls it by itself.

    One torch thread (use the cores with processes: two threads on two busy cores are many times slower than one);
    denormal numbers flushed to zero (dead GANs fill with them); freed memory kept (small networks allocate and free
    the same few megabytes thousands of times a second).
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_THRESHOLD, 1 << 25)
        libc.mallopt(M_TRIM_THRESHOLD, 1 << 30)
    except (OSError, AttributeError):
        pass  # not glibc: only slower


def available_memory() -> int | None:
    """Bytes that can still be taken, or ``None`` where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return None
