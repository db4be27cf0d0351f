"""Which engine trains the members of a population: the native one or torch."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Literal, Protocol, get_args

import numpy as np

from metagan_rl.engine.library import NoLibrary, load_library
from metagan_rl.errors import InvalidValueError, UnknownNameError
from metagan_rl.populations.measurements import Measurements
from metagan_rl.populations.native_engine import NativeEngine, what_is_missing
from metagan_rl.populations.settings import Settings
from metagan_rl.populations.torch_engine import TorchEngine
from metagan_rl.runtime import find_device
from metagan_rl.tasks.task import Networks

if TYPE_CHECKING:
    from metagan_rl.populations.population import Population

EngineName = Literal["auto", "native", "torch"]
SAID = "METAGAN_RL_ENGINE_SAID"
"""An environment variable that is set once it was said that there is no native engine, so that workers do not repeat
it."""


class Engine(Protocol):
    """Trains members of one population for an interval.

    Attributes:
        name: as rows, ``info`` and policy files give it.
    """

    name: str

    def takes(self, settings: Settings) -> np.ndarray:
        """Which members it can train under these settings, bool ``[b]``."""
        ...

    def train(self, members: np.ndarray, settings: Settings, updates: int) -> Measurements:
        """Trains some sound members, in place; see :meth:`.TorchEngine.train`."""
        ...


def checked_engine(name: str) -> EngineName:
    """The name, if there is such an engine.

    Raises:
        UnknownNameError: there is none.
        InvalidValueError: it is the native engine, and this machine has none; the message says why.
    """
    for known in get_args(EngineName):
        if name == known:
            if known == "native" and isinstance(found := load_library(), NoLibrary):
                raise InvalidValueError(f"engine is 'native', but {found.reason}")
            return known
    raise UnknownNameError("engine", name, get_args(EngineName))


def find_engines(name: EngineName, population: Population) -> list[Engine]:
    """The engines that train a population. The first one that takes a member trains it.

    Raises:
        InvalidValueError: the native engine was asked for by name, and it has not all that the population needs.
    """
    by_torch = TorchEngine(population)
    if name == "torch":
        return [by_torch]
    missing = what_is_missing(population.shape.networks, population.device, population.shape.optimizer)
    if name == "native" and missing:
        raise InvalidValueError(f"engine is 'native', but {missing}; use 'auto' or 'torch'")
    if missing:
        return [by_torch]
    library = load_library()
    if not isinstance(library, NoLibrary):
        native = NativeEngine(population, library)
        return [native] if name == "native" else [native, by_torch]
    say_what_trains(name)
    return [by_torch]


def say_what_trains(name: str) -> None:
    """Logs a warning if torch will train for want of a native engine: once, and before workers would each say it."""
    if name == "auto" and SAID not in os.environ and isinstance(library := load_library(), NoLibrary):
        os.environ[SAID] = "1"
        logging.getLogger("metagan_rl").warning("torch trains, which is several times slower: %s", library.reason)


def engine_of(networks: Networks, name: str = "auto", device: str = "cpu", optimizer: str = "adam") -> str:
    """What trains GANs of these networks under built-in losses by an optimizer: ``"native"`` or ``"torch"``.

    Raises:
        UnknownNameError: there is no such engine.
        InvalidValueError: there is no such device, or no native engine although it is asked for.
    """
    native = checked_engine(name) != "torch" and not what_is_missing(networks, find_device(device), optimizer)
    return NativeEngine.name if native and not isinstance(load_library(), NoLibrary) else TorchEngine.name
