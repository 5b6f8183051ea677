"""Candidate operations of the operation search space (paper, Fig. 3).

Five of the seven are a residual dense block (RDB) of two cells that differ in the cell only; RDN introduced
the block (Zhang et al., TPAMI 2020). Every operation takes and returns B x C x H x W.

To add one: write a class with ``__init__(self, channels)`` and ``forward(x)``, and give it a line in
``OPERATIONS``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Zero(nn.Module):
    """``none``: no connection. It takes part in the search and never wins the derivation."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """B x C x H x W of zeros."""
        return torch.zeros_like(x)


class Skip(nn.Module):
    """``skip``: the input itself."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """The input, unchanged."""
        return x


class ResidualDenseBlock(nn.Module):
    """Two densely connected cells of growth C, a 1x1 convolution over all three features, and a residual."""

    def __init__(self, channels: int, cell: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.cell1 = cell(channels, channels)
        self.cell2 = cell(2 * channels, channels)
        self.fuse = nn.Conv2d(3 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """B x C x H x W to the same shape."""
        x1 = self.cell1(x)
        x2 = self.cell2(torch.cat([x, x1], 1))  # 2C in, C out
        y: Tensor = self.fuse(torch.cat([x, x1, x2], 1)) + x
        return y


def common_cell(inputs: int, outputs: int) -> nn.Sequential:
    """3x3, ReLU, 3x3 (Fig. 3a); no bias, as in every cell."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
    )


def separable_cell(inputs: int, outputs: int) -> nn.Sequential:
    """Grouped 3x3, 1x1, ReLU (Fig. 3b); the 3x3 has one group per output, so 2C to C stays cheap."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, groups=outputs, bias=False),
        nn.Conv2d(outputs, outputs, 1, bias=False),
        nn.ReLU(),
    )


def dilated_cell(inputs: int, outputs: int) -> nn.Sequential:
    """Grouped 3x3 of dilation 2, depthwise 3x3 of dilation 3, 1x1, ReLU (Fig. 3c)."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=2, dilation=2, groups=outputs, bias=False),
        nn.Conv2d(outputs, outputs, 3, padding=3, dilation=3, groups=outputs, bias=False),
        nn.Conv2d(outputs, outputs, 1, bias=False),
        nn.ReLU(),
    )


def light_cell(inputs: int, outputs: int) -> nn.Sequential:
    """1x1, ReLU, 3x3 (Fig. 3d)."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
    )


def shallow_cell(inputs: int, outputs: int) -> nn.Sequential:
    """3x3, ReLU (Fig. 3e)."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.ReLU())


class RDBCommon(ResidualDenseBlock):
    """``rdb_common``: RDB of common cells, 12,304 parameters at C = 16."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, common_cell)


class RDBSep(ResidualDenseBlock):
    """``rdb_sep``: RDB of depthwise separable cells, 1,728 parameters at C = 16."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, separable_cell)


class RDBDil(ResidualDenseBlock):
    """``rdb_dil``: RDB of dilated cells, 2,016 parameters at C = 16."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, dilated_cell)


class RDBLight(ResidualDenseBlock):
    """``rdb_light``: RDB of light cells, 6,160 parameters at C = 16."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, light_cell)


class RDBShallow(ResidualDenseBlock):
    """``rdb_shallow``: RDB of shallow cells, 7,696 parameters at C = 16."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, shallow_cell)


OPERATIONS: dict[str, type[nn.Module]] = {
    "none": Zero,
    "skip": Skip,
    "rdb_common": RDBCommon,
    "rdb_sep": RDBSep,
    "rdb_dil": RDBDil,
    "rdb_light": RDBLight,
    "rdb_shallow": RDBShallow,
}
