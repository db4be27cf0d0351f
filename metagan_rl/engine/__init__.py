"""The native engine: the sources, what builds them, and what loads them. Importing this loads and builds nothing."""

from typing import TYPE_CHECKING

from metagan_rl.lazy import lazy

if TYPE_CHECKING:
    from metagan_rl.engine.library import Library, NoLibrary, load_library

__all__ = ["Library", "NoLibrary", "load_library"]
__getattr__ = lazy(__name__, dict.fromkeys(__all__, "metagan_rl.engine.library"))
