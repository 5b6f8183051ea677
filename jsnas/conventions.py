"""How a restored image is scored: the conventions that published tables follow, by name.

Getting one of these wrong moves a figure by more than methods differ: on Set5 the Y channel rounded costs
0.085 dB, no border crop 0.05 to 0.20 dB, full-range Y 1.3 dB and RGB instead of Y 2.2 dB.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from jsnas.errors import InputError, unknown_name
from jsnas.metrics import BT601, SSIM_WINDOWS, psnr, quantize, rgb_to_y, ssim
from jsnas.task import Task

Channel = Literal["y", "y_rounded", "y_full", "rgb", "gray"]
CHANNELS: tuple[str, ...] = get_args(Channel)
GRAY_IMAGES = ("as_rgb", "as_gray")


@dataclass(frozen=True)
class Score:
    """Figures of one image, or their mean over a set.

    Attributes:
        psnr_db: Peak signal-to-noise ratio in dB, peak 255; infinity for equal images.
        ssim: Structural similarity, at most 1; None where it was not asked for.
    """

    psnr_db: float
    ssim: float | None


@dataclass(frozen=True)
class Convention:
    """One way to score a restored image against its original.

    Attributes:
        name: What reports call it.
        channel: ``"y"``, studio-range luma (16-235) as float; ``"y_rounded"``, the same rounded to whole numbers
            (MATLAB's ``rgb2ycbcr`` of 8-bit images); ``"y_full"``, full-range luma (0-255); ``"rgb"``, one error over
            the three channels; ``"gray"``, the single channel as it is.
        border: Pixels cut off on every side, or ``"scale"`` for as many as the scale says.
        ssim_window: ``"gaussian"`` (11 x 11, sigma 1.5) or ``"uniform8"`` (8 x 8 box).
        quantized: Whether the restored image is clipped and rounded to 8 bits first; if not it is only clipped.
        gray_images: What a gray image is where the channel is a luma: ``"as_rgb"`` repeats it to RGB and converts that
            to luma like any other, ``"as_gray"`` scores its full-range values directly.

    Raises:
        InputError: If a value is not one of those.
    """

    name: str
    channel: Channel
    border: int | Literal["scale"] = 0
    ssim_window: str = "gaussian"
    quantized: bool = True
    gray_images: str = "as_rgb"

    def __post_init__(self) -> None:
        if self.channel not in CHANNELS:
            raise unknown_name("channel to score", self.channel, CHANNELS)
        if self.ssim_window not in SSIM_WINDOWS:
            raise unknown_name("SSIM window", self.ssim_window, SSIM_WINDOWS)
        if self.gray_images not in GRAY_IMAGES:
            raise unknown_name("treatment of gray images", self.gray_images, GRAY_IMAGES)
        if self.border != "scale" and (type(self.border) is not int or self.border < 0):
            raise InputError(f"A border of {self.border!r} was given; give 'scale' or a number of pixels from 0 up.")

    def border_pixels(self, scale: int) -> int:
        """The pixels cut off on every side at a scale."""
        return scale if self.border == "scale" else int(self.border)

    def planes(self, image: npt.NDArray[Any], scale: int, gray: bool = False) -> npt.NDArray[np.float64]:
        """The values that are compared: quantised, cropped and converted.

        Args:
            image: H x W x C on the 0-255 scale, C of 1 or 3.
            scale: The scale, for the border.
            gray: Whether the image shows a gray original; its three channels then stand for one.

        Returns:
            H' x W' (one channel) or H' x W' x 3.

        Raises:
            InputError: If the channels do not fit the convention, the border leaves nothing or a value is not finite.
        """
        if image.ndim != 3 or image.shape[2] not in (1, 3):
            raise InputError(f"An image of shape {image.shape} was given; scores need H x W x 1 or H x W x 3.")
        if not np.isfinite(image).all():
            raise InputError(
                "The restored image holds values that are not finite; the network's training has diverged."
            )
        border = self.border_pixels(scale)
        if min(image.shape[:2]) <= 2 * border:
            raise InputError(
                f"An image of {image.shape[1]}x{image.shape[0]} pixels has nothing left after a border of {border} "
                "is cut off; score larger images."
            )
        cropped = image[border : image.shape[0] - border, border : image.shape[1] - border]
        values = (quantize(cropped) if self.quantized else np.clip(cropped, 0.0, 255.0)).astype(np.float64)
        if self.channel == "gray":
            if values.shape[2] != 1:
                raise InputError("A colour image was given, but this convention scores gray ones; convert it first.")
            return values[..., 0]
        if gray and self.gray_images == "as_gray" and self.channel != "rgb":
            single: npt.NDArray[np.float64] = values.mean(axis=2)
            return single
        rgb = np.repeat(values, 3, axis=2) if values.shape[2] == 1 else values
        if self.channel == "rgb":
            return rgb
        if self.channel == "y_full":
            full_range: npt.NDArray[np.float64] = rgb @ np.array(BT601)
            return full_range
        luma = rgb_to_y(rgb)
        return np.floor(luma + 0.5) if self.channel == "y_rounded" else luma

    def score(self, restored: npt.NDArray[Any], hq: npt.NDArray[np.uint8], scale: int, with_ssim: bool = True) -> Score:
        """Scores one image.

        Args:
            restored: Float or uint8, H x W x C on the 0-255 scale; a network's output as it comes.
            hq: The original, uint8, of the same shape.
            scale: The task's scale (1 where nothing is enlarged).
            with_ssim: False leaves SSIM out, which is the slower figure.

        Raises:
            InputError: If the shapes differ, a value is not finite, or the image is too small for the border or the
                SSIM window.
        """
        if restored.shape != hq.shape:
            raise InputError(
                f"A restored image of shape {restored.shape} was given for an original of {hq.shape}; they must agree."
            )
        gray = hq.ndim == 3 and is_gray(hq)  # planes refuses other shapes
        a, b = self.planes(restored, scale, gray), self.planes(hq, scale, gray)
        return Score(psnr(a, b), ssim(a, b, self.ssim_window) if with_ssim else None)


def preset(task: Task) -> Convention:
    """The convention that the task's published tables follow.

    Super-resolution: output clipped and rounded to 8-bit RGB, studio-range Y not rounded, ``scale`` pixels of border
    cut off. Denoising and deblocking: the whole gray image, clipped and rounded. SSIM has Wang's Gaussian window; the
    JPEG column of the paper's Table 11 has the box window, ``ssim_window="uniform8"``.
    """
    if task.name == "sr":
        return Convention("sr", "y", border="scale")
    return Convention(task.name, "gray")


def deviating(
    task: Task,
    channel: Channel | None = None,
    border: int | Literal["scale"] | None = None,
    ssim_window: str | None = None,
    quantized: bool | None = None,
    gray_images: str | None = None,
) -> Convention:
    """The task's preset with some fields changed; its name lists them, such as ``"sr, channel=rgb, border=0"``.

    Args:
        task: Whose preset.
        channel: As in ``Convention``, like all that follow; None leaves the preset's value.
        border: Pixels cut off.
        ssim_window: Window of SSIM.
        quantized: Whether the output is rounded to 8 bits.
        gray_images: How gray images are scored.

    Raises:
        InputError: If a value is none of those that ``Convention`` takes.
    """
    base = preset(task)
    given = {
        "channel": channel,
        "border": border,
        "ssim_window": ssim_window,
        "quantized": quantized,
        "gray_images": gray_images,
    }
    changed: dict[str, Any] = {
        key: value for key, value in given.items() if value is not None and value != getattr(base, key)
    }
    name = ", ".join([base.name, *(f"{key}={value}" for key, value in changed.items())])
    return replace(base, name=name, **changed)


def is_gray(image: npt.NDArray[Any]) -> bool:
    """Whether an H x W x C image has one channel, or three equal ones."""
    return image.shape[2] == 1 or bool((image == image[..., :1]).all())
