"""What restores an image, by the way it computes: strips on CPU or CUDA, tiles on CPU, CUDA or ONNX Runtime.

Strips (``jsnas.strips``) give the whole image's result and need no overlap; tiles give it to the rounding beyond some
overlap, and are what ONNX Runtime can do.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from jsnas.errors import InputError
from jsnas.fast.inference.network import FastNetwork, fast_network
from jsnas.metrics import quantize
from jsnas.network import JSNet, check_side
from jsnas.onnx_form import OnnxSession
from jsnas.strips import restore_pixels
from jsnas.tiles.layout import Tiling
from jsnas.tiles.network import TileNetwork, tile_network
from jsnas.tiles.onnx_file import tile_onnx_bytes
from jsnas.tiles.runner import Compute, restore_in_tiles

Progress = Callable[[float], None]  # gets the part of the image that is done, 0 to 1
MOST_WHOLE_PIXELS = 1 << 22  # input pixels that an ONNX file takes in one piece: some 4 GiB


class Restorer(Protocol):
    """Restores one image at a time."""

    def __call__(
        self, lq: npt.NDArray[Any], top: int = 255, progress: Progress | None = None
    ) -> npt.NDArray[np.uint8 | np.uint16]:
        """Restores an image.

        Args:
            lq: uint8 or float32, H x W x C on the 0-255 scale.
            top: Largest value of the result: 255 or 65,535.
            progress: Told how far it is.

        Returns:
            uint8 or uint16, sH x sW x C.

        Raises:
            InputError: If the image is too small, or of another number of channels.
        """
        ...


class StripRestorer:
    """The fast network in strips, on a CPU or a GPU."""

    def __init__(self, network: JSNet, device: torch.device) -> None:
        self._network: FastNetwork = fast_network(network).to(device)
        self._device = device

    def __call__(
        self, lq: npt.NDArray[Any], top: int = 255, progress: Progress | None = None
    ) -> npt.NDArray[np.uint8 | np.uint16]:
        """As ``Restorer`` says."""
        return restore_pixels(self._network, lq, self._device, None, top, progress)


class TileRestorer:
    """Tiles with overlap, computed by torch on a device or by ONNX Runtime."""

    def __init__(self, network: JSNet, tiling: Tiling, device: torch.device | None) -> None:
        """``device``: where torch computes; ``None`` for ONNX Runtime."""
        self._network, self._tiling = network, tiling
        self._one_at_a_time = threading.Lock()  # the tile network knows which tile it is at
        self._tiles: TileNetwork = tile_network(network)
        self._compute: Compute
        if device is None:
            session = OnnxSession(tile_onnx_bytes(self._tiles, network))
            self._compute = lambda *tensors: _run(session, tensors)
        else:
            on_device = self._tiles.to(device)
            self._compute = lambda *tensors: _move(on_device(*(tensor.to(device) for tensor in tensors)))

    def __call__(
        self, lq: npt.NDArray[Any], top: int = 255, progress: Progress | None = None
    ) -> npt.NDArray[np.uint8 | np.uint16]:
        """As ``Restorer`` says."""
        settings = self._network.settings
        _check(lq, settings.image_channels, self._network.smallest_input)
        height, width, channels = lq.shape
        result = np.empty(
            (settings.scale * height, settings.scale * width, channels), np.uint8 if top == 255 else np.uint16
        )

        def write(row: int, column: int, chunk: npt.NDArray[np.float32]) -> None:
            result[row : row + chunk.shape[0], column : column + chunk.shape[1]] = quantize(chunk, top)

        with self._one_at_a_time:
            restore_in_tiles(
                self._tiles,
                self._compute,
                lq,
                self._tiling,
                self._network.smallest_input,
                write,
                None if progress is None else lambda done, total: progress(done / total),
            )
        return result


class OnnxFileRestorer:
    """An exported ONNX file, which takes images in one piece."""

    def __init__(self, session: OnnxSession, channels: int, smallest: int) -> None:
        self._session, self._channels, self._smallest = session, channels, smallest

    def __call__(
        self, lq: npt.NDArray[Any], top: int = 255, progress: Progress | None = None
    ) -> npt.NDArray[np.uint8 | np.uint16]:
        """As ``Restorer`` says."""
        _check(lq, self._channels, self._smallest)
        if lq.shape[0] * lq.shape[1] > MOST_WHOLE_PIXELS:
            raise InputError(
                f"The image has {lq.shape[0] * lq.shape[1]:,} pixels, but an ONNX file takes it in one piece, up to "
                f"{MOST_WHOLE_PIXELS:,}; give the checkpoint with --backend onnx, which goes in tiles."
            )
        x = torch.from_numpy(lq.transpose(2, 0, 1)[None].astype(np.float32))
        restored = quantize(self._session(x)[0].permute(1, 2, 0).numpy(), top)
        if progress is not None:
            progress(1.0)
        return restored


def _check(lq: npt.NDArray[Any], channels: int, smallest: int) -> None:
    if lq.ndim != 3 or lq.shape[2] != channels or not lq.size:
        raise InputError(f"An array of shape {lq.shape} was given; this network takes H x W x {channels}.")
    check_side(lq.shape[0], lq.shape[1], smallest)


def _run(session: OnnxSession, tensors: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    names = ("x", "place", "size", "statistics")
    y, shares = session.run(**{name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)})
    return torch.from_numpy(y), torch.from_numpy(shares)


def _move(results: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    y, shares = results
    return y.cpu(), shares.cpu()
