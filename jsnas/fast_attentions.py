"""The attention graphs of a network that learns, fast on a CPU: the same function in fewer passes over memory.

* The 1x1 convolutions that the gates of all edges leaving a node begin with are one convolution.
* The edges that leave a node add to their ends by ``jsnas.native_gated_sum``: no map of gates is written.

Maps are channels-last. An edge whose class is not exactly one of ours is called as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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
from jsnas.native.library import last
from jsnas.native_gated_sum import NativeGatedSum, suits
from jsnas.network import AttentionSearchModule, Graph, is_plain_graph

_NARROW = (PixelAttention, CostEffectiveAttention, EnhancedSpatialAttention)  # they begin with a 1x1 convolution
_OTHERS = (ChannelAttention, ContrastChannelAttention, SpatialAttention)


@dataclass
class _Gates:
    """Those of one edge.

    Attributes:
        thin: One value a channel or a pixel.
        wide: Narrow map, kernel, bias and no weight of a gate as large as the node.
    """

    thin: list[Tensor] = field(default_factory=list)
    wide: list[tuple[Tensor, Tensor, Tensor | None, None]] = field(default_factory=list)

    def flat(self) -> list[Tensor | None]:
        """All tensors in their order."""
        return [*self.thin, *(t for gate in self.wide for t in gate)]


class FastAttentions:
    """In a ``with`` block the attention graphs go this way; modules and their parameters stay what they are.

    Args:
        network: The network; graphs whose nodes are more than sums keep their own way, and so do others where the
            loops are not made for their maps: on a GPU, in double precision, without a compiler.
    """

    def __init__(self, network: nn.Module) -> None:
        self._fast = [
            (part, _FastGraph(part.graph))
            for part in network.modules()
            if type(part) is AttentionSearchModule and is_plain_graph(part.graph)
        ]

    def __enter__(self) -> None:
        for part, graph in self._fast:
            part.__dict__["forward"] = graph

    def __exit__(self, *error: object) -> None:
        for part, _ in self._fast:
            del part.__dict__["forward"]


class _FastGraph:
    """The last node of a graph, computed from the first to the last: each node adds to those that it leads to."""

    def __init__(self, graph: Graph) -> None:
        self.leaving: list[dict[int, Any]] = [
            {j: graph.edges[f"{i}_{j}"] for j in graph.ends_from(i)} for i in range(len(graph.nodes))
        ]

    def __call__(self, x: Tensor) -> Tensor:
        """B x C x H x W to the same shape."""
        arrived: dict[int, Tensor] = {}  # what gated sums have brought to each node by now
        outputs: dict[int, list[Tensor]] = {}  # those of edges that are called as they are
        for i, edges in enumerate(self.leaving):
            gates: dict[int, _Gates] = {}
            if suits(x, []) and not torch.is_autocast_enabled("cpu"):
                x = last(x)
                gates = _gates(x, edges)
                if not suits(x, [(g.thin, g.wide) for g in gates.values()]):
                    gates = {}
            for j, edge in edges.items():
                if j not in gates:
                    outputs.setdefault(j, []).append(edge(x))
            if gates:
                arrived |= _gated_sums(x, gates, arrived)
            terms = [*([arrived.pop(i + 1)] if i + 1 in arrived else []), *outputs.pop(i + 1, [])]
            x = sum(terms[1:], terms[0])
        return x


def _gated_sums(x: Tensor, gates: dict[int, _Gates], arrived: dict[int, Tensor]) -> dict[int, Tensor]:
    """What is at the ends of edges when x times their gates has been added."""
    shape = [(len(each.thin), len(each.wide)) for each in gates.values()]
    flat = [t for each in gates.values() for t in each.flat()]
    sums: Any = NativeGatedSum.apply(shape, x, *(arrived.get(j) for j in gates), *flat)  # type: ignore[no-untyped-call]
    return dict(zip(gates, sums, strict=True))


def _gates(x: Tensor, edges: dict[int, Any]) -> dict[int, _Gates]:
    """The gates of those edges that have one."""
    gates: dict[int, _Gates] = {}
    begun = {j: edge for j, edge in edges.items() if type(edge) in _NARROW}
    for j, edge in edges.items():
        if type(edge) is SkipAttention:
            gates[j] = _Gates([x.new_ones(1, 1, 1, 1)])
        elif type(edge) in _OTHERS:
            gates[j] = _Gates([edge.gate(x)])
    if not begun:
        return gates
    first: list[Any] = [edge.layers[0] if type(edge) is PixelAttention else edge.squeeze for edge in begun.values()]
    opened = F.conv2d(x, torch.cat([conv.weight for conv in first]), torch.cat([conv.bias for conv in first]))
    narrow_maps = torch.split(opened, [conv.out_channels for conv in first], 1)
    for (j, edge), narrow in zip(begun.items(), narrow_maps, strict=True):
        gates[j] = _narrow_gate(edge, narrow)
    return gates


def _narrow_gate(edge: Any, narrow: Tensor) -> _Gates:
    """The gate of an edge after its first convolution: see ``gate`` of each class in ``jsnas.attentions``."""
    if type(edge) is PixelAttention:
        return _Gates([torch.sigmoid(edge.layers[1:](narrow))])
    if type(edge) is CostEffectiveAttention:
        return _Gates(wide=[(narrow, edge.expand.weight, None, None)])
    y = F.max_pool2d(edge.stride(narrow), 7, 3)
    y = F.interpolate(edge.convs(y), narrow.shape[-2:], mode="bilinear", align_corners=False)
    return _Gates(wide=[(y + edge.shortcut(narrow), edge.expand.weight, edge.expand.bias, None)])
