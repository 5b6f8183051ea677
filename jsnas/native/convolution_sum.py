"""Sums of 3x3 and 1x1 convolutions that keep the size (``convolution_sum.c``), without gradients."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jsnas.native.library import call, pointer, spread, suits

VECTOR = 16  # channels must be multiples of this

# G of F(4x4, 3x3): Lavin and Gray 2016, arXiv:1509.09308, Eq. 10
_G = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)


@dataclass(frozen=True)
class Window:
    """Rows of a map, B x C x rows x W; beyond them are zeros.

    Attributes:
        x: The rows.
        above: Those above the first of the sum.
    """

    x: Tensor
    above: int = 0


class _Input(ctypes.Structure):
    """``Input`` of convolution_sum.c."""

    _fields_ = [
        ("x", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("channels", "step", "above", "rows")),
    ]


def takes(weight: Tensor, widths: Sequence[int]) -> bool:
    """Whether the loops are there for a kernel, O x I x k x k, that reads maps of some channels each."""
    outputs, _, height, width = weight.shape
    fit = not any(channels % VECTOR for channels in (outputs, *widths))
    return fit and height == width and width in (1, 3) and suits(weight)


def prepared(weight: Tensor) -> Tensor:
    """A kernel that ``takes`` takes as the loops read it: I x O, or 6 x 6 x I x O for a 3x3 one (G g G^T)."""
    if weight.shape[2] == 1:
        return weight[:, :, 0, 0].t().contiguous()
    g, G = weight.double(), torch.tensor(_G, dtype=torch.float64)
    return torch.einsum("iy,ocyx,jx->ijco", G, g, G).to(weight.dtype).contiguous()


def convolution_sum(
    wide: Sequence[Window],
    points: Sequence[Window],
    plain: Sequence[Tensor],
    kernels: tuple[Tensor | None, Tensor | None],
    bias: Tensor | None,
    rows: int,
    relu: bool,
    to: Tensor | None = None,
) -> Tensor:
    """The sum of convolutions, maps and a bias, B x O x rows x W in channels-last; with a ReLU if asked for.

    Args:
        wide: What the 3x3 kernel reads, in the order of its inputs.
        points: What the 1x1 kernel reads.
        plain: Maps to be added.
        kernels: Both, ``prepared``.
        bias: O, or ``None``.
        rows: Of the sum.
        relu: Whether the sum's ReLU is asked for.
        to: Where to write it, in channels-last without holes; by default memory of its own.
    """
    first = (*wide, *points)[0].x
    outputs = next(kernel.shape[-1] for kernel in kernels if kernel is not None)
    shape = (first.shape[0], outputs, rows, first.shape[3])
    y = torch.empty(shape, memory_format=torch.channels_last) if to is None else to
    windows = [*wide, *points, *(Window(x) for x in plain)]
    inputs, kept = (_Input * len(windows))(), []
    for made, window in zip(inputs, windows, strict=True):
        x, step = spread(window.x)
        kept.append(x)
        made.x, made.channels, made.step = x.data_ptr(), x.shape[1], step
        made.above, made.rows = window.above, x.shape[2]
    counts = len(wide), len(points), len(plain)
    addresses = [pointer(each) for each in (*kernels, bias)]
    call("jsnas_convolution_sum", y, inputs, *counts, *addresses, y.data_ptr(), relu)
    return y
