"""Depthwise 3x3 convolutions of few channels, and the gradient of their kernel (``depthwise.c``)."""

from __future__ import annotations

import torch
from torch import Tensor

from jsnas.native.library import call, last


def convolve(x: Tensor, kernel: Tensor, dilation: int) -> Tensor:
    """The convolution, zeros around the images: B x C x H x W, kernel C x 1 x 3 x 3, to the shape of x."""
    x, kernel = last(x), kernel.contiguous()
    y = torch.empty_like(x)
    call("jsnas_depthwise", x, x.data_ptr(), kernel.data_ptr(), y.data_ptr(), dilation)
    return y


def kernel_gradient(x: Tensor, dy: Tensor, dilation: int) -> Tensor:
    """The gradient of the kernel, C x 1 x 3 x 3, from that of the output, B x C x H x W."""
    x, dy = last(x), last(dy)
    by_image = x.new_empty(len(x), x.shape[1], 1, 3, 3)
    call("jsnas_depthwise_kernel", x, x.data_ptr(), dy.data_ptr(), by_image.data_ptr(), dilation)
    return by_image.sum(0)
