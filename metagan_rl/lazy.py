"""Imports a package's names when they are first used. Type checkers read the ordinary imports beside it."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Makes a package's ``__getattr__``.

    Args:
        package: the package's ``__name__``.
        homes: the module that defines each name.
    """

    def __getattr__(name: str) -> Any:  # noqa: N807  (it really is one)
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(homes[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return __getattr__
