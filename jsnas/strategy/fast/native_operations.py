"""What all edges that leave a node of an operation part bring, by the loops in C, with gradients written by hand.

It computes what ``jsnas.strategy.fast.operations`` says, where four channels are mixed. As one step of autograd's, and
one call of the loops, it spares a hundred small ones, each of which would wait for Python's lock that both halves of a
batch share.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from jsnas.fast.once import once_differentiable
from jsnas.native import operation_edges
from jsnas.native.library import last, suits

SELECTED = 4  # mixed channels that the loops are for

Kernels = dict[str, Tensor]


def has_loops(selected: int, like: Tensor) -> bool:
    """Whether the loops are there for maps or kernels like one, where some channels are mixed."""
    return selected == SELECTED and suits(like)


def leave(state: Tensor, kernels: Kernels) -> Tensor:
    """What E edges bring to their nodes, B x EC x H x W.

    Args:
        state: The node, B x C x H x W.
        kernels: Those of its edges, as ``operation_kernels.make_kernels`` gives them.
    """
    y: Tensor = _Leave.apply(tuple(kernels), state, *kernels.values())
    return y


class _Leave(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, names: Sequence[str], state: Tensor, *tensors: Tensor) -> Tensor:
        kernels = {name: tensor.contiguous() for name, tensor in zip(names, tensors, strict=True)}
        state = last(state)
        x, y1, y2 = last(state[:, :SELECTED]), None, None
        y = last(F.conv2d(state, kernels["state"].flatten(0, 1), kernels["bias"].flatten(), dilation=2))
        if "first" in kernels:
            y1, y2 = (last(F.conv2d(x, kernels[name].flatten(0, 1), padding=1)) for name in operation_edges.OPENING)
            y1.relu_()
        maps = operation_edges.Maps.of(x, y1, y2, kernels)
        operation_edges.add(y, kernels, maps)
        ctx.names = names
        ctx.save_for_backward(state, maps.x, maps.y1, maps.y2, maps.x1, maps.dilated, *kernels.values())
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        state, *saved = ctx.saved_tensors
        maps, kernels = operation_edges.Maps(*saved[:5]), dict(zip(ctx.names, saved[5:], strict=True))
        needs_state, *needs = ctx.needs_input_grad[1:]
        wanted = [name for name, need in zip(ctx.names, needs, strict=True) if need]
        dy, kernel = last(outputs[0]), kernels["state"].flatten(0, 1)
        mask = [needs_state, "state" in wanted, "bias" in wanted]
        dstate, dkernel, dbias = torch.ops.aten.convolution_backward(
            dy, state, kernel, [len(kernel)], [1, 1], [0, 0], [2, 2], False, [0, 0], 1, mask
        )
        dstate = None if dstate is None else last(dstate)
        *dys, found = operation_edges.gradients(dy, kernels, maps, wanted, dstate)
        found |= {name: of for name, of in (("state", dkernel), ("bias", dbias)) if name in wanted}
        for name, dyk in zip(operation_edges.OPENING, dys, strict=True):
            if name in wanted:
                args = (dyk, maps.x, kernels[name].flatten(0, 1), None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1)
                found[name] = torch.ops.aten.convolution_backward(*args, [False, True, False])[1]
        shaped = [found[name].view_as(kernels[name]) if name in found else None for name in ctx.names]
        return None, dstate, *shaped
