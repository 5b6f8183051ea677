"""Turns the blocks of a network into steps, exactly, by these rules of algebra:

* a closing 1x1 convolution after a linear 3x3 one is one 3x3 convolution;
* what the last node takes from the others by 1x1 convolutions, the fuse, which reads all of them, takes at once;
* edges that end in one node are summed by their closing convolutions, a residual is a 1 on their diagonal;
* a convolution of a concatenation is a sum of convolutions, so features are never copied together;
* a grouped 3x3 convolution followed by a 1x1 one is a depthwise one followed by a wider 1x1 one;
* a grouped convolution from few channels to many is a plain one with zeros in its kernel;
* the 1x1 convolutions that open the gates of one map are one convolution.

A block whose class is not exactly one of ours is called as it is, on whole maps.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import torch
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
from jsnas.fast.inference.convolution_sum import Convolution, ConvolutionSum, Split
from jsnas.fast.inference.gated_sum import ConvolutionGate, EnlargedGate, Gate, GatedSum, MapGate
from jsnas.fast.inference.rows import Source, Step
from jsnas.fast.inference.statistics import ChannelExtremes, Global, PooledView, Statistics, WholeMap
from jsnas.network import (
    AttentionSearchModule,
    Graph,
    JointSearchModule,
    OperationSearchModule,
    is_plain_graph,
)
from jsnas.operations import RDBCommon, RDBDil, RDBLight, RDBSep, RDBShallow, Skip


@dataclass
class Sum:
    """A linear map in the making: convolutions, a bias and plain maps."""

    terms: list[Convolution] = field(default_factory=list)
    bias: Tensor | None = None
    plain: list[int] = field(default_factory=list)

    def add_bias(self, bias: Tensor | None) -> None:
        """Adds to the bias."""
        if bias is not None:
            self.bias = bias.detach() if self.bias is None else self.bias + bias.detach()


class Builder:
    """Collects steps; every method adds some and returns the number of the map they end in."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.streams = 1

    def new(self) -> int:
        """The number of a new map."""
        self.streams += 1
        return self.streams - 1

    def sum(self, made: Sum, relu: bool = False) -> int:
        """The map of a sum."""
        if not made.terms and len(made.plain) == 1 and made.bias is None and not relu:
            return made.plain[0]
        output = self.new()
        self.steps.append(ConvolutionSum(made.terms, made.bias, made.plain, relu, output))
        return output

    def convolution(self, stream: int, conv: nn.Conv2d, relu: bool = False) -> int:
        """An ordinary convolution."""
        return self.sum(Sum([Convolution(stream, conv.weight, conv.dilation[0], conv.groups)], conv.bias), relu)

    def whole(self, streams: list[int], module: nn.Module) -> int:
        """A block that is called as it is."""
        output = self.new()
        self.steps.append(WholeMap(streams, copy.deepcopy(module).eval(), output))
        return output

    def joint_module(self, x: int, module: nn.Module) -> int:
        """One module of the body."""
        if type(module) is not JointSearchModule:
            return self.whole([x], module)
        features = self.operation_part(x, module.operation_part)
        attention = module.attention_part
        if type(attention) is nn.Identity:
            return self.sum(Sum(plain=[features, x]))
        if not (type(attention) is AttentionSearchModule and is_plain_graph(attention.graph)):
            return self.sum(Sum(plain=[self.whole([features], attention), x]))
        return self.attention_graph(features, x, attention.graph)

    def operation_part(self, x: int, part: nn.Module) -> int:
        """The operation part of a module, or the residual block's body in its place."""
        if type(part) is OperationSearchModule and is_plain_graph(part.graph):
            states = [self.convolution(x, part.reduce)]
            kernels = list(torch.split(part.fuse.weight.detach(), part.reduce.out_channels, 1))
            for j, inputs in enumerate(part.graph.inputs, start=1):
                node = Sum()
                for i in inputs:
                    self.operation(states[i], part.graph.edges[f"{i}_{j}"], node)
                if j == len(part.graph.inputs):
                    node = self._without_states(node, states, kernels)
                states.append(self.sum(node))
            terms = [Convolution(s, k) for s, k in zip(states, kernels, strict=True)]
            return self.sum(Sum(terms, part.fuse.bias))
        if type(part) is nn.Sequential and [type(layer) for layer in part] == [nn.Conv2d, nn.ReLU, nn.Conv2d]:
            first, _, second = part
            assert isinstance(first, nn.Conv2d) and isinstance(second, nn.Conv2d)
            if all(_keeps_size(conv) for conv in (first, second)):
                return self.convolution(self.convolution(x, first, relu=True), second)
        return self.whole([x], part)

    def _without_states(self, node: Sum, states: list[int], kernels: list[Tensor]) -> Sum:
        """The last node, which only the fuse reads, less what it takes from other nodes by 1x1 convolutions.

        The fuse reads those nodes as well, by kernels that are changed here to take that over.
        """
        taken = [t for t in node.terms if t.stream in states and t.weight.shape[2] == 1 and t.groups == 1]
        kept = [t for t in node.terms if not any(t is other for other in taken)]
        if not kept:
            return node
        for term in taken:
            position = states.index(term.stream)
            kernels[position] = kernels[position] + after(kernels[-1], term.weight)
        return Sum(kept, node.bias, node.plain)

    def operation(self, x: int, module: nn.Module, node: Sum) -> None:
        """Adds one edge to the sum that makes its node."""
        if type(module) is Skip:
            node.plain.append(x)
        elif type(module) in (RDBCommon, RDBSep, RDBDil, RDBLight, RDBShallow):
            self.residual_dense_block(x, module, node)
        else:  # Zero, too: zeros of the right shape
            node.plain.append(self.whole([x], module))

    def residual_dense_block(self, x: int, block: nn.Module, node: Sum) -> None:
        """Two cells; their closing 1x1 convolution and the residual go to the node."""
        cell1, cell2, fuse = block.cell1, block.cell2, block.fuse
        assert isinstance(cell1, nn.Sequential) and isinstance(cell2, nn.Sequential) and isinstance(fuse, nn.Conv2d)
        channels = fuse.out_channels
        of_x, of_x1, of_x2 = torch.split(fuse.weight.detach(), channels, 1)
        identity = torch.eye(channels, dtype=of_x.dtype, device=of_x.device)[:, :, None, None]
        node.terms.append(Convolution(x, of_x + identity))
        node.add_bias(fuse.bias)
        x1 = self._cell([x], cell1)
        closing = self._closing(cell1)
        first = x1 if closing is None else self.sum(Sum([Convolution(x1, closing)]))
        node.terms.append(Convolution(first, of_x1))
        x2 = self._cell([x, first], cell2)
        closing = self._closing(cell2)
        node.terms.append(Convolution(x2, of_x2 if closing is None else after(of_x2, closing)))

    def _closing(self, cell: nn.Sequential) -> Tensor | None:
        """The kernel of a cell's last convolution if nothing follows it, else ``None``."""
        final = cell[-1]
        return final.weight.detach() if isinstance(final, nn.Conv2d) else None

    def _cell(self, inputs: list[int], cell: nn.Sequential) -> int:
        """A cell up to its last ReLU."""
        convs = [layer for layer in cell if isinstance(layer, nn.Conv2d)]
        opening = convs[0]
        if isinstance(cell[1], nn.ReLU):
            parts = torch.split(opening.weight.detach(), opening.in_channels // len(inputs), 1)
            terms = [Convolution(s, k) for s, k in zip(inputs, parts, strict=True)]
            return self.sum(Sum(terms), relu=True)
        # Grouped: output o reads inputs 2o and 2o + 1 of the concatenation (or o alone), each with a kernel of its own.
        width, share = opening.in_channels // len(inputs), opening.in_channels // opening.out_channels
        owner = torch.arange(opening.in_channels, device=opening.weight.device) // share  # output of each input
        kernels = opening.weight.detach().reshape(opening.in_channels, 1, *opening.kernel_size)
        terms = []
        for k, stream in enumerate(inputs):
            here = slice(k * width, (k + 1) * width)
            y = self.sum(Sum([Convolution(stream, kernels[here], opening.dilation[0], width)]))
            for middle in convs[1:-1]:  # depthwise
                y = self.sum(Sum([Convolution(y, middle.weight.detach()[owner[here]], middle.dilation[0], width)]))
            terms.append(Convolution(y, convs[-1].weight.detach()[:, owner[here]]))
        return self.sum(Sum(terms), relu=True)

    def attention_graph(self, x: int, residual: int, graph: Graph) -> int:
        """The attention part of a module, with the module's residual in its last node."""
        states, gates = [x], self.openings(x, 0, graph)
        nodes = len(graph.inputs)
        for j, inputs in enumerate(graph.inputs, start=1):
            gated: list[tuple[int, Gate]] = []
            plain: list[int] = []
            for i in inputs:
                module = graph.edges[f"{i}_{j}"]
                if type(module) is SkipAttention:
                    plain.append(states[i])
                elif (i, j) in gates:
                    gated.append((states[i], gates[i, j]))
                else:
                    plain.append(self.whole([states[i]], module))
            if j == nodes:
                plain.append(residual)
            states.append(self.new())
            self.steps.append(GatedSum(gated, plain, states[-1]))
            gates |= self.openings(states[-1], j, graph)
        return states[-1]

    def openings(self, x: int, i: int, graph: Graph) -> dict[tuple[int, int], Gate]:
        """The gates of all edges that leave node i, their first 1x1 convolutions made one."""
        gates: dict[tuple[int, int], Gate] = {}
        parts: list[tuple[Tensor, Tensor, nn.Module | None]] = []
        maps: list[int] = []

        def opening(conv: nn.Conv2d, then: nn.Module | None = None, before: nn.Conv2d | None = None) -> int:
            assert conv.bias is not None
            weight, bias = conv.weight.detach(), conv.bias.detach()
            if before is not None:  # conv after before, both 1x1
                assert before.bias is not None
                bias = bias + weight[:, :, 0, 0] @ before.bias.detach()
                weight = after(weight, before.weight.detach())
            parts.append((weight, bias, then))
            maps.append(self.new())
            return maps[-1]

        later: list[Step] = []
        for j in range(i + 1, len(graph.inputs) + 1):
            if i not in graph.inputs[j - 1]:
                continue
            module = graph.edges[f"{i}_{j}"]
            if type(module) is CostEffectiveAttention:
                expand = module.expand
                gates[i, j] = ConvolutionGate(opening(module.squeeze), expand.weight, None, expand.groups)
            elif type(module) is PixelAttention:
                rest = copy.deepcopy(nn.Sequential(*list(module.layers)[1:], nn.Sigmoid())).eval()
                gates[i, j] = MapGate([Source(opening(module.layers[0], rest))])  # type: ignore[arg-type]
            elif type(module) is EnhancedSpatialAttention:
                narrow = opening(module.squeeze)
                short = opening(module.shortcut, before=module.squeeze)
                small = self.new()
                later.append(PooledView(narrow, module.stride, small))
                waiting, self.steps = self.steps, later
                for k, conv in enumerate(c for c in module.convs if isinstance(c, nn.Conv2d)):
                    small = self.convolution(small, conv, relu=k < 2)
                self.steps = waiting
                gates[i, j] = EnlargedGate(small, short, module.expand)
            elif type(module) is SpatialAttention:
                extremes = self.new()
                self.steps.append(ChannelExtremes([Source(x)], [extremes]))
                gates[i, j] = ConvolutionGate(extremes, module.conv.weight, module.conv.bias)
            elif type(module) in (ChannelAttention, ContrastChannelAttention):
                gates[i, j] = MapGate([Source(self.channel_gate(x, module), None)])
        if parts:
            self.steps.append(Split(x, parts, maps))
        self.steps += later
        return gates

    def channel_gate(self, x: int, module: nn.Module) -> int:
        """The gate of ``ca`` or ``cca``: one value a channel."""
        statistics = [self.new()] if type(module) is ChannelAttention else [self.new(), self.new()]
        self.steps.append(Statistics(x, statistics))
        output = self.new()
        self.steps.append(Global(statistics, Excitation(module), output))
        return output


class Excitation(nn.Module):
    """The two 1x1 convolutions of a channel attention on the sum of its statistics, weight norm folded."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for conv in (attention.squeeze, attention.excite):
            assert isinstance(conv, nn.Conv2d) and conv.bias is not None
            plain = nn.Conv2d(conv.in_channels, conv.out_channels, 1)
            plain.weight, plain.bias = (
                nn.Parameter(conv.weight.detach().clone()),
                nn.Parameter(conv.bias.detach().clone()),
            )
            layers += [plain, nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1], nn.Sigmoid()).requires_grad_(False)

    def forward(self, *statistics: Tensor) -> Tensor:
        """B x C x 1 x 1 statistics to the gate of that shape."""
        y: Tensor = self.layers(sum(statistics[1:], statistics[0]))
        return y


def after(pointwise: Tensor, kernel: Tensor) -> Tensor:
    """The kernel of a 1x1 convolution (O x M x 1 x 1) after a k x k one (M x I x k x k), without biases."""
    y = torch.einsum("om,mikl->oikl", pointwise[:, :, 0, 0].double(), kernel.double())
    return y.to(kernel.dtype)


def _keeps_size(conv: nn.Conv2d) -> bool:
    """Whether a convolution is one that a ``Convolution`` describes."""
    k, d = conv.kernel_size[0], conv.dilation[0]
    return (
        conv.kernel_size == (k, k)
        and conv.dilation == (d, d)
        and conv.stride == (1, 1)
        and conv.padding == (d * (k // 2), d * (k // 2))
        and k % 2 == 1
        and conv.padding_mode == "zeros"
    )
