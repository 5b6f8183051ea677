"""Pictures as people keep them: gray or colour, alpha, 8 or 16 bits, EXIF and colour profile.

Training and scoring read plain pixels (``jsnas.data.images``); restoring a file hands back all that it held.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from jsnas.data.images import GRAY_MODES, decode_16_bits, has_16_bits, opened, rawmode_of
from jsnas.data.png16 import write_png16
from jsnas.errors import InputError

_CONVERTED_MODES = ("CMYK", "LAB", "HSV", "YCbCr")  # become RGB, so that their profile no longer fits


@dataclass(frozen=True)
class Picture:
    """The content of an image file.

    Attributes:
        colour: uint8 or uint16, H x W x 1 (gray) or H x W x 3 (RGB), upright.
        alpha: The same type, H x W; ``None`` for a picture without.
        icc: Colour profile.
        exif: EXIF block; its orientation is taken out, since the pixels are upright.
    """

    colour: npt.NDArray[Any]
    alpha: npt.NDArray[Any] | None = None
    icc: bytes | None = None
    exif: bytes | None = None

    @property
    def top(self) -> int:
        """The largest value: 255 or 65,535."""
        return int(np.iinfo(self.colour.dtype).max)


def read_picture(path: Path) -> Picture:
    """Reads an image file with all that belongs to it.

    Args:
        path: The file; its content, not its suffix, says the format.

    Raises:
        InputError: If the file is missing, is no whole image, has more than ``MAX_PIXELS``, several pages, or values of
            unknown range.
    """
    with opened(path) as image:
        if image.mode == "F":
            raise InputError(f"'{path}' holds floats, whose range is unknown; save it with 8 or 16 bits.")
        rawmode = rawmode_of(image)
        icc = None if image.mode in _CONVERTED_MODES else image.info.get("icc_profile")
        upright = ImageOps.exif_transpose(image)
        exif = upright.getexif().tobytes() if upright.getexif() else None
        values = decode_16_bits(path, image, rawmode) if has_16_bits(image, rawmode) else _decode_8_bits(upright)
    channels = values.shape[2]
    alpha = values[..., -1] if channels in (2, 4) else None
    return Picture(values[..., : channels - (alpha is not None)], alpha, icc, exif)


def write_picture(file: BinaryIO, picture: Picture) -> None:
    """Writes a picture as PNG.

    Args:
        file: Where to.
        picture: What to write.
    """
    values = picture.colour
    if picture.alpha is not None:
        values = np.concatenate([values, picture.alpha[..., None]], 2)
    if values.dtype == np.uint16:
        write_png16(file, values, picture.icc, picture.exif)
        return
    options: dict[str, Any] = {"icc_profile": picture.icc, "exif": picture.exif}
    Image.fromarray(values[..., 0] if values.shape[2] == 1 else values).save(
        file, "PNG", **{key: value for key, value in options.items() if value}
    )


def _decode_8_bits(image: Image.Image) -> npt.NDArray[np.uint8]:
    """uint8, H x W x 1 to 4."""
    gray = image.mode in GRAY_MODES
    alpha = image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
    values = np.array(image.convert(("LA" if alpha else "L") if gray else ("RGBA" if alpha else "RGB")))
    return values.reshape(*values.shape[:2], -1)
