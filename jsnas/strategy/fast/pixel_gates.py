"""Gates of pixel attention on all edges that leave a node, by the loops in C (``jsnas.native.pixel_gates``)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from jsnas.fast.once import once_differentiable
from jsnas.native.pixel_gates import NAMES, pixel_gates, pixel_gates_gradients


class PixelGates(torch.autograd.Function):
    """``apply(x, kernel1, bias1, kernel2, bias2, weight, ...)``: five tensors a gate, each gate B x 1 x H x W.

    It is not to be differentiated twice.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        """The weighted gates."""
        ctx.save_for_backward(x, *values)
        return pixel_gates(x, _by_gate(values))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        """All gradients, or that of x alone."""
        x, *values = ctx.saved_tensors
        needed = ctx.needs_input_grad[1:]
        dx, gates = pixel_gates_gradients(outputs, x, _by_gate(values), any(needed))
        if not any(needed):
            return dx, *(None for _ in needed)
        gradients = (gradient for gate in gates for gradient in gate)
        return dx, *(gradient if needs else None for gradient, needs in zip(gradients, needed, strict=True))


def _by_gate(values: Any) -> list[Any]:
    each = len(NAMES)
    return [values[k : k + each] for k in range(0, len(values), each)]
