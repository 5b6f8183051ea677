"""What all edges that leave a node of an operation part bring, by the loops in C, with gradients written by hand.

It computes what ``jsnas.strategy.fast_operations`` says, where four channels are mixed. As one step of autograd's it
spares some thirty small ones, each of which would wait for Python's lock that both halves of a batch share.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from jsnas.native import depthwise, quads
from jsnas.native.library import last, suits
from jsnas.native.quad_points import points_gradients, sum_of_points
from jsnas.native.quad_sums import add_quad_sums, quad_sums_gradients

SELECTED = 4  # mixed channels that the loops are for

Kernels = dict[str, Tensor]
Gradients = dict[str, Tensor | None]


def has_loops(selected: int, like: Tensor) -> bool:
    """Whether the loops are there for maps or kernels like one, where some channels are mixed."""
    return selected == SELECTED and suits(like)


def leave(state: Tensor, kernels: Kernels) -> Tensor:
    """What E edges bring to their nodes, B x EC x H x W.

    Args:
        state: The node, B x C x H x W.
        kernels: Those of its edges, as ``fast_operations.make_kernels`` gives them.
    """
    y: Tensor = _Leave.apply(tuple(kernels), state, *kernels.values())
    return y


class _Leave(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, names: Sequence[str], state: Tensor, *tensors: Tensor) -> Tensor:
        kernels = dict(zip(names, tensors, strict=True))
        state = last(state)
        x = last(state[:, :SELECTED])
        y = last(F.conv2d(state, kernels["state"].flatten(0, 1), kernels["bias"].flatten(), dilation=2))
        dense = _dense(x, kernels) if "first" in kernels else []
        dilated = _dilated(x, kernels) if "dilated_x2" in kernels else []
        if dense or dilated:
            add_quad_sums(y, _ends(dense, dilated, kernels))
        ctx.names, ctx.dense = names, len(dense)
        ctx.save_for_backward(state, x, *tensors, *dense, *dilated)
        return y

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        state, x, *others = ctx.saved_tensors
        kernels = dict(zip(ctx.names, others, strict=False))
        maps = others[len(kernels) :]
        dense, dilated = maps[: ctx.dense], maps[ctx.dense :]
        needs_state, *needed = ctx.needs_input_grad[1:]
        wanted = dict(zip(ctx.names, needed, strict=True))
        dy = last(outputs[0])
        found: Gradients = {}
        dx: list[Tensor] = []
        if dense or dilated:
            ends = _ends(dense, dilated, kernels)
            names = [name for name in _ENDS if name in kernels]
            every, relus = [True] * len(ends), [name in _relus(kernels) for name in names]
            of_maps, of_kernels = quad_sums_gradients(dy, ends, every, [wanted[n] for n in names], relus)
            found |= dict(zip(names, of_kernels, strict=True))
            if dense:
                dx.append(_dense_gradients(of_maps[:2], x, dense, kernels, wanted, found))
            if dilated:
                dx.append(_dilated_gradients(of_maps[-2:], dilated, kernels, wanted, found))
        mask = [needs_state, wanted["state"], wanted["bias"]]
        kernel = kernels["state"].flatten(0, 1)
        dstate, dkernel, dbias = torch.ops.aten.convolution_backward(
            dy, state, kernel, [len(kernel)], [1, 1], [0, 0], [2, 2], False, [0, 0], 1, mask
        )
        if dstate is not None:
            for each in dx:
                dstate[:, :SELECTED] += each
        found["state"], found["bias"] = dkernel, dbias
        shaped = [
            None if found[name] is None else found[name].view_as(kernel)  # type: ignore[union-attr]
            for name, kernel in kernels.items()
        ]
        return None, dstate, *shaped


_ENDS = ("first_end", "second_end", "dilated_first_end", "dilated_second_end")


def _ends(dense: Sequence[Tensor], dilated: Sequence[Tensor], kernels: Kernels) -> list[tuple[Tensor, Tensor]]:
    """The maps that closing convolutions read, each with its kernel, in the order of ``_ENDS``."""
    maps = [*dense[:2], *dilated[:2]]
    return list(zip(maps, [kernels[name] for name in _ENDS if name in kernels], strict=True))


def _relus(kernels: Kernels) -> set[str]:
    """The closing convolutions that read a ReLU which has no other gradient to wait for."""
    return {"second_end"} if "inner" in kernels else {"first_end", "second_end"}


def _dense(x: Tensor, kernels: Kernels) -> list[Tensor]:
    """Both cells' features of the blocks with dense kernels, and the ReLU before the first."""
    y1 = F.conv2d(x, kernels["first"].flatten(0, 1), padding=1).relu_()
    x1 = quads.convolve(y1, kernels["inner"].flatten(0, 2)) if "inner" in kernels else y1
    of_x = F.conv2d(x, kernels["second_x"].flatten(0, 1), padding=1)
    y2 = quads.convolve(x1, kernels["second_x1"].flatten(0, 2), more=of_x, relu=True)
    return [x1, y2, y1]


def _dense_gradients(
    ends: Sequence[Any], x: Tensor, maps: Sequence[Tensor], kernels: Kernels, wanted: dict[str, bool], found: Gradients
) -> Tensor:
    """The gradient of x, from those of both features; those of kernels are put in."""
    (dx1, dy2), (x1, _, y1) = ends, maps

    def back(name: str, dy: Tensor, x: Tensor, relu: Tensor | None, total: Tensor | None) -> Tensor:
        kernel = kernels[name].flatten(0, 2)
        found[name] = quads.kernel_gradient(x, dy) if wanted[name] else None
        return quads.map_gradient(dy, kernel, relu, total)

    if "inner" in kernels:
        dx1 = back("second_x1", dy2, x1, None, dx1)
        dy1 = back("inner", dx1, y1, y1, None)
    else:
        dy1 = back("second_x1", dy2, x1, y1, dx1)
    dx = torch.zeros_like(x)
    pairs = []
    for name, dy in (("first", dy1), ("second_x", dy2)):
        kernel = kernels[name].flatten(0, 1)
        pairs.append((dy, kernel.transpose(0, 1).flip(2, 3).unsqueeze(0)))
        found[name] = None
        if wanted[name]:
            args = (dy, x, kernel, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [False, True, False])
            found[name] = torch.ops.aten.convolution_backward(*args)[1]
    add_quad_sums(dx, pairs)
    return dx


def _dilated(x: Tensor, kernels: Kernels) -> list[Tensor]:
    """Both cells' features of ``rdb_dil``, and all maps before them."""

    def convolve(x: Tensor, name: str, dilation: int) -> Tensor:
        return depthwise.convolve(x, kernels[name].flatten(0, 1), dilation)

    wide = torch.cat([x] * len(kernels["dilated_x2"]), 1)
    first2 = convolve(wide, "dilated_first2", 2)
    first3 = convolve(first2, "dilated_first3", 3)
    x1 = sum_of_points([(first3, kernels["dilated_first1"])], relu=True)
    of_x2 = convolve(wide, "dilated_x2", 2)
    of_x3 = convolve(of_x2, "dilated_x3", 3)
    of_x12 = convolve(x1, "dilated_x12", 2)
    of_x13 = convolve(of_x12, "dilated_x13", 3)
    x2 = sum_of_points([(of_x3, kernels["dilated_x1"]), (of_x13, kernels["dilated_x11"])], relu=True)
    return [x1, x2, wide, first2, first3, of_x2, of_x3, of_x12, of_x13]


def _dilated_gradients(
    ends: Sequence[Any], maps: Sequence[Tensor], kernels: Kernels, wanted: dict[str, bool], found: Gradients
) -> Tensor:
    """The gradient of x, from those of both features; those of kernels are put in."""
    (dx1, dx2), (x1, x2, wide, first2, first3, of_x2, of_x3, of_x12, of_x13) = ends, maps

    def back(dy: Tensor, x: Tensor, name: str, dilation: int) -> Tensor:
        kernel = kernels[name].flatten(0, 1)
        found[name] = depthwise.kernel_gradient(x, dy, dilation) if wanted[name] else None
        return depthwise.convolve(dy, kernel.flip(2, 3), dilation)

    def points(dy: Tensor, relu: Tensor, xs: Sequence[Tensor], names: Sequence[str]) -> list[Any]:
        terms = [(x, kernels[name]) for x, name in zip(xs, names, strict=True)]
        dxs, dkernels = points_gradients(dy, relu, terms, [True] * len(terms), [wanted[name] for name in names])
        found.update(zip(names, dkernels, strict=True))
        return dxs

    of_x, of_x1 = points(dx2, x2, (of_x3, of_x13), ("dilated_x1", "dilated_x11"))
    dx1 += back(back(of_x1, of_x12, "dilated_x13", 3), x1, "dilated_x12", 2)
    (of_first,) = points(dx1, x1, (first3,), ("dilated_first1",))
    dwide = back(back(of_x, of_x2, "dilated_x3", 3), wide, "dilated_x2", 2)
    dwide += back(back(of_first, first2, "dilated_first3", 3), wide, "dilated_first2", 2)
    dx: Tensor = dwide.unflatten(1, (-1, SELECTED)).sum(1)
    return dx
