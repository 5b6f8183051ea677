"""Convolutions that keep the size, as each device is fastest at them."""

from __future__ import annotations

from torch import Tensor

from jsnas.fast.dense_groups import conv_in_groups


def point_dilation(x: Tensor) -> int:
    """The dilation to give a 1x1 convolution of x, which changes nothing.

    On one CPU thread torch leaves plain 1x1 convolutions to its slow path; oneDNN, which it takes for dilated ones,
    needs half of the time or less.
    """
    return 2 if x.device.type == "cpu" else 1


def conv_same_size(x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    """A convolution of stride 1 with zeros around the images, in as many groups as the kernel leaves of x's channels.

    Args:
        x: B x C x H x W.
        kernel: O x (C / groups) x k x k, k odd.
        bias: O.
    """
    side, groups = kernel.shape[-1], x.shape[1] // kernel.shape[1]
    dilation = point_dilation(x) if side == 1 else 1
    return conv_in_groups(x, kernel, bias, padding=side // 2, dilation=dilation, groups=groups)
