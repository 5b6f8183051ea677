"""Puts the fast form of a supernet's modules in place for a search, and takes it out again.

The readable modules (``jsnas.strategy.partial_channel`` in ``jsnas.network``) stay what they are, and own all
parameters; while the fast form is in place their parts compute through it. Both give the same numbers to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from jsnas.network import JointSearchModule
from jsnas.strategy.fast_attention import FastAttentionGraph, suits_attentions
from jsnas.strategy.fast_operations import FastOperationPart, make_kernels, suits_operations


class FastSupernet:
    """The fast form in place of the parts of all modules that it can stand for.

    Args:
        supernet: A space that ``PartialChannelDARTS`` has mutated. Its weights become channels-last.
    """

    def __init__(self, supernet: nn.Module) -> None:
        supernet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's types
        self._replaced: list[nn.Module] = []
        self._attentions: list[FastAttentionGraph] = []
        self._operations: list[FastOperationPart] = []
        for module in supernet.modules():
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
        if self._operations:
            self._put(supernet, self._pass_of(supernet.forward))

    def weights_learn(self, learn: bool) -> None:
        """Whether the next pass needs gradients of the weights."""
        for attention in self._attentions:
            attention.learns = learn

    def remove(self) -> None:
        """Gives the readable modules their own forward again."""
        for module in self._replaced:
            del module.__dict__["forward"]
        self._replaced, self._attentions, self._operations = [], [], []

    def _pass_of(self, forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        """A pass of the supernet that begins with the operations' kernels."""

        def forward_with_kernels(x: Tensor) -> Tensor:
            make_kernels(self._operations, x.device)
            return forward(x)

        return forward_with_kernels

    def _put(self, module: nn.Module, fast: Any) -> None:
        module.__dict__["forward"] = fast
        self._replaced.append(module)
