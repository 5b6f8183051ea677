"""Gates of one value a pixel, those of several edges at once, and their gradients (``pixel_gates.c``)."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from jsnas.native.library import call, pointer, spread

NAMES = ("kernel1", "bias1", "kernel2", "bias2", "weight")
Gate = Sequence[Tensor]  # kernels 2 x n x 1 x 1 and 1 x 2 x 1 x 1, each followed by its bias; a weight of one value


class _PixelGate(ctypes.Structure):
    """``PixelGate`` of pixel_gates.c."""

    _fields_ = [(name, ctypes.c_void_p) for name in (*NAMES, "dy", "y", "sums")]


def pixel_gates(x: Tensor, gates: Sequence[Gate]) -> tuple[Tensor, ...]:
    """For each of E gates weight * sigmoid(k2 ReLU(k1 ReLU(x) + b1) + b2), B x 1 x H x W.

    Args:
        x: B x nE x H x W; it may be some channels of a map that is channels-last.
        gates: The E gates.
    """
    (x, step), given = spread(x), _gates(x, gates)
    made = tuple(x.new_empty(len(x), 1, *x.shape[2:]) for _ in gates)
    for gate, y in zip(given, made, strict=True):
        gate.y = y.data_ptr()
    call("jsnas_pixel_gates", x, given, len(given), x.shape[1] // len(given), x.data_ptr(), step)
    return made


def pixel_gates_gradients(
    outputs: Sequence[Tensor], x: Tensor, gates: Sequence[Gate], learns: bool
) -> tuple[Tensor, list[list[Tensor]]]:
    """The gradient of x, and for each gate those of what it is made of.

    Args:
        outputs: Those of the gates.
        x: As for the gates.
        gates: As for the gates.
        learns: Whether those of the gates are wanted; else they are left out.
    """
    (x, step), given, outputs = spread(x), _gates(x, gates), [dy.contiguous() for dy in outputs]
    dx = torch.empty_like(x, memory_format=torch.channels_last)  # without holes, though x may have some
    inputs = x.shape[1] // len(given)
    sums = [x.new_empty(len(x), 2 * inputs + 6) if learns else None for _ in gates]  # one for each image
    for gate, dy, room in zip(given, outputs, sums, strict=True):
        gate.dy, gate.sums = dy.data_ptr(), pointer(room)
    arguments = (given, len(given), inputs, x.data_ptr(), step, dx.data_ptr())
    call("jsnas_pixel_gates_backward", x, *arguments)
    gradients = [() if room is None else torch.split(room.sum(0), [2 * inputs, 2, 2, 1, 1]) for room in sums]
    pairs = zip(gradients, gates, strict=True)
    return dx, [[d.view(t.shape) for d, t in zip(each, gate, strict=False)] for each, gate in pairs]


def _gates(x: Tensor, gates: Sequence[Gate]) -> ctypes.Array[_PixelGate]:
    made = (_PixelGate * len(gates))()
    for gate, values in zip(made, gates, strict=True):
        if values[0].shape != (2, x.shape[1] // len(gates), 1, 1):  # the loops would read what is not theirs
            raise ValueError(f"Kernels of {len(gates)} gates on {x.shape[1]} channels are not {values[0].shape}.")
        for name, value in zip(NAMES, values, strict=True):
            setattr(gate, name, value.data_ptr())
    return made
