"""The small map of enhanced spatial attention (``esa.c``), without gradients: to it, and from it back."""

from __future__ import annotations

import torch
from torch import Tensor

from jsnas.native.library import call, last, pointer, spread, suits

VECTOR = 4  # channels must be a multiple of this


def takes(narrow: Tensor) -> bool:
    """Whether the loops are there for a narrow map, B x f x H x W."""
    return not narrow.shape[1] % VECTOR and suits(narrow)


def shrink(narrow: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """A 3x3 convolution of stride 2 without padding, B x f x (H - 1) // 2 x (W - 1) // 2.

    Args:
        narrow: B x f x H x W, sides at least 3.
        kernel: f x f x 3 x 3.
        bias: f.
    """
    x, step = spread(narrow)
    images, channels, rows, columns = x.shape
    y = last(x.new_empty(images, channels, (rows - 1) // 2, (columns - 1) // 2))
    taps = kernel.permute(2, 3, 1, 0).contiguous()
    call("jsnas_esa_shrink", y, x.data_ptr(), step, rows, columns, pointer(taps), pointer(bias), y.data_ptr())
    return y


def enlarge(small: Tensor, first: int, small_height: int, narrow: Tensor, start: int, height: int) -> Tensor:
    """Rows of a small map, enlarged bilinearly (``align_corners=False``) to that of a narrow one, plus that one's.

    Args:
        small: B x f x rows x w: those of the small map from ``first`` on that the result lies between.
        first: The first of them.
        small_height: Rows of the small map.
        narrow: B x f x rows x W: those of the narrow map from ``start`` on.
        start: The first of them.
        height: Rows of the narrow map.
    """
    small, (x, step) = last(small), spread(narrow)
    y = torch.empty_like(x, memory_format=torch.channels_last)
    sizes = first, small.shape[2], small_height, small.shape[3], start, height
    call("jsnas_esa_enlarge", y, small.data_ptr(), *sizes, x.data_ptr(), step, y.data_ptr())
    return y
