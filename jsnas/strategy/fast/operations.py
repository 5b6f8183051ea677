"""The operation part of a supernet module, fast: the same as ``PartialChannelEdge`` edges, in few convolutions.

A node's outgoing edges read the same q = C/K channels x, so their candidates are computed together, E edges at a time:

* four kinds of residual dense block (``rdb_common``, ``rdb_light``, ``rdb_shallow``, ``rdb_sep``) have the form
  y1 = relu(A x), x1 = B y1, y2 = relu(A' x + C x1), with 3x3 kernels: a 1x1 one is a 3x3 one with zeros around it, a
  grouped 3x3 one followed by a 1x1 one is one dense 3x3 one, and B is the identity where the cell ends in its ReLU;
* ``rdb_dil`` keeps its two dilated convolutions, since the zeros around an image come between them;
* everything after the last ReLU is linear: the closing convolutions, the candidates' weights (Eq. 5), the edge's weight
  into its node, the channels that pass unchanged (Eq. 6) and the shuffle are one kernel for each map they read.

Blocks of one edge lie beside each other, so edges are the groups of a convolution. Maps are channels-last. Kernels come
from ``jsnas.strategy.fast.operation_kernels``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jsnas.branches import branch
from jsnas.fast.dense_groups import on_diagonal
from jsnas.fast.same_size import conv_same_size, point_dilation
from jsnas.network import Graph, OperationSearchModule
from jsnas.operations import RDBCommon, RDBDil, RDBLight, RDBSep, RDBShallow, Skip, Zero
from jsnas.strategy.fast.dilated_depthwise import dilated_depthwise
from jsnas.strategy.fast.native_operations import has_loops, leave
from jsnas.strategy.partial_channel import PartialChannelEdge

_DENSE = (RDBCommon, RDBLight, RDBShallow, RDBSep)  # those with a linear end come first
_KNOWN = (*_DENSE, RDBDil, Skip, Zero)
_FULL = 8  # channels of a group that fill a vector of every processor; more of them hold more zeros
WIDEST = 8  # selected channels q from which each candidate on its own fills a convolution


def suits_operations(part: nn.Module) -> bool:
    """Whether a ``FastOperationPart`` can stand for a part: our candidates on the first channels, and few of these."""
    if type(part) is not OperationSearchModule or type(part.graph) is not Graph:
        return False
    edges: list[Any] = list(part.graph.edges.values())
    if not all(type(edge) is PartialChannelEdge for edge in edges):
        return False
    kinds = [[type(edge[name]) for name in edge.names] for edge in edges]
    return (
        all(each == kinds[0] for each in kinds)
        and len(set(kinds[0])) == len(kinds[0])
        and all(kind in _KNOWN for kind in kinds[0])
        and all(edge.mask == "first" or edge.partial == 1 for edge in edges)
        and edges[0].channels // edges[0].partial <= WIDEST
    )


class FastOperationPart:
    """Computes what an operation part computes.

    Args:
        part: One that ``suits_operations``.

    Attributes:
        kernels: Those of this pass for every node that edges leave (``operation_kernels.make_kernels``).
    """

    def __init__(self, part: OperationSearchModule) -> None:
        self.part = part
        targets = list(enumerate(part.graph.inputs, start=1))
        self.order = sorted((i, j) for j, inputs in targets for i in inputs)
        self.leaving = [sum(i == node for i, _ in self.order) for node in range(len(part.graph.nodes))]
        self.kernels: list[dict[str, Tensor]] = []
        self.edges: list[Any] = [part.graph.edges[f"{i}_{j}"] for i, j in self.order]
        first = self.edges[0]
        self.kinds = [type(first[name]) for name in first.names]
        self.dense = [kind for kind in _DENSE if kind in self.kinds]
        self.selected = first.channels // first.partial
        # Where the mixed and the passed channels of an edge end up: first and last columns of a C x C permutation.
        shuffled = torch.arange(first.channels).view(first.partial, self.selected).t().flatten()
        self.place = torch.eye(first.channels)[shuffled].to(part.reduce.weight)

    def __call__(self, x: Tensor) -> Tensor:
        """B x C x H x W to the same shape."""
        states = [self.part.reduce(x)]
        targets = iter(self.order)
        arriving: dict[int, list[Tensor]] = {}
        for j, (edges, here) in enumerate(zip(self.leaving, self.kernels, strict=True), start=1):
            if edges:
                for output in self._leave(states[-1], here, edges).chunk(edges, 1):
                    arriving.setdefault(next(targets)[1], []).append(output)
            terms = arriving.pop(j)
            states.append(sum(terms[1:], terms[0]))
        y: Tensor = self.part.fuse(torch.cat(states, 1))
        return y

    def _leave(self, state: Tensor, kernel: dict[str, Tensor], edges: int) -> Tensor:
        """What E edges bring to their nodes, B x EC x H x W."""
        if has_loops(self.selected, state):
            return leave(state, kernel)
        x = state[:, : self.selected].contiguous(memory_format=torch.channels_last)
        parts: list[Callable[[], list[Tensor]]] = []  # maps, each followed by its kernel
        if self.dense:
            parts.append(branch(partial(_dense, x, kernel)))
        if "dilated_first_end" in kernel:
            parts.append(branch(partial(self._dilated, x, kernel, edges)))
        y = F.conv2d(state, _flat(kernel["state"]), kernel["bias"].flatten(), dilation=point_dilation(x))
        ends = [tensor for part in parts for tensor in part()]
        for x, of_x in zip(ends[::2], ends[1::2], strict=True):
            y = y.add_(_grouped(x, of_x))
        return y

    def _dilated(self, x: Tensor, kernel: dict[str, Tensor], edges: int) -> list[Tensor]:
        """Both cells' features of ``rdb_dil``, by edge, each with its closing kernel."""

        def depthwise(x: Tensor, name: str, dilation: int) -> Tensor:
            return dilated_depthwise(x, _flat(kernel[name]), dilation)

        wide = torch.cat([x] * edges, 1)
        of_x = branch(lambda: depthwise(depthwise(wide, "dilated_x2", 2), "dilated_x3", 3))
        y = depthwise(depthwise(wide, "dilated_first2", 2), "dilated_first3", 3)
        x1 = _points(y, kernel["dilated_first1"])
        of_x1 = depthwise(depthwise(x1, "dilated_x12", 2), "dilated_x13", 3)
        x2 = _points(of_x(), kernel["dilated_x1"], of_x1, kernel["dilated_x11"])
        return [x1, kernel["dilated_first_end"], x2, kernel["dilated_second_end"]]


def _dense(x: Tensor, kernel: dict[str, Tensor]) -> list[Tensor]:
    """Both cells' features of the blocks with dense kernels, by edge, each with its closing kernel."""
    opened, second = (F.conv2d(x, _flat(kernel[name]), padding=1) for name in ("first", "second_x"))
    x1 = opened.relu_()
    if "inner" in kernel:
        x1 = _in_blocks(x1, kernel["inner"])
    y2 = _in_blocks(x1, kernel["second_x1"]).add_(second).relu_()
    return [x1, kernel["first_end"], y2, kernel["second_end"]]


def _flat(kernel: Tensor) -> Tensor:
    """O x I x k x k of kernels by edge, and by block."""
    return kernel.flatten(0, kernel.dim() - 4)


def _grouped(x: Tensor, kernel: Tensor) -> Tensor:
    """A convolution that keeps the size, each edge and block by itself."""
    return conv_same_size(x, _flat(kernel))


def _points(*terms: Tensor) -> Tensor:
    """The ReLU of a sum of 1x1 convolutions of as many channels to as many, by edge; maps and kernels take turns."""
    of_kernel = _product if terms[0].is_cuda and terms[0].shape[1] == terms[1].shape[1] else _grouped
    maps = [of_kernel(x, kernel) for x, kernel in zip(terms[::2], terms[1::2], strict=True)]
    return torch.relu(sum(maps[1:], maps[0]))  # not in place: a product's map is a view, whose gradient would be copies


def _product(x: Tensor, kernel: Tensor) -> Tensor:
    """A 1x1 convolution as a product of matrices: cuDNN's gradient of such a kernel of 12 channels takes 0.3 ms."""
    return F.linear(x.permute(0, 2, 3, 1), kernel.flatten(1)).permute(0, 3, 1, 2)


def _in_blocks(x: Tensor, kernel: Tensor) -> Tensor:
    """A 3x3 convolution that keeps the size, each block on its own channels; kernels on a CPU E x n x q x q x k x k."""
    if x.is_cuda:
        return _grouped(x, kernel)
    blocks, channels = kernel.shape[1:3]
    together = max(_FULL // channels, 1)
    together = together if blocks % together == 0 else blocks
    return _grouped(x, on_diagonal(kernel.unflatten(1, (-1, together)).flatten(0, 1)))
