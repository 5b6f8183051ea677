"""A dilated depthwise 3x3 convolution with gradients, by the loops in C where they are (``jsnas.native``).

The gradient of the input is the same convolution of the output's gradient, the kernel turned around.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from jsnas.fast.once import once_differentiable
from jsnas.native.depthwise import convolve, kernel_gradient
from jsnas.native.library import suits


def dilated_depthwise(x: Tensor, kernel: Tensor, dilation: int) -> Tensor:
    """The convolution, padded to keep the size; by the loops its gradients cannot be differentiated again.

    Args:
        x: B x C x H x W.
        kernel: C x 1 x 3 x 3.
        dilation: 1 or more.
    """
    if suits(x) and kernel.dtype == x.dtype:
        y: Tensor = _DilatedDepthwise.apply(x, kernel, dilation)
        return y
    return F.conv2d(x, kernel, padding=dilation, dilation=dilation, groups=len(kernel))


class _DilatedDepthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, dilation: int) -> Tensor:
        ctx.save_for_backward(x, kernel)
        ctx.dilation = dilation
        return convolve(x, kernel, dilation)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        x, kernel = ctx.saved_tensors
        needs_x, needs_kernel, _ = ctx.needs_input_grad
        dx = convolve(outputs[0], kernel.flip(2, 3), ctx.dilation) if needs_x else None
        return dx, kernel_gradient(x, outputs[0], ctx.dilation) if needs_kernel else None, None
