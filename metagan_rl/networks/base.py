"""What a population asks of a network, and the pair of networks a task names."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from metagan_rl.registry import Registry
from metagan_rl.tasks.task import Networks


class StackedNetwork(Protocol):
    """A network without weights of its own; its members' weights are the rows of one matrix.

    Attributes:
        shapes: shape of each weight of one member; a row holds them one after the other, P numbers in all.
        has_backward: gradients can be had in closed form, by ``forward`` and ``backward`` as ``StackedMLP`` has them;
            otherwise automatic differentiation is used.
        has_penalty_backward: so can those of gradient penalties.
    """

    shapes: tuple[tuple[int, ...], ...]

    @property
    def has_backward(self) -> bool:
        """See above."""
        ...

    @property
    def has_penalty_backward(self) -> bool:
        """See above."""
        ...

    def initial(self, rng: torch.Generator) -> Tensor:
        """Fresh weights ``[P]`` of one member."""
        ...

    def __call__(self, weights: list[Tensor], inputs: Tensor) -> Tensor:
        """Maps ``[B, N, D_in]`` to ``[B, N, D_out]``; ``weights`` are ``[B, *shape]``, one for each of ``shapes``."""
        ...


class ClosedForm(StackedNetwork, Protocol):
    """A network with gradients written out; see ``StackedMLP`` for what the methods do."""

    def forward(self, weights: list[Tensor], inputs: Tensor) -> list[Tensor]:
        """Inputs of every layer, and the output."""
        ...

    def backward(
        self, weights: list[Tensor], values: list[Tensor], gradient: Tensor, *, by_weights: bool, by_inputs: bool
    ) -> tuple[list[Tensor], Tensor]:
        """Gradients by weights and inputs."""
        ...

    def input_gradient(self, weights: list[Tensor], values: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Gradient of the output by the inputs."""
        ...

    def penalty_backward(
        self, weights: list[Tensor], values: list[Tensor], chain: list[Tensor], cotangent: Tensor
    ) -> list[Tensor | None]:
        """Gradients by the weights of a function of the input gradient."""
        ...


def size(network: StackedNetwork) -> int:
    """P, the numbers of one member's weights."""
    return sum(torch.Size(shape).numel() for shape in network.shapes)


def split(network: StackedNetwork, rows: Tensor) -> list[Tensor]:
    """Views ``[B, *shape]`` into rows ``[B, P]``, one for each weight."""
    views, start = [], 0
    for shape in network.shapes:
        stop = start + torch.Size(shape).numel()
        views.append(rows[:, start:stop].view(len(rows), *shape))
        start = stop
    return views


Builder = Callable[[Networks, int], tuple[StackedNetwork, StackedNetwork]]
"""From what a task says of its networks, and the columns of its data, to generator and discriminator."""


@dataclass(frozen=True)
class Judge:
    """Quality of networks whose game is solved by hand, told by their weights.

    Attributes:
        measure: from weights of G and of D, ``[B, P]`` each, to distance, sliced Wasserstein distance, precision and
            coverage, ``[B]`` each.
        floor: the distance of a perfect generator.
    """

    measure: Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor, Tensor]]
    floor: float


@dataclass(frozen=True)
class NetworkKind:
    """A kind of networks that tasks may name.

    Attributes:
        build: makes the pair.
        double: members are trained in double precision.
        columns_at_once: a CPU trains whole chunks of members on data of up to so many columns, and fewer members at a
            time on wider data, whose activations would fill the cache; ``None``: always whole chunks.
        start: starting weights of G and of D ``[P]`` that a task's parameters name; ``None`` where they name none.
        judge: tells quality from the weights, where the game is solved by hand; ``None``: samples tell it.
    """

    build: Builder
    double: bool = False
    columns_at_once: int | None = None
    start: Callable[[Mapping[str, Any]], tuple[Tensor, Tensor] | None] = lambda parameters: None
    judge: "Judge | None" = None


NETWORKS: Registry[NetworkKind] = Registry("kind of networks", importable=True)


def register_networks(name: str, kind: NetworkKind | Builder) -> NetworkKind:
    """Adds a kind of networks under a name; tasks then name it by ``Networks(kind=name)``.

    Args:
        name: lower-case words joined by hyphens.
        kind: the kind, or only the function that makes a pair.

    Raises:
        InvalidValueError: the name is malformed or taken.
    """
    return NETWORKS.register(name, kind if isinstance(kind, NetworkKind) else NetworkKind(kind))


def find_networks(name: str) -> NetworkKind:
    """The kind of networks of that name.

    Raises:
        UnknownNameError: there is none; the nearest names are offered.
    """
    found = NETWORKS[name]
    return found if isinstance(found, NetworkKind) else NetworkKind(found)


def build_networks(networks: Networks, dim: int) -> tuple[StackedNetwork, StackedNetwork]:
    """The generator (latent to data) and the discriminator (data to one logit) for data of ``dim`` columns.

    Raises:
        UnknownNameError: there is no such kind of networks.
        InvalidValueError: it cannot be of this depth or serve such data.
    """
    return find_networks(networks.kind).build(networks, dim)
