"""Imports what users add to the package: their files and modules, by name, in worker processes too.

There are three ways: ``metagan-rl ... --import FILE_OR_MODULE``, :func:`load_extension`, and installed packages with an
entry point of the group ``metagan_rl``. The code is only imported: an extension must itself register what it adds.
"""

import importlib
import importlib.util
import os
import sys
import traceback
import zlib
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from metagan_rl.errors import ExtensionError

VARIABLE = "METAGAN_RL_IMPORT"
"""The environment variable that tells worker processes what to import."""
GROUP = "metagan_rl"
"""The group of entry points under which packages add themselves."""
_loaded: dict[str, ModuleType] = {}
_entry_points_loaded = False


def load_extension(what: str | os.PathLike[str]) -> ModuleType:
    """Imports a user's file (``things.py``) or module (``my_package.things``) once, here and in later worker processes.

    Raises:
        ExtensionError: it does not exist, or its own code raised; the message then holds the user's traceback.
    """
    name = os.fspath(what)
    path = Path(name)
    is_file = path.suffix == ".py" or path.is_file()
    key = str(path.resolve()) if is_file else name
    if key not in _loaded:
        _loaded[key] = _run_file(Path(key), name) if is_file else import_named(name)
        told = [each for each in os.environ.get(VARIABLE, "").split(os.pathsep) if each]
        os.environ[VARIABLE] = os.pathsep.join(dict.fromkeys([*told, key]))
    return _loaded[key]


def load_extensions_again() -> None:
    """Imports in a worker process what the process that started it had imported."""
    for name in os.environ.get(VARIABLE, "").split(os.pathsep):
        if name:
            load_extension(name)


def load_entry_points() -> None:
    """Imports the installed packages that extend this one, once. If one fails, the error names it."""
    global _entry_points_loaded
    if _entry_points_loaded:
        return
    _entry_points_loaded = True  # set first, as extensions look up names themselves
    for entry in entry_points(group=GROUP):
        try:
            entry.load()
        except Exception as error:  # a package's code may raise anything
            raise ExtensionError(f"the extension {entry.name!r} ({entry.value}) failed:\n{_theirs(error)}") from None


def import_named(name: str) -> ModuleType:
    """Imports a user's module, which may also lie in the working directory.

    Raises:
        ExtensionError: there is no such module, or its own code raised.
    """
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # python -m does the same
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.split(".")[0] and error.name != name:
            raise ExtensionError(f"importing {name} failed:\n{_theirs(error)}") from None
        raise ExtensionError(f"there is no module {name!r} to import; give a file (things.py) or a module") from None
    except Exception as error:  # a user's code may raise anything
        raise ExtensionError(f"importing {name} failed:\n{_theirs(error)}") from None


def _run_file(path: Path, given: str) -> ModuleType:
    if not path.is_file():
        raise ExtensionError(f"there is no file {given} to import; give a file (things.py) or a module")
    # Files of one name in two folders are two modules; a worker finds the same name from the same path.
    name = f"metagan_rl_import_{path.stem}_{zlib.crc32(str(path).encode()):08x}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ExtensionError(f"{given} is not a Python file; give one that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # objects that it defines can then be pickled
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a user's code may raise anything
        del sys.modules[name]
        raise ExtensionError(f"importing {given} failed:\n{_theirs(error)}") from None
    return module


def _theirs(error: Exception) -> str:
    """The traceback from the first frame that belongs neither to this package nor to the import system."""
    trace = error.__traceback__
    ours = (str(Path(__file__)), "<frozen importlib", importlib.__file__ or "")
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(ours):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace)).rstrip()
