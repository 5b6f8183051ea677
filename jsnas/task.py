"""The three restoration tasks, and how strong the degradation is that each of them undoes.

A task fixes the image channels (RGB for super-resolution, one gray channel otherwise), the upsampling and
the number of joint search modules of the final network (paper, Sec. 4.1.3).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from jsnas.errors import InputError, unknown_name

TASK_NAMES = ("sr", "denoise", "deblock")
SCALES = (2, 3, 4)


@dataclass(frozen=True)
class Task:
    """A restoration task.

    Attributes:
        name: ``"sr"`` (super-resolution), ``"denoise"`` (white Gaussian noise on gray images) or
            ``"deblock"`` (JPEG artefacts on the luma channel).
        scale: Ratio of the high-quality to the low-quality side: 2, 3 or 4 for ``sr``, else 1.
        sigma: Standard deviation of the noise on the 0-255 scale, above 0; ``denoise`` only.
        quality: JPEG quality, 1 to 100; ``deblock`` only.

    Raises:
        InputError: If a value is out of its range or does not belong to the task.
    """

    name: str
    scale: int = 1
    sigma: float | None = None
    quality: int | None = None

    def __post_init__(self) -> None:
        if self.name not in TASK_NAMES:
            raise unknown_name("task", self.name, TASK_NAMES)
        if self.name == "sr" and self.scale not in SCALES:
            raise InputError(f"Super-resolution needs a scale of 2, 3 or 4, but it is {self.scale}; set it.")
        if self.name != "sr" and self.scale != 1:
            raise InputError(f"Task '{self.name}' keeps the image size, but its scale is {self.scale}; set it to 1.")
        if (self.sigma is not None) != (self.name == "denoise"):
            raise InputError(
                "Denoising needs the noise level; give sigma, such as 30."
                if self.name == "denoise"
                else f"Task '{self.name}' has no noise level, but sigma {self.sigma} was given; leave it out."
            )
        if self.sigma is not None and not 0 < self.sigma <= 255:
            raise InputError(f"A noise level of {self.sigma} was given; sigma is on the 0-255 scale and above 0.")
        if (self.quality is not None) != (self.name == "deblock"):
            raise InputError(
                "Deblocking needs the JPEG quality; give quality, such as 10."
                if self.name == "deblock"
                else f"Task '{self.name}' has no JPEG quality, but quality {self.quality} was given; leave it out."
            )
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise InputError(f"A JPEG quality of {self.quality} was given; it goes from 1 to 100.")

    @property
    def image_channels(self) -> int:
        """3 (RGB) for super-resolution, 1 (gray) otherwise."""
        return 3 if self.name == "sr" else 1

    @property
    def modules(self) -> int:
        """Joint search modules of the paper's final network: five, or six where nothing is upsampled."""
        return 5 if self.name == "sr" else 6

    @property
    def label(self) -> str:
        """A short name that tells the level too: ``sr-x2``, ``denoise-30``, ``deblock-10``."""
        if self.name == "sr":
            return f"sr-x{self.scale}"
        return f"denoise-{self.sigma:g}" if self.name == "denoise" else f"deblock-{self.quality}"

    def to_dict(self) -> dict[str, Any]:
        """The fields that are set, for JSON."""
        return {key: value for key, value in asdict(self).items() if value is not None}
