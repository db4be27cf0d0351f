"""Convolutional networks, stacked: a small DCGAN (Radford et al. 2016, arXiv:1511.06434) for square grey images.

D halves the image twice with kernels of 4x4, stride 2 and padding 1; G doubles it twice with their transposes. Unlike
DCGAN they have no batch normalisation, because gradient penalties need a D that treats each sample independently.
Channels double where the side halves. Images are rows of pixels, hidden values are rows ``(row, column, channel)``.
"""

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from metagan_rl.errors import InvalidValueError
from metagan_rl.networks.base import NetworkKind, register_networks
from metagan_rl.networks.convolution import KERNEL, convolution, derivative
from metagan_rl.networks.mlp import ACTIVATIONS, Activation, over_samples, product
from metagan_rl.tasks.task import Networks


class Layer(Protocol):
    """The linear map of one layer, with weights ``[B, *shape]``. Biases are added separately.

    Attributes:
        shape: shape of one member's weights.
        channels: number of outputs with a bias of their own; each bias serves all places of the image.
        fan_in: the inputs of one output as torch counts them when it draws fresh weights.
    """

    shape: tuple[int, ...]
    channels: int
    fan_in: int

    def differentiable(self, weight: Tensor, inputs: Tensor) -> Tensor:
        """Outputs ``[B, N, D_out]``, recording gradients."""
        ...

    def forward(self, weight: Tensor, inputs: Tensor) -> Tensor:
        """Outputs."""
        ...

    def backward(self, weight: Tensor, gradient: Tensor) -> Tensor:
        """Gradient by the inputs."""
        ...

    def by_weight(self, inputs: Tensor, gradient: Tensor) -> Tensor:
        """Gradient by the weights."""
        ...


class Linear:
    """Connects all inputs to all outputs."""

    def __init__(self, inputs: int, outputs: int) -> None:
        self.shape: tuple[int, ...] = (inputs, outputs)
        self.channels, self.fan_in = outputs, inputs

    def differentiable(self, weight: Tensor, inputs: Tensor) -> Tensor:
        """See :class:`Layer`."""
        return product(inputs, weight)

    forward = differentiable

    def backward(self, weight: Tensor, gradient: Tensor) -> Tensor:
        """See :class:`Layer`."""
        back = weight.transpose(1, 2)
        return product(gradient, back) if back.shape[1] > 1 else gradient * back

    def by_weight(self, inputs: Tensor, gradient: Tensor) -> Tensor:
        """See :class:`Layer`."""
        return product(inputs.transpose(1, 2), gradient)


class Down:
    """A convolution."""

    def __init__(self, side: int, fine: int, coarse: int) -> None:
        self.shape: tuple[int, ...] = (KERNEL, KERNEL, fine, coarse)
        self.channels, self.fan_in = coarse, fine * KERNEL**2
        self._form = convolution(side, fine, coarse)

    def differentiable(self, weight: Tensor, inputs: Tensor) -> Tensor:
        """See :class:`Layer`."""
        return derivative(self._form, weight, inputs, None)

    def forward(self, weight: Tensor, inputs: Tensor) -> Tensor:
        """See :class:`Layer`."""
        return self._form.down(weight, inputs)

    def backward(self, weight: Tensor, gradient: Tensor) -> Tensor:
        """See :class:`Layer`."""
        return self._form.up(weight, gradient)

    def by_weight(self, inputs: Tensor, gradient: Tensor) -> Tensor:
        """See :class:`Layer`."""
        return self._form.by_kernel(inputs, gradient)


class Up:
    """A transposed convolution to ``side``. It is as fast as the convolution, whose kernel form it shares.

    Nearest-neighbour upsampling before such a convolution would cost four times the operations. The stride divides the
    kernel's side, so equally many weights reach every pixel.
    """

    def __init__(self, side: int, fine: int, coarse: int) -> None:
        self.shape: tuple[int, ...] = (KERNEL, KERNEL, fine, coarse)
        self.channels, self.fan_in = fine, fine * KERNEL**2
        self._form = convolution(side, fine, coarse)

    def differentiable(self, weight: Tensor, inputs: Tensor) -> Tensor:
        """See :class:`Layer`."""
        return derivative(self._form, weight, None, inputs)

    def forward(self, weight: Tensor, inputs: Tensor) -> Tensor:
        """See :class:`Layer`."""
        return self._form.up(weight, inputs)

    def backward(self, weight: Tensor, gradient: Tensor) -> Tensor:
        """See :class:`Layer`."""
        return self._form.down(weight, gradient)

    def by_weight(self, inputs: Tensor, gradient: Tensor) -> Tensor:
        """See :class:`Layer`."""
        return self._form.by_kernel(gradient, inputs)


class StackedConv:
    """Layers with one activation between them and none at the end; ``StackedMLP`` explains the methods.

    Args:
        layers: the layers, from input to output.
        activation: name in ``ACTIVATIONS``.

    Raises:
        UnknownNameError: no such activation.
    """

    def __init__(self, layers: Sequence[Layer], activation: str = "leaky-relu") -> None:
        self.layers = tuple(layers)
        self._activation = activation  # kept by name, so that networks can be pickled
        ACTIVATIONS[activation]
        self.shapes: tuple[tuple[int, ...], ...] = tuple(s for each in layers for s in (each.shape, (1, each.channels)))

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
        """Weights and biases ``[P]``, uniform in +-1/sqrt(fan in).

        These are the defaults of ``torch.nn.Conv2d``, ``ConvTranspose2d`` (whose fan in counts its outputs) and
        ``Linear``. DCGAN's normal(0, 0.02) relies on batch normalisation; without it the signal fades on its way.
        """
        parts = []
        for layer in self.layers:
            count = math.prod(layer.shape) + layer.channels
            parts.append((torch.rand(count, generator=rng) * 2 - 1) / math.sqrt(layer.fan_in))
        return torch.cat(parts)

    def __call__(self, weights: list[Tensor], inputs: Tensor) -> Tensor:
        """Maps ``[B, N, D_in]`` to ``[B, N, D_out]``; can be differentiated any number of times."""
        if self.has_backward and not torch.is_grad_enabled():
            return self.forward(weights, inputs)[-1]
        values = inputs
        for place, layer in enumerate(self.layers):
            if place:
                values = self.activation.function(values)
            values = layer.differentiable(weights[2 * place], values)
            values = (_by_channel(values, layer) + weights[2 * place + 1].unsqueeze(1)).view_as(values)
        return values

    def forward(self, weights: list[Tensor], inputs: Tensor) -> list[Tensor]:
        """The inputs of every layer and then the output, for :meth:`backward`. Records no gradients."""
        assert self.activation.in_place is not None
        values = [inputs]
        for place, layer in enumerate(self.layers):
            value = layer.forward(weights[2 * place], values[-1])
            _by_channel(value, layer).add_(weights[2 * place + 1].unsqueeze(1))
            values.append(self.activation.in_place(value) if place + 1 < len(self.layers) else value)
        return values

    def backward(
        self, weights: list[Tensor], values: list[Tensor], gradient: Tensor, *, by_weights: bool, by_inputs: bool
    ) -> tuple[list[Tensor], Tensor]:
        """Gradients by the weights (empty unless ``by_weights``), and by the inputs ``[B, N, D_in]`` if ``by_inputs``.

        Args:
            weights: the weights.
            values: result of :meth:`forward`.
            gradient: gradient by the output, ``[B, N, D_out]``.
            by_weights: whether to compute gradients by the weights.
            by_inputs: whether to compute the gradient by the inputs.
        """
        assert self.activation.backward is not None
        reversed_gradients: list[Tensor] = []
        for place, layer in reversed(list(enumerate(self.layers))):
            if by_weights:
                reversed_gradients += [_by_bias(gradient, layer), layer.by_weight(values[place], gradient)]
            if place or by_inputs:
                gradient = layer.backward(weights[2 * place], gradient)
            if place:
                self.activation.backward(gradient, values[place])
        return reversed_gradients[::-1], gradient

    def input_gradient(self, weights: list[Tensor], values: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Gradient ``[B, N, D_in]`` of each sample's one output by its input, and what its backward pass needs."""
        assert self.activation.backward is not None
        chain = []  # gradients by the outputs of the layers, from the last hidden one to the first
        gradient = weights[-2].transpose(1, 2).expand(*values[0].shape[:2], -1).contiguous()
        for place in range(len(self.layers) - 2, -1, -1):
            self.activation.backward(gradient, values[place + 1])
            chain.append(gradient)
            gradient = self.layers[place].backward(weights[2 * place], gradient)
        return gradient, chain

    def backward_along(
        self, weights: list[Tensor], values: list[Tensor], chain: list[Tensor], gradient: Tensor
    ) -> list[Tensor]:
        """Gradients by the weights, from the gradient ``[B, N, 1]`` by the output and what was computed of it."""
        by_outputs = [*(each * gradient for each in reversed(chain)), gradient]
        return [
            by_weight
            for layer, inputs, by_output in zip(self.layers, values[:-1], by_outputs, strict=True)
            for by_weight in (layer.by_weight(inputs, by_output), _by_bias(by_output, layer))
        ]

    def penalty_backward(
        self, weights: list[Tensor], values: list[Tensor], chain: list[Tensor], cotangent: Tensor
    ) -> list[Tensor | None]:
        """Gradients by the weights of a function of the input gradient, from its derivative ``[B, N, D_in]`` by it."""
        assert self.activation.backward is not None
        gradients: list[Tensor | None] = []
        for place, (layer, by_output) in enumerate(zip(self.layers[:-1], reversed(chain), strict=True)):
            gradients += [layer.by_weight(cotangent, by_output), None]
            cotangent = layer.forward(weights[2 * place], cotangent)
            self.activation.backward(cotangent, values[place + 1])
        return [*gradients, cotangent.sum(dim=1).unsqueeze(-1), None]


def conv_networks(
    dim: int, latent_dim: int, width: int, depth: int = 2, activation: str = "leaky-relu"
) -> tuple[StackedConv, StackedConv]:
    """The generator and the discriminator for square grey images.

    D: s x s x 1 -> s/2 x s/2 x width -> s/4 x s/4 x 2 width -> one logit. G is the reverse, starting from the noise.

    Args:
        dim: pixels of an image, s * s, with s a multiple of 4 and at least 8: 64, 784, ...
        latent_dim: size of the noise.
        width: channels next to the image; there are twice as many at a quarter of the side.
        depth: hidden layers, 2.
        activation: name in ``ACTIVATIONS``.

    Raises:
        InvalidValueError: the images are not square or do not have such a side, or the depth is not 2.
        UnknownNameError: no such activation.
    """
    side = math.isqrt(dim)
    if side * side != dim or side % 4 or side < 8:
        raise InvalidValueError(
            f"dim is {dim}; networks of kind 'conv' need square images with a side of 8, 12, 16, ... pixels, such as "
            "64 (8x8) or 784 (28x28); use kind 'mlp' for other data"
        )
    if depth != 2:
        raise InvalidValueError(
            f"depth is {depth}; networks of kind 'conv' have 2 hidden layers, so give depth=2 and change the width"
        )
    quarter = (side // 4) ** 2 * 2 * width
    generator = (
        Linear(latent_dim, quarter),
        Up(side // 2, width, 2 * width),
        Up(side, 1, width),
    )
    discriminator = (
        Down(side, 1, width),
        Down(side // 2, width, 2 * width),
        Linear(quarter, 1),
    )
    return StackedConv(generator, activation), StackedConv(discriminator, activation)


def _by_channel(values: Tensor, layer: Layer) -> Tensor:
    return values.view(*values.shape[:2], -1, layer.channels)


def _by_bias(gradient: Tensor, layer: Layer) -> Tensor:
    return over_samples(gradient).view(len(gradient), -1, layer.channels).sum(dim=1)


def _pair(networks: Networks, dim: int) -> tuple[StackedConv, StackedConv]:
    return conv_networks(dim, networks.latent_dim, networks.width, networks.depth, networks.activation)


register_networks("conv", NetworkKind(_pair, columns_at_once=64))
