"""Real images that need no download: cuts of the photographs inside the scikit-image package."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np

from jsnas.data.images import Pixels, read_image, read_luma
from jsnas.errors import InputError
from jsnas.task import Task

NAMES = ("astronaut.png", "motorcycle_left.png", "chelsea.png", "coffee.png", "rocket.jpg", "camera.png")


def photograph(name: str) -> Path:
    """The file of a photograph.

    Raises:
        InputError: If the installed scikit-image lacks it.
    """
    path = Path(str(resources.files("skimage") / "data" / name))
    if not path.is_file():
        raise InputError(f"The photograph '{path}' is missing; install scikit-image anew from its wheel.")
    return path


def photographs() -> list[Path]:
    """The files of all photographs named here."""
    return [photograph(name) for name in NAMES]


def read_for(path: Path, task: Task) -> Pixels:
    """An image as the task sees it: RGB for super-resolution, luma for deblocking, gray for denoising."""
    return read_luma(path) if task.name == "deblock" else read_image(path, task.image_channels)


def random_cuts(task: Task, sizes: list[tuple[int, int]], rng: np.random.Generator) -> list[Pixels]:
    """Cuts at random places, uint8 H x W x C; what is larger than a photograph goes on mirrored.

    Args:
        task: Fixes the channels.
        sizes: Height and width of each.
        rng: Chooses photograph and place.
    """
    images = [read_for(path, task) for path in photographs()]
    cuts = []
    for height, width in sizes:
        image = images[int(rng.integers(len(images)))]
        missing = [max(0, side - have) for side, have in zip((height, width), image.shape[:2], strict=True)]
        image = np.pad(image, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="symmetric")
        top, left = (
            int(rng.integers(have - side + 1)) for side, have in zip((height, width), image.shape[:2], strict=True)
        )
        cuts.append(np.ascontiguousarray(image[top : top + height, left : left + width]))
    return cuts
