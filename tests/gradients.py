"""What a form of a module is held against: the module's output and all gradients."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def values(module: nn.Module, x: Tensor) -> list[Tensor]:
    """The output, and the gradients of x and of all parameters."""
    x = x.clone().requires_grad_()
    y = module(x)
    dy = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(y)
    return [y, *torch.autograd.grad(y, [x, *module.parameters()], dy)]


def assert_close(found: list[Tensor], expected: list[Tensor]) -> None:
    """To 1e-4 of the largest value, or of 1."""
    for a, b in zip(found, expected, strict=True):
        assert (a - b).abs().max() <= 1e-4 * b.abs().max().clamp_min(1)
