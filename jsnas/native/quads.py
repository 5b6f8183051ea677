"""3x3 convolutions in groups of four channels to four, and the gradient of their kernel (``quads.c``)."""

from __future__ import annotations

import torch
from torch import Tensor

from jsnas.native.library import call


def convolve(x: Tensor, kernel: Tensor) -> Tensor:
    """The convolution, zeros around the images: B x C x H x W, kernel C x 4 x 3 x 3, to the shape of x."""
    x, kernel = x.contiguous(memory_format=torch.channels_last), kernel.contiguous()
    y = torch.empty_like(x)
    call("jsnas_quads", x, x.data_ptr(), kernel.data_ptr(), y.data_ptr())
    return y


def map_gradient(dy: Tensor, kernel: Tensor) -> Tensor:
    """That of x from that of y: the convolution with outputs and inputs exchanged and the kernel turned around."""
    return convolve(dy, kernel.view(-1, 4, 4, 3, 3).transpose(1, 2).flip(3, 4).flatten(0, 1))


def kernel_gradient(x: Tensor, dy: Tensor) -> Tensor:
    """The gradient of the kernel, C x 4 x 3 x 3, from that of the output, B x C x H x W."""
    x, dy = (t.contiguous(memory_format=torch.channels_last) for t in (x, dy))
    by_image = x.new_empty(len(x), x.shape[1], 4, 3, 3)
    call("jsnas_quads_kernel", x, x.data_ptr(), dy.data_ptr(), by_image.data_ptr())
    return by_image.sum(0)
