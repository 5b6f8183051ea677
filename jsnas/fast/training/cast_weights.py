"""Weights of convolutions cast together where a network learns at mixed precision.

Autocast casts each weight and bias by an operation of its own, and its gradient by another: of a training iteration
nearly a third of the operations that torch issues.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from jsnas.fast.once import once_differentiable
from jsnas.fast.stand_ins import StandIns


class CastWeights(StandIns):
    """In a ``with`` block a network that computes under autocast casts its convolutions' parameters together.

    The numbers are those of autocast. Outside of autocast nothing changes, nor among several processes, which average
    gradients while others are still computed.

    Args:
        network: The network; convolutions in blocks of somebody else's, who may read a weight, keep their own way.
        device_type: Whose autocast it is: ``"cuda"``, or ``"cpu"``.
    """

    def __init__(self, network: nn.Module, device_type: str) -> None:
        super().__init__([(network, "forward", self._pass)])
        self._forward, self._device_type = network.forward, device_type
        self._parameters = [
            (layer, name, parameter)
            for layer in dict.fromkeys(_convolutions(network))
            for name, parameter in layer.named_parameters(recurse=False)
            if parameter.requires_grad
        ]

    def _pass(self, *inputs: Any) -> Any:
        several = torch.distributed.is_available() and torch.distributed.is_initialized()
        if several or not self._parameters or not torch.is_autocast_enabled(self._device_type):
            return self._forward(*inputs)
        dtype = torch.get_autocast_dtype(self._device_type)
        cast: Any = _Cast.apply(dtype, *(parameter for *_, parameter in self._parameters))  # type: ignore[no-untyped-call]
        with StandIns([(layer, name, t) for (layer, name, _), t in zip(self._parameters, cast, strict=True)]):
            return self._forward(*inputs)


def _convolutions(module: nn.Module) -> Iterator[nn.Module]:
    """Those outside of blocks of somebody else's, whose weight is a parameter and not made of others."""
    if type(module) is nn.Conv2d:
        yield module
    elif type(module).__module__.partition(".")[0] in ("jsnas", "torch"):
        for child in module.children():
            yield from _convolutions(child)


class _Cast(torch.autograd.Function):
    """``apply(dtype, *tensors)``: the tensors in another type, in the layout that each has."""

    @staticmethod
    def forward(ctx: Any, dtype: torch.dtype, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.dtypes = [tensor.dtype for tensor in tensors]
        ctx.set_materialize_grads(False)  # what has no part in the loss keeps having no gradient
        cast = [torch.empty_like(tensor, dtype=dtype) for tensor in tensors]
        torch._foreach_copy_(cast, tensors)
        return tuple(cast)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        # Without holes: a pair of other layouts would make torch copy all of them one by one.
        given = [
            (g.clone() if _has_holes(g) else g, d) for g, d in zip(gradients, ctx.dtypes, strict=True) if g is not None
        ]
        cast = [torch.empty_like(g, dtype=dtype) for g, dtype in given]
        torch._foreach_copy_(cast, [g for g, _ in given])
        found = iter(cast)
        return None, *(None if g is None else next(found) for g in gradients)


def _has_holes(x: Tensor) -> bool:
    """Whether other memory lies between its values, as in a kernel's part of a dense one."""
    return x.stride() != torch.empty_like(x, device="meta").stride()
