"""One small registry for everything that is looked up by name: families, suites, losses, knobs, schedulers and more."""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from metagan_rl.errors import ExtensionError, InvalidValueError, UnknownNameError
from metagan_rl.extensions import import_named, load_entry_points

T = TypeVar("T")


class Registry(Generic[T]):
    """A table from names to entries, in order of registration.

    A name that is not registered is looked for in installed extensions, whose entry points are then loaded. If
    ``importable``, a name of the form ``module:attribute`` stands for that attribute of that module.

    Args:
        kind: what the entries are, in the singular, for messages ("unknown family 'rng'; did you mean ring?").
        words: what joins the words of a name: ``"-"``, or ``"_"`` if names are also keywords.
        importable: whether ``module:attribute`` is allowed.
    """

    def __init__(self, kind: str, *, words: str = "-", importable: bool = False) -> None:
        self.kind, self._words, self._importable = kind, words, importable
        self._entries: dict[str, T] = {}

    def register(self, name: str, entry: T) -> T:
        """Adds an entry and returns it.

        Raises:
            InvalidValueError: the name is taken, or is not lower-case words joined as they should be.
        """
        other = "_" if self._words == "-" else "-"
        odd = {" ", other, "|", ",", "/", "\\"}
        if not isinstance(name, str) or not name or name != name.lower() or odd & set(name) or not name.isprintable():
            joined = "hyphens" if self._words == "-" else "underscores"
            raise InvalidValueError(f"{self.kind} name {name!r} must be lower-case words joined by {joined}")
        if name in self._entries:
            raise InvalidValueError(f"{self.kind} {name!r} is registered already; choose another name")
        self._entries[name] = entry
        return entry

    def __call__(self, name: str) -> Callable[[T], T]:
        """Decorator form of :meth:`register`."""
        return lambda entry: self.register(name, entry)

    def __getitem__(self, name: str) -> T:
        """The entry of that name.

        Raises:
            UnknownNameError: there is none; the message offers the nearest names.
            InvalidValueError: a ``module:attribute`` cannot be imported.
        """
        if name not in self:
            raise UnknownNameError(self.kind, name, self._entries)
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        if name in self._entries:
            return True
        if self._importable and ":" in name:
            self._entries[name] = self._imported(name)
        else:
            load_entry_points()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def values(self) -> list[T]:
        """The entries, in order of registration."""
        return list(self._entries.values())

    def index(self, name: str) -> int:
        """The place of a name in the order of registration, from 0."""
        self[name]
        return list(self._entries).index(name)

    def remove(self, name: str) -> None:
        """Removes an entry (for tests and notebooks that register it again)."""
        self[name]
        del self._entries[name]

    def _imported(self, name: str) -> T:
        module, _, attribute = name.partition(":")
        try:
            found: T = getattr(import_named(module), attribute)
        except (ExtensionError, AttributeError, ValueError) as error:
            raise InvalidValueError(f"{self.kind} {name!r} cannot be imported: {error}") from None
        return found
