"""The gated sum by the loops in C (``jsnas.native``): no map of gates is ever written, sigmoids are made again for the
gradients. It computes what ``jsnas.strategy.gated_sum`` says, for the gates that our attentions have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from jsnas.native import gated_sum as native

Group = tuple[Tensor, Sequence[Tensor], Sequence[Sequence[Any]]]  # x; thin gates; narrow, kernel, bias, weight of each


def suits(groups: Sequence[Group]) -> bool:
    """Whether the loops can take these inputs."""
    return all(
        native.takes(x)
        and _kinds(x, thin) in (["channel", "pixel"], ["channel"], ["pixel"], [])
        and len(wide) <= native.MOST_GATES
        and all(native.Wide(*gate).known() for gate in wide)
        for x, thin, wide in groups
    )


def _kinds(x: Tensor, thin: Sequence[Tensor]) -> list[str]:
    pixels = (len(x), 1, *x.shape[2:])
    return ["channel" if t.shape[2:] == (1, 1) else "pixel" if t.shape == pixels else "other" for t in thin]


def _gated(x: Tensor, thin: Sequence[Tensor], wide: Sequence[Sequence[Any]]) -> native.Gated:
    found = dict(zip(_kinds(x, thin), thin, strict=True))
    return native.Gated(x, found.get("channel"), found.get("pixel"), [native.Wide(*gate) for gate in wide])


class NativeGatedSum(torch.autograd.Function):
    """y of inputs that ``suits``: ``apply(group, *tensors)``, ``group`` making their groups of the flat tensors."""

    @staticmethod
    def forward(ctx: Any, group: Any, *tensors: Tensor | None) -> Tensor:
        """The sum y, B x C x H x W."""
        ctx.group = group
        ctx.save_for_backward(*tensors)
        return native.gated_sum([_gated(*each) for each in group(tensors)])

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        """A gradient for each tensor that needs one."""
        dy = outputs[0].contiguous(memory_format=torch.channels_last)
        groups, needed = ctx.group(ctx.saved_tensors), ctx.group(ctx.needs_input_grad[1:])
        edges = native.Edges([_gated(*each) for each in groups])
        rooms: list[Tensor | None] = []  # for the gradients, in the order of the flat tensors

        def room(owner: Any, name: str, needed: bool, shape: Sequence[int], is_map: bool = False) -> None:
            layout = torch.channels_last if is_map else torch.contiguous_format
            made = torch.empty(shape, memory_format=layout) if needed else None
            setattr(owner, name, None if made is None else made.data_ptr())
            rooms.append(made)

        for edge, gates, (x, thin, wide), (needs_x, needs_thin, needs_wide) in zip(
            edges.array, edges.gates, groups, needed, strict=True
        ):
            room(edge, "dx", needs_x, x.shape, is_map=True)
            for t, kind, needs in zip(thin, _kinds(x, thin), needs_thin, strict=True):
                room(edge, f"d{kind}", needs, (*x.shape[:2], 1, 1) if kind == "channel" else t.shape)
            for gate, (narrow, *others), (needs_narrow, *needs_others) in zip(gates, wide, needs_wide, strict=True):
                room(gate, "dnarrow", needs_narrow, narrow.shape, is_map=True)
                for t, name, needs in zip(others, ("dkernel", "dbias", "dweight"), needs_others, strict=True):
                    room(gate, name, needs, () if t is None else (len(x), *t.shape))  # one for each image
        edges.call("jsnas_gated_sum_backward", dy)
        return None, *map(_summed, rooms, ctx.saved_tensors)


def _summed(room: Tensor | None, like: Tensor) -> Tensor | None:
    """Summed over what a tensor is the same for."""
    if room is None:
        return None
    return room.sum(0) if room.dim() > like.dim() else room.sum_to_size(like.shape)
