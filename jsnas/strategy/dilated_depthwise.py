"""A dilated depthwise 3x3 convolution with gradients that are fast on a CPU.

oneDNN has no fast gradients for dilated depthwise convolutions. That of the input is the same convolution of the
output's gradient with the kernel turned around. For that of the kernel, pixels whose rows and columns leave the same
remainder by the dilation d are an image of their own, and in d^2 such images the convolution is not dilated.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def dilated_depthwise(x: Tensor, kernel: Tensor, dilation: int) -> Tensor:
    """The convolution, padded to keep the size; its gradients cannot be differentiated again on a CPU.

    Args:
        x: B x C x H x W.
        kernel: C x 1 x 3 x 3.
        dilation: d, 1 or more.
    """
    if x.device.type != "cpu":
        return _convolve(x, kernel, dilation)
    y: Tensor = _DilatedDepthwise.apply(x, kernel, dilation)
    return y


def _convolve(x: Tensor, kernel: Tensor, dilation: int) -> Tensor:
    return F.conv2d(x, kernel, padding=dilation, dilation=dilation, groups=len(kernel))


class _DilatedDepthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, dilation: int) -> Tensor:
        ctx.save_for_backward(x, kernel)
        ctx.dilation = dilation
        return _convolve(x, kernel, dilation)

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        x, kernel = ctx.saved_tensors
        dy, d = outputs[0], ctx.dilation
        needs_x, needs_kernel, _ = ctx.needs_input_grad
        dx = _convolve(dy, kernel.flip(2, 3), d) if needs_x else None
        dkernel: Tensor | None = None
        if needs_kernel:
            images, gradients = _by_remainder(x, d), _by_remainder(dy, d)
            one, mask = [1, 1], [False, True, False]
            _, dkernel, _ = torch.ops.aten.convolution_backward(
                gradients, images, kernel, None, one, one, one, False, [0, 0], len(kernel), mask
            )
        return dx, dkernel, None


def _by_remainder(x: Tensor, d: int) -> Tensor:
    """B x C x H x W as d^2 B x C x ceil(H / d) x ceil(W / d), zeros where the image has no pixel."""
    batch, channels, height, width = x.shape
    x = F.pad(x, (0, -width % d, 0, -height % d)).permute(0, 2, 3, 1)
    x = x.reshape(batch, -(-height // d), d, -(-width // d), d, channels).permute(0, 2, 4, 1, 3, 5)
    return x.flatten(0, 2).permute(0, 3, 1, 2)
