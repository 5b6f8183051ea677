"""The attention part of a supernet module, fast: the same function as ``MixedAttention`` edges, in fewer, larger steps.

* The first 1x1 convolutions of all gates on all edges that leave a node are one convolution.
* What follows in a gate is done for those edges at once where it is narrow.
* The edges that leave a node add to their ends by ``gated_sums``, one product an edge.

Maps are channels-last, E is the number of edges that leave a node. A candidate whose class is not exactly one of ours
is called as it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
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
from jsnas.dense_groups import conv_in_groups, dense_kernel
from jsnas.native import octets
from jsnas.native.library import suits
from jsnas.network import AttentionSearchModule, Graph
from jsnas.strategy.attention_kernels import Kernels
from jsnas.strategy.gated_sum import EdgeTerm, WideGate, gated_sums
from jsnas.strategy.halves import point_dilation
from jsnas.strategy.octet_convolution import OctetConvolution
from jsnas.strategy.partial_channel import MixedAttention, WeightedNode
from jsnas.strategy.pixel_gates import PixelGates


def suits_attentions(part: nn.Module) -> bool:
    """Whether a ``FastAttentionGraph`` can stand for an attention part."""
    return (
        type(part) is AttentionSearchModule
        and type(part.graph) is Graph
        and all(type(edge) is MixedAttention for edge in part.graph.edges.values())
    )


class EdgeGates:
    """What the candidates of one edge have come to.

    Attributes:
        thin: Weighted gates of few values.
        wide: Gates as large as the input.
        outputs: Weighted outputs of candidates that have no gate.
    """

    def __init__(self) -> None:
        self.thin: list[Tensor] = []
        self.wide: list[WideGate] = []
        self.outputs: list[Tensor] = []


class FastAttentionGraph:
    """Computes what an attention graph computes.

    Args:
        graph: A graph whose edges are all ``MixedAttention``.

    Attributes:
        learns: Whether gradients of the blocks' weights are wanted; what is not wanted is not computed.
        kernels: Those of this pass for every node that edges leave (``join_kernels`` of ``blocks``).
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.learns = True
        self.kernels: list[Kernels] = []
        self.blocks: list[dict[type[nn.Module], list[Any]]] = []  # on the edges that leave each node, by class
        self._places: list[dict[type[nn.Module], list[tuple[int, int]]]] = []  # their ends, and numbers on the edge
        self._numbers: list[list[tuple[int, int]]] = []  # the same of all, by end and number
        for i in range(len(graph.nodes)):
            self.blocks.append({})
            self._places.append({})
            self._numbers.append([])
            for j in graph.ends_from(i):
                mixed: Any = graph.edges[f"{i}_{j}"]
                for k, name in enumerate(mixed.names):
                    self.blocks[i].setdefault(type(mixed[name]), []).append(mixed[name])
                    self._places[i].setdefault(type(mixed[name]), []).append((j, k))
                    self._numbers[i].append((j, k))

    def __call__(self, x: Tensor) -> Tensor:
        """The last node, B x C x H x W."""
        gated: dict[int, Tensor] = {}  # what has come to each node by now, and outputs that have no gate
        outputs: dict[int, list[Tensor]] = {}
        for i in range(len(self.graph.nodes)):
            edges: dict[int, EdgeTerm] = {}
            for j, gates in self._open(x, i).items():
                wide = gates.wide if self.learns else [_fixed(gate) for gate in gates.wide]
                if gates.thin or wide:
                    edges[j] = EdgeTerm(gated.get(j), _by_shape(gates.thin), wide)
                outputs.setdefault(j, []).extend(gates.outputs)
            if edges:
                gated |= zip(edges, gated_sums(x, list(edges.values())), strict=True)
            terms = [*([gated.pop(i + 1)] if i + 1 in gated else []), *outputs.pop(i + 1)]
            x = sum(terms[1:], terms[0])
        return x

    def _open(self, x: Tensor, i: int) -> dict[int, EdgeGates]:
        """The gates of all edges that leave node i, by their ends."""
        kernel = self.kernels[i]
        gates = {j: EdgeGates() for j in self.graph.ends_from(i)}
        weights = dict(zip(self._numbers[i], kernel["weights"].unbind(), strict=True)) if gates else {}
        entries = {
            kind: [
                (gates[place[0]], block, weights[place])
                for block, place in zip(blocks, self._places[i][kind], strict=True)
            ]
            for kind, blocks in self.blocks[i].items()
        }
        narrow = [entries.pop(kind, []) for kind in (PixelAttention, CostEffectiveAttention, EnhancedSpatialAttention)]
        begun = [branch(partial(_narrow_gates, x, kernel, *narrow))]
        begun += [branch(partial(_other_gates, kind, x, kernel, same)) for kind, same in entries.items()]
        for finish in begun:
            finish()
        return gates


def add_weights(graphs: Sequence[FastAttentionGraph]) -> None:
    """Puts the weights of all candidates into the kernels of this pass: for each node those on the edges that leave it.

    An edge's weight into its node (Eq. 9) is a factor of them. Edges of one label share their parameters.
    """
    of_edge: dict[str, Tensor] = {}
    of_node: dict[str, Sequence[Tensor]] = {}
    found: list[list[Tensor]] = []
    for graph in graphs:
        for i in range(len(graph.kernels)):
            found.append([])
            for j in graph.graph.ends_from(i):
                mixed: Any = graph.graph.edges[f"{i}_{j}"]
                node: Any = graph.graph.nodes[j - 1]
                if mixed.label not in of_edge:
                    of_edge[mixed.label] = mixed.weights()
                weights = of_edge[mixed.label]
                if isinstance(node, WeightedNode):
                    if node.label not in of_node:
                        of_node[node.label] = node.weights().unbind()
                    weights = weights * of_node[node.label][graph.graph.inputs[j - 1].index(i)]
                found[-1].append(weights)
    every = [weights for here in found for weights in here]
    parts = iter(torch.cat(every).split([sum(map(len, here)) for here in found]))
    for graph in graphs:
        for kernel in graph.kernels:
            kernel["weights"] = next(parts)


def _other_gates(kind: type[nn.Module], x: Tensor, kernel: Kernels, entries: Entries) -> None:
    """Gates (or outputs) of blocks of one class that do not begin with a 1x1 convolution of x."""
    for (g, block, weight), value in zip(entries, _other_values(kind, x, kernel, entries), strict=True):
        (g.thin if hasattr(block, "gate") else g.outputs).append(weight * value)


def _fixed(gate: WideGate) -> WideGate:
    """The gate with a convolution that does not learn."""
    return replace(gate, kernel=gate.kernel.detach(), bias=None if gate.bias is None else gate.bias.detach())


def _by_shape(thin: Sequence[Tensor]) -> list[Tensor]:
    """The sums of the gates of each shape; one value a channel and one value a pixel come first."""
    channels = [t for t in thin if t.shape[2:] == (1, 1)]
    pixels = [t for t in thin if t.shape[1] == 1 and t.shape[2:] != (1, 1)]
    others = [t for t in thin if t.shape[1] != 1 and t.shape[2:] != (1, 1)]
    return [sum(same[1:], same[0]) for same in (channels, pixels) if same] + others


Entries = list[tuple[EdgeGates, Any, Tensor]]  # the gates of an edge, a block on it, its weight


def _other_values(kind: type[nn.Module], x: Tensor, kernel: Kernels, entries: Entries) -> list[Tensor]:
    """The same before they are weighted."""
    if kind is SkipAttention:
        return [x.new_ones(1, 1, 1, 1)] * len(entries)
    if kind in (ChannelAttention, ContrastChannelAttention):
        # Divided after the sum: the gradient of a mean is a map as large as x, that of a sum needs no memory.
        statistic = x.sum((2, 3), keepdim=True) / (x.shape[2] * x.shape[3])
        if kind is ContrastChannelAttention:
            variance = (x - statistic).square().mean((2, 3), keepdim=True)
            statistic = variance.clamp_min(1e-12).sqrt() + statistic
        name = "cca" if kind is ContrastChannelAttention else "ca"
        y = F.relu(F.conv2d(statistic, *_of(kernel, f"{name}_squeeze")))
        y = conv_in_groups(y, *_of(kernel, f"{name}_excite"), groups=len(entries))
        return list(torch.sigmoid(y).chunk(len(entries), 1))
    if kind is SpatialAttention:
        y = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
        return list(torch.sigmoid(F.conv2d(y, *_of(kernel, "sa"), padding=2)).split(1, 1))
    return [block.gate(x) if hasattr(block, "gate") else block(x) for _, block, _ in entries]


def _of(kernel: Kernels, name: str) -> tuple[Tensor, Tensor]:
    """Kernel and bias."""
    return kernel[name], kernel[f"{name}_bias"]


def _narrow_gates(x: Tensor, kernel: Kernels, pa: Entries, cea: Entries, esa: Entries) -> None:
    """Gates that begin with a 1x1 convolution of x to few channels: one convolution for all of them."""
    if not (pa or cea or esa):
        return
    narrow = F.conv2d(x, *_of(kernel, "narrow"), dilation=point_dilation(x))
    widths = [sum(_narrow(block).out_channels for _, block, _ in part) for part in (pa, cea, esa)]
    of_pa, of_cea, of_esa = narrow.split(widths, 1)
    ways = ((_pixel_gates, of_pa, pa), (_cost_effective_gates, of_cea, cea), (_enhanced_gates, of_esa, esa))
    for finish in [branch(partial(way, opened, kernel, same)) for way, opened, same in ways if same]:
        finish()


def _narrow(block: Any) -> Any:
    """The convolution that such a gate begins with."""
    return block.layers[0] if type(block) is PixelAttention else block.squeeze


def _pixel_gates(opened: Tensor, kernel: Kernels, entries: Entries) -> None:
    """``pa`` of all edges at once, by loops in C or by convolutions with blocks on their diagonal."""
    if suits(opened):
        values = [(*_values(block.layers[2]), *_values(block.layers[4]), weight) for _, block, weight in entries]
        for (g, _, _), gate in zip(entries, PixelGates.apply(opened, *itertools.chain(*values)), strict=True):
            g.thin.append(gate)
        return
    y, edges = F.relu(opened), len(entries)
    for k in (2, 4):
        of_edges, bias = _of(kernel, f"pa_{k}")
        y = F.conv2d(y, dense_kernel(of_edges, edges), bias, dilation=point_dilation(y))
        y = y.relu_() if k == 2 else y.sigmoid_()
    for (g, _, weight), gate in zip(entries, y.split(1, 1), strict=True):
        g.thin.append(weight * gate)


def _values(conv: Any) -> tuple[Tensor, Tensor]:
    return conv.weight, conv.bias


def _cost_effective_gates(opened: Tensor, kernel: Kernels, entries: Entries) -> None:
    """``cea``."""
    edges = len(entries)
    expand = kernel["cea_expand"].chunk(edges) if "cea_expand" in kernel else [b.expand.weight for _, b, _ in entries]
    for (g, _, weight), narrow, last in zip(entries, opened.chunk(edges, 1), expand, strict=True):
        g.wide.append(WideGate(narrow, last, None, weight))


def _enhanced_gates(opened: Tensor, kernel: Kernels, entries: Entries) -> None:
    """``esa``: its narrow convolutions grouped by edge."""
    edges = len(entries)
    y = F.max_pool2d(conv_in_groups(opened, *_of(kernel, "esa_stride"), stride=2, groups=edges), 7, 3)
    for k in (0, 2, 4):
        y = _in_groups(y, *_of(kernel, f"esa_{k}"), relu=k < 4)
    short = _in_groups(opened, *_of(kernel, "esa_shortcut"), relu=False)
    y = F.interpolate(y, short.shape[-2:], mode="bilinear", align_corners=False).add_(short)
    expand, bias = [b.expand.weight for _, b, _ in entries], [b.expand.bias for _, b, _ in entries]
    if "esa_expand" in kernel:
        expand, bias = (list(part.chunk(edges)) for part in _of(kernel, "esa_expand"))
    for (g, _, weight), narrow, last, last_bias in zip(entries, y.chunk(edges, 1), expand, bias, strict=True):
        g.wide.append(WideGate(narrow, last, last_bias, weight))


def _in_groups(x: Tensor, kernel: Tensor, bias: Tensor, relu: bool) -> Tensor:
    """A convolution that keeps the size, or its ReLU."""
    if octets.takes(x, kernel):
        made: Tensor = OctetConvolution.apply(x, kernel, bias, relu)
        return made
    side = kernel.shape[2]
    dilation = point_dilation(x) if side == 1 else 1
    groups = x.shape[1] // kernel.shape[1]
    y = conv_in_groups(x, kernel, bias, padding=side // 2, dilation=dilation, groups=groups)
    return y.relu_() if relu else y
