"""PNG with 16 bits a channel, which Pillow can write for gray images only."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # channels to the colour type of the PNG specification
_ROWS = 64  # filtered and compressed at a time
_UP = 2  # the filter that stores the difference from the row above


def write_png16(
    file: BinaryIO, values: npt.NDArray[np.uint16], icc: bytes | None = None, exif: bytes | None = None
) -> None:
    """Writes a PNG.

    Args:
        file: Where to.
        values: uint16, H x W x C; C is 1 (gray), 2 (gray, alpha), 3 (RGB) or 4 (RGB, alpha).
        icc: Colour profile.
        exif: EXIF block, a TIFF header first.
    """
    height, width, channels = values.shape
    file.write(b"\x89PNG\r\n\x1a\n")
    _chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, _COLOUR_TYPES[channels], 0, 0, 0))
    if icc:
        _chunk(file, b"iCCP", b"ICC profile\0\0" + zlib.compress(icc))
    if exif:
        _chunk(file, b"eXIf", exif.removeprefix(b"Exif\0\0"))
    for part in _compressed(values):
        _chunk(file, b"IDAT", part)
    _chunk(file, b"IEND", b"")


def _compressed(values: npt.NDArray[np.uint16]) -> Iterator[bytes]:
    compressor = zlib.compressobj(6)
    above = np.zeros(values[0].size * 2, np.uint8)
    for start in range(0, values.shape[0], _ROWS):
        rows = values[start : start + _ROWS]
        raw = rows.astype(">u2").view(np.uint8).reshape(len(rows), -1)
        filtered = np.empty((len(rows), raw.shape[1] + 1), np.uint8)
        filtered[:, 0] = _UP
        np.subtract(raw, np.concatenate([above[None], raw[:-1]]), out=filtered[:, 1:])
        above = raw[-1]
        if part := compressor.compress(filtered.tobytes()):
            yield part
    yield compressor.flush()


def _chunk(file: BinaryIO, kind: bytes, content: bytes) -> None:
    file.write(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content)))
