"""What a population expects of a network, and how a task's pair of networks is found."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from metagan_rl.registry import Registry
from metagan_rl.tasks.task import Networks


class StackedNetwork(Protocol):
    """A network without weights of its own. Its members' weights are the rows of one matrix.

    Attributes:
        shapes: shape of each weight of one member. A row holds the weights one after the other, P numbers in all.
        has_backward: whether gradients are available in closed form, by ``forward`` and ``backward`` as in
            ``StackedMLP``; otherwise automatic differentiation is used.
        has_penalty_backward: the same for gradients of gradient penalties.
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
    """A network with closed-form gradients; see ``StackedMLP`` for what the methods do."""

    def forward(self, weights: list[Tensor], inputs: Tensor) -> list[Tensor]:
        """The inputs of every layer, and the output."""
        ...

    def backward(
        self, weights: list[Tensor], values: list[Tensor], gradient: Tensor, *, by_weights: bool, by_inputs: bool
    ) -> tuple[list[Tensor], Tensor]:
        """Gradients by the weights and by the inputs."""
        ...

    def input_gradient(self, weights: list[Tensor], values: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Gradient of the output by the inputs."""
        ...

    def backward_along(
        self, weights: list[Tensor], values: list[Tensor], chain: list[Tensor], gradient: Tensor
    ) -> list[Tensor]:
        """Gradients by the weights, with what :meth:`input_gradient` has already computed."""
        ...

    def penalty_backward(
        self, weights: list[Tensor], values: list[Tensor], chain: list[Tensor], cotangent: Tensor
    ) -> list[Tensor | None]:
        """Gradients by the weights of a function of the input gradient."""
        ...


def size(network: StackedNetwork) -> int:
    """P, the number of weights of one member."""
    return sum(torch.Size(shape).numel() for shape in network.shapes)


def split(network: StackedNetwork, rows: Tensor) -> list[Tensor]:
    """Splits rows ``[B, P]`` into views ``[B, *shape]``, one for each weight."""
    views, start = [], 0
    for shape in network.shapes:
        stop = start + torch.Size(shape).numel()
        views.append(rows[:, start:stop].view(len(rows), *shape))
        start = stop
    return views


Builder = Callable[[Networks, int], tuple[StackedNetwork, StackedNetwork]]
"""Makes the generator and the discriminator from a task's networks and the number of columns of its data."""


@dataclass(frozen=True)
class Judge:
    """Tells quality from the weights, for networks whose game can be solved by hand.

    Attributes:
        measure: from the weights of G and D, ``[B, P]`` each, computes distance, sliced Wasserstein distance, precision
            and coverage, ``[B]`` each.
        floor: the distance of a perfect generator.
    """

    measure: Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor, Tensor]]
    floor: float


@dataclass(frozen=True)
class NetworkKind:
    """A kind of networks that tasks may name.

    Attributes:
        build: makes the pair.
        double: whether members are trained in double precision.
        columns_at_once: columns up to which a CPU trains whole chunks of members. On wider data it trains fewer members
            at a time, because their activations would fill the cache. ``None``: always whole chunks.
        start: gives the starting weights of G and D ``[P]`` that a task's parameters name; ``None`` if they name none.
        judge: tells quality from the weights if the game is solved by hand; ``None``: samples tell it.
    """

    build: Builder
    double: bool = False
    columns_at_once: int | None = None
    start: Callable[[Mapping[str, Any]], tuple[Tensor, Tensor] | None] = lambda parameters: None
    judge: "Judge | None" = None


NETWORKS: Registry[NetworkKind] = Registry("kind of networks", importable=True)


def register_networks(name: str, kind: NetworkKind | Builder) -> NetworkKind:
    """Adds a kind of networks under a name. Tasks then name it by ``Networks(kind=name)``.

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
        UnknownNameError: there is none; the message offers the nearest names.
    """
    found = NETWORKS[name]
    return found if isinstance(found, NetworkKind) else NetworkKind(found)


def build_networks(networks: Networks, dim: int) -> tuple[StackedNetwork, StackedNetwork]:
    """The generator (latent to data) and the discriminator (data to one logit) for data of ``dim`` columns.

    Raises:
        UnknownNameError: there is no such kind of networks.
        InvalidValueError: this kind does not allow this depth or such data.
    """
    return find_networks(networks.kind).build(networks, dim)
