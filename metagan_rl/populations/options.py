"""Options of how populations are trained: one object that is passed on whole."""

from dataclasses import dataclass, fields
from os import PathLike
from typing import Any, Self

from metagan_rl.errors import UnknownOptionError
from metagan_rl.meta_init.weights import MetaInit, find_initial_weights
from metagan_rl.populations.drawing import find_noise
from metagan_rl.populations.engines import checked_engine
from metagan_rl.runtime import find_device
from metagan_rl.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class PopulationOptions:
    """Where the members of a population train, and what they start from.

    Attributes:
        device: where the members' state lives and is trained, ``"cpu"`` or ``"cuda"``.
        engine: what trains them: ``"native"``, ``"torch"``, or ``"auto"`` for the native engine wherever it has all
            that the members need (see :mod:`.engines`).
        noise: the stream of noise and data order, ``"device"`` (the default) or ``"host"``. The two hold different
            numbers (see :mod:`.drawing`). Each gives the same numbers on all devices and engines.
        initial_weights: a meta-initialisation, or its file. All members then start from it, and their seeds fix only
            noise and data order. By default each starts from fresh weights drawn from its seed.

    Raises:
        InvalidValueError: there is no such device, or no native engine although it is asked for.
        UnknownNameError: there is no such engine or noise.
        FileFormatError: the file of initial weights is damaged.
    """

    device: str = "cpu"
    engine: str = "auto"
    noise: str | None = None
    initial_weights: MetaInit | str | PathLike[str] | None = None

    def __post_init__(self) -> None:
        find_device(self.device)
        checked_engine(self.engine)
        find_noise(self.noise)

    @classmethod
    def of(cls, given: Any) -> Self:
        """Takes these options from an object that has them among others."""
        return cls(**{field.name: getattr(given, field.name) for field in fields(cls)})

    @classmethod
    def named(cls, **given: Any) -> Self:
        """Makes options from keywords. For a misspelt one, the error offers the nearest names.

        Raises:
            UnknownOptionError: there is no such option.
        """
        names = [field.name for field in fields(cls)]
        for name in given:
            if name not in names:
                raise UnknownOptionError.of(name, names)
        return cls(**given)

    def check(self, task: Task) -> None:
        """Checks that a task can start from the initial weights.

        Raises:
            InvalidValueError: it cannot.
        """
        initial = self.weights()
        if initial is not None:
            initial.check(task)

    def weights(self) -> MetaInit | None:
        """The weights that all members start from. If they are in a file, it is read."""
        return find_initial_weights(self.initial_weights)
