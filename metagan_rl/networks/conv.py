"""Convolutional networks, stacked: a small DCGAN (Radford et al. 2016, arXiv:1511.06434) for square grey images.

D halves the image twice with kernels of 4x4, stride 2 and padding 1; G doubles it twice with their transposes. Unlike
DCGAN's they have no batch normalisation: gradient penalties need a D that acts on each sample alone. Channels double
where the side halves, images are rows of pixels, and hidden values are rows ``(row, column, channel)``.

What is fastest on a CPU depends on the size, and on the whole grouped convolutions never are. Images of 8x8 are so
small that kernels written out as matrices cost little more operations than convolutions, and batched products of these
make better use of the processor than B small convolutions do. At 28x28 they would cost many times the operations, and
torch's convolutions are near the peak of the processor: members take turns. Next to the image one channel is too few
for torch's transposed convolutions, and products with patches are three times faster.
"""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.grad import conv2d_weight

from metagan_rl.errors import InvalidValueError
from metagan_rl.networks.mlp import ACTIVATIONS, Activation, product

KERNEL = 4
"""Side of every kernel; stride 2 and padding 1 go with it."""
SMALL_IMAGE, SMALL_FEATURES = 8, 4
"""Largest sides at which the matrix of a convolution is written out: of an image, and of several channels."""


class Convolution(Protocol):
    """B convolutions that halve a side, their transposes, and their gradients: one form, linear in each argument.

    All take kernels ``[B, 4, 4, a, b]`` for a channels at the fine side s and b at the coarse side s/2, fine values
    ``[B, N, s * s * a]`` and coarse ones ``[B, N, s/2 * s/2 * b]``.
    """

    def down(self, kernel: Tensor, fine: Tensor) -> Tensor:
        """The convolution: coarse values."""
        ...

    def up(self, kernel: Tensor, coarse: Tensor) -> Tensor:
        """The transposed convolution: fine values."""
        ...

    def by_kernel(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Gradient by the kernel of the product of ``down(kernel, fine)`` and ``coarse``."""
        ...


class _Sides:
    """Sides and channels of one convolution.

    Args:
        side: the fine one, even.
        fine: channels there.
        coarse: channels at half the side.
    """

    def __init__(self, side: int, fine: int, coarse: int) -> None:
        self.side, self.half, self.fine, self.coarse = side, side // 2, fine, coarse


class Unrolled(_Sides):
    """Batched products with the kernels written out as a matrix, whose columns are the upper half of the coarse side.

    Its rows are the s/2 + 2 rows of the fine side that the upper half sees, the first of them padding. The lower half
    sees as many, the last of them padding, through the same matrix. The sides must be multiples of 4.
    """

    def __init__(self, side: int, fine: int, coarse: int) -> None:
        super().__init__(side, fine, coarse)
        self._parts = self.half + 2, side, fine, self.half // 2, self.half, coarse
        self._seen = (self.half + 1) * side * fine  # by each half, without the padding
        self._made = self.half // 2 * self.half * coarse
        self._windows = []  # for each place of the upper half: where its window lies in the matrix, and in the kernel
        for i in range(self.half // 2):
            for j in range(self.half):
                first, last = max(2 * j - 1, 0), min(2 * j + 3, side)
                window = slice(None), slice(2 * i, 2 * i + KERNEL), slice(first, last), slice(None), i, j
                self._windows.append((window, (slice(None), slice(None), slice(first - 2 * j + 1, last - 2 * j + 1))))

    def _halves(self, kernel: Tensor) -> tuple[Tensor, Tensor]:
        matrix = kernel.new_zeros(len(kernel), *self._parts)
        for window, part in self._windows:
            matrix[window] = kernel[part]
        upper, lower = matrix[:, 1:], matrix[:, :-1]
        return upper.view(-1, self._seen, self._made), lower.view(-1, self._seen, self._made)

    def down(self, kernel: Tensor, fine: Tensor) -> Tensor:
        """See :class:`Convolution`."""
        coarse = fine.new_empty(*fine.shape[:2], 2 * self._made)
        upper, lower = self._halves(kernel)
        torch.bmm(fine[..., : self._seen], upper, out=coarse[..., : self._made])
        torch.bmm(fine[..., -self._seen :], lower, out=coarse[..., self._made :])
        return coarse

    def up(self, kernel: Tensor, coarse: Tensor) -> Tensor:
        """See :class:`Convolution`."""
        fine = coarse.new_empty(*coarse.shape[:2], self.side**2 * self.fine)
        upper, lower = self._halves(kernel)
        torch.bmm(coarse[..., : self._made], upper.transpose(1, 2), out=fine[..., : self._seen])
        fine[..., self._seen :] = 0
        fine[..., -self._seen :].baddbmm_(coarse[..., self._made :], lower.transpose(1, 2))
        return fine

    def by_kernel(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """See :class:`Convolution`."""
        matrix = fine.new_zeros(len(fine), *self._parts)
        rows = fine.transpose(1, 2)
        matrix[:, 1:].view(-1, self._seen, self._made).baddbmm_(rows[:, : self._seen], coarse[..., : self._made])
        matrix[:, :-1].view(-1, self._seen, self._made).baddbmm_(rows[:, -self._seen :], coarse[..., self._made :])
        kernel = fine.new_zeros(len(fine), KERNEL, KERNEL, self.fine, self.coarse)
        for window, part in self._windows:
            kernel[part] += matrix[window]
        return kernel


class Patches(_Sides):
    """Products with patches of the fine side, member by member so that they stay in the cache; for one channel."""

    def _patches(self, fine: Tensor) -> Tensor:
        """Those of one member's values ``[N, s * s * a]``: ``[N * s/2 * s/2, 4 * 4 * a]``."""
        image = functional.pad(fine.reshape(-1, self.side, self.side, self.fine), (0, 0, 1, 1, 1, 1))
        return image.unfold(1, KERNEL, 2).unfold(2, KERNEL, 2).movedim(3, -1).reshape(-1, KERNEL**2 * self.fine)

    def down(self, kernel: Tensor, fine: Tensor) -> Tensor:
        """See :class:`Convolution`."""
        coarse = fine.new_empty(*fine.shape[:2], self.half**2 * self.coarse)
        for one, inputs, out in zip(kernel, fine, coarse, strict=True):
            torch.mm(self._patches(inputs), one.reshape(-1, self.coarse), out=out.view(-1, self.coarse))
        return coarse

    def up(self, kernel: Tensor, coarse: Tensor) -> Tensor:
        """See :class:`Convolution`."""
        half = self.half
        fine = coarse.new_empty(*coarse.shape[:2], self.side**2 * self.fine)
        for one, inputs, out in zip(kernel, coarse, fine, strict=True):
            patches = inputs.reshape(-1, self.coarse) @ one.reshape(-1, self.coarse).T
            quarters = patches.view(-1, half, half, 2, 2, 2, 2, self.fine)  # of 2x2 pixels, each in up to four patches
            image = inputs.new_zeros(len(inputs), half + 1, 2, half + 1, 2, self.fine)
            for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
                image[:, i : i + half, :, j : j + half] += quarters[:, :, :, i, :, j].transpose(2, 3)
            image = image.view(len(inputs), self.side + 2, self.side + 2, self.fine)
            out.view(-1, self.side, self.side, self.fine).copy_(image[:, 1:-1, 1:-1])
        return fine

    def by_kernel(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """See :class:`Convolution`."""
        rows = [self._patches(a).T @ b.reshape(-1, self.coarse) for a, b in zip(fine, coarse, strict=True)]
        return torch.stack(rows).view(len(fine), KERNEL, KERNEL, self.fine, self.coarse)


class InTurns(_Sides):
    """Torch's convolutions, one member after the other, with the channels last as hidden values have them."""

    def _fine(self, values: Tensor) -> Tensor:
        return values.view(-1, self.side, self.side, self.fine).permute(0, 3, 1, 2)

    def _coarse(self, values: Tensor) -> Tensor:
        return values.view(-1, self.half, self.half, self.coarse).permute(0, 3, 1, 2)

    def down(self, kernel: Tensor, fine: Tensor) -> Tensor:
        """See :class:`Convolution`."""
        coarse = fine.new_empty(*fine.shape[:2], self.half**2 * self.coarse)
        for one, inputs, out in zip(kernel.permute(0, 4, 3, 1, 2), fine.contiguous(), coarse, strict=True):
            self._coarse(out).copy_(functional.conv2d(self._fine(inputs), one, stride=2, padding=1))
        return coarse

    def up(self, kernel: Tensor, coarse: Tensor) -> Tensor:
        """See :class:`Convolution`."""
        fine = coarse.new_empty(*coarse.shape[:2], self.side**2 * self.fine)
        for one, inputs, out in zip(kernel.permute(0, 4, 3, 1, 2), coarse.contiguous(), fine, strict=True):
            self._fine(out).copy_(functional.conv_transpose2d(self._coarse(inputs), one, stride=2, padding=1))
        return fine

    def by_kernel(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """See :class:`Convolution`."""
        shape = (self.coarse, self.fine, KERNEL, KERNEL)
        kernels = [
            conv2d_weight(self._fine(a), shape, self._coarse(b), stride=2, padding=1)
            for a, b in zip(fine.contiguous(), coarse.contiguous(), strict=True)
        ]
        return torch.stack(kernels).permute(0, 3, 4, 2, 1)


def convolution(side: int, fine: int, coarse: int) -> Convolution:
    """The fastest form for these sides and channels."""
    if side <= (SMALL_IMAGE if fine == 1 else SMALL_FEATURES):
        return Unrolled(side, fine, coarse)
    return (Patches if fine == 1 else InTurns)(side, fine, coarse)


class _Derivative(torch.autograd.Function):
    """Of the form's three arguments one is left out: its derivative by that one.

    The derivatives of a derivative are of the same kind, so automatic differentiation may go on for ever.
    """

    @staticmethod
    def forward(ctx: Any, form: Convolution, kernel: Tensor | None, fine: Tensor | None, coarse: Tensor | None) -> Any:
        ctx.form = form
        ctx.save_for_backward(kernel, fine, coarse)
        if kernel is None:
            assert fine is not None and coarse is not None
            return form.by_kernel(fine, coarse)
        if fine is None:
            assert coarse is not None
            return form.up(kernel, coarse)
        return form.down(kernel, fine)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        arguments = [gradient if each is None else each for each in ctx.saved_tensors]
        derivatives = [
            _derivative(ctx.form, *(None if place == by else each for place, each in enumerate(arguments)))
            if needed
            else None
            for by, needed in enumerate(ctx.needs_input_grad[1:])
        ]
        return (None, *derivatives)


def _derivative(form: Convolution, *arguments: Tensor | None) -> Tensor:
    apply: Any = _Derivative.apply
    return apply(form, *arguments)


class Layer(Protocol):
    """A linear map of one layer, with weights ``[B, *shape]``; biases are added apart from it.

    Attributes:
        shape: of one member's weights.
        channels: outputs that have a bias of their own; each serves all places of the image.
        fan_in: what torch takes for the number of inputs of one output when it draws fresh weights.
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
    """All inputs to all outputs."""

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
        return _derivative(self._form, weight, inputs, None)

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
    """A transposed convolution to ``side``: as fast as the convolution, whose kernel form it shares.

    Nearest-neighbour upsampling before such a convolution costs four times the operations; as the stride divides the
    kernel's side, every pixel is reached by equally many weights.
    """

    def __init__(self, side: int, fine: int, coarse: int) -> None:
        self.shape: tuple[int, ...] = (KERNEL, KERNEL, fine, coarse)
        self.channels, self.fan_in = fine, fine * KERNEL**2
        self._form = convolution(side, fine, coarse)

    def differentiable(self, weight: Tensor, inputs: Tensor) -> Tensor:
        """See :class:`Layer`."""
        return _derivative(self._form, weight, None, inputs)

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
    """Layers with one activation between them and none at the end; ``StackedMLP`` tells what the methods do.

    Args:
        layers: from input to output.
        activation: name in ``ACTIVATIONS``.

    Raises:
        UnknownNameError: no such activation.
    """

    def __init__(self, layers: Sequence[Layer], activation: str = "leaky-relu") -> None:
        self.layers = tuple(layers)
        self._activation = activation  # by name, so that networks can be pickled
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
        """Weights ``[P]`` uniform in +-1/sqrt(fan in), biases too.

        The defaults of ``torch.nn.Conv2d``, ``ConvTranspose2d`` (which takes its outputs for the fan in) and
        ``Linear``. DCGAN's normal(0, 0.02) counts on batch normalisation: without it the signal is lost on its way.
        """
        parts = []
        for layer in self.layers:
            count = math.prod(layer.shape) + layer.channels
            parts.append((torch.rand(count, generator=rng) * 2 - 1) / math.sqrt(layer.fan_in))
        return torch.cat(parts)

    def __call__(self, weights: list[Tensor], inputs: Tensor) -> Tensor:
        """Maps ``[B, N, D_in]`` to ``[B, N, D_out]``, differentiable as often as needed."""
        values = inputs
        for place, layer in enumerate(self.layers):
            if place:
                values = self.activation.function(values)
            values = layer.differentiable(weights[2 * place], values)
            values = (_by_channel(values, layer) + weights[2 * place + 1].unsqueeze(1)).view_as(values)
        return values

    def forward(self, weights: list[Tensor], inputs: Tensor) -> list[Tensor]:
        """The inputs of every layer and, last, the output; what :meth:`backward` needs. Records no gradients."""
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
        """Gradients by the weights (none unless ``by_weights``) and, if ``by_inputs``, by the inputs ``[B, N, D_in]``.

        Args:
            weights: as ever.
            values: from :meth:`forward`.
            gradient: by the output, ``[B, N, D_out]``.
            by_weights: give the former.
            by_inputs: give the latter.
        """
        assert self.activation.backward is not None
        reversed_gradients: list[Tensor] = []
        for place, layer in reversed(list(enumerate(self.layers))):
            if by_weights:
                by_bias = gradient.sum(dim=1).view(len(gradient), -1, layer.channels).sum(dim=1)
                reversed_gradients += [by_bias, layer.by_weight(values[place], gradient)]
            if place or by_inputs:
                gradient = layer.backward(weights[2 * place], gradient)
            if place:
                self.activation.backward(gradient, values[place])
        return reversed_gradients[::-1], gradient

    def input_gradient(self, weights: list[Tensor], values: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Gradient ``[B, N, D_in]`` of each sample's (one) output by its input, and what its backward pass needs."""
        assert self.activation.backward is not None
        chain = []  # gradients by the outputs of the layers, from the last hidden one to the first
        gradient = weights[-2].transpose(1, 2).expand(*values[0].shape[:2], -1).contiguous()
        for place in range(len(self.layers) - 2, -1, -1):
            self.activation.backward(gradient, values[place + 1])
            chain.append(gradient)
            gradient = self.layers[place].backward(weights[2 * place], gradient)
        return gradient, chain

    def penalty_backward(
        self, weights: list[Tensor], values: list[Tensor], chain: list[Tensor], cotangent: Tensor
    ) -> list[Tensor | None]:
        """Gradients by the weights of a function of the input gradient, given its derivative ``[B, N, D_in]`` by it."""
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

    D: s x s x 1 -> s/2 x s/2 x width -> s/4 x s/4 x 2 width -> one logit; G the same backwards, from the noise.

    Args:
        dim: pixels of an image, s * s with s a multiple of 4 and at least 8: 64, 784, ...
        latent_dim: size of the noise.
        width: channels next to the image; twice as many at the quarter side.
        depth: hidden layers, 2.
        activation: name in ``ACTIVATIONS``.

    Raises:
        InvalidValueError: the images are not square, or not of such a side; or the depth is not 2.
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
