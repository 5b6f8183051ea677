"""The network as one self-contained, readable Python file that needs only torch.

Blocks are printed as they stand in our own modules, with all that they use, so a user's block works too. The
wiring is printed straight, one line an edge, for the genotype at hand. A test holds the file's outputs equal
to the network's for random genotypes.
"""

from __future__ import annotations

import ast
import base64
import inspect
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

from safetensors.torch import save
from torch import nn

from jsnas.data.atomic import atomic_file
from jsnas.fusion import CrossScaleFusion
from jsnas.genotype import Edge
from jsnas.network import EdgeSum, Graph, JSNet, MeanShift

_FILE = '''"""{title}

Written by jsnas; needs only torch.

    network = load({load_argument})
    y = network(x)                  # x: B x {image_channels} x H x W float in [0, 255], sides of at least {smallest}
"""

from __future__ import annotations

{imports}

{blocks}

{operation_part}{attention_part}class JointSearchModule(nn.Module):
    """One searched module; its input is added at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.operation_part = {make_operation_part}
        self.attention_part = {make_attention_part}

    def forward(self, x: Tensor) -> Tensor:
        return self.attention_part(self.operation_part(x)) + x


class JSNet(nn.Module):
    """Head, {modules} searched modules, fusion, upsampling x{scale}, tail."""

    def __init__(self) -> None:
        super().__init__()
        self.subtract_mean = MeanShift({image_channels}, -1)
        self.head = nn.Conv2d({image_channels}, {channels}, 3, padding=1)
        self.body = nn.ModuleList(JointSearchModule() for _ in range({modules}))
        self.gather = nn.Conv2d({gathered}, {channels}, 1)
        self.fusion = {fusion}
        self.upsample = nn.Sequential({upsample})
        self.tail = nn.Conv2d({width}, {image_channels}, 3, padding=1)
        self.add_mean = MeanShift({image_channels}, 1)

    def forward(self, x: Tensor) -> Tensor:
        """B x {image_channels} x H x W in [0, 255] to B x {image_channels} x {scale}H x {scale}W, not clipped."""
        x = self.head(self.subtract_mean(x))
        features = [x]
        for module in self.body:
            features.append(module(features[-1]))
        x = self.gather(torch.cat(features[1:], 1)) + x
        return self.add_mean(self.tail(self.upsample(self.fusion(x))))


{load}'''

_LOAD = '''def load({signature}) -> JSNet:
    """The network with {whose} weights, in evaluation mode.

    They are a safetensors file: a little-endian length, a JSON table of contents, and the raw values.
    """
    data = {data}
    start = 8 + int.from_bytes(data[:8], "little")
    state = {{}}
    for name, entry in json.loads(data[8:start]).items():
        if name not in ("__metadata__", "jsnas.description"):
            first, last = entry["data_offsets"]
            values = torch.frombuffer(bytearray(data[start + first : start + last]), dtype=torch.float32)
            state[name.replace("graph.edges.", "edge_")] = values.view(entry["shape"])
    network = JSNet()
    network.load_state_dict(state)
    return network.eval()
'''

_WEIGHTS = '''

# The weights: a safetensors file in base 85.
WEIGHTS = """
{lines}
"""
'''

_OPERATION_PART = '''class OperationPart(nn.Module):
    """The searched operations."""

    def __init__(self) -> None:
        super().__init__()
        self.reduce = nn.Conv2d({channels}, {inner}, 1)
{edges}
        self.fuse = nn.Conv2d({gathered}, {channels}, 1)

    def forward(self, x: Tensor) -> Tensor:
        s0 = self.reduce(x)
{nodes}
        return self.fuse(torch.cat([{states}], 1))


'''

_ATTENTION_PART = '''class AttentionPart(nn.Module):
    """The searched attentions."""

    def __init__(self) -> None:
        super().__init__()
{edges}

    def forward(self, f0: Tensor) -> Tensor:
{nodes}
        return {last}


'''


def write_source(path: Path, network: JSNet, title: str, with_weights: bool) -> None:
    """Writes the network as one Python file.

    Args:
        path: The ``.py`` file.
        network: The network to print.
        title: First line of the file.
        with_weights: Whether the weights go along, as text at the end; without them, ``load`` there takes the
            path of a checkpoint.

    Raises:
        InputError: If the file cannot be written.
    """
    with atomic_file(path) as temporary:
        temporary.write_text(source_of(network, title, with_weights), encoding="utf-8")


def source_of(network: JSNet, title: str, with_weights: bool) -> str:
    """The text that ``write_source`` writes."""
    genotype, settings = network.genotype, network.settings
    channels, inner = settings.channels, settings.inner_channels
    module: Any = network.body[0]
    collected = _Collector()
    collected.add(MeanShift)
    operation_part = attention_part = ""
    make_attention_part = "nn.Identity()"
    if genotype.operations:
        graph = module.operation_part.graph
        nodes = genotype.operation_nodes
        operation_part = _OPERATION_PART.format(
            channels=channels,
            inner=inner,
            edges=_edge_lines(graph, genotype.operations, inner, collected),
            nodes=_node_lines(graph, "s"),
            states=", ".join(f"s{j}" for j in range(nodes)),
            gathered=inner * nodes,
        )
        make_operation_part = "OperationPart()"
    else:
        make_operation_part = (
            f"nn.Sequential(\n            nn.Conv2d({channels}, {channels}, 3, padding=1),\n            nn.ReLU(),\n"
            f"            nn.Conv2d({channels}, {channels}, 3, padding=1),\n        )"
        )
    if genotype.attentions:
        graph = module.attention_part.graph
        attention_part = _ATTENTION_PART.format(
            edges=_edge_lines(graph, genotype.attentions, channels, collected),
            nodes=_node_lines(graph, "f"),
            last=f"f{genotype.attention_nodes - 1}",
        )
        make_attention_part = "AttentionPart()"
    if settings.fusion_kernels is not None:
        collected.add(CrossScaleFusion)
    weights = ""
    if with_weights:
        collected.imports.add("import base64")
        text = base64.b85encode(
            save({key: value.float().contiguous() for key, value in network.state_dict().items()})
        ).decode()
        weights = _WEIGHTS.format(lines="\n".join(textwrap.wrap(text, 110)))
        load = _LOAD.format(signature="", whose="its", data='base64.b85decode("".join(WEIGHTS.split()))')
    else:
        collected.imports.add("from pathlib import Path")
        load = _LOAD.format(
            signature="path: str | Path", whose="a checkpoint's (.safetensors)", data="Path(path).read_bytes()"
        )
    text = _FILE.format(
        title=title,
        load_argument="" if with_weights else '"checkpoint.safetensors"',
        load=load,
        image_channels=settings.image_channels,
        smallest=network.smallest_input,
        imports="\n".join(sorted(collected.imports)),
        blocks="\n\n".join(collected.sources.values()).rstrip() + "\n",
        operation_part=operation_part,
        attention_part=attention_part,
        make_operation_part=make_operation_part,
        make_attention_part=make_attention_part,
        modules=settings.modules,
        scale=settings.scale,
        channels=channels,
        gathered=channels * settings.modules,
        fusion="nn.Identity()"
        if settings.fusion_kernels is None
        else f"CrossScaleFusion({channels}, {tuple(settings.fusion_kernels)})",
        upsample=", ".join(_upsample_layer(layer) for layer in network.upsample),
        width=network.tail.in_channels,
    )
    return text + weights


def _edge_lines(graph: Graph, edges: tuple[tuple[Edge, str], ...], channels: int, collected: _Collector) -> str:
    lines = []
    for (i, j), _ in edges:
        block = type(graph.edges[f"{i}_{j}"])
        collected.add(block)
        lines.append(f"        self.edge_{i}_{j} = {block.__name__}({channels})")
    return "\n".join(lines)


def _node_lines(graph: Graph, state: str) -> str:
    lines = []
    for j, (node, inputs) in enumerate(zip(graph.nodes, graph.inputs, strict=True), start=1):
        if type(node) is not EdgeSum:
            raise TypeError(f"a derived network sums its inputs, but node {j} is a {type(node).__name__}")
        lines.append(f"        {state}{j} = " + " + ".join(f"self.edge_{i}_{j}({state}{i})" for i in inputs))
    return "\n".join(lines)


def _upsample_layer(layer: nn.Module) -> str:
    if isinstance(layer, nn.Conv2d):
        return f"nn.Conv2d({layer.in_channels}, {layer.out_channels}, 3, padding=1)"
    return f"nn.{layer}"  # PixelShuffle(upscale_factor=2)


class _Collector:
    """Gathers the source of classes and functions, everything they use first, and the imports they need."""

    def __init__(self) -> None:
        self.sources: dict[str, str] = {}
        self.imports = {"import json", "import torch", "from torch import Tensor, nn"}

    def add(self, thing: Any) -> None:
        """Adds a class or function once, after all that its source names."""
        if thing.__name__ not in self.sources:
            source = textwrap.dedent(inspect.getsource(thing))
            self._add_used(source, sys.modules[thing.__module__], thing.__name__)
            self.sources[thing.__name__] = source

    def _add_used(self, source: str, module: ModuleType, own_name: str) -> None:
        names = dict.fromkeys(node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name))
        for name in names:
            if name in vars(module) and name != own_name:
                self._add_global(name, vars(module)[name], module)

    def _add_global(self, name: str, value: Any, module: ModuleType) -> None:
        if name in ("torch", "nn", "Tensor") or name in self.sources:
            return
        origin = getattr(value, "__module__", None) or ""
        if isinstance(value, ModuleType):
            self.imports.add(f"import {value.__name__}" + ("" if value.__name__ == name else f" as {name}"))
        elif inspect.isclass(value) or inspect.isfunction(value):
            if origin.split(".")[0] in sys.stdlib_module_names or origin.split(".")[0] == "torch":
                self.imports.add(_import_statement(name, module))
            else:
                self.add(value)
        else:  # a constant, or a name such as Callable that is no class of its own
            text = inspect.getsource(module)
            tree = ast.parse(text)
            for statement in tree.body:
                if isinstance(statement, ast.Assign) and any(
                    isinstance(t, ast.Name) and t.id == name for t in statement.targets
                ):
                    line = ast.get_source_segment(text, statement) or ""
                    self._add_used(line, module, name)
                    self.sources[name] = line + "\n"
                    return
            self.imports.add(_import_statement(name, module))


def _import_statement(name: str, module: ModuleType) -> str:
    """The statement by which a module has a name."""
    for statement in ast.parse(inspect.getsource(module)).body:
        if isinstance(statement, ast.ImportFrom):
            for alias in statement.names:
                if (alias.asname or alias.name) == name:
                    renamed = f" as {alias.asname}" if alias.asname else ""
                    return f"from {statement.module} import {alias.name}{renamed}"
    raise LookupError(f"{module.__name__} does not import {name} by a plain statement")
