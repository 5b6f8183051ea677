"""Kernels of the operation parts of a whole supernet, made from its blocks and architecture parameters once a pass.

What each is for says ``jsnas.strategy.fast.operations``. Making them is hundreds of small steps, whatever the number of
edges, so those of all modules are made together.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jsnas.fast.dense_groups import dense_kernels
from jsnas.operations import RDBCommon, RDBDil, RDBLight, RDBSep, Skip
from jsnas.strategy.fast.native_operations import has_loops
from jsnas.strategy.fast.operations import FastOperationPart
from jsnas.strategy.partial_channel import WeightedNode, weights_by_label

_LINEAR_END = (RDBCommon, RDBLight)
_IN_GROUPS = (  # kernels that every edge, and every block on it, has for its own channels
    "inner",
    "second_x1",
    "first_end",
    "second_end",
    *("dilated_first1", "dilated_x1", "dilated_x11", "dilated_first_end", "dilated_second_end"),
)


def make_kernels(parts: Sequence[FastOperationPart], dtype: torch.dtype | None = None, learns: bool = True) -> None:
    """Gives every part its kernels for the next pass; the parts have the same candidates and sizes.

    Args:
        parts: Those that get kernels.
        dtype: The type that convolutions take under autocast, or ``None`` for that of the weights.
        learns: Whether gradients of the blocks' weights are wanted; kernels of weights alone need none without.
    """
    kernels = {
        name: kernel.to(dtype or kernel.dtype)
        for name, kernel in _kernels(parts, dtype, learns and torch.is_grad_enabled()).items()
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


def _kernels(parts: Sequence[FastOperationPart], dtype: torch.dtype | None, learns: bool) -> dict[str, Tensor]:
    """All kernels by name; the first dimension is the edge, part after part."""
    first, edges = parts[0], [edge for part in parts for edge in part.edges]
    q, kinds, dense = first.selected, first.kinds, first.dense
    of_label = weights_by_label(edges)  # edges of one label share their parameters
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
    ends_into = eye * strengths if dtype is None and has_loops(q, weights) else into
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
    nodes = [node for part in parts for node in part.part.graph.nodes]
    of_label = weights_by_label([node for node in nodes if isinstance(node, WeightedNode)])
    for part in parts:
        graph, found = part.part.graph, dict[tuple[int, int], Tensor]()
        for j, (node, inputs) in enumerate(zip(graph.nodes, graph.inputs, strict=True), start=1):
            values = of_label[node.label] if isinstance(node, WeightedNode) else like.new_ones(len(inputs))
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


def _centred(kernel: Tensor) -> Tensor:
    """A 1x1 kernel as a 3x3 one."""
    return F.pad(kernel, (1, 1, 1, 1))
