"""The network, written once for search and for use (paper, Fig. 2, Fig. 4a, Eq. 2-10).

Read from top to bottom: a graph sums edges into nodes; an operation graph and an attention graph make a joint
search module; a stack of those between a head and a tail makes the network. What stands on an edge is decided
by a maker that is passed in: the search spaces pass one that makes a choice among candidates, ``JSNet`` one
that looks the edge up in a genotype. So the searched and the final network cannot drift apart.

Shapes: B batch, C channels, H x W low-quality (LQ) size, s scale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jsnas.attentions import ATTENTIONS
from jsnas.branches import branch
from jsnas.candidates import is_ours, unknown_block
from jsnas.errors import InputError
from jsnas.fusion import CrossScaleFusion
from jsnas.genotype import Edge, Genotype, edge_list
from jsnas.operations import OPERATIONS
from jsnas.task import SCALES, Task

EdgeMaker = Callable[[Edge, int], nn.Module | None]  # (edge, channels); None prunes the edge
NodeMaker = Callable[[int, int], nn.Module]  # (node, number of inputs)

_MOST_BLOCKS = 4096  # on all edges of a network; the paper's largest has 72

DIV2K_RGB_MEAN = (0.4488, 0.4371, 0.4040)
DIV2K_GRAY_MEAN = 0.4368  # the RGB mean in BT.601 weights


@dataclass(frozen=True)
class NetworkSettings:
    """Everything about a network that its genotype leaves open.

    Attributes:
        image_channels: 3 for RGB, 1 for gray.
        scale: Output side over input side: 1, 2, 3 or 4.
        modules: Number M of joint search modules, at least 1. The paper has 5 (super-resolution), 6 (other
            tasks) and 4 (search).
        channels: Width C of the trunk.
        inner_channels: Width inside the operation graph.
        fusion_kernels: Kernel sides of the cross-scale fusion module, or ``None`` for no such module (Tables 2-4).

    Raises:
        InputError: If a value is out of its range.
    """

    image_channels: int
    scale: int
    modules: int
    channels: int = 64
    inner_channels: int = 16
    fusion_kernels: tuple[int, int] | None = (3, 3)

    def __post_init__(self) -> None:
        if self.image_channels not in (1, 3):
            raise InputError(f"{self.image_channels} image channels were given; give 3 for RGB or 1 for gray.")
        if self.scale not in (1, *SCALES):
            raise InputError(f"Scale {self.scale} is not supported; give 1, 2, 3 or 4.")
        for name in ("modules", "channels", "inner_channels"):
            value = getattr(self, name)
            if not isinstance(value, int) or not 1 <= value <= 4096:
                raise InputError(f"The network's {name} are {value!r}; give a whole number from 1 to 4096.")
        if self.fusion_kernels is not None:
            if self.channels % 2:
                raise InputError(
                    f"The fusion module halves the channels, but {self.channels} is odd; give an even number."
                )
            if len(self.fusion_kernels) != 2 or any(k not in (1, 3, 5, 7) for k in self.fusion_kernels):
                raise InputError(
                    f"The fusion kernels are {self.fusion_kernels}; give two of 1, 3, 5, 7, such as [5, 3]."
                )

    @classmethod
    def for_task(
        cls,
        task: Task,
        modules: int | None = None,
        channels: int = 64,
        inner_channels: int = 16,
        fusion_kernels: tuple[int, int] | None = (3, 3),
    ) -> NetworkSettings:
        """The settings of a task's network; ``modules`` defaults to the paper's number."""
        if modules is None:
            modules = task.modules
        return cls(task.image_channels, task.scale, modules, channels, inner_channels, fusion_kernels)


class EdgeSum(nn.Module):
    """A node that keeps all its inputs: their sum (Eq. 4, Eq. 10)."""

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """The sum of tensors of one shape, added in order."""
        total = inputs[0]
        for x in inputs[1:]:
            total = total + x
        return total


class Graph(nn.Module):
    """Directed acyclic graph: every node is made of the edges that lead into it from earlier nodes.

    Args:
        nodes: Number of nodes, the input included.
        channels: Channels of every node.
        make_edge: Called with each edge (i, j), i < j, and the channels; returns its module, or ``None`` to prune it.
        make_node: Called with each node and its number of inputs; returns a module from a list of tensors to one.
    """

    def __init__(self, nodes: int, channels: int, make_edge: EdgeMaker, make_node: NodeMaker) -> None:
        super().__init__()
        made = {edge: module for edge in edge_list(nodes) if (module := make_edge(edge, channels)) is not None}
        self.edges = nn.ModuleDict({f"{i}_{j}": module for (i, j), module in made.items()})
        self.inputs = [[i for i, end in made if end == j] for j in range(1, nodes)]
        self.nodes = nn.ModuleList(make_node(j, len(inputs)) for j, inputs in enumerate(self.inputs, start=1))

    def forward(self, x: Tensor) -> list[Tensor]:
        """The states of all nodes, the input first."""
        states = [x]
        outputs: dict[Edge, Callable[[], Tensor]] = {}
        for j, (node, inputs) in enumerate(zip(self.nodes, self.inputs, strict=True), start=1):
            for end in self.ends_from(j - 1):
                outputs[j - 1, end] = branch(partial(self.edges[f"{j - 1}_{end}"], states[-1]))
            states.append(node([outputs.pop((i, j))() for i in inputs]))
        return states

    def ends_from(self, i: int) -> list[int]:
        """The nodes that edges from node i lead to."""
        return [j for j, inputs in enumerate(self.inputs, start=1) if i in inputs]


def is_plain_graph(graph: nn.Module) -> bool:
    """Whether a graph is ours and its nodes are sums."""
    return type(graph) is Graph and all(type(node) is EdgeSum for node in graph.nodes)


class OperationSearchModule(nn.Module):
    """The operation part of a module: 1x1 to few channels, the graph, all nodes back to C (Eq. 3, 4, 7)."""

    def __init__(self, channels: int, inner_channels: int, graph: Graph) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, inner_channels, 1)
        self.graph = graph
        self.fuse = nn.Conv2d(inner_channels * (len(graph.nodes) + 1), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """B x C x H x W to the same shape: F_0 of Eq. 7."""
        states = self.graph(self.reduce(x))
        y: Tensor = self.fuse(torch.cat(states, 1))
        return y


class AttentionSearchModule(nn.Module):
    """The attention part of a module: the last node of its graph (Eq. 10)."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph

    def forward(self, x: Tensor) -> Tensor:
        """B x C x H x W to the same shape."""
        y: Tensor = self.graph(x)[-1]
        return y


class JointSearchModule(nn.Module):
    """JSM: operation part, attention part, and the input added (Eq. 2)."""

    def __init__(self, operation_part: nn.Module, attention_part: nn.Module) -> None:
        super().__init__()
        self.operation_part = operation_part
        self.attention_part = attention_part

    def forward(self, x: Tensor) -> Tensor:
        """B x C x H x W to the same shape."""
        y: Tensor = self.attention_part(self.operation_part(x)) + x
        return y


def residual_body(channels: int) -> nn.Sequential:
    """3x3, ReLU, 3x3: what stands for the operation part in the paper's residual blocks (Tables 3 and 4)."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1)
    )


class MeanShift(nn.Module):
    """Adds ``sign`` times the DIV2K mean (0-255 scale); buffers, so that training leaves it alone.

    It is a full 1x1 convolution because the authors' released checkpoints hold one that was trained.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, channels: int, sign: int) -> None:
        super().__init__()
        mean = DIV2K_RGB_MEAN if channels == 3 else (DIV2K_GRAY_MEAN,)
        self.register_buffer("weight", torch.eye(channels).view(channels, channels, 1, 1))
        self.register_buffer("bias", sign * 255 * torch.tensor(mean))

    def forward(self, x: Tensor) -> Tensor:
        """B x C x H x W to the same shape."""
        return F.conv2d(x, self.weight, self.bias)


def upsampler(channels: int, scale: int) -> nn.Sequential:
    """3x3 convolution and pixel shuffle; for x4 those of x2 twice, for scale 1 nothing."""
    steps = {1: [], 2: [2], 3: [3], 4: [2, 2]}[scale]
    layers: list[nn.Module] = []
    for step in steps:
        layers += [nn.Conv2d(channels, channels * step**2, 3, padding=1), nn.PixelShuffle(step)]
    return nn.Sequential(*layers)


def check_side(height: int, width: int, smallest: int) -> None:
    """Raises an ``InputError`` where a side of an image, in pixels, is below the smallest that a network takes."""
    if min(height, width) < smallest:
        raise InputError(
            f"The image is {width}x{height} pixels, but the smallest side this network takes is {smallest}; enlarge or "
            "pad the image."
        )


class RestorationNetwork(nn.Module):
    """Head, stacked modules, fusion, upsampling and tail (Fig. 4a) around modules that ``make_module`` makes.

    Attributes:
        settings: As given.
        smallest_input: Smallest side in pixels it takes (15 where ``esa`` is in it or among its candidates).
    """

    def __init__(self, settings: NetworkSettings, make_module: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.settings = settings
        channels, image_channels = settings.channels, settings.image_channels
        width = channels if settings.fusion_kernels is None else channels // 2
        self.subtract_mean = MeanShift(image_channels, -1)
        self.head = nn.Conv2d(image_channels, channels, 3, padding=1)
        self.body = nn.ModuleList(make_module() for _ in range(settings.modules))
        self.gather = nn.Conv2d(channels * settings.modules, channels, 1)
        self.fusion = (
            nn.Identity() if settings.fusion_kernels is None else CrossScaleFusion(channels, settings.fusion_kernels)
        )
        self.upsample = upsampler(width, settings.scale)
        self.tail = nn.Conv2d(width, image_channels, 3, padding=1)
        self.add_mean = MeanShift(image_channels, 1)
        self.smallest_input = max(int(getattr(module, "smallest_input", 1)) for module in self.modules())

    def forward(self, x: Tensor) -> Tensor:
        """B x image channels x H x W in [0, 255] to B x image channels x sH x sW, about [0, 255], not clipped.

        Raises:
            InputError: If a side is below ``smallest_input``.
        """
        check_side(x.shape[2], x.shape[3], self.smallest_input)
        x = self.head(self.subtract_mean(x))
        features = [x]
        for module in self.body:
            features.append(module(features[-1]))
        x = self.tail(self.upsample(self.fuse(features)))
        y: Tensor = self.add_mean(x)
        return y

    def fuse(self, features: Sequence[Tensor]) -> Tensor:
        """The features of head and modules, B x C x H x W each, to those that are enlarged, of C/2 channels or C."""
        y: Tensor = self.fusion(self.gather(torch.cat(list(features[1:]), 1)) + features[0])
        return y


def search_module(
    settings: NetworkSettings,
    operation_nodes: int,
    attention_nodes: int,
    make_operation: EdgeMaker,
    make_attention: EdgeMaker,
    make_operation_node: NodeMaker = lambda node, inputs: EdgeSum(),
    make_attention_node: NodeMaker = lambda node, inputs: EdgeSum(),
) -> JointSearchModule:
    """One joint search module from makers of its edges and nodes.

    A part of 0 nodes is left out: no operations stand for the paper's residual block, no attentions for none.
    """
    channels, inner = settings.channels, settings.inner_channels
    operation_part: nn.Module = residual_body(channels)
    attention_part: nn.Module = nn.Identity()
    if operation_nodes:
        graph = Graph(operation_nodes, inner, make_operation, make_operation_node)
        operation_part = OperationSearchModule(channels, inner, graph)
    if attention_nodes:
        attention_part = AttentionSearchModule(Graph(attention_nodes, channels, make_attention, make_attention_node))
    return JointSearchModule(operation_part, attention_part)


class JSNet(RestorationNetwork):
    """The network that a genotype describes; it needs neither NNI nor the supernet.

    Args:
        genotype: The searched module.
        settings: Task and size.
        operations: Name to class of every operation the genotype may name.
        attentions: The same for attentions.

    Attributes:
        genotype: As given.
        settings: As given.
        metadata: What its checkpoint said about it; empty for a network made here.

    Raises:
        InputError: If the genotype names an unknown candidate or does not fit the settings.
    """

    def __init__(
        self,
        genotype: Genotype,
        settings: NetworkSettings,
        operations: Mapping[str, Callable[[int], nn.Module]] = OPERATIONS,
        attentions: Mapping[str, Callable[[int], nn.Module]] = ATTENTIONS,
    ) -> None:
        chosen_operations, chosen_attentions = dict(genotype.operations), dict(genotype.attentions)
        for kind, chosen, known in (
            ("operation", chosen_operations, operations),
            ("attention", chosen_attentions, attentions),
        ):
            for name in chosen.values():
                if name not in known:
                    raise unknown_block(kind, name)
        if (blocks := settings.modules * (len(chosen_operations) + len(chosen_attentions))) > _MOST_BLOCKS:
            raise InputError(
                f"{settings.modules} modules of this genotype have {blocks:,} blocks, more than {_MOST_BLOCKS:,}; give "
                "fewer modules or a smaller genotype."
            )
        if (genotype.task == "sr") != (settings.image_channels == 3):
            raise InputError(
                f"The genotype is for task '{genotype.task}', but the network has {settings.image_channels} image "
                "channels; super-resolution has 3, the other tasks 1."
            )

        def make_operation(edge: Edge, channels: int) -> nn.Module | None:
            return operations[chosen_operations[edge]](channels) if edge in chosen_operations else None

        def make_attention(edge: Edge, channels: int) -> nn.Module | None:
            return attentions[chosen_attentions[edge]](channels) if edge in chosen_attentions else None

        super().__init__(
            settings,
            lambda: search_module(
                settings, genotype.operation_nodes, genotype.attention_nodes, make_operation, make_attention
            ),
        )
        self.genotype = genotype
        self.metadata: dict[str, Any] = {}

    def forward(self, x: Tensor) -> Tensor:
        """Restores images: B x C x H x W float in [0, 255] to B x C x sH x sW, about [0, 255], not clipped.

        Raises:
            InputError: If the shape does not fit or a side is below ``smallest_input``.
        """
        channels = self.settings.image_channels
        if x.dim() != 4 or x.shape[1] != channels:
            raise InputError(
                f"An input of shape {tuple(x.shape)} was given; this network takes B x {channels} x H x W."
            )
        return super().forward(x)


def strange_blocks(network: JSNet) -> list[str]:
    """The names of a network's blocks whose classes are not ours, of which nothing but their shapes is known."""
    module: Any = network.body[0]  # the others are alike
    return [
        name
        for part, edges in network.genotype.parts
        for (i, j), name in edges
        if not is_ours(type(getattr(module, f"{part}_part").graph.edges[f"{i}_{j}"]))
    ]
