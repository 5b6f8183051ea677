"""Kernels and biases of the attention blocks of a whole supernet, joined once a pass for every node that edges leave.

Blocks of one class on the edges that leave a node read the same map, so a layer of theirs is one convolution. Joining
the kernels node by node would be hundreds of small steps; all nodes together, it is one a layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _WeightNorm

from jsnas.attentions import (
    ChannelAttention,
    ContrastChannelAttention,
    CostEffectiveAttention,
    EnhancedSpatialAttention,
    PixelAttention,
    SpatialAttention,
)
from jsnas.fast.dense_groups import dense_kernels
from jsnas.native.library import suits

_IN_GROUPS = ("esa_stride", "esa_shortcut", "esa_0", "esa_2", "esa_4")  # each edge on channels of its own
_ALWAYS_DENSE = ("pa_2", "pa_4")

Blocks = Mapping[type[nn.Module], Sequence[Any]]  # those on the edges that leave a node, by class
Kernels = dict[str, Tensor]  # by the layer's name; its bias under NAME_bias; candidates' weights under weights


def join_kernels(nodes: Sequence[Blocks], dtype: torch.dtype | None = None, learns: bool = True) -> list[Kernels]:
    """The kernels for each node.

    Args:
        nodes: The blocks on the edges that leave each.
        dtype: The type that convolutions take under autocast, or ``None`` for that of the weights.
        learns: Whether gradients of the weights are wanted.
    """
    kernels: list[Kernels] = [{} for _ in nodes]
    alike: dict[Any, list[tuple[Kernels, list[Any]]]] = {}
    for kernel, blocks in zip(kernels, nodes, strict=True):
        for name, layers in _layers(blocks, cast=dtype is not None).items():
            if layers:
                shape = (layers[0].in_channels // layers[0].groups, layers[0].kernel_size)
                alike.setdefault((name, shape), []).append((kernel, layers))
    with torch.set_grad_enabled(learns and torch.is_grad_enabled()):
        for (name, _), there in alike.items():
            sizes = [sum(layer.out_channels for layer in layers) for _, layers in there]
            whole, bias = _joined([layer for _, layers in there for layer in layers])
            kernels_of = _by_node(name, whole.to(dtype or whole.dtype), [layers for _, layers in there])
            biases = [None] * len(there) if bias is None else bias.to(dtype or bias.dtype).split(sizes)
            for (kernel, _), part, of_bias in zip(there, kernels_of, biases, strict=True):
                kernel[name] = part
                if of_bias is not None:
                    kernel[f"{name}_bias"] = of_bias
    return kernels


def _by_node(name: str, whole: Tensor, layers: Sequence[Sequence[Any]]) -> Sequence[Tensor]:
    """The kernels of a layer for each node; dense where convolutions in groups are slow: on a GPU all that have any."""
    if name in _ALWAYS_DENSE or (whole.is_cuda and name in _IN_GROUPS):
        edges = [len(each) for each in layers]
        return dense_kernels(whole.unflatten(0, (sum(edges), -1)), edges)
    if whole.is_cuda and name == "cea_expand":  # by itself on every edge
        groups = [layer.groups for each in layers for layer in each]
        whole = torch.cat(dense_kernels(whole.unflatten(0, (sum(groups), -1)), groups))
    elif whole.is_cuda:
        whole = whole.contiguous(memory_format=torch.channels_last)
    return torch.split(whole, [sum(layer.out_channels for layer in each) for each in layers])


def _layers(blocks: Blocks, cast: bool) -> dict[str, list[Any]]:
    """The layers that are joined, in the order of their channels."""
    pa, cea, esa, ca, cca, sa = (
        blocks.get(kind, ())
        for kind in (
            PixelAttention,
            CostEffectiveAttention,
            EnhancedSpatialAttention,
            ChannelAttention,
            ContrastChannelAttention,
            SpatialAttention,
        )
    )
    layers: dict[str, list[Any]] = {
        "narrow": [*(b.layers[0] for b in pa), *(b.squeeze for b in cea), *(b.squeeze for b in esa)],
        "esa_stride": [b.stride for b in esa],
        "esa_shortcut": [b.shortcut for b in esa],
        "sa": [b.conv for b in sa],
    }
    for k in (0, 2, 4):
        layers[f"esa_{k}"] = [b.convs[k] for b in esa]
    for name, same in (("ca", ca), ("cca", cca)):
        layers[f"{name}_squeeze"] = [b.squeeze for b in same]
        layers[f"{name}_excite"] = [b.excite for b in same]
    if cast or not (pa and suits(pa[0].layers[2].weight)):  # the loops in C take each by itself
        layers["pa_2"], layers["pa_4"] = ([b.layers[k] for b in pa] for k in (2, 4))
    if cast or (cea and cea[0].expand.weight.is_cuda):  # else each edge takes its own as it is
        layers["cea_expand"] = [b.expand for b in cea]
    if cast:
        layers["esa_expand"] = [b.expand for b in esa]
    return layers


def _joined(layers: Sequence[Any]) -> tuple[Tensor, Tensor | None]:
    """Kernel and bias of layers, one after the other; weight-normalised layers in one go."""
    bias = None if layers[0].bias is None else torch.cat([layer.bias for layer in layers])
    if not all(map(_is_weight_normed, layers)):
        return torch.cat([layer.weight for layer in layers]), bias
    originals = [layer.parametrizations.weight for layer in layers]
    size = torch.cat([each.original0 for each in originals])
    direction = torch.cat([each.original1 for each in originals])
    return torch._weight_norm(direction, size, 0), bias


def _is_weight_normed(layer: nn.Module) -> bool:
    """Whether a layer's weight is normalised by output channel, and nothing else."""
    found = getattr(layer, "parametrizations", {})
    return list(found) == ["weight"] and [(type(p), getattr(p, "dim", None)) for p in found["weight"]] == [
        (_WeightNorm, 0)
    ]
