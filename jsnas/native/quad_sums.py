"""Sums of convolutions to four channels, and their gradients (``quad_sums.c``; ``quad_points.c`` for 4 to 4)."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from jsnas.native.library import call, last, pointer
from jsnas.native.quad_points import points_gradients, sum_of_points

MOST_TERMS = 4  # TERMS in quad_sums.c


class _Term(ctypes.Structure):
    """``Term`` of quad_sums.c."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("x", "kernel", "dx", "dkernel")]
    _fields_ += [(name, ctypes.c_int64) for name in ("blocks", "side", "relu")]


Term = tuple[Tensor, Tensor]  # a map, B x 4nE x H x W, and a kernel, E x 4 x 4n x side x side, side 1 or 3


def add_quad_sums(y: Tensor, terms: Sequence[Term]) -> None:
    """Adds convolutions that keep the size to four channels of each of E parts of y, B x EC x H x W: 0, C/4, C/2, 3C/4.

    y is channels-last. An edge of maps and y is a group of the convolutions.
    """
    points = [term for term in terms if _is_point(term)]
    plain = sum_of_points(points, relu=False) if points else None
    wide = [(last(x), kernel.contiguous()) for x, kernel in terms if not _is_point((x, kernel))]
    edges = len(terms[0][1])
    call("jsnas_quad_sums", y, _terms(wide), len(wide), pointer(plain), y.data_ptr(), edges)


def quad_sums_gradients(
    dy: Tensor, terms: Sequence[Term], of_maps: Sequence[bool], of_kernels: Sequence[bool], relus: Sequence[bool] = ()
) -> tuple[list[Tensor | None], list[Tensor | None]]:
    """The gradients of the terms' maps and kernels, as far as they are wanted.

    Args:
        dy: That of y.
        terms: Those of the sum.
        of_maps: Whether that of each map is wanted.
        of_kernels: Whether that of each kernel is.
        relus: Whether each map is a ReLU, of which the gradient is made that of what is before; by default none is.
    """
    relus = relus or [False] * len(terms)
    dy, given = last(dy), [(last(x), kernel.contiguous()) for x, kernel in terms]
    points = [k for k, term in enumerate(given) if _is_point(term)]
    wide = [k for k in range(len(given)) if k not in points]
    maps = [torch.empty_like(x) if of_maps[k] and k in wide else None for k, (x, _) in enumerate(given)]
    by_image = [
        kernel.new_empty(len(dy), *kernel.shape) if of_kernels[k] and k in wide else None
        for k, (_, kernel) in enumerate(given)
    ]
    plain = torch.empty_like(given[points[0]][0]) if points else None
    made = _terms([given[k] for k in wide], [maps[k] for k in wide], [by_image[k] for k in wide])
    for term, k in zip(made, wide, strict=True):
        term.relu = relus[k]
    edges = len(terms[0][1])
    call("jsnas_quad_sums_backward", dy, made, len(wide), dy.data_ptr(), pointer(plain), edges)
    kernels = [None if each is None else each.sum(0) for each in by_image]
    if plain is not None:
        wanted = [[of[k] for k in points] for of in (of_maps, of_kernels)]
        of_points = points_gradients(plain, None, [given[k] for k in points], *wanted)
        for k, dx, dkernel in zip(points, *of_points, strict=True):
            kernels[k] = dkernel
            maps[k] = torch.ops.aten.threshold_backward(dx, given[k][0], 0) if relus[k] and dx is not None else dx
    return maps, kernels


def _is_point(term: Term) -> bool:
    """Whether a term is a 1x1 convolution of four channels to four."""
    return term[1].shape[2:] == (4, 1, 1)


def _terms(
    terms: Sequence[Term], maps: Sequence[Tensor | None] = (), kernels: Sequence[Tensor | None] = ()
) -> ctypes.Array[_Term]:
    made = (_Term * len(terms))()
    for term, (x, kernel) in zip(made, terms, strict=True):
        if kernel.shape[1] != 4 or kernel.shape[2] % 4:  # the loops would read what is not theirs
            raise ValueError(f"Kernels are E x 4 x 4n x side x side, and this one is {tuple(kernel.shape)}.")
        term.x, term.kernel = x.data_ptr(), kernel.data_ptr()
        term.blocks, term.side = kernel.shape[2] // 4, kernel.shape[3]
    for term, dx, dkernel in zip(made, maps, kernels, strict=False):
        term.dx, term.dkernel = pointer(dx), pointer(dkernel)
    return made
