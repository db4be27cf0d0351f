"""A population: B GANs of one shape, each with its own task, rates, loss and random stream, trained in lockstep."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metagan_rl.errors import InvalidValueError
from metagan_rl.losses import LOSSES
from metagan_rl.networks.base import build_networks, find_networks, size, split
from metagan_rl.optimizers import OPTIMIZERS
from metagan_rl.populations.drawing import Pool, find_noise, stream
from metagan_rl.populations.engines import Engine, EngineName, checked_engine, find_engines
from metagan_rl.populations.measurements import Measurements
from metagan_rl.populations.native_engine import NativeEngine
from metagan_rl.populations.options import PopulationOptions
from metagan_rl.populations.settings import CYCLE, RATIOS, Settings
from metagan_rl.populations.state import PopulationState
from metagan_rl.populations.torch_engine import TorchEngine
from metagan_rl.runtime import available_memory, find_device
from metagan_rl.tasks.task import Networks, Task

STATE_COPIES = 2
"""Memory of a population, in states: its own, and as much again for the chunk in training, references and the rest."""


@dataclass(frozen=True)
class Shape:
    """What all members of one population have in common.

    Attributes:
        dim: columns of the data.
        networks: the two networks.
        batch_size: samples per update.
        optimizer: name of the optimizer.
        simultaneous: at ratio 1:1, whether both networks step from the same point.
    """

    dim: int
    networks: Networks
    batch_size: int
    optimizer: str
    simultaneous: bool

    @classmethod
    def of(cls, task: Task) -> "Shape":
        """The shape that a task needs."""
        return cls(task.dim, task.networks, task.base.batch_size, task.base.optimizer, task.base.simultaneous)


class Population:
    """B GANs of one shape.

    Args:
        tasks: one for each member, all of one shape.
        seeds: one whole number for each member; it fixes the starting weights, the noise and the order of the data. A
            member's randomness does not depend on its controls or on the other members.
        options: where they train and what they start from.
        **given: the options as keywords instead.

    Raises:
        InvalidValueError: the tasks differ in shape, there is not one seed for each, there is no such device, the
            members do not fit its free memory, or the initial weights do not fit the tasks.
        UnknownNameError: there is no such noise.
        FileFormatError: the file of initial weights is damaged.
    """

    def __init__(
        self, tasks: Sequence[Task], seeds: Sequence[int], options: PopulationOptions | None = None, **given: Any
    ) -> None:
        options = options or PopulationOptions.named(**given)
        self.device = find_device(options.device)
        self.noise = find_noise(options.noise)
        self.initial_weights = options.weights()
        if not tasks or len(tasks) != len(seeds):
            raise InvalidValueError(
                f"{len(tasks)} tasks and {len(seeds)} seeds; give one seed for each task, at least one"
            )
        self.shape = Shape.of(tasks[0])
        for task in tasks:
            if Shape.of(task) != self.shape:
                raise InvalidValueError(
                    f"task {task.name!r} has shape {Shape.of(task)}, the first has {self.shape}; use MixedPopulation"
                )
        self.generator, self.discriminator = build_networks(self.shape.networks, self.shape.dim)
        self.kind = find_networks(self.shape.networks.kind)
        self.dtype = torch.float64 if self.kind.double else torch.float32
        self.tasks = list(tasks)
        self._pool: Pool | None = None
        self._check_memory(len(tasks))
        self.state = self._fresh(tasks, seeds)
        self._engines = self.find_engines(checked_engine(options.engine))
        self._by_torch = np.zeros(len(tasks), dtype=bool)

    def find_engines(self, name: EngineName) -> list[Engine]:
        """The engines that train this population; of those that take a member the first one trains it."""
        return find_engines(name, self)

    def __len__(self) -> int:
        return len(self.tasks)

    def restart(self, members: Sequence[int], tasks: Sequence[Task], seeds: Sequence[int]) -> None:
        """Puts new, untrained tasks of the same shape into some places."""
        self.state.put(self.places(members), self._fresh(tasks, seeds))
        for member, task in zip(members, tasks, strict=True):
            self.tasks[member] = task
        self._by_torch[np.asarray(members)] = False
        self._pool = None

    def keep(self, members: Sequence[int]) -> None:
        """Keeps only these members."""
        self.state = self.state[self.places(members)]
        self.tasks = [self.tasks[member] for member in members]
        self._by_torch = self._by_torch[np.asarray(members)]
        self._pool = None

    def copy(self, sources: Sequence[int] | np.ndarray) -> None:
        """Makes each member continue from its source: weights, moments, average, counts and whether it diverged.

        Each member keeps its own task and seed, so the two differ again from the next update on.

        Args:
            sources: for each of the B members the index of its source, ``[B]``.
        """
        self.state = replace(self.state[self.places(sources)], seed=self.state.seed)
        self._by_torch = self._by_torch[np.asarray(sources)]

    def append(self, tasks: Sequence[Task], seeds: Sequence[int]) -> None:
        """Adds untrained members at the end.

        Raises:
            InvalidValueError: they do not fit into the free memory.
        """
        self._check_memory(len(tasks))
        self.state = self.state.join(self._fresh(tasks, seeds))
        self.tasks.extend(tasks)
        self._by_torch = np.append(self._by_torch, np.zeros(len(tasks), dtype=bool))
        self._pool = None

    def train(self, settings: Settings, updates: int | np.ndarray) -> Measurements:
        """Trains every member that has not diverged for one interval.

        Args:
            settings: settings of the B members.
            updates: gradient steps of each member, D and G together: one number for all, or an array ``[B]``. Every
                member's cycle must fit into it a whole number of times; any multiple of 12 works.

        Returns:
            The measurements; NaN for members that had diverged before.

        Raises:
            InvalidValueError: the settings are not those of B members, or the interval does not fit all ratios.
        """
        if len(settings) != len(self):
            raise InvalidValueError(f"settings of {len(settings)} members, but the population has {len(self)}")
        if np.ndim(updates) and np.shape(updates) != (len(self),):
            raise InvalidValueError(f"updates of shape {np.shape(updates)}, but the population has {len(self)} members")
        lengths = np.unique(updates).tolist()
        cycle = math.lcm(*(sum(RATIOS.values()[place]) for place in np.unique(settings.ratio)))
        for length in lengths:
            if length < cycle or length % cycle:
                raise InvalidValueError(
                    f"an interval of {length} updates; with these ratios it must be a multiple of {cycle}, and {CYCLE} "
                    "suits them all"
                )
        sound = ~self.state.diverged.numpy(force=True)
        if len(lengths) == 1 and sound.all():
            return self._train(np.arange(len(self)), settings, lengths[0])
        measured = Measurements.empty(len(self))
        for length in lengths:
            members = np.flatnonzero(sound & (updates == length))
            measured.put(members, self._train(members, settings[members], length))
        return measured

    def _train(self, members: np.ndarray, settings: Settings, updates: int) -> Measurements:
        """Trains some sound members for intervals of one length; returns their measurements."""
        measured = Measurements.empty(len(members))
        left = np.arange(len(members))
        for engine in self._engines:
            taken = engine.takes(settings if len(left) == len(settings) else settings[left])
            if len(left) and len(taken) == len(settings) and taken.all():
                self._by_torch[members] |= engine.name != NativeEngine.name
                return engine.train(members, settings, updates)
            some = left[taken]
            if len(some):
                measured.put(some, engine.train(members[some], settings[some], updates))
                self._by_torch[members[some]] |= engine.name != NativeEngine.name
            left = left[~taken]
        if len(left):
            names = ", ".join(sorted({list(LOSSES)[loss] for loss in settings.loss[left]}))
            raise InvalidValueError(
                f"engine is 'native', which cannot train loss {names} with these penalties and networks; use 'auto' or "
                "'torch'"
            )
        return measured

    @property
    def engines(self) -> list[str]:
        """The engine of each member: ``"native"``, or ``"torch"`` if that trained at least one of its intervals."""
        native = self._engines[0].name == NativeEngine.name
        return [NativeEngine.name if native and not torch_ else TorchEngine.name for torch_ in self._by_torch]

    @property
    def pool(self) -> Pool:
        """The training data of all members."""
        if self._pool is None:
            self._pool = Pool([task.data().train for task in self.tasks], self.device, self.dtype)
        return self._pool

    def places(self, members: Sequence[int] | np.ndarray) -> Tensor:
        """Indices of members as a tensor on the population's device, int64 ``[b]``."""
        return torch.as_tensor(np.asarray(members), dtype=torch.long, device=self.device)

    def sample(self, noise: Tensor, *, members: Sequence[int] | None = None, average: bool = True) -> Tensor:
        """Generated points ``[B, N, D]`` from noise ``[B, N, Z]``, by the averaged or the current generator."""
        rows = self.state.average if average else self.state.generator
        if members is not None:
            rows = rows[self.places(members)]
        with torch.no_grad():
            return self.generator(split(self.generator, rows), noise.to(self.device, self.dtype))

    def bytes_per_member(self) -> int:
        """Memory of one member's state in bytes, without activations."""
        return state_bytes(self.shape)

    def _check_memory(self, members: int) -> None:
        _require_memory(self.shape, members, self.device)

    def _fresh(self, tasks: Sequence[Task], seeds: Sequence[int]) -> PopulationState:
        generators, discriminators = [], []
        for task, seed in zip(tasks, seeds, strict=True):
            if self.initial_weights is not None:
                self.initial_weights.check(task)
                generators.append(self.initial_weights.generator.weights)
                discriminators.append(self.initial_weights.discriminator.weights)
                continue
            rng = stream(int(seed), 0)
            generator, discriminator = self.generator.initial(rng), self.discriminator.initial(rng)
            generator, discriminator = self.kind.start(task.parameters) or (generator, discriminator)
            generators.append(generator)
            discriminators.append(discriminator)
        seed_column = torch.tensor([int(seed) for seed in seeds], dtype=torch.int64)
        return PopulationState.fresh(
            torch.stack(generators).to(self.device, self.dtype),
            torch.stack(discriminators).to(self.device, self.dtype),
            seed_column.to(self.device),
            self.shape.optimizer,
        )


def state_bytes(shape: Shape) -> int:
    """Memory of the state of one member of a shape in bytes, without activations."""
    generator, discriminator = build_networks(shape.networks, shape.dim)
    extra = OPTIMIZERS[shape.optimizer].extra_size
    numbers = 4 * size(generator) + 3 * size(discriminator) + extra(size(generator)) + extra(size(discriminator))
    return numbers * (8 if find_networks(shape.networks.kind).double else 4)


def check_memory(tasks: Sequence[Task], members: int, device: torch.device) -> None:
    """Checks that so many members fit the memory, if all train the smallest of some tasks. It takes no memory itself.

    Raises:
        InvalidValueError: they do not; the message says how many would.
    """
    _require_memory(min({Shape.of(task) for task in tasks}, key=state_bytes), members, device)


def _require_memory(shape: Shape, members: int, device: torch.device) -> None:
    free, each = available_memory(device), STATE_COPIES * state_bytes(shape)
    if free is not None and members * each > free:
        raise InvalidValueError(
            f"{members} members of {each / 1e6:.1f} MB each do not fit the {free / 1e9:.1f} GB of memory that are "
            f"free; at most {int(free // each)} would"
        )
