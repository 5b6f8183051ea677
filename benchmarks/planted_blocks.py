"""Blocks of planted spaces: three that are worth the same, and three of which one is better by design."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class FlatA(nn.Module):
    """A residual 3x3 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.relu(self.conv(x))


class FlatB(FlatA):
    """The same, begun with other random numbers."""

    def __init__(self, channels: int) -> None:
        torch.rand(1)
        super().__init__(channels)


class FlatC(FlatA):
    """The same, begun with other random numbers again."""

    def __init__(self, channels: int) -> None:
        torch.rand(2)
        super().__init__(channels)


class NoisyA(nn.Module):
    """Drowns what comes in in noise."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x + 1e4 * torch.randn_like(x)


class NoisyB(NoisyA):
    """The same."""


class Clear(FlatA):
    """Better than noise."""
