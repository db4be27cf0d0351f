"""Multi-layer perceptrons, stacked: B networks of the same shape evaluated by one batched matrix product a layer."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from metagan_rl.registry import Registry

Activation = Callable[[Tensor], Tensor]

ACTIVATIONS: Registry[Activation] = Registry("activation")
ACTIVATIONS.register("leaky-relu", lambda x: functional.leaky_relu(x, 0.2))
ACTIVATIONS.register("relu", torch.relu)
ACTIVATIONS.register("tanh", torch.tanh)
ACTIVATIONS.register("silu", functional.silu)
ACTIVATIONS.register("softplus", functional.softplus)


class StackedMLP:
    """Linear layers with one activation between them and none at the end.

    Args:
        sizes: units of the input, of each hidden layer and of the output.
        activation: name in ``ACTIVATIONS``.

    Raises:
        UnknownNameError: no such activation.
    """

    def __init__(self, sizes: Sequence[int], activation: str = "leaky-relu") -> None:
        self.sizes = tuple(sizes)
        self.activation = ACTIVATIONS[activation]
        pairs = zip(self.sizes[:-1], self.sizes[1:], strict=True)
        self.shapes: tuple[tuple[int, ...], ...] = tuple(s for i, o in pairs for s in ((i, o), (1, o)))

    def initial(self, rng: torch.Generator) -> Tensor:
        """Weights ``[P]`` uniform in +-1/sqrt(inputs), biases too: the defaults of ``torch.nn.Linear``."""
        parts = []
        for inputs, outputs in zip(self.sizes[:-1], self.sizes[1:], strict=True):
            bound = 1 / math.sqrt(inputs)
            parts.append((torch.rand((inputs + 1) * outputs, generator=rng) * 2 - 1) * bound)
        return torch.cat(parts)

    def __call__(self, weights: list[Tensor], inputs: Tensor) -> Tensor:
        """Maps ``[B, N, sizes[0]]`` to ``[B, N, sizes[-1]]``."""
        values = inputs
        for layer in range(0, len(weights), 2):
            if layer:
                values = self.activation(values)
            values = torch.baddbmm(weights[layer + 1], values, weights[layer])
        return values
