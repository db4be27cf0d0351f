"""A population: B GANs of one shape, each with its own task, rates, loss and random stream, trained in lockstep."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metagan_rl.errors import InvalidValueError
from metagan_rl.losses import LOSSES
from metagan_rl.networks.base import build_networks, find_networks, size, split
from metagan_rl.penalties import PENALTIES
from metagan_rl.populations.drawing import Drawn, Pool, draw_on_device, draw_on_host, find_noise, stream
from metagan_rl.populations.interval import IntervalInputs, IntervalPlan, IntervalTrainer, Run
from metagan_rl.populations.measurements import Measurements
from metagan_rl.populations.options import PopulationOptions
from metagan_rl.populations.settings import CYCLE, RATIOS, Settings
from metagan_rl.populations.state import PopulationState
from metagan_rl.runtime import available_memory, find_device
from metagan_rl.tasks.task import Networks, Task

CHUNK_MEMBERS = {"cpu": 32, "cuda": 4096}
"""Members trained at a time. On a CPU they are enough that D's and G's of different ratios fill a matrix product, and
few enough for the cache. On a GPU the limit bounds the memory of noise and activations."""
STATE_COPIES = 2
"""Memory of a population, in states: its own, and as much again for the chunk in training, references and the rest."""


@dataclass(frozen=True)
class Shape:
    """What all members of one population have in common.

    Attributes:
        dim: columns of the data.
        networks: the two networks.
        batch_size: samples per update.
        optimizer: ``"adam"`` or ``"sgd"``.
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

    trainer: type[IntervalTrainer] = IntervalTrainer
    """The class that trains a chunk for one interval."""

    def __init__(
        self, tasks: Sequence[Task], seeds: Sequence[int], options: PopulationOptions | None = None, **given: Any
    ) -> None:
        options = options or PopulationOptions.named(**given)
        self.device = find_device(options.device)
        self.noise = find_noise(options.noise, self.device)
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

    def __len__(self) -> int:
        return len(self.tasks)

    def restart(self, members: Sequence[int], tasks: Sequence[Task], seeds: Sequence[int]) -> None:
        """Puts new, untrained tasks of the same shape into some places."""
        self.state.put(self._places(members), self._fresh(tasks, seeds))
        for member, task in zip(members, tasks, strict=True):
            self.tasks[member] = task
        self._pool = None

    def keep(self, members: Sequence[int]) -> None:
        """Keeps only these members."""
        self.state = self.state[self._places(members)]
        self.tasks = [self.tasks[member] for member in members]
        self._pool = None

    def copy(self, sources: Sequence[int] | np.ndarray) -> None:
        """Makes each member continue from its source: weights, moments, average, counts and whether it diverged.

        Each member keeps its own task and seed, so the two differ again from the next update on.

        Args:
            sources: for each of the B members the index of its source, ``[B]``.
        """
        self.state = replace(self.state[self._places(sources)], seed=self.state.seed)

    def append(self, tasks: Sequence[Task], seeds: Sequence[int]) -> None:
        """Adds untrained members at the end.

        Raises:
            InvalidValueError: they do not fit into the free memory.
        """
        self._check_memory(len(tasks))
        self.state = self.state.join(self._fresh(tasks, seeds))
        self.tasks.extend(tasks)
        self._pool = None

    def train(self, settings: Settings, updates: int) -> Measurements:
        """Trains every member that has not diverged for one interval.

        Args:
            settings: settings of the B members.
            updates: gradient steps of each member, D and G together. Every member's cycle must fit into it a whole
                number of times; any multiple of 12 works.

        Returns:
            The measurements; NaN for members that had diverged before.

        Raises:
            InvalidValueError: the settings are not those of B members, or the interval does not fit all ratios.
        """
        if len(settings) != len(self):
            raise InvalidValueError(f"settings of {len(settings)} members, but the population has {len(self)}")
        cycle = math.lcm(*(sum(RATIOS.values()[place]) for place in np.unique(settings.ratio)))
        if updates < cycle or updates % cycle:
            raise InvalidValueError(
                f"an interval of {updates} updates; with these ratios it must be a multiple of {cycle}, and {CYCLE} "
                "suits them all"
            )
        return self._train(settings, updates)

    def _train(self, settings: Settings, updates: int) -> Measurements:
        torch.set_flush_denormal(True)  # dead GANs fill up with denormal numbers, which are 80 times slower
        measured = Measurements.empty(len(self))
        for members in self._chunks(settings):
            places = self._places(members)
            chunk = self.state[places]
            plan = self._plan(settings[members], updates)
            mix = any(PENALTIES[name].uses_mix for name, _, _ in plan.penalties)
            inputs = self._inputs(members, chunk, updates, mix=mix)
            result = self.trainer(self.generator, self.discriminator, chunk, plan, inputs).run()
            self.state.put(places, chunk)
            measured.put(members, result)
        return measured

    def sample(self, noise: Tensor, *, members: Sequence[int] | None = None, average: bool = True) -> Tensor:
        """Generated points ``[B, N, D]`` from noise ``[B, N, Z]``, by the averaged or the current generator."""
        rows = self.state.average if average else self.state.generator
        if members is not None:
            rows = rows[self._places(members)]
        with torch.no_grad():
            return self.generator(split(self.generator, rows), noise.to(self.device, self.dtype))

    def bytes_per_member(self) -> int:
        """Memory of one member's state in bytes, without activations."""
        numbers = 4 * size(self.generator) + 3 * size(self.discriminator)
        return numbers * (8 if self.dtype == torch.float64 else 4)

    def _check_memory(self, members: int) -> None:
        free, each = available_memory(self.device), STATE_COPIES * self.bytes_per_member()
        if free is not None and members * each > free:
            raise InvalidValueError(
                f"{members} members of {each / 1e6:.1f} MB each do not fit the {free / 1e9:.1f} GB of memory that are "
                f"free; at most {int(free // each)} would"
            )

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
        )

    def _places(self, members: Sequence[int] | np.ndarray) -> Tensor:
        return torch.as_tensor(np.asarray(members), dtype=torch.long, device=self.device)

    def _chunks(self, settings: Settings) -> Iterator[np.ndarray]:
        """Chunks of sound members that train together: with similar ratios, in runs of equal penalty and loss."""
        sound = np.flatnonzero(~self.state.diverged.numpy(force=True))
        losses = LOSSES.values()
        penalised = [list(PENALTIES).index(losses[loss].penalty) for loss in settings.loss]
        penalty = np.where(settings.penalty_weight > 0, penalised, -1)
        ordered = sound[np.lexsort((sound, settings.loss[sound], penalty[sound], settings.ratio[sound]))]
        parts = [ordered]
        if self.shape.simultaneous:  # only members at ratio 1:1 step both networks from the same point
            together = settings.ratio[ordered] == RATIOS.index("1:1")
            parts = [ordered[together], ordered[~together]]
        for part in parts:
            for chunk in np.array_split(part, -(-len(part) // self._chunk_members())) if len(part) else []:
                yield chunk[np.lexsort((chunk, settings.loss[chunk], penalty[chunk]))]

    def _chunk_members(self) -> int:
        members, columns = CHUNK_MEMBERS[self.device.type], self.kind.columns_at_once
        if self.device.type == "cpu" and columns is not None:
            return max(1, min(members, members * columns // self.shape.dim))
        return members

    def _plan(self, settings: Settings, updates: int) -> IntervalPlan:
        """The plan for a chunk of members with these settings."""
        cycles = [RATIOS.values()[ratio] for ratio in settings.ratio]
        losses = [list(LOSSES)[loss] for loss in settings.loss]
        penalties = [
            LOSSES[loss].penalty if weight > 0 else None
            for loss, weight in zip(losses, settings.penalty_weight, strict=True)
        ]

        def column(values: np.ndarray) -> Tensor:
            return torch.tensor(values, dtype=self.dtype, device=self.device)[:, None]

        return IntervalPlan(
            updates=updates,
            cycles=cycles,
            losses=_runs(losses),
            penalties=_runs(penalties),
            penalty_weight=column(settings.penalty_weight),
            generator_lr=column(settings.generator_lr),
            discriminator_lr=column(settings.discriminator_lr),
            beta1=column(settings.beta1),
            beta2=column(settings.beta2),
            ema_decay=column(settings.ema_decay),
            optimizer=self.shape.optimizer,
            simultaneous=self.shape.simultaneous and set(cycles) == {(1, 1)},
        )

    def _inputs(self, members: np.ndarray, chunk: PopulationState, updates: int, *, mix: bool = True) -> IntervalInputs:
        if self._pool is None:
            self._pool = Pool([task.data().train for task in self.tasks], self.device, self.dtype)
        drawn = Drawn(updates, self.shape.batch_size, self.shape.networks.latent_dim, self.dtype, mix)
        draw = draw_on_host if self.noise == "host" else draw_on_device
        return draw(self._pool, self._places(members), chunk.seed, chunk.intervals, drawn)


def _runs(names: Sequence[str | None]) -> list[Run]:
    """Runs of equal names, in order, without those of ``None``."""
    runs, first = [], 0
    for name, same in groupby(names):
        last = first + len(list(same))
        if name is not None:
            runs.append((name, first, last))
        first = last
    return runs
