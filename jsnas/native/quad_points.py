"""Sums of 1x1 convolutions in groups of four channels to four, and their gradients (``quad_points.c``)."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from jsnas.native.library import call, last, pointer


class _Point(ctypes.Structure):
    """``Point`` of quad_points.c."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("x", "kernel", "dx", "dkernel")]


Term = tuple[Tensor, Tensor]  # a map, B x 4E x H x W, and a kernel, E x 4 x 4 x 1 x 1


def sum_of_points(terms: Sequence[Term], relu: bool) -> Tensor:
    """The sum of the convolutions, B x 4E x H x W, or its ReLU."""
    given = [(last(x), kernel.contiguous()) for x, kernel in terms]
    y = torch.empty_like(given[0][0])
    call("jsnas_quad_points", y, _points(given), len(given), y.data_ptr(), relu)
    return y


def points_gradients(
    dy: Tensor, relu: Tensor | None, terms: Sequence[Term], of_maps: Sequence[bool], of_kernels: Sequence[bool]
) -> tuple[list[Tensor | None], list[Tensor | None]]:
    """The gradients of the terms' maps and kernels, as far as they are wanted.

    Args:
        dy: That of the sum.
        relu: The sum where it is a ReLU.
        terms: Those of the sum.
        of_maps: Whether that of each map is wanted.
        of_kernels: Whether that of each kernel is.
    """
    dy, given = last(dy), [(last(x), kernel.contiguous()) for x, kernel in terms]
    maps = [torch.empty_like(x) if wanted else None for (x, _), wanted in zip(given, of_maps, strict=True)]
    by_image = [
        kernel.new_empty(len(dy), *kernel.shape) if wanted else None
        for (_, kernel), wanted in zip(given, of_kernels, strict=True)
    ]
    made = _points(given, maps, by_image)
    call("jsnas_quad_points_backward", dy, made, len(given), dy.data_ptr(), pointer(relu))
    return maps, [None if each is None else each.sum(0) for each in by_image]


def _points(
    terms: Sequence[Term], maps: Sequence[Tensor | None] = (), kernels: Sequence[Tensor | None] = ()
) -> ctypes.Array[_Point]:
    made = (_Point * len(terms))()
    for point, (x, kernel) in zip(made, terms, strict=True):
        point.x, point.kernel = x.data_ptr(), kernel.data_ptr()
    for point, dx, dkernel in zip(made, maps, kernels, strict=False):
        point.dx, point.dkernel = pointer(dx), pointer(dkernel)
    return made
