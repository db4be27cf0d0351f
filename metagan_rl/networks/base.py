"""What a population asks of a network, and the pair of networks a task names."""

from typing import Protocol

import torch
from torch import Tensor

from metagan_rl.errors import InvalidValueError
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


def build_networks(networks: Networks, dim: int) -> tuple[StackedNetwork, StackedNetwork]:
    """The generator (latent to data) and the discriminator (data to one logit) for data of ``dim`` columns.

    Raises:
        InvalidValueError: the kind of network is unknown, or it cannot be of this depth or serve such data.
    """
    from metagan_rl.networks.conv import conv_networks
    from metagan_rl.networks.dirac import DiracDiscriminator, DiracGenerator
    from metagan_rl.networks.mlp import StackedMLP

    if networks.kind == "dirac":
        return DiracGenerator(), DiracDiscriminator()
    if networks.kind == "mlp":
        hidden = [networks.width] * networks.depth
        return (
            StackedMLP([networks.latent_dim, *hidden, dim], networks.activation),
            StackedMLP([dim, *hidden, 1], networks.activation),
        )
    if networks.kind == "conv":
        return conv_networks(dim, networks.latent_dim, networks.width, networks.depth, networks.activation)
    raise InvalidValueError(f"networks.kind is {networks.kind!r}; it must be 'mlp', 'conv' or 'dirac'")
