"""1x1 and 3x3 convolutions in groups of eight channels to eight, and the gradients of their kernels (``octets.c``)."""

from __future__ import annotations

import torch
from torch import Tensor

from jsnas.native.library import call, last, pointer, spread, suits

GROUP = 8  # in octets.c


def takes(x: Tensor, kernel: Tensor) -> bool:
    """Whether the loops are there for a map like x, B x C x H x W, and a kernel, C x 8 x side x side."""
    fits = kernel.shape[:2] == (x.shape[1], GROUP) and kernel.shape[2:] in ((1, 1), (3, 3))
    return fits and suits(x)


def convolve(x: Tensor, kernel: Tensor, bias: Tensor, relu: bool) -> Tensor:
    """The convolution, zeros around the images, or its ReLU.

    Args:
        x: B x C x H x W; it may be some channels of a map that is channels-last.
        kernel: C x 8 x side x side.
        bias: C values.
        relu: Whether a ReLU follows.
    """
    (x, step), kernel, bias = spread(x), kernel.contiguous(), bias.contiguous()
    y = torch.empty_like(x, memory_format=torch.channels_last)
    ends = (bias.data_ptr(), y.data_ptr(), kernel.shape[2], relu, False)
    call("jsnas_octets", x, x.data_ptr(), step, None, kernel.data_ptr(), *ends)
    return y


def map_gradient(dy: Tensor, relu: Tensor | None, kernel: Tensor) -> Tensor:
    """The gradient of x from that of y; ``relu`` is y where a ReLU follows."""
    dy, kernel = last(dy), kernel.contiguous()
    dx = torch.empty_like(dy, memory_format=torch.channels_last)
    ends = (None, dx.data_ptr(), kernel.shape[2], False, True)
    call("jsnas_octets", dy, dy.data_ptr(), dy.shape[1], pointer(relu), kernel.data_ptr(), *ends)
    return dx


def kernel_gradients(x: Tensor, dy: Tensor, relu: Tensor | None, side: int) -> tuple[Tensor, Tensor]:
    """The gradients of kernel, C x 8 x side x side, and bias."""
    (x, step), dy, channels = spread(x), last(dy), dy.shape[1]
    sizes = [channels * GROUP * side * side, channels]
    by_image = x.new_empty(len(x), sum(sizes))
    ends = (pointer(relu), dy.data_ptr(), by_image.data_ptr(), side)
    call("jsnas_octets_kernel", x, x.data_ptr(), step, *ends)
    dkernel, dbias = torch.split(by_image.sum(0), sizes)
    return dkernel.view(channels, GROUP, side, side), dbias
