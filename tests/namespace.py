"""Runs a test inside a network namespace of its own, where a port that is opened can be reached by nobody."""

import fcntl
import functools
import importlib.util
import os
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1  # of linux/sockios.h and linux/if.h
UNSHARE = ["unshare", "--net", "--map-root-user"]
"""Of util-linux; the second option lets ordinary users do it."""


def is_sealed() -> bool:
    """Whether this process sees no network interface but the loopback."""
    return [name for _, name in socket.if_nameindex()] == ["lo"]


def sealed(*libraries):
    """Decorator: the test runs in a Python of its own inside a namespace; it is skipped where that cannot be made."""

    def decorate(test):
        @functools.wraps(test)
        def wrapper(*args, **kwargs):
            for library in libraries:
                if importlib.util.find_spec(library) is None:
                    pytest.skip(f"{library} is not installed")
            if is_sealed():
                _raise_loopback()
                test(*args, **kwargs)
                return
            if shutil.which("unshare") is None or subprocess.run([*UNSHARE, "true"], capture_output=True).returncode:
                pytest.skip("no network namespace can be made here")
            root = Path(__file__).parent.parent
            node = os.environ["PYTEST_CURRENT_TEST"].rsplit(" ", 1)[0]
            command = [*UNSHARE, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", node]
            if importlib.util.find_spec("xdist") is not None:
                command.append("-n0")
            # Nobody can reach it, so it need leave no token in the user's home; nor could it report anything.
            quiet = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
            done = subprocess.run(command, cwd=root, env=quiet, capture_output=True, text=True, check=False)
            assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr

        return wrapper

    return decorate


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh", b"lo", 0)
        (flags,) = struct.unpack("16xh", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request)[:18])
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh", b"lo", flags | IFF_UP))
