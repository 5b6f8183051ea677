"""Residual dense blocks of a network that learns, fast on a CPU: the same function, without concatenations.

    y1 = relu(W1 x)    x1 = C1 y1    y2 = relu(W2 [x, x1])    x2 = C2 y2    y = F [x, x1, x2] + b + x

W and C are convolutions, F is one of 1x1; where a cell ends in its ReLU there is no C. Each of these maps is one sum of
convolutions by the loops in C (``jsnas.native.convolution_sum``), and so is its gradient: a convolution of the
transposed kernel, turned around. All sums of a block are one call, which goes image by image, so that maps are read
from the cache. Gradients of kernels are left to oneDNN. Maps are channels-last.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from jsnas.fast.once import once_differentiable
from jsnas.fast.stand_ins import StandIns
from jsnas.native.convolution_sum import Sum, Window, convolution_sums, prepared, takes
from jsnas.native.library import last, suits
from jsnas.operations import RDBCommon, RDBLight, RDBShallow

_KINDS = (RDBCommon, RDBLight, RDBShallow)
_MOST_CHANNELS, _LEAST_COLUMNS, _LEAST_PIXELS = 64, 24, 2048

Term = tuple[Tensor, Tensor]  # a map, and the kernel that reads it


class FastDenseBlocks(StandIns):
    """In a ``with`` block the dense blocks go this way; modules and their parameters stay what they are.

    Args:
        network: The network; blocks of other classes keep their own way, and so do maps for which the loops are not
            made (of channels that are no multiples of 16, in double precision, under autocast, without a compiler), or
            no faster: of many channels, of few pixels, of fewer images than torch has threads.
    """

    def __init__(self, network: nn.Module) -> None:
        blocks = [block for block in network.modules() if type(block) in _KINDS]
        super().__init__([(block, "forward", partial(_forward, block)) for block in blocks])


def _forward(block: Any, x: Tensor) -> Tensor:
    y: Tensor
    if torch.is_autocast_enabled("cpu") or not (_pays(x) and takes(block.fuse.weight, [x.shape[1]])):
        y = type(block).forward(block, x)
    else:
        cells = (block.cell1, block.cell2)  # each a convolution, a ReLU, and perhaps another convolution
        kernels = [cell[k].weight if k < len(cell) else None for k in (0, 2) for cell in cells]
        y = _DenseBlock.apply(last(x), *kernels, block.fuse.weight, block.fuse.bias)  # type: ignore[no-untyped-call]
    return y


def _pays(x: Tensor) -> bool:
    """Whether the loops were faster for such a map: they take 32 columns at a time, and a thread takes an image."""
    images, channels, rows, columns = x.shape
    enough = channels <= _MOST_CHANNELS and columns >= _LEAST_COLUMNS and images * rows * columns >= _LEAST_PIXELS
    return suits(x) and enough and images >= torch.get_num_threads()


class _DenseBlock(torch.autograd.Function):
    """``apply(x, W1, W2, C1, C2, F, b)``: B x C x H x W to the same shape. It is not to be differentiated twice."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *kernels: Any) -> Tensor:
        W1, W2, C1, C2, F, b = kernels
        q, sums = x.shape[1], list[Sum]()
        y1 = _add(sums, [(x, W1)], relu=True)
        x1 = y1 if C1 is None else _add(sums, [(y1, C1)])
        y2 = _add(sums, [(x, W2[:, :q]), (x1, W2[:, q:])], relu=True)
        x2 = y2 if C2 is None else _add(sums, [(y2, C2)])
        y = _add(sums, list(zip((x, x1, x2), torch.split(F, q, 1), strict=True)), plain=x, bias=b)
        convolution_sums(sums)
        ctx.save_for_backward(x, y1, x1, y2, x2, *kernels)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        x, y1, x1, y2, x2, W1, W2, C1, C2, F, _ = ctx.saved_tensors
        dy, q, sums = last(outputs[0]), x.shape[1], list[Sum]()
        F0, F1, F2 = (_turned(kernel) for kernel in torch.split(F, q, 1))
        W2x, W2x1 = _turned(W2[:, :q]), _turned(W2[:, q:])
        # dz is the gradient of what a ReLU gets, whose values are y.
        dx2 = dz2 = _add(sums, [(dy, F2)], through=y2 if C2 is None else None)
        if C2 is not None:
            dz2 = _add(sums, [(dx2, _turned(C2))], through=y2)
        dx1 = dz1 = _add(sums, [(dz2, W2x1), (dy, F1)], through=y1 if C1 is None else None)
        if C1 is not None:
            dz1 = _add(sums, [(dx1, _turned(C1))], through=y1)
        dx = _add(sums, [(dz1, _turned(W1)), (dz2, W2x), (dy, F0)], plain=dy)
        convolution_sums(sums)
        reads = ((W1, [x], dz1), (W2, [x, x1], dz2), (C1, [y1], dx1), (C2, [y2], dx2), (F, [x, x1, x2], dy))
        needs_x, *needs = ctx.needs_input_grad
        dkernels = [_kernel_gradient(*read) if need else None for read, need in zip(reads, needs, strict=False)]
        return dx if needs_x else None, *dkernels, dy.sum((0, 2, 3)) if needs[-1] else None


def _add(
    sums: list[Sum],
    terms: Sequence[Term],
    plain: Tensor | None = None,
    bias: Tensor | None = None,
    relu: bool = False,
    through: Tensor | None = None,
) -> Tensor:
    """Adds a sum to those that are to be computed: of convolutions, of a map as it is and of a bias.

    Args:
        sums: Those until now.
        terms: Maps, and the kernels that read them.
        plain: The map.
        bias: The bias.
        relu: Whether its ReLU is wanted.
        through: Values of a ReLU that the sum, a gradient, goes through.
    """
    wide, points = ([(x, kernel) for x, kernel in terms if kernel.shape[2] == side] for side in (3, 1))
    of_wide, of_points = (prepared(torch.cat([k for _, k in same], 1)) if same else None for same in (wide, points))
    windows, others = ([Window(x) for x, _ in same] for same in (wide, points))
    y = torch.empty_like(terms[0][0])
    plains = [] if plain is None else [plain]
    sums.append(Sum(y, windows, others, plains, (of_wide, of_points), bias, relu, through))
    return y


def _turned(kernel: Tensor) -> Tensor:
    """The kernel of the gradient of what a convolution reads."""
    return kernel.flip(2, 3).transpose(0, 1)


def _kernel_gradient(kernel: Tensor, maps: Sequence[Tensor], dy: Tensor) -> Tensor:
    """That of a kernel which reads some maps side by side."""
    parts = torch.split(kernel, [x.shape[1] for x in maps], 1)
    pad = [kernel.shape[2] // 2] * 2
    found = [
        torch.ops.aten.convolution_backward(
            dy, x, part, None, [1, 1], pad, [1, 1], False, [0, 0], 1, [False, True, False]
        )[1]
        for x, part in zip(maps, parts, strict=True)
    ]
    return found[0] if len(found) == 1 else torch.cat(found, 1)
