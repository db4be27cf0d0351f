"""Runs a test in a Python of its own: one that has the libraries it needs, and where nobody can reach its ports.

Ray and Lightning are no part of the developers' environment. ``make extras`` makes one that has them.
"""

import fcntl
import functools
import os
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PYTHONS = [Path(sys.executable), ROOT / ".venv-extras" / "bin" / "python"]
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1  # of linux/sockios.h and linux/if.h
SEALED = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--map-root-user"]
"""Of util-linux: a network of its own, and processes that all end with the first. The last option lets ordinary users
do it."""
ALONE = {
    "RAY_AUTH_MODE": "disabled",  # nobody can reach it, so it need leave no token in the user's home
    "RAY_USAGE_STATS_ENABLED": "0",  # nor could it report anything
    "RAY_worker_register_timeout_seconds": "600",  # a busy machine takes long to start a worker
}


def needs(*libraries):
    """Decorator: the test runs where there are all of these libraries; it is skipped if that is nowhere."""
    return _decorator(libraries, seal=False)


def sealed(*libraries):
    """Decorator: besides, it runs inside a network namespace; it is skipped where that cannot be made."""
    return _decorator(libraries, seal=True)


def is_sealed() -> bool:
    """Whether this process sees no network interface but the loopback."""
    return [name for _, name in socket.if_nameindex()] == ["lo"]


def _decorator(libraries, seal):
    def decorate(test):
        @functools.wraps(test)
        def wrapper(*args, **kwargs):
            python = _python_with(libraries)
            if seal and is_sealed():
                _raise_loopback()
            elif seal and not _can_seal():
                pytest.skip("no network namespace can be made here")
            elif seal or python != sys.executable:
                return _run([*(SEALED if seal else []), python])
            return test(*args, **kwargs)

        return wrapper

    return decorate


@functools.cache
def _python_with(libraries: tuple[str, ...]) -> str:
    """The first Python that has them all."""
    code = "import sys; from importlib.util import find_spec; sys.exit(None in map(find_spec, sys.argv[1:]))"
    for python in PYTHONS:
        if python.exists() and not subprocess.run([python, "-c", code, *libraries], check=False).returncode:
            return str(python)
    pytest.skip(f"for want of the package {libraries[0]}; make extras installs it beside")


@functools.cache
def _can_seal() -> bool:
    return bool(shutil.which(SEALED[0])) and not subprocess.run([*SEALED, "true"], capture_output=True).returncode


def _run(python) -> None:
    """Runs the test that runs here once more, by that Python, and no other."""
    node = os.environ["PYTEST_CURRENT_TEST"].rsplit(" ", 1)[0]
    command = [*python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", node]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **ALONE}, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh", b"lo", 0)
        (flags,) = struct.unpack("16xh", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request)[:18])
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh", b"lo", flags | IFF_UP))
