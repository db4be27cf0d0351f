"""How populations are trained, apart from what they train on: one object that is passed whole."""

from dataclasses import dataclass, fields
from os import PathLike
from typing import Any, Self

from metagan_rl.errors import UnknownNameError
from metagan_rl.meta_init.weights import MetaInit, find_initial_weights
from metagan_rl.populations.drawing import find_noise
from metagan_rl.runtime import find_device
from metagan_rl.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class PopulationOptions:
    """Where and from where the members of a population train.

    Attributes:
        device: ``"cpu"`` or ``"cuda"``: where the members' state lives and is trained.
        noise: ``"host"`` or ``"device"``: where noise and data order are drawn, by two streams of different numbers
            (see :mod:`.drawing`); both may be used on any device, and either is the same on all. By default that of
            the device: ``"host"`` on a CPU.
        initial_weights: a meta-initialisation, or its file: all members start from it, and their seeds then fix only
            noise and data order. By default each starts from fresh weights of its seed.

    Raises:
        InvalidValueError: there is no such device.
        UnknownNameError: there is no such noise.
        FileFormatError: the file of initial weights is damaged.
    """

    device: str = "cpu"
    noise: str | None = None
    initial_weights: MetaInit | str | PathLike[str] | None = None

    def __post_init__(self) -> None:
        find_noise(self.noise, find_device(self.device))

    @classmethod
    def of(cls, given: Any) -> Self:
        """These options out of an object that has them among others."""
        return cls(**{field.name: getattr(given, field.name) for field in fields(cls)})

    @classmethod
    def named(cls, **given: Any) -> Self:
        """From keywords; of a misspelt one the nearest names are told."""
        names = [field.name for field in fields(cls)]
        for name in given:
            if name not in names:
                raise UnknownNameError("option", name, names)
        return cls(**given)

    def check(self, task: Task) -> None:
        """Makes sure that a task can start from the initial weights.

        Raises:
            InvalidValueError: it cannot.
        """
        initial = self.weights()
        if initial is not None:
            initial.check(task)

    def weights(self) -> MetaInit | None:
        """Where all members start; a file is read."""
        return find_initial_weights(self.initial_weights)
