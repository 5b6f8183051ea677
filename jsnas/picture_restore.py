"""Restores a picture and keeps what belongs to it: gray stays gray, colour colour, alpha, 16 bits, EXIF and ICC stay.

The networks for denoising and deblocking are gray. A colour picture is denoised channel by channel, since the noise of
each is what the network has learnt; of a JPEG the luma is restored and the chroma kept, as the network has learnt too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from jsnas.data.pictures import Picture
from jsnas.metrics import BT601, quantize, rgb_to_y
from jsnas.restorer import Progress, Restorer
from jsnas.task import Task

_CHROMA_KEPT = 255 / 219  # by how much R, G and B rise with studio-range Y
_SIZES = {256: 0, 257: 1}  # tags of EXIF that hold width and height
_EXIF_IFD, _EXIF_SIZES = 0x8769, {0xA002: 0, 0xA003: 1}


def restore_picture(restorer: Restorer, task: Task, picture: Picture, progress: Progress | None = None) -> Picture:
    """Restores a picture.

    Args:
        restorer: What restores pixels.
        task: What its network was trained for.
        picture: The picture.
        progress: Told how far it is, 0 to 1.

    Returns:
        The restored picture, s times as large for super-resolution.

    Raises:
        InputError: If the picture is too small.
    """
    colour, top = picture.colour, picture.top
    lq = colour if top == 255 else colour.astype(np.float32) / np.float32(257)
    restored: npt.NDArray[Any]
    if task.name == "sr":
        restored = restorer(lq if lq.shape[2] == 3 else np.repeat(lq, 3, axis=2), top, progress)
        if lq.shape[2] == 1:
            # The three channels were equal before the network.
            gray = sum(weight * restored[..., k : k + 1].astype(np.float32) for k, weight in enumerate(BT601))
            restored = np.rint(np.asarray(gray)).astype(colour.dtype)
    elif lq.shape[2] == 1:
        restored = restorer(lq, top, progress)
    elif task.name == "deblock":
        luma = rgb_to_y(lq).astype(np.float32)[..., None]
        rise = restorer(luma, 65535, progress).astype(np.float32) / np.float32(257) - luma
        restored = quantize(lq + np.float32(_CHROMA_KEPT) * rise, top)
    else:
        planes = []
        for k in range(3):

            def part(done: float, k: int = k) -> None:
                if progress is not None:
                    progress((k + done) / 3)

            planes.append(restorer(np.ascontiguousarray(lq[..., k : k + 1]), top, part))
        restored = np.concatenate(planes, 2)
    height, width = restored.shape[:2]
    alpha = picture.alpha if picture.alpha is None or task.scale == 1 else _resized(picture.alpha, (width, height))
    return replace(picture, colour=restored, alpha=alpha, exif=_with_size(picture.exif, (width, height)))


def _resized(plane: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[Any]:
    """The plane at another width and height, bicubic, in its own type."""
    enlarged = np.asarray(Image.fromarray(plane.astype(np.float32)).resize(size, Image.Resampling.BICUBIC))
    integers: npt.NDArray[Any] = np.rint(np.clip(enlarged, 0, np.iinfo(plane.dtype).max)).astype(plane.dtype)
    return integers


def _with_size(block: bytes | None, size: tuple[int, int]) -> bytes | None:
    """The EXIF block with a new width and height where it holds one."""
    if block is None:
        return None
    exif = Image.Exif()
    exif.load(block)
    for directory, tags in ((exif, _SIZES), (exif.get_ifd(_EXIF_IFD), _EXIF_SIZES)):
        for tag, side in tags.items():
            if tag in directory:
                directory[tag] = size[side]
    return exif.tobytes()
