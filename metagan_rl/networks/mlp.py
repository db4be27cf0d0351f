"""Stacked multi-layer perceptrons: each layer of B equal networks is one batched matrix product."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from metagan_rl.networks.base import register_networks
from metagan_rl.registry import Registry
from metagan_rl.tasks.task import Networks


@dataclass(frozen=True)
class Activation:
    """An element-wise non-linearity.

    Attributes:
        function: maps values to values; tensors may record gradients.
        in_place: the same, but overwrites its argument.
        backward: ``(gradient, output) -> None``: multiplies the gradient by the derivative in place, knowing only the
            output. ``None`` if the output is not enough; then automatic differentiation is used.
        piecewise_linear: whether the second derivative is 0 (almost) everywhere.
    """

    function: Callable[[Tensor], Tensor]
    in_place: Callable[[Tensor], Tensor] | None = None
    backward: Callable[[Tensor, Tensor], object] | None = None
    piecewise_linear: bool = False


ACTIVATIONS: Registry[Activation] = Registry("activation")
_aten = torch.ops.aten
ACTIVATIONS.register(
    "leaky-relu",
    Activation(
        function=lambda x: functional.leaky_relu(x, 0.2),
        in_place=lambda x: functional.leaky_relu_(x, 0.2),
        backward=lambda gradient, output: _aten.leaky_relu_backward.grad_input(
            gradient, output, 0.2, True, grad_input=gradient
        ),
        piecewise_linear=True,
    ),
)
ACTIVATIONS.register(
    "relu",
    Activation(
        function=torch.relu,
        in_place=torch.relu_,
        backward=lambda gradient, output: _aten.threshold_backward.grad_input(gradient, output, 0, grad_input=gradient),
        piecewise_linear=True,
    ),
)
ACTIVATIONS.register(
    "tanh",
    Activation(
        function=torch.tanh,
        in_place=torch.tanh_,
        backward=lambda gradient, output: _aten.tanh_backward.grad_input(gradient, output, grad_input=gradient),
    ),
)
ACTIVATIONS.register("silu", Activation(functional.silu))
ACTIVATIONS.register("softplus", Activation(functional.softplus))


def product(left: Tensor, right: Tensor) -> Tensor:
    """``left @ right`` for ``[B, M, K]`` and ``[B, K, N]``.

    If N is not a multiple of 16, the transposed product is computed: MKL takes up to ten times longer for a narrow
    right factor than for a flat left one.
    """
    if right.shape[2] % 16 == 0:
        return torch.bmm(left, right)
    return torch.bmm(right.transpose(1, 2), left.transpose(1, 2)).transpose(1, 2)


def affine(inputs: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
    """``inputs @ weights + bias`` for ``[B, M, K]``, ``[B, K, N]``, ``[B, 1, N]``, in one product like the above."""
    if weights.shape[2] % 16 == 0:
        return torch.baddbmm(bias, inputs, weights)
    flipped = torch.baddbmm(bias.transpose(1, 2), weights.transpose(1, 2), inputs.transpose(1, 2))
    return flipped.transpose(1, 2)


def over_samples(gradient: Tensor) -> Tensor:
    """Sum over the N samples, ``[B, C]`` from ``[B, N, C]``: first of sample n and sample n + N/2, then of these pairs.

    The first half of D's batch is real and the second generated. Critics and relativistic losses pull the two samples
    of a pair in exactly opposite directions. So a bias whose gradient is 0 in exact arithmetic gets exactly 0. A
    rounding error of 1e-9 would become a whole step under Adam, which divides by the gradient's own size.
    """
    half, odd = divmod(gradient.shape[1], 2)
    return gradient.sum(dim=1) if odd else (gradient[:, :half] + gradient[:, half:]).sum(dim=1)


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
        self._activation = activation  # kept by name, so that networks can be pickled
        ACTIVATIONS[activation]
        pairs = zip(self.sizes[:-1], self.sizes[1:], strict=True)
        self.shapes: tuple[tuple[int, ...], ...] = tuple(s for i, o in pairs for s in ((i, o), (1, o)))

    @property
    def activation(self) -> Activation:
        """The hidden activation."""
        return ACTIVATIONS[self._activation]

    @property
    def has_backward(self) -> bool:
        """Whether :meth:`forward` and :meth:`backward` may be used."""
        return self.activation.backward is not None

    @property
    def has_penalty_backward(self) -> bool:
        """Whether :meth:`input_gradient` and :meth:`penalty_backward` may be used."""
        return self.has_backward and self.activation.piecewise_linear

    def initial(self, rng: torch.Generator) -> Tensor:
        """Weights and biases ``[P]``, uniform in +-1/sqrt(inputs), as by default in ``torch.nn.Linear``."""
        parts = []
        for inputs, outputs in zip(self.sizes[:-1], self.sizes[1:], strict=True):
            bound = 1 / math.sqrt(inputs)
            parts.append((torch.rand((inputs + 1) * outputs, generator=rng) * 2 - 1) * bound)
        return torch.cat(parts)

    def __call__(self, weights: list[Tensor], inputs: Tensor) -> Tensor:
        """Maps ``[B, N, sizes[0]]`` to ``[B, N, sizes[-1]]``; can be differentiated any number of times."""
        values, activation = inputs, self.activation.function
        if self.activation.in_place is not None and not torch.is_grad_enabled():
            activation = self.activation.in_place
        for layer in range(0, len(weights), 2):
            if layer:
                values = activation(values)
            values = affine(values, weights[layer], weights[layer + 1])
        return values

    def forward(self, weights: list[Tensor], inputs: Tensor) -> list[Tensor]:
        """The inputs of every layer and then the output, for :meth:`backward`. Records no gradients."""
        assert self.activation.in_place is not None
        values = [inputs]
        for layer in range(0, len(weights), 2):
            value = affine(values[-1], weights[layer], weights[layer + 1])
            values.append(self.activation.in_place(value) if layer + 2 < len(weights) else value)
        return values

    def backward(
        self, weights: list[Tensor], values: list[Tensor], gradient: Tensor, *, by_weights: bool, by_inputs: bool
    ) -> tuple[list[Tensor], Tensor]:
        """Gradients in closed form, from the gradient ``[B, N, sizes[-1]]`` by the output.

        Written out because this saves half the memory traffic of automatic differentiation, which limits the speed of
        small networks.

        Returns:
            Gradients by the weights, in their order (empty unless ``by_weights``), and by the inputs if ``by_inputs``.
        """
        assert self.activation.backward is not None
        reversed_gradients: list[Tensor] = []
        for layer in range(len(weights) - 2, -1, -2):
            inputs = values[layer // 2]
            if by_weights:
                reversed_gradients += [over_samples(gradient), product(inputs.transpose(1, 2), gradient)]
            if layer or by_inputs:
                back = weights[layer].transpose(1, 2)
                gradient = product(gradient, back) if back.shape[1] > 1 else gradient * back
            if layer:
                self.activation.backward(gradient, inputs)
        return reversed_gradients[::-1], gradient

    def input_gradient(self, weights: list[Tensor], values: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Gradient ``[B, N, sizes[0]]`` of each sample's one output by its input, and what its backward pass needs.

        Args:
            weights: the weights.
            values: result of :meth:`forward` at the samples.
        """
        assert self.activation.backward is not None
        shape = values[0].shape[:2]
        chain = []  # gradients by the outputs of the linear layers, from the last hidden one to the first
        gradient = weights[-2].transpose(1, 2).expand(*shape, -1).contiguous()
        for layer in range(len(weights) - 4, -1, -2):
            self.activation.backward(gradient, values[layer // 2 + 1])
            chain.append(gradient)
            gradient = product(gradient, weights[layer].transpose(1, 2))
        return gradient, chain

    def backward_along(
        self, weights: list[Tensor], values: list[Tensor], chain: list[Tensor], gradient: Tensor
    ) -> list[Tensor]:
        """The gradients by the weights that :meth:`backward` gives, without its products along the chain.

        There is one output, so the gradient by it is one number for each sample. The gradients by the outputs of the
        linear layers are those of the chain times this number.

        Args:
            weights: the weights.
            values: as in :meth:`input_gradient`.
            chain: result of :meth:`input_gradient`; it is not changed.
            gradient: gradient by the output, ``[B, N, 1]``.
        """
        by_outputs = [*(each * gradient for each in reversed(chain)), gradient]
        return [
            by_weight
            for inputs, by_output in zip(values[:-1], by_outputs, strict=True)
            for by_weight in (product(inputs.transpose(1, 2), by_output), over_samples(by_output))
        ]

    def penalty_backward(
        self, weights: list[Tensor], values: list[Tensor], chain: list[Tensor], cotangent: Tensor
    ) -> list[Tensor | None]:
        """Gradients by the weights of a function of the input gradient, from its derivative by that gradient.

        The input gradient is W1 (m1 . W2 (m2 . ... w)), where m are the activations' slopes. If the slopes are
        piecewise constant, it is linear in every weight, and its backward pass is again a forward pass. Biases do not
        matter.

        Args:
            weights: the weights.
            values: as in :meth:`input_gradient`.
            chain: result of :meth:`input_gradient`.
            cotangent: the derivative, ``[B, N, sizes[0]]``.
        """
        assert self.activation.backward is not None
        gradients: list[Tensor | None] = []
        for layer, by_output in zip(range(0, len(weights) - 2, 2), reversed(chain), strict=True):
            gradients += [torch.bmm(cotangent.transpose(1, 2), by_output), None]
            cotangent = torch.bmm(cotangent, weights[layer])
            self.activation.backward(cotangent, values[layer // 2 + 1])
        return [*gradients, cotangent.sum(dim=1).unsqueeze(-1), None]


def _pair(networks: Networks, dim: int) -> tuple[StackedMLP, StackedMLP]:
    hidden = [networks.width] * networks.depth
    return (
        StackedMLP([networks.latent_dim, *hidden, dim], networks.activation),
        StackedMLP([dim, *hidden, 1], networks.activation),
    )


register_networks("mlp", _pair)
