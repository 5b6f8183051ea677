"""A 3x3 convolution in groups of four channels to four, with gradients, by the loops in C (``jsnas.native``)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from jsnas.native.quads import convolve, kernel_gradient


class QuadConvolution(torch.autograd.Function):
    """``apply(x, kernel)``: B x C x H x W and C x 4 x 3 x 3 to the shape of x; not to be differentiated twice."""

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
