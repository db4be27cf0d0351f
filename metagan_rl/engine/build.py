"""Builds the native engine: ``python -m metagan_rl.engine.build``.

One C++ file becomes one shared object for each kind of CPU, a variant. Each lies in ``objects`` with its checksum.
Nothing but the standard library is imported here, as ``setup.py`` runs this file before anything is installed.
"""

import contextlib
import hashlib
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parent / "source"
OBJECTS = Path(__file__).parent / "objects"
COMMAND = "python -m metagan_rl.engine.build"
COMPILERS = ("g++", "clang++", "c++")
"""Looked for in this order, unless the environment variable CXX names one."""

FLAGS = (
    "-O3",
    "-std=c++17",
    "-fopenmp-simd",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
    "-fPIC",
    "-shared",
    "-Wno-psabi",
    "-fvisibility=hidden",
    # No C++ library is needed where it runs, and none of its names can meet those of torch's.
    "-static-libstdc++",
    "-static-libgcc",
    "-Wl,--exclude-libs,ALL",
    "-Wl,-z,defs",  # a function that is nowhere is an error here, not where it is loaded
)

_V3 = frozenset({"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"})
_V4 = _V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}


@dataclass(frozen=True)
class Variant:
    """A kind of CPU that the engine is built for."""

    name: str
    """As in the object's file name."""
    machine: str
    """As :func:`platform.machine` names it."""
    lanes: int
    """Floats in a vector."""
    flags: tuple[str, ...]
    """What the compiler is told besides ``FLAGS``."""
    needs: frozenset[str]
    """What the CPU must have, as ``/proc/cpuinfo`` names it. ``abm`` is the instruction lzcnt."""

    def path(self, folder: Path = OBJECTS) -> Path:
        """Where its object lies."""
        return folder / f"metagan_engine-{self.name}.so"


VARIANTS = (
    Variant("x86-64-v4", "x86_64", 16, ("-march=x86-64-v4", "-mprefer-vector-width=512"), _V4),
    Variant("x86-64-v3", "x86_64", 8, ("-march=x86-64-v3",), _V3),
    Variant("aarch64", "aarch64", 4, (), frozenset()),
)
"""Best first."""


class BuildError(Exception):
    """Why there is no object. It stops no installation: torch trains."""


@dataclass(frozen=True)
class Report:
    """What a build did."""

    variants: tuple[Variant, ...]
    """Those whose objects are there now and are of these sources."""
    complete: bool
    """Whether that is all that this machine can have."""
    message: str
    """For the user: one line, and after it what the compiler said."""


def variants_here() -> tuple[Variant, ...]:
    """The variants for this system and machine, best first; none if the engine does not support it."""
    return tuple(each for each in VARIANTS if platform.system() == "Linux" and each.machine == platform.machine())


def unsupported() -> str:
    """What to say where :func:`variants_here` is empty."""
    return f"it is for Linux on x86-64 and aarch64, and this is {platform.system()} on {platform.machine()}"


def stamp(variant: Variant, source: Path = SOURCE) -> str | None:
    """A hash of the sources and flags that an object is made of, 16 hexadecimal digits; ``None`` without sources."""
    files = sorted(path for path in source.glob("*") if path.suffix in (".cpp", ".h"))
    if not files:
        return None
    parts = [*FLAGS, *variant.flags, str(variant.lanes)]
    for path in files:
        parts += [path.name, hashlib.sha256(path.read_bytes()).hexdigest()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def checksum_path(path: Path) -> Path:
    """The file beside an object that holds its checksum; ``sha256sum --check`` reads it too."""
    return path.with_name(f"{path.name}.sha256")


def checksum(path: Path, name: str) -> str:
    """What belongs into that file, for an object that will be called so."""
    return f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n"


def fault(path: Path) -> str | None:
    """Why a file is not an object as it was built, or ``None``. Nothing of it is run: loading half a file can crash.

    Raises:
        OSError: the object cannot be read.
    """
    try:
        stated = checksum_path(path).read_text(encoding="ascii", errors="replace")
    except OSError:
        return "it has no checksum beside it"
    return None if stated == checksum(path, path.name) else "it is not the file that was built: its checksum differs"


def is_current(variant: Variant, compiler: str | None = None, folder: Path = OBJECTS, source: Path = SOURCE) -> bool:
    """Whether a variant's object is there, whole, and made of these sources.

    Args:
        variant: which one.
        compiler: the version of the compiler that must have made it; ``None``: any.
        folder: where the objects are.
        source: where the sources are.
    """
    path = variant.path(folder)
    try:
        return fault(path) is None and f"{stamp(variant, source)} {compiler or ''}".encode() in path.read_bytes()
    except OSError:
        return False


def find_compiler() -> tuple[list[str], str]:
    """The C++ compiler's command, and its version in one line.

    Raises:
        BuildError: there is none.
    """
    named = shlex.split(os.environ.get("CXX", ""))
    for command in [named] if named else [[name] for name in COMPILERS]:
        try:
            told = subprocess.run([*command, "--version"], capture_output=True, text=True, env=_environment())
        except OSError:
            continue
        lines = told.stdout.splitlines()
        if told.returncode == 0 and lines:
            return command, lines[0].replace('"', "").replace("\\", "").strip()
    tried = f"CXX={shlex.join(named)} is none" if named else f"none of {', '.join(COMPILERS)} is here"
    raise BuildError(f"it needs a C++ compiler, and {tried}; install one (Debian: apt install g++) and run {COMMAND}")


def build(folder: Path = OBJECTS, source: Path = SOURCE) -> Report:
    """Builds what is missing or out of date for this machine.

    An object of other sources is removed if it cannot be built again: nothing would load it.

    Args:
        folder: where the objects go.
        source: where ``engine.cpp`` is.
    """
    variants = variants_here()
    if not variants:
        return Report((), False, f"native engine: not built, {unsupported()}; torch trains")
    command: list[str] = []
    compiler, lacking = None, ""
    try:
        command, compiler = find_compiler()
    except BuildError as error:
        lacking = str(error)
    there = [each for each in variants if is_current(each, compiler, folder, source)]
    missing = [each for each in variants if each not in there]
    built, faults = {}, {}
    if command:
        # Compilers are processes of their own, so threads are enough to run them side by side.
        with ThreadPoolExecutor() as pool:
            jobs = {each: pool.submit(_compile, each, command, compiler, folder, source) for each in missing}
        for each, job in jobs.items():
            try:
                built[each] = job.result()
            except BuildError as error:
                faults[each] = str(error)
    kept = [each for each in faults if is_current(each, None, folder, source)]  # of another compiler, but good
    for each in missing:
        if each not in built and each not in kept:
            _remove(each.path(folder))
    parts = []
    if there:
        parts.append(f"{_names(there)} up to date")
    if built:
        parts.append(f"{_names(built)} built in {max(built.values()):.1f} s by {compiler}")
    if lacking and missing:
        parts.append(f"{_names(missing)} not built, {lacking}")
    if faults:
        parts.append(f"{_names(faults)} not built, the compiler failed")
    if kept:
        parts.append(f"{_names(kept)} kept from another compiler")
    present = tuple(each for each in variants if each in (*there, *built, *kept))
    if not present:
        parts.append("torch trains")
    # Both variants mostly fail of one fault.
    message = "\n".join([f"native engine: {'; '.join(parts)}", *dict.fromkeys(faults.values())])
    return Report(present, present == variants, message)


def _compile(variant: Variant, command: list[str], compiler: str | None, folder: Path, source: Path) -> float:
    """Makes one object, and returns the seconds that took. It has its final name only when it is whole."""
    path = variant.path(folder)
    temporary = folder.absolute() / f".{path.name}.{os.getpid()}.tmp"
    defines = [f"-DVL={variant.lanes}", f'-DMETAGAN_ENGINE_BUILD="{stamp(variant, source)} {compiler}"']
    # Run where the sources are, so that no path of this machine gets into the object.
    line = [*command, *FLAGS, *variant.flags, *defines, "engine.cpp", "-o", str(temporary)]
    started = time.perf_counter()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(line, cwd=source, capture_output=True, text=True, errors="replace", env=_environment())
        if done.returncode:
            raise BuildError(f"{shlex.join(command)}: {(done.stderr or done.stdout).strip() or 'no message'}")
        checksum_path(path).write_text(checksum(temporary, path.name), encoding="ascii")
        os.replace(temporary, path)
    except OSError as error:
        raise BuildError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return time.perf_counter() - started


def _remove(path: Path) -> None:
    for each in (path, checksum_path(path)):
        with contextlib.suppress(OSError):  # where nothing can be written, the report says so
            each.unlink()


def _names(variants: Iterable[Variant]) -> str:
    return " and ".join(each.name for each in variants)


def _environment() -> dict[str, str]:
    """The compiler's messages in English, and its version in one spelling."""
    return {**os.environ, "LC_ALL": "C"}


def main() -> int:
    """Builds, says what it did, and returns the exit status: 0 if every object for this machine is there."""
    report = build()
    print(report.message, flush=True)
    return 0 if report.complete else 1


if __name__ == "__main__":
    sys.exit(main())
