"""The attention graphs of a network that learns, fast: the same function in fewer passes over memory.

* The 1x1 convolutions that the gates of all edges leaving a node begin with are one convolution.
* The edges that leave a node add to their ends by ``jsnas.fast.gated_sum``: no map of gates is written.

Maps are channels-last. An edge whose class is not exactly one of ours is called as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jsnas.attentions import (
    ChannelAttention,
    ContrastChannelAttention,
    CostEffectiveAttention,
    EnhancedSpatialAttention,
    PixelAttention,
    SkipAttention,
    SpatialAttention,
)
from jsnas.branches import branch
from jsnas.fast.gated_sum import EdgeTerm, WideGate, gated_sums, in_few_passes
from jsnas.fast.stand_ins import StandIns
from jsnas.native.library import last
from jsnas.network import AttentionSearchModule, Graph, is_plain_graph

_NARROW = (PixelAttention, CostEffectiveAttention, EnhancedSpatialAttention)  # they begin with a 1x1 convolution
_OTHERS = (ChannelAttention, ContrastChannelAttention, SpatialAttention)


class FastAttentions(StandIns):
    """In a ``with`` block the attention graphs go this way; modules and their parameters stay what they are.

    Args:
        network: The network; graphs whose nodes are more than sums keep their own way, and so do others where neither
            loops in C nor Triton kernels are made for their maps: in double precision, without a compiler.
    """

    def __init__(self, network: nn.Module) -> None:
        parts = [m for m in network.modules() if type(m) is AttentionSearchModule and is_plain_graph(m.graph)]
        super().__init__([(part, "forward", _FastGraph(part.graph)) for part in parts])


class _FastGraph:
    """The last node of a graph, computed from the first to the last: each node adds to those that it leads to."""

    def __init__(self, graph: Graph) -> None:
        self.leaving: list[dict[int, Any]] = [
            {j: graph.edges[f"{i}_{j}"] for j in graph.ends_from(i)} for i in range(len(graph.nodes))
        ]

    def __call__(self, x: Tensor) -> Tensor:
        """B x C x H x W to the same shape."""
        arrived: dict[int, Tensor] = {}  # what gated sums have brought to each node by now
        outputs: dict[int, list[Callable[[], Tensor]]] = {}  # those of edges that are called as they are
        for i, leaving in enumerate(self.leaving):
            edges: dict[int, EdgeTerm] = {}
            if in_few_passes(x, []) and not torch.is_autocast_enabled("cpu"):
                x = last(x)
                edges = {j: replace(edge, total=arrived.get(j)) for j, edge in _terms(x, leaving).items()}
                edges = edges if in_few_passes(x, list(edges.values())) else {}
            for j, edge in leaving.items():
                if j not in edges:
                    outputs.setdefault(j, []).append(branch(partial(edge, x)))
            if edges:
                arrived |= zip(edges, gated_sums(x, list(edges.values())), strict=True)
            finished = [finish() for finish in outputs.pop(i + 1, [])]
            terms = [*([arrived.pop(i + 1)] if i + 1 in arrived else []), *finished]
            x = sum(terms[1:], terms[0])
        return x


def _terms(x: Tensor, leaving: dict[int, Any]) -> dict[int, EdgeTerm]:
    """The gates of those edges that have one."""
    begun: dict[int, Callable[[], EdgeTerm]] = {}
    narrow = {j: edge for j, edge in leaving.items() if type(edge) in _NARROW}
    for j, edge in leaving.items():
        if type(edge) is SkipAttention:
            begun[j] = partial(_thin, x.new_ones(1, 1, 1, 1))
        elif type(edge) in _OTHERS:
            begun[j] = branch(partial(_other, edge, x))
    if narrow:
        first: list[Any] = [e.layers[0] if type(e) is PixelAttention else e.squeeze for e in narrow.values()]
        opened = F.conv2d(x, torch.cat([conv.weight for conv in first]), torch.cat([conv.bias for conv in first]))
        maps = torch.split(opened, [conv.out_channels for conv in first], 1)
        begun |= {j: branch(partial(_narrow, edge, y)) for (j, edge), y in zip(narrow.items(), maps, strict=True)}
    return {j: finish() for j, finish in begun.items()}


def _thin(gate: Tensor) -> EdgeTerm:
    return EdgeTerm(None, [gate], [])


def _other(edge: Any, x: Tensor) -> EdgeTerm:
    """The gate of an edge that reads x as it is."""
    return _thin(edge.gate(x))


def _narrow(edge: Any, opened: Tensor) -> EdgeTerm:
    """The gate of an edge after its first convolution: see ``gate`` of each class in ``jsnas.attentions``."""
    if type(edge) is PixelAttention:
        return _thin(torch.sigmoid(edge.layers[1:](opened)))
    if type(edge) is CostEffectiveAttention:
        return EdgeTerm(None, [], [WideGate(opened, edge.expand.weight, None, None)])
    y = F.max_pool2d(edge.stride(opened), 7, 3)
    y = F.interpolate(edge.convs(y), opened.shape[-2:], mode="bilinear", align_corners=False)
    return EdgeTerm(None, [], [WideGate(y + edge.shortcut(opened), edge.expand.weight, edge.expand.bias, None)])
