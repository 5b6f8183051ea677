"""Puts the fast form of a supernet's modules in place for a search, and takes it out again.

The readable modules (``jsnas.strategy.partial_channel`` in ``jsnas.network``) stay what they are, and own all
parameters; while the fast form is in place their parts compute through it. Both give the same numbers to rounding.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _WeightNorm
from torch.nn.utils.parametrize import ParametrizationList

from jsnas.fast.end import FastEnd
from jsnas.fast.same_size import point_dilation
from jsnas.fast.stand_ins import StandIns
from jsnas.network import JointSearchModule, RestorationNetwork
from jsnas.strategy.fast.attention_kernels import join_kernels
from jsnas.strategy.fast.attentions import FastAttentionGraph, suits_attentions
from jsnas.strategy.fast.candidate_weights import CandidateWeights
from jsnas.strategy.fast.halves import Halves
from jsnas.strategy.fast.operation_kernels import make_kernels
from jsnas.strategy.fast.operations import FastOperationPart, suits_operations

_PLAIN = (
    nn.Conv2d,
    nn.Identity,
    nn.ModuleDict,
    nn.ModuleList,
    nn.PixelShuffle,
    nn.ReLU,
    nn.Sequential,
    nn.Softmax,
    _WeightNorm,
    ParametrizationList,
)


class FastSupernet:
    """The fast form in place of the parts of all modules that it can stand for.

    Args:
        supernet: A space that ``PartialChannelDARTS`` has mutated, on one device. ``lay_out`` lays out its weights.
        in_halves: Whether passes that learn go in two halves of the batch, each on half of torch's threads. They do
            only on a CPU, and where every module is known to treat each image on its own.
    """

    def __init__(self, supernet: nn.Module, in_halves: bool = False) -> None:
        self._in_place = contextlib.ExitStack()
        self._attentions: list[FastAttentionGraph] = []
        self._operations: list[FastOperationPart] = []
        parameters: dict[str, Tensor] = dict(supernet.named_parameters())
        device = next(iter(parameters.values())).device
        on_cpu = device.type == "cpu"
        lay_out(supernet, device)
        suits_halves = in_halves and on_cpu and all(map(_knows_one_image, supernet.modules()))
        self._halves = Halves(torch.get_num_threads()) if suits_halves else None
        self._points: list[nn.Conv2d] = []
        self._architecture = [p for name, p in parameters.items() if "_arch_" in name]
        self._weights = [p for name, p in parameters.items() if "_arch_" not in name]
        self._weights_learn = True
        for module in supernet.modules():
            if type(module) is nn.Conv2d and module.kernel_size == (1, 1):
                module.dilation = (point_dilation(module.weight), point_dilation(module.weight))
                self._points.append(module)
            if isinstance(module, RestorationNetwork) and on_cpu:
                self._in_place.enter_context(FastEnd(module))
            if not isinstance(module, JointSearchModule):
                continue
            operation: Any = module.operation_part
            attention: Any = module.attention_part
            if suits_operations(operation):
                self._operations.append(FastOperationPart(operation))
                self._put(operation, self._operations[-1])
            if suits_attentions(attention):
                self._attentions.append(FastAttentionGraph(attention.graph))
                self._put(attention, self._attentions[-1])
        self._candidates = CandidateWeights([fast.graph for fast in self._attentions])
        if self._operations or self._attentions or self._halves is not None:
            self._put(supernet, partial(self._pass, supernet.forward))

    def weights_learn(self, learn: bool) -> None:
        """Whether the next pass needs gradients of the weights."""
        for attention in self._attentions:
            attention.learns = learn
        self._weights_learn = learn

    def threads(self) -> contextlib.AbstractContextManager[None]:
        """The threads that an iteration's steps should have."""
        return contextlib.nullcontext() if self._halves is None else self._halves.share()

    def remove(self) -> None:
        """Gives the readable modules their own forward again."""
        self._in_place.close()
        for module in self._points:
            module.dilation = (1, 1)
        if self._halves is not None:
            self._halves.close()
            self._halves = None
        self._attentions, self._operations, self._points = [], [], []
        self._candidates = CandidateWeights([])

    def __deepcopy__(self, memo: dict[int, Any]) -> FastSupernet:
        raise RuntimeError("A supernet is copied before its fast form is in place, or after it was removed.")

    def _pass(self, forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """A pass of the supernet that begins with all kernels, and goes in halves where it should."""
        parts: list[FastOperationPart | FastAttentionGraph] = [*self._operations, *self._attentions]
        self._make_kernels(x.device.type)
        try:
            if self._halves is None or not torch.is_grad_enabled() or len(x) < 2 or x.requires_grad:
                return forward(x)
            leaves = self._architecture + (self._weights if self._weights_learn else [])
            kernels = [tensor for part in parts for here in part.kernels for tensor in here.values()]
            for part in parts:
                # Leaves of both halves: what led to the kernels has its gradient once, from the sum.
                part.kernels = [{name: _leaf(tensor) for name, tensor in here.items()} for here in part.kernels]
            inner = [tensor for part in parts for here in part.kernels for tensor in here.values()]
            return self._halves(forward, x, kernels + leaves, inner + leaves)
        finally:  # kept longer they would keep what they were made by, which belongs to the stream of this pass
            for part in parts:
                part.kernels = []

    def _make_kernels(self, device_type: str) -> None:
        """Those of all modules for the next pass."""
        dtype = torch.get_autocast_dtype(device_type) if torch.is_autocast_enabled(device_type) else None
        nodes = [blocks for graph in self._attentions for blocks in graph.blocks]
        with torch.autocast(device_type, enabled=False):
            if self._operations:
                make_kernels(self._operations, dtype, self._weights_learn)
            if self._attentions:
                joined = join_kernels(nodes, dtype, self._weights_learn)
                for kernel, weights in zip(joined, self._candidates(), strict=True):
                    kernel["weights"] = weights
                of_node = iter(joined)
                for graph in self._attentions:
                    graph.kernels = list(itertools.islice(of_node, len(graph.blocks)))

    def _put(self, module: nn.Module, fast: Any) -> None:
        self._in_place.enter_context(StandIns([(module, "forward", fast)]))


def lay_out(supernet: nn.Module, device: torch.device) -> None:
    """Gives weights the layout that they are read in: channels-last, or contiguous where kernels are made of them.

    On a GPU a gradient of another layout than its weight's is copied, one by one. On a CPU all are channels-last.

    Args:
        supernet: A space that ``PartialChannelDARTS`` has mutated.
        device: Where it will learn.
    """
    supernet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's types
    if device.type == "cpu":
        return
    for module in supernet.modules():
        if isinstance(module, JointSearchModule):
            operation: Any = module.operation_part
            attention: Any = module.attention_part
            for part, suits in ((operation, suits_operations), (attention, suits_attentions)):
                for parameter in part.graph.edges.parameters() if suits(part) else ():
                    parameter.data = parameter.data.contiguous()


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().requires_grad_(tensor.requires_grad)


def _knows_one_image(module: nn.Module) -> bool:
    """Whether a module is known to have no statistics of a batch, no random numbers, no state that a pass changes."""
    kind = type(module)
    if kind.__module__ == "torch.nn.utils.parametrize":  # torch makes a class for every layer with a parametrization
        kind = kind.__bases__[0] if kind is not ParametrizationList else kind
    return kind in _PLAIN or kind.__module__.partition(".")[0] in ("jsnas", "search_spaces", "nni")
