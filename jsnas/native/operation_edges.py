"""What all edges that leave a node of an operation part add at their ends, with gradients (``operation_edges.c``)."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jsnas.native.library import call, pointer

# The kernels in the order of operation_edges.c; jsnas/strategy/fast/operation_kernels.py makes them.
OPENING = ("first", "second_x")  # they read the four channels themselves, by torch's convolutions
KERNELS = (
    *(*OPENING, "second_x1", "inner", "first_end", "second_end"),
    *("dilated_first2", "dilated_first3", "dilated_first1", "dilated_x2", "dilated_x3", "dilated_x1"),
    *("dilated_x12", "dilated_x13", "dilated_x11", "dilated_first_end", "dilated_second_end"),
)
_DILATED_MAPS = 9  # MAPS in operation_edges.c


@dataclass(frozen=True)
class Maps:
    """What the edges' blocks compute, channels-last; E edges with n blocks of dense kernels.

    Attributes:
        x: The four channels that they read, B x 4 x H x W.
        y1: The ReLU of the ``first`` convolution of x, B x 4nE x H x W; ``None`` without such blocks.
        y2: What ``second_x`` makes of x, the same; ``add`` makes it the second cell's features.
        x1: Room for the first cell's features where they are not y1, else ``None``.
        dilated: Room for the maps of ``rdb_dil``, or ``None``.
    """

    x: Tensor
    y1: Tensor | None
    y2: Tensor | None
    x1: Tensor | None
    dilated: Tensor | None

    @classmethod
    def of(cls, x: Tensor, y1: Tensor | None, y2: Tensor | None, kernels: Mapping[str, Tensor]) -> Maps:
        """With rooms for those that are not given."""
        x1 = torch.empty_like(y1) if y1 is not None and "inner" in kernels else None
        edges, pixels = len(kernels["state"]), x.numel()
        dilated = x.new_empty(_DILATED_MAPS * edges * pixels) if "dilated_x2" in kernels else None
        return cls(x, y1, y2, x1, dilated)


class _Edges(ctypes.Structure):
    """``Edges`` of operation_edges.c."""

    _fields_ = [
        ("kernels", ctypes.c_void_p * len(KERNELS)),
        ("dkernels", ctypes.c_void_p * len(KERNELS)),
        *((name, ctypes.c_void_p) for name in ("x", "y1", "x1", "y2", "dilated", "y", "dy", "dy1", "dy2", "dstate")),
        *((name, ctypes.c_int64) for name in ("edges", "blocks")),
    ]


def add(y: Tensor, kernels: Mapping[str, Tensor], maps: Maps) -> None:
    """Adds what the blocks bring to four channels of each of E parts of y, B x EC x H x W: 0, C/4, C/2, 3C/4.

    Args:
        y: Channels-last, without holes.
        kernels: By their names in ``KERNELS``, without holes; ``state`` and ``bias`` may be among them.
        maps: What was computed, and rooms for the rest.
    """
    edges = _edges(kernels, maps)
    edges.y = y.data_ptr()
    call("jsnas_operation_edges", y, ctypes.byref(edges))


def gradients(
    dy: Tensor, kernels: Mapping[str, Tensor], maps: Maps, wanted: Sequence[str], dstate: Tensor | None
) -> tuple[Tensor | None, Tensor | None, dict[str, Tensor]]:
    """Those of what the ``OPENING`` convolutions gave, and those of all other kernels.

    Args:
        dy: The gradient of the sum, channels-last, without holes.
        kernels: Those of the sum.
        maps: Those of the sum.
        wanted: The kernels whose gradients are wanted.
        dstate: B x C x H x W, channels-last, without holes: the gradient of x is added to its first four channels; or
            ``None``.
    """
    edges = _edges(kernels, maps)
    dy1, dy2 = (None if y is None else torch.empty_like(y) for y in (maps.y1, maps.y2))
    names = [name for name in KERNELS if name in wanted and name not in OPENING]
    sizes = [kernels[name].numel() for name in names]
    parts = torch.split(maps.x.new_empty(sum(sizes)), sizes)
    for name, part in zip(names, parts, strict=True):
        edges.dkernels[KERNELS.index(name)] = part.data_ptr()
    edges.dy, edges.dy1, edges.dy2, edges.dstate = dy.data_ptr(), pointer(dy1), pointer(dy2), pointer(dstate)
    call("jsnas_operation_edges_backward", dy, ctypes.byref(edges))
    return dy1, dy2, {name: part.view_as(kernels[name]) for name, part in zip(names, parts, strict=True)}


def _edges(kernels: Mapping[str, Tensor], maps: Maps) -> _Edges:
    edges = _Edges()
    for k, name in enumerate(KERNELS):
        if name in kernels:
            edges.kernels[k] = kernels[name].data_ptr()
    edges.x, edges.y1, edges.y2 = maps.x.data_ptr(), pointer(maps.y1), pointer(maps.y2)
    edges.x1, edges.dilated, edges.edges = pointer(maps.x1), pointer(maps.dilated), len(kernels["state"])
    edges.blocks = 0 if maps.y1 is None else maps.y1.shape[1] // (4 * edges.edges)
    return edges
