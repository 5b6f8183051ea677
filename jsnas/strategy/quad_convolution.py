"""3x3 convolutions of and to four channels, with gradients, by the loops in C (``jsnas.native``).

oneDNN fills its vectors with channels, so these leave most of a vector empty, or full of zeros.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from jsnas.native.quad_points import points_gradients, sum_of_points
from jsnas.native.quad_sums import add_quad_sums, quad_sums_gradients
from jsnas.native.quads import convolve, kernel_gradient


class QuadConvolution(torch.autograd.Function):
    """``apply(x, kernel)``: B x C x H x W and C x 4 x 3 x 3, in groups of four to four, to the shape of x.

    None of these is to be differentiated twice.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor) -> Tensor:
        """The convolution, zeros around the images."""
        ctx.save_for_backward(x, kernel)
        return convolve(x, kernel)

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        """That of the input is the convolution with outputs and inputs exchanged and the kernel turned around."""
        x, kernel = ctx.saved_tensors
        needs_x, needs_kernel = ctx.needs_input_grad
        turned = kernel.unflatten(0, (-1, 4)).transpose(1, 2).flip(3, 4).flatten(0, 1)
        dx = convolve(outputs[0], turned) if needs_x else None
        return dx, kernel_gradient(x, outputs[0]) if needs_kernel else None


class FromQuad(torch.autograd.Function):
    """``apply(x, *kernels)``: B x 4 x H x W and kernels 4n x 4 x 3 x 3, each to a map B x 4n x H x W of its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *kernels: Tensor) -> tuple[Tensor, ...]:
        """The convolutions, zeros around the images; in this direction oneDNN is fast."""
        ctx.save_for_backward(x, *kernels)
        return tuple(F.conv2d(x, kernel, padding=1) for kernel in kernels)

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        """As for ``QuadConvolution``; torch makes the kernels'."""
        x, *kernels = ctx.saved_tensors
        dx = None
        if ctx.needs_input_grad[0]:
            dx = torch.zeros_like(x, memory_format=torch.channels_last)
            turned = [kernel.transpose(0, 1).flip(2, 3).unsqueeze(0) for kernel in kernels]
            add_quad_sums(dx, list(zip(outputs, turned, strict=True)))
        dkernels: list[Tensor | None] = []
        for kernel, dy, wanted in zip(kernels, outputs, ctx.needs_input_grad[1:], strict=True):
            same, only_kernel = [1, 1], [False, True, False]
            args = (dy, x, kernel, None, same, same, same, False, [0, 0], 1, only_kernel)
            dkernels.append(torch.ops.aten.convolution_backward(*args)[1] if wanted else None)
        return dx, *dkernels


class QuadPoints(torch.autograd.Function):
    """``apply(x, kernel, ...)``: the ReLU of a sum of 1x1 convolutions, B x 4E x H x W and E x 4 x 4 x 1 x 1."""

    @staticmethod
    def forward(ctx: Any, *terms: Tensor) -> Tensor:
        """B x 4E x H x W."""
        y = sum_of_points(list(zip(terms[::2], terms[1::2], strict=True)), relu=True)
        ctx.save_for_backward(y, *terms)
        return y

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        """Those of maps and kernels as far as they are wanted."""
        (y, *terms), wanted = ctx.saved_tensors, ctx.needs_input_grad
        pairs = list(zip(terms[::2], terms[1::2], strict=True))
        maps, kernels = points_gradients(outputs[0], y, pairs, wanted[::2], wanted[1::2])
        return tuple(gradient for pair in zip(maps, kernels, strict=True) for gradient in pair)


class QuadSum(torch.autograd.Function):
    """``apply(y, x, kernel, ...)`` adds convolutions to every (C / 4)-th channel of y, which is changed.

    y is B x EC x H x W and channels-last, a map B x 4nE x H x W, its kernel E x 4 x 4n x side x side, side 1 or 3.
    """

    @staticmethod
    def forward(ctx: Any, y: Tensor, *terms: Tensor) -> Tensor:
        """The sum."""
        ctx.save_for_backward(*terms)
        ctx.mark_dirty(y)
        add_quad_sums(y, list(zip(terms[::2], terms[1::2], strict=True)))
        return y

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        """Those of maps and kernels as far as they are wanted."""
        terms, wanted = ctx.saved_tensors, ctx.needs_input_grad[1:]
        pairs = list(zip(terms[::2], terms[1::2], strict=True))
        maps, kernels = quad_sums_gradients(outputs[0], pairs, wanted[::2], wanted[1::2])
        return outputs[0], *(gradient for pair in zip(maps, kernels, strict=True) for gradient in pair)
