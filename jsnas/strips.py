"""Restores images of any size in bounded memory, without seams.

The image goes through the fast network in strips of a few rows that remember what they need of their neighbours, so
nothing is cut: the result is that of the whole image. What looks at the whole image keeps a map of it: the fusion
module one of half the network's channels (16 bits a value in a large image), ``ca`` and ``cca`` inside a module those
that wait for them, and somebody's own blocks their inputs and outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from jsnas.errors import InputError
from jsnas.fast.inference.network import LARGE_IMAGE, FastNetwork
from jsnas.metrics import quantize


def restore_pixels(
    network: FastNetwork,
    lq: npt.NDArray[Any],
    device: torch.device,
    rows: int | None = None,
    top: int = 255,
    progress: Callable[[float], None] | None = None,
) -> npt.NDArray[Any]:
    """Restores one image to integers; besides strips of features, only input and result are held.

    Args:
        network: The fast form of a network, on ``device``.
        lq: uint8 or float32, H x W x C on the 0-255 scale.
        device: Where to compute.
        rows: Rows of the input in a strip (columns, if the image is large and wide); by default what suits the device.
        top: Largest value of the result: 255, or 65,535 for 16 bits.
        progress: Told what part of the result is there, 0 to 1.

    Returns:
        uint8 or uint16, sH x sW x C, clipped and rounded.

    Raises:
        InputError: If the array is not H x W x C, or the network refuses its shape.
    """
    if lq.ndim != 3 or not lq.size:
        raise InputError(f"An array of shape {lq.shape} was given; an image is H x W x C.")
    scale = network.settings.scale
    restored = np.empty((scale * lq.shape[0], scale * lq.shape[1], lq.shape[2]), np.uint8 if top == 255 else np.uint16)

    def write_rows(row: int, chunk: Tensor) -> None:
        stop = row + chunk.shape[2]
        restored[row:stop] = quantize(chunk[0].permute(1, 2, 0).float().cpu().numpy(), top)
        if progress is not None:
            progress(stop / restored.shape[0])

    def write_columns(column: int, chunk: Tensor) -> None:
        stop = column + chunk.shape[3]
        restored[:, column:stop] = quantize(chunk[0].permute(1, 2, 0).float().cpu().numpy(), top)
        if progress is not None:
            progress(stop / restored.shape[1])

    array = lq if lq.flags.writeable and lq.flags.c_contiguous else lq.copy()
    x = torch.from_numpy(array if array.dtype == np.uint8 else array.astype(np.float32))
    x = x.permute(2, 0, 1)[None].to(device)
    height, width = lq.shape[:2]
    if width > height and height * width >= LARGE_IMAGE and network.columns is not None:
        network.by_columns(x, write_columns, rows)  # the shorter side along the strip
    else:
        network.by_rows(x, write_rows, rows)
    return restored
