"""Image files to uint8 arrays and back.

Everything Pillow opens comes out as uint8, H x W x 3 (RGB) or H x W x 1 (gray). Three gray values are in use in this
field and differ: MATLAB's ``rgb2gray`` (denoising), the studio-range Y of ``rgb2ycbcr`` (deblocking, and the scores
of super-resolution) and Pillow's own, which is not used here.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from jsnas.data.atomic import atomic_file
from jsnas.errors import InputError
from jsnas.metrics import rgb_to_y

Pixels = npt.NDArray[np.uint8]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
MAX_PIXELS = 2**29  # 1.6 GB as RGB; decoding needs a few times that

# First row of the inverse of MATLAB's YIQ matrix [1 .956 .621; 1 -.272 -.647; 1 -1.106 1.703].
_RGB_TO_GRAY = (0.2989360212937753847527155, 0.5870430744511212909351327, 0.1140209042551033243121518)

GRAY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N")
_bomb_lock = threading.Lock()


def read_image(path: Path, channels: int) -> Pixels:
    """Reads an image file as RGB or gray.

    The EXIF orientation is applied. Palettes, CMYK and the like become RGB. Alpha is dropped, not composited: the
    colours stay as they are stored. 16-bit values are divided by 257 and rounded. A gray file is repeated for three
    channels; a colour file becomes gray by MATLAB's ``rgb2gray``, rounded half up.

    Args:
        path: The file; its content, not its suffix, says the format.
        channels: 3 (RGB) or 1 (gray).

    Returns:
        uint8, H x W x ``channels``.

    Raises:
        InputError: If the file is missing, is no whole image, has more than ``MAX_PIXELS`` or holds values that
            have no 8-bit meaning (floats, 32-bit integers).
    """
    if channels not in (1, 3):
        raise InputError(f"{channels} channels were asked for; an image is read with 3 (RGB) or 1 (gray).")
    pixels = _decode(path)
    if pixels.shape[2] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=2)
    rgb = pixels.astype(np.float64)
    gray = sum(weight * rgb[..., channel] for channel, weight in enumerate(_RGB_TO_GRAY))
    return _round_half_up(np.asarray(gray))[..., None]


def read_luma(path: Path) -> Pixels:
    """Reads the luma that JPEG deblocking works on: MATLAB's ``rgb2ycbcr`` Y, 16 to 235, rounded half up.

    A gray file is used as it is, in full range (Classic5 is such a set, LIVE1 the other kind).

    Returns:
        uint8, H x W x 1.

    Raises:
        InputError: As ``read_image``.
    """
    pixels = _decode(path)
    return pixels if pixels.shape[2] == 1 else _round_half_up(rgb_to_y(pixels))[..., None]


def write_png(path: Path, image: Pixels) -> None:
    """Writes a PNG that is either whole or not there.

    Args:
        path: The file; an existing one is replaced.
        image: uint8, H x W x 1 or H x W x 3.

    Raises:
        InputError: If the array is no such image or the file cannot be written.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3) or not image.size:
        raise InputError(f"An array {image.dtype} {image.shape} was given; a PNG needs uint8 H x W x 1 or H x W x 3.")
    with atomic_file(path) as temporary:
        Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(temporary, "PNG")


def list_images(folder: Path) -> list[Path]:
    """The image files in a folder (not below it), in natural order: ``2.png`` before ``10.png``.

    Hidden files are left out, such as the ``._0001.png`` that some systems put into archives.

    Raises:
        InputError: If there is no such folder or no image in it.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder '{folder}'; give the folder that holds the images.")
    images = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    ]
    if not images:
        raise InputError(
            f"The folder '{folder}' holds no image; looked for files ending in {', '.join(IMAGE_SUFFIXES)}."
        )
    return sorted(images, key=_natural_key)


def _natural_key(path: Path) -> tuple[list[str | int], str]:
    parts: list[str | int] = list(re.split(r"([0-9]+)", path.name.lower()))
    parts[1::2] = [int(number) for number in parts[1::2]]
    return parts, path.name


def _round_half_up(values: npt.NDArray[np.float64]) -> Pixels:
    return np.floor(values + 0.5).astype(np.uint8)


def _decode(path: Path) -> Pixels:
    """The file as uint8, H x W x 1 where it is gray, H x W x 3 otherwise."""
    with opened(path) as image:
        rawmode = rawmode_of(image)
        if has_16_bits(image, rawmode):
            values = decode_16_bits(path, image, rawmode)
            return _to_8_bits(values[..., : 3 if values.shape[2] > 2 else 1])
        if image.mode == "F":
            raise InputError(f"'{path}' holds floats, whose range is unknown; save it with 8 or 16 bits.")
        upright = ImageOps.exif_transpose(image)
        if upright.mode in GRAY_MODES:
            return np.array(upright.convert("L"))[..., None]
        if "transparency" in upright.info:  # a palette with alpha per entry: convert("RGB") would warn
            upright = upright.convert("RGBA")
        return np.array(upright.convert("RGB"))


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """An image file while it is read; what goes wrong in the block becomes a sentence.

    Raises:
        InputError: If the file is missing, has more than ``MAX_PIXELS``, holds several pictures, does not fit into
            memory or is not whole.
    """
    try:
        if not path.is_file():
            raise InputError(f"There is no file '{path}'; give the path of an image.")
        with open_image(path) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise InputError(
                    f"'{path}' has {width} x {height} pixels, more than the limit of {MAX_PIXELS:,}; cut it up first."
                )
            frames = getattr(image, "n_frames", 1)
            if frames > 1 and image.format != "MPO":  # a telephone's JPEG: the picture, then its depth or the like
                raise InputError(f"'{path}' holds {frames} pictures, of which one could be kept; part them first.")
            yield image
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"'{path}' does not fit into memory; cut it up first.") from error
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and others
        raise InputError(f"'{path}' cannot be read as an image ({error}); replace or remove it.") from error


def open_image(path: Path) -> Image.Image:
    """Opens without Pillow's own limit: it warns at 89 million pixels, which a panorama may have."""
    with _bomb_lock:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(path)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def rawmode_of(image: Image.Image) -> str:
    """How the pixels are stored in the file, in Pillow's words, such as ``RGB;16B``."""
    tiles = getattr(image, "tile", None)
    if not tiles:
        return ""
    arguments = tiles[0][3]
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def has_16_bits(image: Image.Image, rawmode: str) -> bool:
    """Whether a file holds 16 bits a channel (or 32-bit integers, which ``decode_16_bits`` refuses)."""
    return image.mode.startswith("I") or (";16" in rawmode and image.mode != "F")


def _to_8_bits(values: npt.NDArray[np.uint16]) -> Pixels:
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)  # round(v / 257), which has no ties


def decode_16_bits(path: Path, image: Image.Image, rawmode: str) -> npt.NDArray[np.uint16]:
    """H x W x 1, 2, 3 or 4 of a file with 16 bits a channel: gray or RGB, with alpha if the file has it.

    Pillow opens gray ones whole, but keeps only the high bytes of colour ones. Reading those a second time with the
    byte order swapped gives the low bytes.
    """
    if image.mode.startswith("I"):
        if image.mode == "I" and image.format not in ("PNG", "PPM"):
            raise InputError(f"'{path}' holds 32-bit integers, whose range is unknown; save it with 8 or 16 bits.")
        return np.array(ImageOps.exif_transpose(image)).astype(np.uint16)[..., None]
    if rawmode == "LA;16B":  # opened as RGBA of the high bytes; as raw bytes it is L high, L low, A high, A low
        both = _decode_as(path, "RGBA")
        return _joined(both[..., ::2], both[..., 1::2])
    layout, _, order = rawmode.partition(";16")
    low_first = order == "L" or (order == "N" and sys.byteorder == "little")
    if layout not in ("RGB", "RGBA", "RGBX") or order not in ("L", "B", "N"):
        raise InputError(f"'{path}' stores 16-bit pixels as {rawmode}, which is not read; save it with 8 bits.")
    high, low = (_decode_as(path, f"{layout};16{letter}") for letter in ("LB" if low_first else "BL"))
    channels = 4 if layout == "RGBA" else 3
    return _joined(high[..., :channels], low[..., :channels])


def _joined(high: Pixels, low: Pixels) -> npt.NDArray[np.uint16]:
    return high.astype(np.uint16) * np.uint16(256) + low


def _decode_as(path: Path, rawmode: str) -> Pixels:
    """Decodes the file as if its pixels were stored in another way."""
    with open_image(path) as image:
        image.tile = [  # type: ignore[attr-defined]
            (codec, extents, offset, (rawmode, *arguments[1:]) if isinstance(arguments, tuple) else rawmode)
            for codec, extents, offset, arguments in image.tile  # type: ignore[attr-defined]
        ]
        return np.array(ImageOps.exif_transpose(image))
