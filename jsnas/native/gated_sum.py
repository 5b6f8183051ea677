"""Sums of maps times their gates (``gated_sum.c``); the gates are made row by row and never written."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jsnas.native.library import call, last, spread, suits

VECTOR = 16  # channels must be a multiple of this
MOST_GATES = 8  # wide gates of one map: GATES in gated_sum.c
REPEATS = 8  # outputs of each narrow channel of a 3x3 gate: REPEATS in gated_sum.h


@dataclass(frozen=True)
class Wide:
    """A gate of C channels: the sigmoid of a convolution.

    Attributes:
        narrow: B x N x rows x W.
        kernel: C x N x 1 x 1, or C x 1 x 3 x 3 with N = C / 8 and zeros around the rows of ``narrow``.
        bias: C, for a 1x1 kernel, or ``None``.
        weight: One number, the gate's weight; ``None`` for 1.
        above: Row of ``narrow`` at the first row of the output.
    """

    narrow: Tensor
    kernel: Tensor
    bias: Tensor | None
    weight: Tensor | None = None
    above: int = 0

    def known(self) -> bool:
        """Whether it has one of the two forms, in float32."""
        outputs, inputs, height, width = self.kernel.shape
        given = [t for t in (self.narrow, self.kernel, self.bias, self.weight) if t is not None]
        if any(t.dtype != torch.float32 for t in given):
            return False
        if (height, width) == (1, 1):
            return inputs == self.narrow.shape[1]
        narrow = inputs == 1 and outputs == REPEATS * self.narrow.shape[1]
        return (height, width) == (3, 3) and narrow and self.bias is None


@dataclass(frozen=True)
class Gated:
    """A map x, B x C x H x W, to be multiplied by the sum of its gates.

    Attributes:
        x: The map.
        channel: A value a channel, B x C x 1 x 1 (or 1 for B, 1 for C), or ``None``.
        pixel: A value a pixel, B x 1 x H x W, or ``None``.
        wide: The others.
    """

    x: Tensor
    channel: Tensor | None = None
    pixel: Tensor | None = None
    wide: Sequence[Wide] = ()


def takes(x: Tensor) -> bool:
    """Whether the loops are there for a map like x."""
    return not x.shape[1] % VECTOR and suits(x)


def gated_sum(inputs: Sequence[Gated], to: Tensor | None = None) -> Tensor:
    """The sum of the maps times their gates, B x C x H x W in channels-last.

    Args:
        inputs: Maps that ``takes`` takes, gates that are ``known``.
        to: Where to write it, in channels-last without holes; by default memory of its own.
    """
    y = torch.empty_like(inputs[0].x, memory_format=torch.channels_last) if to is None else to
    edges = Edges(inputs)
    for k, edge in enumerate(edges.array):
        edge.y, edge.adds = y.data_ptr(), k > 0
    edges.call("jsnas_gated_sum", y)
    return y


class Gate(ctypes.Structure):
    """``Gate`` of gated_sum.h."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("narrow", "kernel", "bias", "weight")),
        *((name, ctypes.c_void_p) for name in ("dnarrow", "dkernel", "dbias", "dweight")),
        *((name, ctypes.c_int64) for name in ("inputs", "taps", "rows", "above", "step")),
    ]


class Edge(ctypes.Structure):
    """``Edge`` of gated_sum.h."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("x", "channel", "pixel", "y", "dy", "dx", "dchannel", "dpixel")),
        ("gates", ctypes.POINTER(Gate)),
        *((name, ctypes.c_int64) for name in ("count", "channel_step", "adds", "adds_dx")),
    ]


class Edges:
    """Maps and their gates as the loops read them.

    Attributes:
        array: An ``Edge`` for each input; addresses of results and gradients are to be put in.
        gates: For each input its array of ``Gate``.
    """

    def __init__(self, inputs: Sequence[Gated]) -> None:
        self.array = (Edge * len(inputs))()
        self.gates = [(Gate * len(each.wide))() for each in inputs]
        self._kept: list[Tensor] = []  # what addresses are of
        for edge, gates, each in zip(self.array, self.gates, inputs, strict=True):
            channels = each.x.shape[1]
            edge.x, edge.pixel = self._values(last(each.x)), self._values(each.pixel)
            if each.channel is not None:
                edge.channel = self._values(each.channel.expand(-1, channels, 1, 1))
                edge.channel_step = channels if len(each.channel) > 1 else 0
            edge.gates, edge.count = gates, len(gates)
            for gate, wide in zip(gates, each.wide, strict=True):
                narrow, gate.step = spread(wide.narrow)
                self._kept.append(narrow)
                gate.narrow = narrow.data_ptr()
                gate.kernel, gate.bias, gate.weight = map(self._values, (wide.kernel, wide.bias, wide.weight))
                gate.inputs, gate.taps = narrow.shape[1], wide.kernel.shape[-1] ** 2
                gate.rows, gate.above = narrow.shape[2], wide.above

    def _values(self, x: Tensor | None) -> int | None:
        """Address of values without holes; those of a map are in channels-last already."""
        if x is None:
            return None
        if x.dim() != 4 or not x.is_contiguous(memory_format=torch.channels_last):
            x = x.contiguous()
        self._kept.append(x)
        return x.data_ptr()

    def call(self, name: str, like: Tensor) -> None:
        """Calls a function of gated_sum.c for maps of a shape."""
        call(name, like, self.array, len(self.array))
