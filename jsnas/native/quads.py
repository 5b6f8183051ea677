"""3x3 convolutions in groups of four channels to four, and the gradient of their kernel (``quads.c``)."""

from __future__ import annotations

import torch
from torch import Tensor

from jsnas.native.library import call, last, pointer


def convolve(x: Tensor, kernel: Tensor, more: Tensor | None = None, relu: bool = False) -> Tensor:
    """The convolution, zeros around the images.

    Args:
        x: B x C x H x W.
        kernel: C x 4 x 3 x 3.
        more: B x C x H x W that is added, or ``None``.
        relu: Whether a ReLU follows.

    Returns:
        B x C x H x W.
    """
    return _convolve(x, kernel, torch.empty_like(last(x)), more=more, relu=relu)


def map_gradient(dy: Tensor, kernel: Tensor, relu: Tensor | None = None, total: Tensor | None = None) -> Tensor:
    """That of x from that of y: the convolution with outputs and inputs exchanged and the kernel turned around.

    Args:
        dy: B x C x H x W.
        kernel: C x 4 x 3 x 3.
        relu: x where it is a ReLU, of which the gradient counts.
        total: What it is added to, channels-last, or ``None``; it is changed.

    Returns:
        B x C x H x W.
    """
    turned = kernel.view(-1, 4, 4, 3, 3).transpose(1, 2).flip(3, 4).flatten(0, 1)
    room = torch.empty_like(last(dy)) if total is None else total
    return _convolve(dy, turned, room, more=total, positive=relu)


def _convolve(
    x: Tensor, kernel: Tensor, y: Tensor, more: Tensor | None, positive: Tensor | None = None, relu: bool = False
) -> Tensor:
    """Fills y."""
    x, kernel = last(x), kernel.contiguous()
    kept = [None if t is None else last(t) for t in (more, positive)]
    addresses = (x.data_ptr(), kernel.data_ptr(), *map(pointer, kept), y.data_ptr())
    call("jsnas_quads", x, *addresses, relu)
    return y


def kernel_gradient(x: Tensor, dy: Tensor) -> Tensor:
    """The gradient of the kernel, C x 4 x 3 x 3, from that of the output, B x C x H x W."""
    x, dy = last(x), last(dy)
    by_image = x.new_empty(len(x), x.shape[1], 4, 3, 3)
    call("jsnas_quads_kernel", x, x.data_ptr(), dy.data_ptr(), by_image.data_ptr())
    return by_image.sum(0)
