"""Runs a network on an image array, once or as a self-ensemble."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from jsnas.errors import InputError


def restore_array(network: nn.Module, lq: npt.NDArray[Any], device: torch.device) -> npt.NDArray[np.float32]:
    """Restores one image.

    Args:
        network: Maps 1 x C x H x W float in [0, 255] to 1 x C x sH x sW; already on ``device``.
        lq: uint8 or float32, H x W x C on the 0-255 scale.
        device: Where to compute.

    Returns:
        float32, sH x sW x C, neither clipped nor rounded.

    Raises:
        InputError: If the array is not H x W x C, or the network refuses its shape.
    """
    return _run(network, lq, device, network)


def self_ensemble(network: nn.Module, lq: npt.NDArray[Any], device: torch.device) -> npt.NDArray[np.float32]:
    """Restores one image as the mean over its eight flips and rotations (x8 self-ensemble; EDSR, Lim et al., 2017).

    Arguments, result and errors are those of ``restore_array``; it takes eight times as long.
    """

    def averaged(x: Tensor) -> Tensor:
        total = torch.zeros((), device=x.device)
        for turns in range(4):
            for flip in (False, True):
                turned = torch.rot90(x.flip(3) if flip else x, turns, (2, 3))
                y = torch.rot90(network(turned), -turns, (2, 3))
                total = total + (y.flip(3) if flip else y)
        return total / 8

    return _run(network, lq, device, averaged)


def _run(
    network: nn.Module, lq: npt.NDArray[Any], device: torch.device, function: Callable[[Tensor], Tensor]
) -> npt.NDArray[np.float32]:
    if lq.ndim != 3 or not lq.size:
        raise InputError(f"An array of shape {lq.shape} was given; an image is H x W x C.")
    x = torch.from_numpy(np.ascontiguousarray(lq.transpose(2, 0, 1), dtype=np.float32))[None].to(device)
    was_training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            y = function(x)
    finally:
        network.train(was_training)
    restored: npt.NDArray[np.float32] = y[0].float().permute(1, 2, 0).cpu().numpy()
    return np.ascontiguousarray(restored)
