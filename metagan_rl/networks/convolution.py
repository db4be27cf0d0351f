"""One convolution for B members at once, in the form that is fastest for its size; :mod:`.conv` uses it.

The fastest form on a CPU depends on the size. Grouped convolutions are never the fastest overall.

On 8x8 images, kernels written out as matrices cost little more operations than convolutions, and batched products use
the processor better than B small convolutions. At 28x28 they would cost many times the operations. There torch's
convolutions run near the processor's peak, so members take turns. Next to the image, torch's transposed convolutions
are slow because there is only one channel: products with patches are three times faster.
"""

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.grad import conv2d_weight

KERNEL = 4
"""Side of every kernel; stride is 2 and padding is 1."""
SMALL_IMAGE, SMALL_FEATURES = 8, 4
"""Largest sides at which the convolution's matrix is written out: for one channel, and for several."""


class Convolution(Protocol):
    """B convolutions that halve a side, their transposes, and their gradients: one form, linear in each argument.

    All take kernels ``[B, 4, 4, a, b]``, for a channels at the fine side s and b channels at the coarse side s/2. Fine
    values are ``[B, N, s * s * a]``, coarse values ``[B, N, s/2 * s/2 * b]``.
    """

    def down(self, kernel: Tensor, fine: Tensor) -> Tensor:
        """The convolution; returns coarse values."""
        ...

    def up(self, kernel: Tensor, coarse: Tensor) -> Tensor:
        """The transposed convolution; returns fine values."""
        ...

    def by_kernel(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Gradient by the kernel of the product of ``down(kernel, fine)`` and ``coarse``."""
        ...


class _Sides:
    """Sides and channels of one convolution.

    Args:
        side: the fine side, even.
        fine: channels at the fine side.
        coarse: channels at the coarse side, half as long.
    """

    def __init__(self, side: int, fine: int, coarse: int) -> None:
        self.side, self.half, self.fine, self.coarse = side, side // 2, fine, coarse


class Unrolled(_Sides):
    """Batched products with kernels written out as a matrix, whose columns are the upper half of the coarse side.

    The matrix's rows are the s/2 + 2 rows of the fine side that the upper half sees; the first is padding. The lower
    half uses the same matrix; there the last row is padding. The sides must be multiples of 4.
    """

    def __init__(self, side: int, fine: int, coarse: int) -> None:
        super().__init__(side, fine, coarse)
        self._parts = self.half + 2, side, fine, self.half // 2, self.half, coarse
        self._seen = (self.half + 1) * side * fine  # values that each half sees, without the padding
        self._made = self.half // 2 * self.half * coarse
        self._windows = []  # for each place of the upper half: its window's place in the matrix and in the kernel
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
    """Products with patches of the fine side, for one channel. They go member by member, to stay in the cache."""

    def _patches(self, fine: Tensor) -> Tensor:
        """Patches of one member's values ``[N, s * s * a]``: ``[N * s/2 * s/2, 4 * 4 * a]``."""
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
            quarters = patches.view(-1, half, half, 2, 2, 2, 2, self.fine)  # 2x2 pixels, each in up to four patches
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
    """Torch's convolutions, one member after the other, with the channels last, as in hidden values."""

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
    """Applies a form with one of its three arguments left out: the result is the derivative by that argument.

    The derivatives of such a derivative are of the same kind, so automatic differentiation can go on without end.
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
            derivative(ctx.form, *(None if place == by else each for place, each in enumerate(arguments)))
            if needed
            else None
            for by, needed in enumerate(ctx.needs_input_grad[1:])
        ]
        return (None, *derivatives)


def derivative(form: Convolution, *arguments: Tensor | None) -> Tensor:
    """The form's result for two of its arguments, recording gradients (kernel, fine, coarse; one is ``None``)."""
    apply: Any = _Derivative.apply
    return apply(form, *arguments)
