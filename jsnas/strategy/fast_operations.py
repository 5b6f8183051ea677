"""The operation part of a supernet module, fast: the same as ``PartialChannelEdge`` edges, in few convolutions.

A node's outgoing edges read the same q = C/K channels x, so their candidates are computed together, E edges at a time:

* four kinds of residual dense block (``rdb_common``, ``rdb_light``, ``rdb_shallow``, ``rdb_sep``) have the form
  y1 = relu(A x), x1 = B y1, y2 = relu(A' x + C x1), with 3x3 kernels: a 1x1 one is a 3x3 one with zeros around it, a
  grouped 3x3 one followed by a 1x1 one is one dense 3x3 one, and B is the identity where the cell ends in its ReLU;
* ``rdb_dil`` keeps its two dilated convolutions, since the zeros around an image come between them;
* everything after the last ReLU is linear: the closing convolutions, the candidates' weights (Eq. 5), the edge's weight
  into its node, the channels that pass unchanged (Eq. 6) and the shuffle are one kernel for each map they read.

Blocks of one edge lie beside each other, so edges are the groups of a convolution. Maps are channels-last. The kernels
of all modules are made together, once a pass: it is hundreds of small steps, whatever the number of edges.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jsnas.branches import branch
from jsnas.dense_groups import dense_kernels, on_diagonal
from jsnas.network import Graph, OperationSearchModule
from jsnas.operations import RDBCommon, RDBDil, RDBLight, RDBSep, RDBShallow, Skip, Zero
from jsnas.point_dilation import point_dilation
from jsnas.strategy.dilated_depthwise import dilated_depthwise
from jsnas.strategy.native_operations import has_loops, leave
from jsnas.strategy.partial_channel import PartialChannelEdge, WeightedNode

_DENSE = (RDBCommon, RDBLight, RDBShallow, RDBSep)  # those with a linear end come first
_LINEAR_END = (RDBCommon, RDBLight)
_KNOWN = (*_DENSE, RDBDil, Skip, Zero)
_IN_GROUPS = (  # kernels that every edge, and every block on it, has for its own channels
    "inner",
    "second_x1",
    "first_end",
    "second_end",
    *("dilated_first1", "dilated_x1", "dilated_x11", "dilated_first_end", "dilated_second_end"),
)
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
        kernels: Those of this pass for every node that edges leave (``make_kernels``).
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


def make_kernels(parts: Sequence[FastOperationPart], dtype: torch.dtype | None = None, learns: bool = True) -> None:
    """Gives every part its kernels for the next pass; the parts have the same candidates and sizes.

    Args:
        parts: Those that get kernels.
        dtype: The type that convolutions take under autocast, or ``None`` for that of the weights.
        learns: Whether gradients of the blocks' weights are wanted; kernels of weights alone need none without.
    """
    kernels = {
        name: kernel.to(dtype or kernel.dtype)
        for name, kernel in _kernels(parts, learns and torch.is_grad_enabled()).items()
    }
    sizes = [edges for part in parts for edges in part.leaving]
    pieces = {name: _by_node(name, kernel, sizes) for name, kernel in kernels.items()}
    nodes = iter([{name: piece[k] for name, piece in pieces.items()} for k in range(len(sizes))])
    for part in parts:
        part.kernels = list(itertools.islice(nodes, len(part.leaving)))


def _by_node(name: str, kernel: Tensor, edges: Sequence[int]) -> Sequence[Tensor]:
    """The kernels of one name for each node, whose edges come first; on a GPU O x I x k x k, as cuDNN takes them."""
    if not kernel.is_cuda or name == "bias":
        return torch.split(kernel, list(edges))
    blocks = kernel.flatten(0, kernel.dim() - 5)  # G x O x I x k x k
    groups = [count * len(blocks) // len(kernel) for count in edges]
    if name in _IN_GROUPS:
        return dense_kernels(blocks, groups)
    flat = blocks.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    return torch.split(flat, [count * blocks.shape[1] for count in groups])


def _kernels(parts: Sequence[FastOperationPart], learns: bool) -> dict[str, Tensor]:
    """All kernels by name; the first dimension is the edge, part after part."""
    first, edges = parts[0], [edge for part in parts for edge in part.edges]
    q, kinds, dense = first.selected, first.kinds, first.dense
    of_label = {edge.label: edge.weights() for edge in edges}  # edges of one label share their parameters
    weights = torch.stack([of_label[edge.label] for edge in edges])  # edges x candidates
    strengths = _strengths(parts, weights)
    place = first.place
    blocks = {kind: [edge[edge.names[k]] for edge in edges] for k, kind in enumerate(kinds)}
    fused = (*dense, *([RDBDil] if RDBDil in blocks else []))  # the kinds with a closing convolution
    with torch.set_grad_enabled(learns):
        kernels = _weights_alone(dense, blocks)
        fuse = {kind: torch.stack([b.fuse.weight for b in blocks[kind]])[..., 0, 0] for kind in fused}
        fuse_bias = {kind: torch.stack([b.fuse.bias for b in blocks[kind]])[..., None] for kind in fused}
        closing = {k: torch.stack([b.cell2[-1].weight for b in blocks[k]]) for k in dense if k in _LINEAR_END}

    alpha = {kind: weights[:, k, None, None] for k, kind in enumerate(kinds)}
    into = place[:, :q] * strengths  # edges x C x q
    eye = torch.eye(q, dtype=weights.dtype, device=weights.device)
    ends_into = eye * strengths if has_loops(q, weights) else into
    mixed = alpha[Skip] * eye if Skip in alpha else weights.new_zeros(len(weights), q, q)
    bias = weights.new_zeros(len(weights), q, 1)
    first_ends, second_ends = [], []
    for kind in fused:
        of_x, of_x1, of_x2 = (alpha[kind] * fuse[kind]).split(q, 2)
        mixed = mixed + of_x + alpha[kind] * eye
        bias = bias + alpha[kind] * fuse_bias[kind]
        if kind is RDBDil:
            kernels["dilated_first_end"] = (ends_into @ of_x1)[..., None, None]
            kernels["dilated_second_end"] = (ends_into @ of_x2)[..., None, None]
            continue
        first_ends.append(of_x1)
        if kind in closing:
            second_ends.append((of_x2 @ closing[kind].flatten(2)).view_as(closing[kind]))
        else:
            second_ends.append(_centred(of_x2[..., None, None]))
    if dense:
        kernels["first_end"] = (ends_into @ torch.cat(first_ends, 2))[..., None, None]
        ends = torch.cat(second_ends, 2)
        kernels["second_end"] = (ends_into @ ends.flatten(2)).unflatten(2, ends.shape[2:])
    passed = place[:, q:] * strengths
    kernels["state"] = torch.cat([into @ mixed, passed], 2)[..., None, None]
    kernels["bias"] = (into @ bias).squeeze(2)
    return kernels


def _weights_alone(dense: Sequence[type[nn.Module]], blocks: Mapping[type[nn.Module], list[Any]]) -> dict[str, Tensor]:
    """The kernels up to the last ReLU, which no architecture parameter is a part of."""
    kernels: dict[str, Tensor] = {}
    if dense:
        cells = [_dense_cells(kind, blocks[kind]) for kind in dense]
        first, second_x, second_x1 = zip(*cells, strict=True)
        kernels["first"], kernels["second_x"] = torch.cat(first, 1), torch.cat(second_x, 1)
        kernels["second_x1"] = torch.stack(second_x1, 1)
        if any(kind in _LINEAR_END for kind in dense):
            kernels["inner"] = torch.stack([_inner(kind, blocks[kind]) for kind in dense], 1)
    if RDBDil in blocks:
        kernels |= _dilated_kernels(blocks[RDBDil])
    return kernels


def _strengths(parts: Sequence[FastOperationPart], like: Tensor) -> Tensor:
    """The weight of each edge into its node, edges x 1 x 1."""
    strengths: list[Tensor] = []
    for part in parts:
        graph, found = part.part.graph, dict[tuple[int, int], Tensor]()
        for j, (node, inputs) in enumerate(zip(graph.nodes, graph.inputs, strict=True), start=1):
            values = node.weights() if isinstance(node, WeightedNode) else like.new_ones(len(inputs))
            found |= {(i, j): value for i, value in zip(inputs, values.unbind(), strict=True)}
        strengths += [found[edge] for edge in part.order]
    return torch.stack(strengths)[:, None, None]


def _dense_cells(kind: type[nn.Module], blocks: list[Any]) -> tuple[Tensor, Tensor, Tensor]:
    """3x3 kernels of one candidate on all edges: the first cell on x, the second cell on x, and on x1."""
    first, second = (torch.stack([cell[0].weight for cell in cells]) for cells in _cells(blocks))
    if kind is RDBLight:
        first, second = _centred(first), _centred(second)
    elif kind is RDBSep:
        pointwise1, pointwise2 = (torch.stack([cell[1].weight for cell in cells]) for cells in _cells(blocks))
        first = pointwise1 * first.transpose(1, 2)
        share = second.shape[2]  # inputs of a group: o reads inputs 2o and 2o + 1 of the concatenation
        second = pointwise2.repeat_interleave(share, 2) * second.flatten(1, 2).unsqueeze(1)
    return first, *second.split(first.shape[2], 2)


def _inner(kind: type[nn.Module], blocks: list[Any]) -> Tensor:
    """What comes after the first cell's ReLU: the convolution of its linear end, or nothing."""
    if kind in _LINEAR_END:
        return torch.stack([block.cell1[-1].weight for block in blocks])
    like = blocks[0].fuse.weight
    same = _centred(torch.eye(len(like), dtype=like.dtype, device=like.device)[..., None, None])
    return same.expand(len(blocks), *same.shape)


def _dilated_kernels(blocks: list[Any]) -> dict[str, Tensor]:
    """Kernels of ``rdb_dil`` on all edges; in the second cell every input keeps a channel of its own up to the 1x1."""
    first, second = _cells(blocks)
    opening = torch.stack([cell[0].weight for cell in second])
    share = opening.shape[2]
    on_x, on_x1 = opening.flatten(1, 2).unsqueeze(2).chunk(2, 1)
    second3 = torch.stack([cell[1].weight for cell in second]).repeat_interleave(share, 1).chunk(2, 1)
    second1 = torch.stack([cell[2].weight for cell in second]).repeat_interleave(share, 2).chunk(2, 2)
    kernels = {
        "dilated_first2": torch.stack([cell[0].weight for cell in first]),
        "dilated_first3": torch.stack([cell[1].weight for cell in first]),
        "dilated_first1": torch.stack([cell[2].weight for cell in first]),
        "dilated_x2": on_x,
        "dilated_x3": second3[0],
        "dilated_x1": second1[0],
        "dilated_x12": on_x1,
        "dilated_x13": second3[1],
        "dilated_x11": second1[1],
    }
    return {name: kernel.contiguous() for name, kernel in kernels.items()}  # once, not on every node


def _cells(blocks: list[Any]) -> tuple[list[Any], list[Any]]:
    return [block.cell1 for block in blocks], [block.cell2 for block in blocks]


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
    """A convolution that keeps the size, in as many groups as the kernel leaves of x's channels."""
    kernel = _flat(kernel)
    side, groups = kernel.shape[-1], x.shape[1] // kernel.shape[1]
    dilation = point_dilation(x) if side == 1 else 1
    return F.conv2d(x, kernel, padding=side // 2, dilation=dilation, groups=groups)


def _centred(kernel: Tensor) -> Tensor:
    """A 1x1 kernel as a 3x3 one."""
    return F.pad(kernel, (1, 1, 1, 1))


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
