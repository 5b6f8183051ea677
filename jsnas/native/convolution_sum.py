"""Sums of 3x3 and 1x1 convolutions that keep the size (``convolution_sum.c``), one or several in a call."""

from __future__ import annotations

import ctypes
import functools
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


class _Pass(ctypes.Structure):
    """``Pass`` of convolution_sum.c."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("wide", "points", "plain")),
        *((name, ctypes.c_int64) for name in ("wides", "pointses", "plains")),
        *((name, ctypes.c_void_p) for name in ("U", "kernel", "bias", "gate", "y")),
        ("relu", ctypes.c_int64),
        ("shape", ctypes.c_void_p),  # found there
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
    outputs, inputs = weight.shape[:2]
    g = weight.permute(2, 3, 1, 0).reshape(9, -1).double()
    return (_both_ways() @ g).to(weight.dtype).view(6, 6, inputs, outputs)


@functools.cache
def _both_ways() -> Tensor:
    """What makes G g G^T of a g written as a column, 36 x 9."""
    G = torch.tensor(_G, dtype=torch.float64)
    return torch.kron(G, G)


@dataclass(frozen=True)
class Sum:
    """A sum of convolutions, maps and a bias, O x rows x W for each image, and where it is to be written.

    Attributes:
        to: B x O x rows x W in channels-last, without holes.
        wide: What the 3x3 kernel reads, in the order of its inputs.
        points: What the 1x1 kernel reads.
        plain: Maps to be added.
        kernels: Both, ``prepared``.
        bias: O, or ``None``.
        relu: Whether the sum's ReLU is asked for.
        gate: A map as ``to``, or ``None``: where it is not above zero, the sum is to be zero.
    """

    to: Tensor
    wide: Sequence[Window]
    points: Sequence[Window]
    plain: Sequence[Tensor]
    kernels: tuple[Tensor | None, Tensor | None]
    bias: Tensor | None = None
    relu: bool = False
    gate: Tensor | None = None


def convolution_sums(sums: Sequence[Sum]) -> None:
    """Writes sums of one shape; later ones may read what earlier ones write, which is then still in the cache."""
    made, kept = (_Pass * len(sums))(), list[object]()  # what the loops read by its address
    for each, one in zip(made, sums, strict=True):
        windows = [*one.wide, *one.points, *(Window(x) for x in one.plain)]
        inputs = (_Input * len(windows))()
        for place, window in zip(inputs, windows, strict=True):
            x, step = spread(window.x)
            place.x, place.channels, place.step = x.data_ptr(), x.shape[1], step
            place.above, place.rows = window.above, x.shape[2]
            kept.append(x)
        kept.append(inputs)
        each.wides, each.pointses, each.plains = len(one.wide), len(one.points), len(one.plain)
        each.wide = ctypes.addressof(inputs)
        each.points = each.wide + each.wides * ctypes.sizeof(_Input)
        each.plain = each.points + each.pointses * ctypes.sizeof(_Input)
        each.U, each.kernel, each.bias, each.gate = map(pointer, (*one.kernels, one.bias, one.gate))
        each.y, each.relu = one.to.data_ptr(), one.relu
    call("jsnas_convolution_sums", sums[0].to, made, len(sums))


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
    """One ``Sum`` of so many rows; ``to`` is by default memory of its own."""
    if to is None:
        first = (*wide, *points)[0].x
        outputs = next(kernel.shape[-1] for kernel in kernels if kernel is not None)
        shape = (first.shape[0], outputs, rows, first.shape[3])
        to = torch.empty(shape, memory_format=torch.channels_last)
    convolution_sums([Sum(to, wide, points, plain, kernels, bias, relu)])
    return to
