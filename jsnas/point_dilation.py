"""How 1x1 convolutions come to oneDNN on a CPU."""

from __future__ import annotations

from torch import Tensor


def point_dilation(x: Tensor) -> int:
    """The dilation to give a 1x1 convolution of x, which changes nothing.

    On one CPU thread torch leaves plain 1x1 convolutions to its slow path; oneDNN, which it takes for dilated ones,
    needs half of the time or less.
    """
    return 2 if x.device.type == "cpu" else 1
