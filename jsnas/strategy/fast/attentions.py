"""The attention part of a supernet module, fast: the same function as ``MixedAttention`` edges, in fewer, larger steps.

* The first 1x1 convolutions of all gates on all edges that leave a node are one convolution.
* What follows in a gate is done for those edges at once where it is narrow.
* The edges that leave a node add to their ends by ``gated_sums``, one product an edge.

Maps are channels-last, E is the number of edges that leave a node. A candidate whose class is not exactly one of ours
is called as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
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
from jsnas.fast.gated_sum import EdgeTerm, WideGate, gated_sums
from jsnas.fast.same_size import conv_same_size, point_dilation
from jsnas.native import octets
from jsnas.native.library import suits
from jsnas.network import AttentionSearchModule, Graph
from jsnas.strategy.fast.attention_kernels import Kernels
from jsnas.strategy.fast.candidate_weights import candidates_by_class
from jsnas.strategy.fast.octet_convolution import OctetConvolution
from jsnas.strategy.fast.pixel_gates import PixelGates
from jsnas.strategy.partial_channel import MixedAttention


def suits_attentions(part: nn.Module) -> bool:
    """Whether a ``FastAttentionGraph`` can stand for an attention part."""
    return (
        type(part) is AttentionSearchModule
        and type(part.graph) is Graph
        and all(type(edge) is MixedAttention for edge in part.graph.edges.values())
    )


@dataclass
class EdgeGates:
    """What the candidates of one edge have come to.

    Attributes:
        thin: Weighted gates of few values.
        wide: Gates as large as the input.
        outputs: Weighted outputs of candidates that have no gate.
    """

    thin: list[Tensor] = field(default_factory=list)
    wide: list[WideGate] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)


@dataclass(frozen=True)
class Alike:
    """Blocks of one class on edges that leave a node.

    Attributes:
        ends: Where their edges lead.
        gates: Those of each edge.
        blocks: The block on each edge.
        weights: Their weights, one number an edge.
    """

    ends: tuple[int, ...]
    gates: list[EdgeGates]
    blocks: list[Any]
    weights: Tensor


Stacked = tuple[tuple[int, ...], Tensor]  # ends of edges, and weighted gates of few values, edges x B x C x H x W


class FastAttentionGraph:
    """Computes what an attention graph computes.

    Args:
        graph: A graph whose edges are all ``MixedAttention``.

    Attributes:
        learns: Whether gradients of the blocks' weights are wanted; what is not wanted is not computed.
        kernels: Those of this pass for every node that edges leave (``join_kernels`` of ``blocks``).
        blocks: On the edges that leave each node, by class.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.learns = True
        self.kernels: list[Kernels] = []
        self.blocks: list[dict[type[nn.Module], list[Any]]] = []
        self._ends: list[list[tuple[int, ...]]] = []  # of the edges that those of each class are on
        for i in range(len(graph.nodes)):
            edges: dict[int, Any] = {j: graph.edges[f"{i}_{j}"] for j in graph.ends_from(i)}
            by_class = candidates_by_class(graph, i)
            self.blocks.append({c: [edges[j][edges[j].names[k]] for j, k in same] for c, same in by_class.items()})
            self._ends.append([tuple(j for j, _ in same) for same in by_class.values()])

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
        gates = {j: EdgeGates() for j in self.graph.ends_from(i)}
        if not gates:
            return gates
        kernel = self.kernels[i]
        weights = torch.split(kernel["weights"], [len(blocks) for blocks in self.blocks[i].values()])
        alike = {
            kind: Alike(ends, [gates[j] for j in ends], blocks, w)
            for (kind, blocks), ends, w in zip(self.blocks[i].items(), self._ends[i], weights, strict=True)
        }
        narrow = [alike.pop(kind, None) for kind in (PixelAttention, CostEffectiveAttention, EnhancedSpatialAttention)]
        begun = [branch(partial(_narrow_gates, x, kernel, *narrow))]
        begun += [branch(partial(_other_gates, kind, x, kernel, same)) for kind, same in alike.items()]
        stacked = [each for finish in begun for each in finish()]
        for ends, thin in _sums(stacked):
            for j, gate in zip(ends, thin.unbind(), strict=True):
                gates[j].thin.append(gate)
        return gates


def _sums(stacked: Sequence[Stacked]) -> Iterable[Stacked]:
    """One for the same edges and one shape: those of one value a channel are added, and those of one value a pixel."""
    sums: dict[Any, Stacked] = {}
    for ends, thin in stacked:
        kind = (ends, _kind(thin[0]))
        sums[kind] = (ends, sums[kind][1] + thin) if kind in sums else (ends, thin)
    return sums.values()


def _by_shape(thin: Sequence[Tensor]) -> list[Tensor]:
    """The sums of the gates of each shape; one value a channel and one value a pixel come first."""
    of_kind = {kind: [t for t in thin if _kind(t) == kind] for kind in ("channel", "pixel")}
    return [sum(same[1:], same[0]) for same in of_kind.values() if same] + [t for t in thin if not _kind(t)]


def _kind(thin: Tensor) -> str:
    """Whether there is one value a channel, or a pixel, of those B x C x H x W."""
    if thin.shape[2:] == (1, 1):
        return "channel"
    return "pixel" if thin.shape[1] == 1 else ""


def _fixed(gate: WideGate) -> WideGate:
    """The gate with a convolution that does not learn."""
    return replace(gate, kernel=gate.kernel.detach(), bias=None if gate.bias is None else gate.bias.detach())


def _other_gates(kind: type[nn.Module], x: Tensor, kernel: Kernels, same: Alike) -> list[Stacked]:
    """Gates (or outputs) of blocks of one class that do not begin with a 1x1 convolution of x."""
    if kind is SkipAttention:
        return [(same.ends, _each(same.weights, 5))]
    if kind in (ChannelAttention, ContrastChannelAttention):
        # Divided after the sum: the gradient of a mean is a map as large as x, that of a sum needs no memory.
        statistic = x.sum((2, 3), keepdim=True) / (x.shape[2] * x.shape[3])
        if kind is ContrastChannelAttention:
            variance = (x - statistic).square().mean((2, 3), keepdim=True)
            statistic = variance.clamp_min(1e-12).sqrt() + statistic
        name, edges = "cca" if kind is ContrastChannelAttention else "ca", len(same.ends)
        squeeze, bias = _of(kernel, f"{name}_squeeze")
        y = F.linear(statistic.flatten(1), squeeze.flatten(1), bias).relu_()
        y = y.unflatten(1, (edges, -1)).transpose(0, 1)  # E x B x C/8
        excite, bias = (t.unflatten(0, (edges, -1)) for t in _of(kernel, f"{name}_excite"))
        gates = torch.baddbmm(bias.unsqueeze(1), y, excite.flatten(2).transpose(1, 2)).sigmoid()  # E x B x C
        return [(same.ends, (_each(same.weights, 3) * gates)[..., None, None])]
    if kind is SpatialAttention:
        y = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
        return [(same.ends, _by_pixel(F.conv2d(y, *_of(kernel, "sa"), padding=2).sigmoid(), same.weights))]
    for edge, block, weight in zip(same.gates, same.blocks, same.weights.unbind(), strict=True):
        if hasattr(block, "gate"):
            gate = weight * block.gate(x)
            edge.thin.append(gate[(None,) * (4 - gate.ndim)])
        else:
            edge.outputs.append(weight * block(x))
    return []


def _each(weights: Tensor, dimensions: int) -> Tensor:
    """One number an edge, as a factor of what has as many dimensions, the edge being the first."""
    return weights.reshape(-1, *[1] * (dimensions - 1))


def _by_pixel(y: Tensor, weights: Tensor) -> Tensor:
    """B x E x H x W to E x B x 1 x H x W, weighted."""
    return (weights[:, None, None] * y).transpose(0, 1).unsqueeze(2).contiguous()


def _of(kernel: Kernels, name: str) -> tuple[Tensor, Tensor]:
    """Kernel and bias."""
    return kernel[name], kernel[f"{name}_bias"]


def _narrow_gates(x: Tensor, kernel: Kernels, pa: Alike | None, cea: Alike | None, esa: Alike | None) -> list[Stacked]:
    """Gates that begin with a 1x1 convolution of x to few channels: one convolution for all of them."""
    if not (pa or cea or esa):
        return []
    narrow = F.conv2d(x, *_of(kernel, "narrow"), dilation=point_dilation(x))
    ways = [(way, s) for way, s in ((_pixel_gates, pa), (_cost_effective_gates, cea), (_enhanced_gates, esa)) if s]
    opened = narrow.split([sum(_narrow(block).out_channels for block in same.blocks) for _, same in ways], 1)
    begun = [branch(partial(way, y, kernel, same)) for (way, same), y in zip(ways, opened, strict=True)]
    return [each for finish in begun for each in finish()]


def _narrow(block: Any) -> Any:
    """The convolution that such a gate begins with."""
    return block.layers[0] if type(block) is PixelAttention else block.squeeze


def _pixel_gates(opened: Tensor, kernel: Kernels, same: Alike) -> list[Stacked]:
    """``pa`` of all edges at once, by loops in C or by convolutions with blocks on their diagonal."""
    if suits(opened):
        each = zip(same.blocks, same.weights.unbind(), strict=True)
        values = [t for b, weight in each for t in (*_values(b.layers[2]), *_values(b.layers[4]), weight)]
        for gates, gate in zip(same.gates, PixelGates.apply(opened, *values), strict=True):
            gates.thin.append(gate)
        return []
    y = _in_groups(F.relu(opened), *_of(kernel, "pa_2"), relu=True)
    y = _in_groups(y, *_of(kernel, "pa_4"), relu=False).sigmoid_()
    return [(same.ends, _by_pixel(y, same.weights))]


def _values(conv: Any) -> tuple[Tensor, Tensor]:
    return conv.weight, conv.bias


def _cost_effective_gates(opened: Tensor, kernel: Kernels, same: Alike) -> list[Stacked]:
    """``cea``."""
    edges = len(same.ends)
    joined = "cea_expand" in kernel
    expand = kernel["cea_expand"].chunk(edges) if joined else [b.expand.weight for b in same.blocks]
    each = zip(same.gates, opened.chunk(edges, 1), expand, same.weights.unbind(), strict=True)
    for gates, narrow, last, weight in each:
        gates.wide.append(WideGate(narrow, last, None, weight))
    return []


def _enhanced_gates(opened: Tensor, kernel: Kernels, same: Alike) -> list[Stacked]:
    """``esa``: its narrow convolutions grouped by edge."""
    edges = len(same.ends)
    stride, bias = _of(kernel, "esa_stride")
    y = F.conv2d(opened, stride, bias, 2, groups=opened.shape[1] // stride.shape[1])
    y = F.max_pool2d(y, 7, 3)
    for k in (0, 2, 4):
        y = _in_groups(y, *_of(kernel, f"esa_{k}"), relu=k < 4)
    short = _in_groups(opened, *_of(kernel, "esa_shortcut"), relu=False)
    y = F.interpolate(y, short.shape[-2:], mode="bilinear", align_corners=False).add_(short)
    expand, biases = [b.expand.weight for b in same.blocks], [b.expand.bias for b in same.blocks]
    if "esa_expand" in kernel:
        expand, biases = (list(part.chunk(edges)) for part in _of(kernel, "esa_expand"))
    each = zip(same.gates, y.chunk(edges, 1), expand, biases, same.weights.unbind(), strict=True)
    for gates, narrow, last, last_bias, weight in each:
        gates.wide.append(WideGate(narrow, last, last_bias, weight))
    return []


def _in_groups(x: Tensor, kernel: Tensor, bias: Tensor, relu: bool) -> Tensor:
    """A convolution that keeps the size, or its ReLU."""
    if octets.takes(x, kernel):
        made: Tensor = OctetConvolution.apply(x, kernel, bias, relu)
        return made
    y = conv_same_size(x, kernel, bias)
    return y.relu_() if relu else y
