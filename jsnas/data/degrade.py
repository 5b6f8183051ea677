"""How the low-quality images are made: MATLAB's bicubic resize, JPEG, white Gaussian noise.

MATLAB's ``imresize`` resizes the rows, rounds to 8 bits, then resizes the columns. Pillow's BICUBIC has the same
kernel (a = -0.5, widened when shrinking) and the same rounding, but cuts the kernel off at the border, where MATLAB
mirrors the image, and its order of the two passes depends on the image's shape. So each axis is a call of its own on
the image padded by its mirror image, which gives MATLAB's result on every pixel.
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from jsnas.data.images import Pixels
from jsnas.errors import InputError
from jsnas.task import Task

_PADDING = 4  # low-quality pixels: the kernel reaches two of them, and the next ones keep Pillow's border away


def crop_to_multiple(image: Pixels, scale: int) -> Pixels:
    """Cuts rows off the bottom and columns off the right until both sides divide by ``scale`` (H x W x C, a view)."""
    height, width = image.shape[0] // scale * scale, image.shape[1] // scale * scale
    return image[:height, :width]


def downscale(hq: Pixels, scale: int) -> Pixels:
    """``imresize(hq, 1/scale, 'bicubic')`` of MATLAB, with its anti-aliasing, to the last bit.

    Args:
        hq: uint8, H x W x C with 1 or 3 channels; both sides divide by ``scale``.
        scale: How many times smaller.

    Returns:
        uint8, H/scale x W/scale x C.

    Raises:
        InputError: If a side is 0 or does not divide by the scale.
    """
    height, width = hq.shape[:2]
    if height % scale or width % scale or not hq.size:
        raise InputError(
            f"An image of {width} x {height} pixels cannot be made {scale} times smaller; crop it to a multiple first."
        )
    return _resize(hq, (height // scale, width // scale), padding=_PADDING * scale, cut=_PADDING)


def upscale(lq: Pixels, scale: int) -> Pixels:
    """``imresize(lq, scale, 'bicubic')`` of MATLAB: the bicubic baseline of super-resolution tables.

    Args:
        lq: uint8, H x W x C with 1 or 3 channels.
        scale: How many times larger.

    Returns:
        uint8, H*scale x W*scale x C.

    Raises:
        InputError: If the image is empty.
    """
    height, width = lq.shape[:2]
    if not lq.size:
        raise InputError(f"An image of {width} x {height} pixels cannot be enlarged; it holds no pixel.")
    return _resize(lq, (height * scale, width * scale), padding=_PADDING, cut=_PADDING * scale)


def jpeg(gray: Pixels, quality: int) -> Pixels:
    """Encodes a gray image as baseline JPEG and decodes it again (Pillow's encoder, libjpeg's tables).

    Args:
        gray: uint8, H x W x 1.
        quality: 1 to 100.

    Returns:
        uint8, H x W x 1.

    Raises:
        InputError: If the image is not gray or is larger than JPEG allows (65,500 pixels a side).
    """
    if gray.ndim != 3 or gray.shape[2] != 1:
        raise InputError(f"An image of shape {gray.shape} was given; JPEG degradation needs H x W x 1.")
    if max(gray.shape) > 65_500 or not gray.size:
        raise InputError(f"JPEG takes sides of 1 to 65,500 pixels, not {gray.shape[1]} x {gray.shape[0]}.")
    buffer = io.BytesIO()
    Image.fromarray(gray[..., 0]).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as decoded:
        return np.array(decoded)[..., None]


def add_noise(clean: Pixels, sigma: float, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Adds white Gaussian noise and neither clips nor rounds, as the denoising tables do.

    Args:
        clean: uint8, any shape.
        sigma: Standard deviation on the 0-255 scale.
        rng: Where the noise is drawn from.

    Returns:
        float32 of the same shape; values below 0 and above 255 occur.
    """
    noise = rng.standard_normal(clean.shape, dtype=np.float32)
    noise *= np.float32(sigma)
    noise += clean
    return noise


def degrade(hq: Pixels, task: Task, rng: np.random.Generator) -> Pixels | npt.NDArray[np.float32]:
    """Makes the low-quality image of a task.

    Args:
        hq: uint8, H x W x ``task.image_channels``.
        task: Which degradation, and how strong.
        rng: Used for the noise of ``denoise`` only.

    Returns:
        uint8 (``sr``, ``deblock``) or float32 (``denoise``), H/scale x W/scale x C.

    Raises:
        InputError: As the single functions.
    """
    if task.quality is not None:
        return jpeg(hq, task.quality)
    if task.sigma is not None:
        return add_noise(hq, task.sigma, rng)
    return downscale(hq, task.scale)


def _resize(image: Pixels, size: tuple[int, int], padding: int, cut: int) -> Pixels:
    """Resizes to ``size`` (height, width); ``padding`` input pixels around become ``cut`` output pixels."""
    if image.ndim != 3 or image.shape[2] not in (1, 3):
        raise InputError(f"An image of shape {image.shape} was given; resizing needs H x W x 1 or H x W x 3.")
    padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)), mode="symmetric")
    picture = Image.fromarray(padded[..., 0] if image.shape[2] == 1 else padded)
    height, width = size[0] + 2 * cut, size[1] + 2 * cut
    picture = picture.resize((picture.width, height), Image.Resampling.BICUBIC)
    picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    resized = np.asarray(picture).reshape(height, width, image.shape[2])
    return resized[cut : cut + size[0], cut : cut + size[1]].copy()  # Pillow's own memory is read-only
