"""Sums of convolutions to four channels, and their gradients (``quad_sums.c``)."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from jsnas.native.library import call

MOST_TERMS = 4  # TERMS in quad_sums.c


class _Term(ctypes.Structure):
    """``Term`` of quad_sums.c."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("x", "kernel", "dx", "dkernel")]
    _fields_ += [(name, ctypes.c_int64) for name in ("blocks", "side")]


Term = tuple[Tensor, Tensor]  # a map, B x 4nE x H x W, and a kernel, E x 4 x 4n x side x side, side 1 or 3


def add_quad_sums(y: Tensor, terms: Sequence[Term]) -> None:
    """Adds convolutions that keep the size to four channels of each of E parts of y, B x EC x H x W: 0, C/4, C/2, 3C/4.

    y is channels-last. An edge of maps and y is a group of the convolutions.
    """
    given = [(_last(x), kernel.contiguous()) for x, kernel in terms]
    call("jsnas_quad_sums", y, _terms(given), len(given), y.data_ptr(), len(given[0][1]))


def quad_sums_gradients(
    dy: Tensor, terms: Sequence[Term], of_maps: Sequence[bool], of_kernels: Sequence[bool]
) -> tuple[list[Tensor | None], list[Tensor | None]]:
    """The gradients of the terms' maps and kernels, as far as they are wanted, from that of y."""
    given = [(_last(x), kernel.contiguous()) for x, kernel in terms]
    maps = [torch.empty_like(x) if wanted else None for (x, _), wanted in zip(given, of_maps, strict=True)]
    by_image = [
        kernel.new_empty(len(dy), *kernel.shape) if wanted else None
        for (_, kernel), wanted in zip(given, of_kernels, strict=True)
    ]
    dy = _last(dy)
    pointers = _terms(given, maps, by_image)
    call("jsnas_quad_sums_backward", dy, pointers, len(given), dy.data_ptr(), len(given[0][1]))
    return maps, [None if each is None else each.sum(0) for each in by_image]


def _terms(
    terms: Sequence[Term], maps: Sequence[Tensor | None] = (), kernels: Sequence[Tensor | None] = ()
) -> ctypes.Array[_Term]:
    made = (_Term * len(terms))()
    for position, (x, kernel) in enumerate(terms):
        made[position].x, made[position].kernel = x.data_ptr(), kernel.data_ptr()
        made[position].blocks, made[position].side = kernel.shape[2] // 4, kernel.shape[3]
    for position, (dx, dkernel) in enumerate(zip(maps, kernels, strict=True)):
        made[position].dx = None if dx is None else dx.data_ptr()
        made[position].dkernel = None if dkernel is None else dkernel.data_ptr()
    return made


def _last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
