"""A population whose members may differ in shape. It holds one population for each shape and keeps members in order."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metagan_rl.errors import InvalidValueError
from metagan_rl.populations.measurements import Measurements
from metagan_rl.populations.options import PopulationOptions
from metagan_rl.populations.population import Population, Shape
from metagan_rl.populations.settings import Settings
from metagan_rl.runtime import find_device
from metagan_rl.tasks.task import Task


class MixedPopulation:
    """B members of any shapes. They are restarted one by one and trained together.

    Args:
        tasks: one for each member.
        seeds: one for each member, as in :class:`Population`.
        options: where they train and what they start from.
        **given: the options as keywords instead.
    """

    def __init__(
        self, tasks: Sequence[Task], seeds: Sequence[int], options: PopulationOptions | None = None, **given: Any
    ) -> None:
        options = options or PopulationOptions.named(**given)
        self.options = replace(PopulationOptions.of(options), initial_weights=options.weights())
        self.device = find_device(self.options.device)
        if not tasks or len(tasks) != len(seeds):
            raise InvalidValueError(
                f"{len(tasks)} tasks and {len(seeds)} seeds; give one seed for each task, at least one"
            )
        self.tasks = list(tasks)
        self._populations: dict[Shape, Population] = {}
        self._members: dict[Shape, list[int]] = {}  # row of a population -> member
        self._add(range(len(tasks)), tasks, seeds)

    def __len__(self) -> int:
        return len(self.tasks)

    def groups(self) -> Iterator[tuple[Population, np.ndarray]]:
        """Each population with the members ``[b]`` that its rows hold."""
        for shape, population in self._populations.items():
            yield population, np.array(self._members[shape])

    def weights(self, member: int) -> tuple[Tensor, Tensor]:
        """Current weights of one member's generator and discriminator, ``[1, P]`` each."""
        for population, members in self.groups():
            for row in np.flatnonzero(members == member):
                return population.state.generator[row : row + 1], population.state.discriminator[row : row + 1]
        raise InvalidValueError(f"member is {member}; there are {len(self)}")

    @property
    def diverged(self) -> np.ndarray:
        """Which members blew up and are frozen, bool ``[B]``."""
        return self._gather(lambda population: population.state.diverged.numpy(force=True), bool)

    @property
    def engines(self) -> list[str]:
        """What trains each member; see :attr:`Population.engines`."""
        names = [""] * len(self)
        for population, members in self.groups():
            for member, name in zip(members, population.engines, strict=True):
                names[member] = name
        return names

    @property
    def trained_intervals(self) -> np.ndarray:
        """Intervals trained by each member, int ``[B]``. A diverged member stopped with the one that blew it up."""
        return self._gather(lambda population: population.state.intervals.numpy(force=True), int)

    def restart(self, members: Sequence[int], tasks: Sequence[Task], seeds: Sequence[int]) -> None:
        """Puts new, untrained tasks of any shape into some places."""
        moved = []
        for member, task, seed in zip(members, tasks, seeds, strict=True):
            shape = Shape.of(self.tasks[member])
            if shape == Shape.of(task):
                self._populations[shape].restart([self._members[shape].index(member)], [task], [seed])
                self.tasks[member] = task
            else:
                moved.append((member, task, seed))
        if moved:
            self._remove({member for member, _, _ in moved})
            self._add(*zip(*moved, strict=True))

    def keep(self, members: Sequence[int] | np.ndarray) -> None:
        """Keeps only these members, in this order; each may be named once."""
        places = {int(member): place for place, member in enumerate(members)}
        for shape in list(self._populations):
            self._keep_rows(shape, [row for row, member in enumerate(self._members[shape]) if member in places])
        self._members = {shape: [places[member] for member in group] for shape, group in self._members.items()}
        self.tasks = [self.tasks[member] for member in places]

    def copy(self, sources: Sequence[int] | np.ndarray) -> None:
        """Makes each member continue from its source; see :meth:`Population.copy`.

        Raises:
            InvalidValueError: a source has another shape.
        """
        sources = np.asarray(sources)
        rows = {}
        for shape, group in self._members.items():
            row_of = {member: row for row, member in enumerate(group)}
            for member in group:
                if sources[member] not in row_of:
                    raise InvalidValueError(
                        f"member {member} cannot go on from {sources[member]}, which is none of the {len(group)} "
                        "members of its shape"
                    )
            rows[shape] = [row_of[sources[member]] for member in group]
        for shape, population in self._populations.items():
            population.copy(rows[shape])

    def train(self, settings: Settings, updates: int | np.ndarray) -> Measurements:
        """Trains all sound members for one interval; see :meth:`Population.train`."""
        if len(settings) != len(self):
            raise InvalidValueError(f"settings of {len(settings)} members, but there are {len(self)}")
        measured = Measurements.empty(len(self))
        for population, members in self.groups():
            length = updates[members] if isinstance(updates, np.ndarray) else updates
            measured.put(members, population.train(settings[members], length))
        return measured

    def sample(self, noise: Sequence[Tensor], members: Sequence[int], *, average: bool = True) -> list[Tensor]:
        """Generated points ``[N, D]`` for each of some members, from noise ``[N, Z]`` for each."""
        wanted = {int(member): place for place, member in enumerate(members)}
        points: list[Tensor] = [None] * len(wanted)  # type: ignore[list-item]  # every place is filled below
        for population, group in self.groups():
            by_count: dict[int, list[int]] = {}
            for row, member in enumerate(group):
                if int(member) in wanted:
                    by_count.setdefault(len(noise[wanted[int(member)]]), []).append(row)
            for rows in by_count.values():
                places = [wanted[int(group[row])] for row in rows]
                stacked = torch.stack([noise[place] for place in places])
                for place, drawn in zip(places, population.sample(stacked, members=rows, average=average), strict=True):
                    points[place] = drawn
        return points

    def _add(self, members: Sequence[int], tasks: Sequence[Task], seeds: Sequence[int]) -> None:
        groups: dict[Shape, list[tuple[int, Task, int]]] = {}
        for entry in zip(members, tasks, seeds, strict=True):
            groups.setdefault(Shape.of(entry[1]), []).append(entry)
        for shape, entries in groups.items():
            places, new_tasks, new_seeds = zip(*entries, strict=True)
            if shape in self._populations:
                self._populations[shape].append(new_tasks, new_seeds)
                self._members[shape].extend(places)
            else:
                self._populations[shape] = Population(new_tasks, new_seeds, self.options)
                self._members[shape] = list(places)
            for member, task in zip(places, new_tasks, strict=True):
                self.tasks[member] = task

    def _remove(self, gone: set[int]) -> None:
        for shape in list(self._populations):
            self._keep_rows(shape, [row for row, member in enumerate(self._members[shape]) if member not in gone])

    def _keep_rows(self, shape: Shape, rows: list[int]) -> None:
        if not rows:
            del self._populations[shape], self._members[shape]
        elif len(rows) < len(self._members[shape]):
            self._populations[shape].keep(rows)
            self._members[shape] = [self._members[shape][row] for row in rows]

    def _gather(self, read: Callable[[Population], np.ndarray], dtype: type) -> np.ndarray:
        values: np.ndarray = np.zeros(len(self), dtype=dtype)
        for population, members in self.groups():
            values[members] = read(population)
        return values
