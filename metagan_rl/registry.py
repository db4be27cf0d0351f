"""One small registry for everything that is looked up by name: families, suites, losses, schedulers, metrics."""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from metagan_rl.errors import InvalidValueError, UnknownNameError

T = TypeVar("T")


class Registry(Generic[T]):
    """Names to entries, in order of registration.

    Args:
        kind: what the entries are, in the singular; used in messages ("unknown family 'rng'; did you mean ring?").
        joint: what joins the words of a name: "-", or "_" where names are columns of files as well.
    """

    def __init__(self, kind: str, *, joint: str = "-") -> None:
        self.kind = kind
        self._joint = joint
        self._entries: dict[str, T] = {}

    def register(self, name: str, entry: T) -> T:
        """Adds an entry and returns it.

        Raises:
            InvalidValueError: the name is not lower-case words joined as it should be, or it is taken.
        """
        strangers = {" ", "-", "_"} - {self._joint}
        if not isinstance(name, str) or not name or name != name.lower() or strangers & set(name):
            joined = {"-": "hyphens", "_": "underscores"}[self._joint]
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
            UnknownNameError: there is none; the nearest names are offered.
        """
        try:
            return self._entries[name]
        except (KeyError, TypeError):
            raise UnknownNameError(self.kind, name, self._entries) from None

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def values(self) -> list[T]:
        """The entries, in order of registration."""
        return list(self._entries.values())

    def index(self, name: str) -> int:
        """The place of a name in the order of registration."""
        self[name]
        return list(self._entries).index(name)

    def remove(self, name: str) -> None:
        """Takes an entry out again (used by tests and notebooks that re-register)."""
        self[name]
        del self._entries[name]
