"""Convolutions in groups of eight channels to eight with their ReLU, by the loops in C (``jsnas.native.octets``)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from jsnas.fast.once import once_differentiable
from jsnas.native.octets import convolve, kernel_gradients, map_gradient


class OctetConvolution(torch.autograd.Function):
    """``apply(x, kernel, bias, relu)``: B x C x H x W, C x 8 x side x side (1 or 3) and C to the shape of x.

    It is not to be differentiated twice.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, bias: Tensor, relu: bool) -> Tensor:
        """The convolution, zeros around the images, or its ReLU."""
        y = convolve(x, kernel, bias, relu)
        ctx.save_for_backward(x, kernel, y if relu else None)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        """Those that are wanted."""
        (x, kernel, relu), (needs_x, needs_kernel, needs_bias, _) = ctx.saved_tensors, ctx.needs_input_grad
        dx = map_gradient(outputs[0], relu, kernel) if needs_x else None
        if not (needs_kernel or needs_bias):
            return dx, None, None, None
        return dx, *kernel_gradients(x, outputs[0], relu, kernel.shape[2]), None
