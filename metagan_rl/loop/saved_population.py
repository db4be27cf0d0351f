"""Populations as plain data, and back."""

from collections.abc import Mapping, Sequence
from typing import Any

from metagan_rl.populations import MixedPopulation
from metagan_rl.populations.options import PopulationOptions
from metagan_rl.populations.state import PopulationState
from metagan_rl.tasks.task import Task


def groups_of(population: MixedPopulation) -> list[dict[str, Any]]:
    """For each shape its ``members``, and copies of the tensors of their state on the CPU."""
    return [
        {"members": members.tolist(), **{name: each.cpu().clone() for name, each in part.state.to_dict().items()}}
        for part, members in population.groups()
    ]


def population_from(
    groups: Sequence[Mapping[str, Any]], tasks: Sequence[Task], options: PopulationOptions
) -> MixedPopulation:
    """The population that :func:`groups_of` described, with these tasks.

    Raises:
        KeyError, IndexError, TypeError, ValueError, RuntimeError: the groups are damaged, or do not fit the tasks.
    """
    saved: dict[int, tuple[PopulationState, int]] = {}
    for group in groups:
        whole = PopulationState(**{name: each for name, each in group.items() if name != "members"})
        saved |= {member: (whole, row) for row, member in enumerate(group["members"])}
    seeds = [int(saved[member][0].seed[saved[member][1]]) for member in range(len(tasks))]
    population = MixedPopulation(tasks, seeds, options)
    for part, members in population.groups():
        for row, member in enumerate(members.tolist()):
            whole, place = saved[member]
            part.state.put([row], _moved(whole[[place]], part.state))
    return population


def _moved(state: PopulationState, like: PopulationState) -> PopulationState:
    """The state on the device of another, and in its types.

    Raises:
        ValueError: the shapes differ.
    """
    parts = {}
    for name, each in state.to_dict().items():
        wanted = getattr(like, name)
        if each.shape[1:] != wanted.shape[1:]:
            raise ValueError(f"{name} is of shape {list(each.shape)}, for {list(wanted.shape)}")
        parts[name] = each.to(wanted.device, wanted.dtype)
    return PopulationState(**parts)
