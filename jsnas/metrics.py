"""PSNR and SSIM as the field's tables compute them, and the studio-range Y channel they are computed on.

Super-resolution tables quantise the RGB output, convert it to Y *without* rounding and crop ``scale`` pixels of border;
denoising and deblocking tables use the whole gray image. Cropping and converting are the caller's business.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from jsnas.errors import InputError, unknown_name

BT601 = (0.299, 0.587, 0.114)  # luma of R, G, B in full range: JPEG's, and close to MATLAB's rgb2gray
SSIM_WINDOWS = ("gaussian", "uniform8")

_C1 = (0.01 * 255.0) ** 2
_C2 = (0.03 * 255.0) ** 2
_GAUSSIAN_SIDE = 11
_BOX_SIDE = 8


def rgb_to_y(image: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The luma of ITU-R BT.601 in studio range, as MATLAB's ``rgb2ycbcr`` gives it for floats.

    ``Y = (65.481 R + 128.553 G + 24.966 B) / 255 + 16``, not rounded: rounding costs about 0.085 dB of PSNR.

    Args:
        image: H x W x 3, 0 to 255.

    Returns:
        H x W, 16 to 235.

    Raises:
        InputError: If the image has not three channels.
    """
    if image.ndim != 3 or image.shape[2] != 3:
        raise InputError(f"An image of shape {image.shape} was given; the Y channel needs H x W x 3.")
    rgb = image.astype(np.float64)
    y: npt.NDArray[np.float64] = (65.481 * rgb[..., 0] + 128.553 * rgb[..., 1] + 24.966 * rgb[..., 2]) / 255.0 + 16.0
    return y


def quantize(image: npt.NDArray[Any], top: int = 255) -> npt.NDArray[Any]:
    """Clips to 0-255 and rounds to integers; a tie goes to the even value, as in ``numpy.rint`` and ``torch.round``.

    Args:
        image: On the 0-255 scale.
        top: What 255 becomes: 255 (uint8) or 65,535 (uint16).
    """
    clipped = np.clip(image, 0.0, 255.0)
    integers: npt.NDArray[Any] = (
        np.rint(clipped).astype(np.uint8) if top == 255 else np.rint(clipped * np.float64(top / 255)).astype(np.uint16)
    )
    return integers


def psnr(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Peak signal-to-noise ratio, ``10 log10(255^2 / mean((a - b)^2))``, over all pixels and channels.

    Args:
        a: An image of any shape, 0 to 255.
        b: The other image, of the same shape.

    Returns:
        Decibels; infinity for equal images.

    Raises:
        InputError: If the shapes differ or the images are empty.
    """
    x, y = _pair(a, b)
    error = float(np.mean(np.square(x - y)))
    return float("inf") if error == 0.0 else float(10.0 * np.log10(255.0**2 / error))


def ssim(a: npt.NDArray[Any], b: npt.NDArray[Any], window: str = "gaussian") -> float:
    """Structural similarity (Wang et al., 2004), averaged over the positions where the window lies inside the image.

    Published tables mix two windows, which differ by up to 0.02 on JPEG images, so the window has a name here.

    Args:
        a: H x W or H x W x C, 0 to 255; channels are averaged.
        b: The other image, of the same shape.
        window: ``"gaussian"``, 11 x 11 with sigma 1.5 (Wang's own, and the usual one), or ``"uniform8"``, an 8 x 8 box.

    Returns:
        At most 1; 1 for equal images.

    Raises:
        InputError: If the shapes differ, the window is unknown or an image is smaller than the window.
    """
    if window not in SSIM_WINDOWS:
        raise unknown_name("SSIM window", window, SSIM_WINDOWS)
    x, y = _pair(a, b)
    side = _GAUSSIAN_SIDE if window == "gaussian" else _BOX_SIDE
    if x.ndim not in (2, 3) or min(x.shape[:2]) < side:
        raise InputError(f"An image of shape {x.shape} was given; SSIM needs H x W (x C) of at least {side} x {side}.")
    if x.ndim == 2:
        x, y = x[..., None], y[..., None]
    measure = _ssim_gaussian if window == "gaussian" else _ssim_box
    return float(np.mean([measure(x[..., channel], y[..., channel]) for channel in range(x.shape[2])]))


def _pair(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    if a.shape != b.shape:
        raise InputError(f"Images of shapes {a.shape} and {b.shape} were given; crop them to the same shape.")
    if a.size == 0:
        raise InputError(f"Images of shape {a.shape} were given; they hold no pixel.")
    return a.astype(np.float64), b.astype(np.float64)


def _ssim_gaussian(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> float:
    # scipy comes with it: whoever only restores images should not wait for that import.
    from skimage.metrics import structural_similarity

    return float(
        structural_similarity(x, y, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255.0)
    )


def _ssim_box(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> float:
    # scikit-image takes odd windows only.
    mean_x, mean_y = _box_mean(x), _box_mean(y)
    variance_x = _box_mean(x * x) - mean_x**2
    variance_y = _box_mean(y * y) - mean_y**2
    covariance = _box_mean(x * y) - mean_x * mean_y
    luminance = (2.0 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    structure = (2.0 * covariance + _C2) / (variance_x + variance_y + _C2)
    return float(np.mean(luminance * structure))


def _box_mean(image: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The mean of every 8 x 8 window inside the image: (H - 7) x (W - 7)."""
    sums = np.pad(image, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)  # summed-area table
    n = _BOX_SIDE
    windows: npt.NDArray[np.float64] = sums[n:, n:] - sums[:-n, n:] - sums[n:, :-n] + sums[:-n, :-n]
    return windows / n**2
