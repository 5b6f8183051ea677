"""What a node of an attention graph brings to later nodes, by the loops in C (``jsnas.native``), with gradients.

    y_j = total_j + x * G_j,   G_j = sum_m t_jm + sum_k w_jk * sigmoid(conv_jk(n_jk))

``x`` is the node, j an edge that leaves it, ``total_j`` what earlier nodes brought to the edge's end, ``t_jm`` gates of
few values, ``n_jk`` the narrow maps of those as large as x, ``w_jk`` their weights. No map of gates is ever written,
sigmoids are made again for the gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from jsnas.fast.once import once_differentiable
from jsnas.native import gated_sum as native
from jsnas.native.library import last

Group = tuple[Sequence[Tensor], Sequence[Sequence[Any]]]  # an edge's thin gates; narrow, kernel, bias, weight of each


def suits(x: Tensor, groups: Sequence[Group]) -> bool:
    """Whether the loops can take a node and its edges."""
    return native.takes(x) and all(
        kinds_of(x, thin) in (["channel", "pixel"], ["channel"], ["pixel"], [])
        and len(wide) <= native.MOST_GATES
        and all(native.Wide(*gate).known() for gate in wide)
        for thin, wide in groups
    )


def grouped(shape: Sequence[tuple[int, int]], flat: Sequence[Any]) -> list[tuple[Any, list[Any]]]:
    """Thin gates and wide gates (four things each) of every edge, out of one flat list."""
    groups, start = [], 0
    for thin, wide in shape:
        first = start + thin
        gates = [flat[k : k + 4] for k in range(first, first + 4 * wide, 4)]
        groups.append((flat[start:first], gates))
        start = first + 4 * wide
    return groups


def kinds_of(x: Tensor, thin: Sequence[Tensor]) -> list[str]:
    """Whether there is one value a channel, or a pixel, in each of an edge's thin gates."""
    pixels = (len(x), 1, *x.shape[2:])
    return ["channel" if t.shape[2:] == (1, 1) else "pixel" if t.shape == pixels else "other" for t in thin]


def _edges(x: Tensor, groups: Sequence[Group]) -> native.Edges:
    gated = []
    for thin, wide in groups:
        found = dict(zip(kinds_of(x, thin), thin, strict=True))
        gates = [native.Wide(*gate) for gate in wide]
        gated.append(native.Gated(x, found.get("channel"), found.get("pixel"), gates))
    return native.Edges(gated)


class NativeGatedSum(torch.autograd.Function):
    """``apply(shape, x, *totals, *gates)``: for each edge its total, ``None`` for nothing, plus x times its gates.

    The shape tells how many gates each edge has (``grouped``). Totals are changed; maps are channels-last.
    """

    @staticmethod
    def forward(ctx: Any, shape: Any, x: Tensor, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        """B x C x H x W for each edge."""
        totals, gates = tensors[: len(shape)], tensors[len(shape) :]
        edges = _edges(x, grouped(shape, gates))
        ys = [torch.empty_like(x) if total is None else total for total in totals]
        for edge, y, total in zip(edges.array, ys, totals, strict=True):
            edge.y, edge.adds = y.data_ptr(), total is not None
        edges.call("jsnas_gated_sum", x)
        ctx.mark_dirty(*(total for total in totals if total is not None))
        ctx.shape = shape
        ctx.save_for_backward(x, *gates)
        return tuple(ys)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        """A gradient for each tensor that needs one."""
        dys = [last(dy) for dy in outputs]
        x, *gates = ctx.saved_tensors
        groups = grouped(ctx.shape, gates)
        needs_x, *needs = ctx.needs_input_grad[1:]
        needs_totals, needs_gates = needs[: len(dys)], needs[len(dys) :]
        edges = _edges(x, groups)
        dx = torch.empty_like(x) if needs_x else None
        rooms: list[Tensor | None] = []  # for the gates' gradients, in their order

        def room(owner: Any, name: str, needed: bool, shape: Sequence[int], is_map: bool = False) -> None:
            layout = torch.channels_last if is_map else torch.contiguous_format
            made = torch.empty(shape, memory_format=layout) if needed else None
            setattr(owner, name, None if made is None else made.data_ptr())
            rooms.append(made)

        for k, (edge, gates_here, dy, (thin, wide), (needs_thin, needs_wide)) in enumerate(
            zip(edges.array, edges.gates, dys, groups, grouped(ctx.shape, needs_gates), strict=True)
        ):
            edge.dy, edge.dx, edge.adds_dx = dy.data_ptr(), None if dx is None else dx.data_ptr(), k > 0
            for t, kind, needed in zip(thin, kinds_of(x, thin), needs_thin, strict=True):
                room(edge, f"d{kind}", needed, (*x.shape[:2], 1, 1) if kind == "channel" else t.shape)
            for gate, (narrow, *others), (needs_narrow, *needs_others) in zip(
                gates_here, wide, needs_wide, strict=True
            ):
                room(gate, "dnarrow", needs_narrow, narrow.shape, is_map=True)
                for t, name, needed in zip(others, ("dkernel", "dbias", "dweight"), needs_others, strict=True):
                    room(gate, name, needed, () if t is None else (len(x), *t.shape))  # one for each image
        edges.call("jsnas_gated_sum_backward", x)
        dtotals = [dy if needed else None for dy, needed in zip(outputs, needs_totals, strict=True)]
        return None, dx, *dtotals, *map(_summed, rooms, gates)


def _summed(room: Tensor | None, like: Tensor) -> Tensor | None:
    """Summed over what a tensor is the same for."""
    if room is None:
        return None
    return room.sum(0) if room.dim() > like.dim() else room.sum_to_size(like.shape)
