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
    "-Wl,-Bsymbolic",
    "-Wl,--gc-sections",  # what is not called needs no newer libc
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


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler."""

    command: tuple[str, ...]
    """What starts it."""
    version: str
    """Its version in one line, and what CXX adds."""


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
    """For the user: one line, followed by what the compiler said if it failed."""


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


def find_compiler() -> Compiler:
    """The C++ compiler that CXX names, or the first of ``COMPILERS`` that is here.

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
            version = " ".join([lines[0], *command[1:]])
            return Compiler(tuple(command), version.replace('"', "").replace("\\", "").strip())
    tried = f"CXX={shlex.join(named)} does not run" if named else f"none of {', '.join(COMPILERS)} is here"
    raise BuildError(f"for want of a C++ compiler: {tried}. Install one (Debian: apt install g++), then run {COMMAND}")


def build(folder: Path = OBJECTS, source: Path = SOURCE) -> Report:
    """Builds what is missing or out of date for this machine.

    An object of other sources is removed if it cannot be built again: nothing would load it.

    Args:
        folder: where the objects go.
        source: where ``engine.cpp`` is.
    """
    variants = variants_here()
    if not variants:
        return Report((), False, f"native engine: none, so torch trains: {unsupported()}")
    compiler: Compiler | str
    try:
        compiler = find_compiler()
    except BuildError as error:
        compiler = str(error)
    # Compilers are processes of their own, so threads are enough to run them side by side.
    with ThreadPoolExecutor() as pool:
        outcomes = list(pool.map(lambda variant: _settle(variant, compiler, folder, source), variants))
    present = tuple(variant for variant, (there, _) in zip(variants, outcomes, strict=True) if there)
    told: dict[str, list[str]] = {}
    for variant, (_, text) in zip(variants, outcomes, strict=True):
        told.setdefault(text, []).append(variant.name)
    # What the compiler says comes last, as it has many lines.
    lines = sorted((f"{' and '.join(names)} {text}" for text, names in told.items()), key=lambda line: line.count("\n"))
    start = "native engine: " if present else "native engine: none, so torch trains: "
    return Report(present, present == variants, start + "; ".join(lines))


def _settle(variant: Variant, compiler: Compiler | str, folder: Path, source: Path) -> tuple[bool, str]:
    """Sees to one variant. Returns whether its object is there, and what became of it."""
    if isinstance(compiler, str):
        if is_current(variant, None, folder, source):
            return True, "up to date"
        _remove(variant.path(folder))
        return False, f"not built, {compiler}"
    if is_current(variant, compiler.version, folder, source):
        return True, "up to date"
    try:
        _compile(variant, compiler, folder, source)
    except BuildError as error:
        if is_current(variant, None, folder, source):
            return True, f"kept as another compiler made it: {error}"
        _remove(variant.path(folder))
        return False, f"not built: {error}"
    return True, f"built by {compiler.version}"


def _compile(variant: Variant, compiler: Compiler, folder: Path, source: Path) -> None:
    """Makes one object. It has its final name only when it is whole."""
    path = variant.path(folder)
    temporary = folder.absolute() / f".{path.name}.{os.getpid()}.tmp"
    made_of = f"{stamp(variant, source)} {compiler.version}"
    defines = [f"-DVL={variant.lanes}", f'-DMETAGAN_ENGINE_BUILD="{made_of}"']
    # Run where the sources are, so that no path of this machine gets into the object.
    line = [*compiler.command, *FLAGS, *variant.flags, *defines, "engine.cpp", "-o", str(temporary)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(line, cwd=source, capture_output=True, text=True, errors="replace", env=_environment())
        if done.returncode:
            raise BuildError(f"{compiler.version} says\n{(done.stderr or done.stdout).strip() or 'nothing'}")
        checksum_path(path).write_text(checksum(temporary, path.name), encoding="ascii")
        os.replace(temporary, path)
    except OSError as error:
        raise BuildError(f"{path} cannot be written ({error.strerror or error})") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _remove(path: Path) -> None:
    for each in (path, checksum_path(path)):
        with contextlib.suppress(OSError):  # where nothing can be written, the report says so
            each.unlink()


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
