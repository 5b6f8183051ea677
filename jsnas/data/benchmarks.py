"""Finds benchmark sets in the layouts that their collectors ship, and reads their image pairs.

* EDSR's: ``Set5/HR/baby.png`` with ``Set5/LR_bicubic/X2/babyx2.png``; DIV2K's validation set the same way.
* BasicSR's: ``Set5/GTmod12/baby.png`` with ``Set5/LRbicx4/baby.png``.
* SelfExSR's: ``Urban100/image_SRF_2/img_001_SRF_2_HR.png`` with ``..._LR.png`` beside it.
* A plain folder of high-quality images.

A root is one such set or a folder of several. Low-quality images that are not there are made by the task's preset.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jsnas.data.degrade import crop_to_multiple, degrade
from jsnas.data.folders import ImagePair, find_pairs, unique_names
from jsnas.data.images import IMAGE_SUFFIXES, Pixels, list_images, read_image, read_luma
from jsnas.errors import InputError
from jsnas.task import Task

_LOW_QUALITY_FOLDER = re.compile(r"(.*_)?LR([_-].*|bic.*)?|X[2348]|bicubic|.*LR_bicubic.*|LRbicx\d", re.IGNORECASE)
_LOW_QUALITY_STEM = re.compile(r"(?P<image>.+?)(?:_?x[2348]|_LR|_LRBI_x[2348]|_SRF_\d_LR)", re.IGNORECASE)
_SELFEXSR = re.compile(r"image_SRF_(\d)")


@dataclass(frozen=True)
class BenchmarkSet:
    """A named set of test images.

    Attributes:
        name: The name of its folder, such as ``Set5``.
        layout: ``"HR"``, ``"GTmod12"``, ``"image_SRF"`` or ``"plain"``.
        pairs: Its images in natural order; those without a low-quality file get one made by the preset.
    """

    name: str
    layout: str
    pairs: tuple[ImagePair, ...]

    @property
    def lq_source(self) -> str:
        """``"files"`` or ``"made"``: where the low-quality images come from."""
        return "files" if all(pair.lq for pair in self.pairs) else "made"


@dataclass(frozen=True)
class LoadedPair:
    """One test image in memory.

    Attributes:
        name: As in the set.
        hq: uint8, H x W x C; for super-resolution cropped from the top left to a multiple of the scale.
        lq: uint8 or float32, H/scale x W/scale x C.
    """

    name: str
    hq: Pixels
    lq: npt.NDArray[Any]


def find_benchmark(root: Path, task: Task) -> list[BenchmarkSet]:
    """The sets below a folder, in natural order.

    Args:
        root: A set, or a folder that holds several.
        task: Only ``sr`` uses low-quality files; the other tasks make theirs.

    Raises:
        InputError: If there is no set, the folder holds low-quality images, or some low-quality images are missing.
    """
    if not root.is_dir():
        raise InputError(f"There is no folder '{root}'; give a folder of images or of benchmark sets.")
    root = root.resolve()
    if _LOW_QUALITY_FOLDER.fullmatch(root.name):
        raise InputError(
            f"'{root}' holds low-quality images by its name; give the folder of the set that it is part of."
        )
    single = _as_set(root, task)
    if single is not None:
        return [single]
    folders = sorted(folder for folder in root.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    sets = [
        found
        for folder in folders
        if not _LOW_QUALITY_FOLDER.fullmatch(folder.name) and (found := _as_set(folder, task)) is not None
    ]
    if not sets:
        raise InputError(
            f"'{root}' holds no benchmark set; looked for images, HR/, GTmod12/ and image_SRF_{task.scale}/ in it and "
            "one folder deeper."
        )
    return sets


def load_pair(pair: ImagePair, task: Task) -> LoadedPair:
    """Reads an image and reads or makes its low-quality one.

    Super-resolution reads RGB (gray images repeated), denoising gray by MATLAB's ``rgb2gray``, deblocking the
    studio-range luma. Noise is drawn anew from seed 0 for every image and is neither clipped nor rounded.

    Raises:
        InputError: If a file cannot be read or the sizes of the two do not fit.
    """
    if task.name == "deblock":
        hq = read_luma(pair.hq)
    else:
        hq = crop_to_multiple(read_image(pair.hq, task.image_channels), task.scale)
    if not hq.size:
        raise InputError(f"'{pair.hq}' is smaller than {task.scale} pixels; remove it from the set.")
    if pair.lq is None:
        return LoadedPair(pair.name, hq, degrade(hq, task, np.random.default_rng(0)))
    lq = read_image(pair.lq, task.image_channels)
    expected = (hq.shape[0] // task.scale, hq.shape[1] // task.scale)
    if lq.shape[:2] != expected:
        raise InputError(
            f"'{pair.lq}' has {lq.shape[1]}x{lq.shape[0]} pixels, but '{pair.hq}' at scale {task.scale} asks for "
            f"{expected[1]}x{expected[0]}; the two do not belong together."
        )
    return LoadedPair(pair.name, hq, lq)


class DataHash:
    """SHA-256 over decoded pixels, so that files stored in another way agree and one altered pixel does not.

    ``hq`` covers the high-quality pixels alone, whatever the images are called and in whatever order they come: that
    of a published set is the same in every layout. ``pairs`` covers names, high- and low-quality pixels.
    """

    def __init__(self) -> None:
        self._hq: list[str] = []
        self._pairs: list[str] = []

    def add(self, pair: LoadedPair) -> None:
        """Takes one image into account."""
        hq, lq = _digest(pair.hq), _digest(pair.lq)
        self._hq.append(hq)
        self._pairs.append(f"{pair.name}\0{hq}\0{lq}")

    @property
    def hq(self) -> str:
        """64 hexadecimal digits."""
        return hashlib.sha256("\n".join(sorted(self._hq)).encode()).hexdigest()

    @property
    def pairs(self) -> str:
        """64 hexadecimal digits."""
        return hashlib.sha256("\n".join(sorted(self._pairs)).encode(errors="surrogateescape")).hexdigest()


def _digest(image: npt.NDArray[Any]) -> str:
    digest = hashlib.sha256(f"{image.dtype.name} {image.shape}".encode())
    digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()


def _as_set(folder: Path, task: Task) -> BenchmarkSet | None:
    """The set in a folder, or None where there is none."""
    if folder.name in ("HR", "GTmod12") and _has_images(folder):
        folder = folder.parent
    if match := _SELFEXSR.fullmatch(folder.name):
        if task.name == "sr" and int(match[1]) != task.scale:
            raise InputError(
                f"'{folder}' is for scale {match[1]}, but the task is scale {task.scale}; give its parent."
            )
        return BenchmarkSet(folder.parent.name, "image_SRF", _selfexsr_pairs(folder, task))
    if _has_images(folder / "HR"):
        return BenchmarkSet(folder.name, "HR", tuple(find_pairs(folder, task)))
    if _has_images(folder / "DIV2K_valid_HR"):
        return BenchmarkSet("DIV2K_valid", "HR", tuple(find_pairs(folder / "DIV2K_valid_HR", task)))
    if _has_images(folder / "GTmod12"):
        return BenchmarkSet(folder.name, "GTmod12", _basicsr_pairs(folder, task))
    scales = {int(match[1]): path for path in folder.iterdir() if (match := _SELFEXSR.fullmatch(path.name))}
    if scales:
        wanted = task.scale if task.name == "sr" else min(scales)
        if wanted not in scales:
            raise InputError(
                f"'{folder}' has no image_SRF_{wanted}; it has scale {', '.join(map(str, sorted(scales)))}."
            )
        return BenchmarkSet(folder.name, "image_SRF", _selfexsr_pairs(scales[wanted], task))
    if _has_images(folder):
        return BenchmarkSet(folder.name, "plain", _plain_pairs(folder, task))
    return None


def _has_images(folder: Path) -> bool:
    return folder.is_dir() and any(
        path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") for path in folder.iterdir()
    )


def _basicsr_pairs(folder: Path, task: Task) -> tuple[ImagePair, ...]:
    files = list_images(folder / "GTmod12")
    lq_folder = folder / f"LRbicx{task.scale}"
    if task.name != "sr" or not lq_folder.is_dir():
        return _pairs(files, [None] * len(files))
    found = [_beside(lq_folder, hq, hq.stem) for hq in files]
    for hq, lq in zip(files, found, strict=True):
        if lq is None:  # to make this one and read the others would mix two degradations unseen
            raise InputError(f"'{lq_folder}' has no image for '{hq.name}'; add it or move that folder away.")
    return _pairs(files, found)


def _selfexsr_pairs(folder: Path, task: Task) -> tuple[ImagePair, ...]:
    files = [path for path in list_images(folder) if path.stem.endswith("_HR")]
    if not files:
        raise InputError(f"'{folder}' holds no image whose name ends in _HR; it should, as a folder of that name.")
    names = [re.sub(r"(_SRF_\d)?_HR$", "", hq.stem) for hq in files]
    if task.name != "sr":
        return _pairs(files, [None] * len(files), names)
    found = [_beside(folder, hq, hq.stem.removesuffix("_HR") + "_LR") for hq in files]
    missing = next((hq for hq, lq in zip(files, found, strict=True) if lq is None), None)
    if missing is not None and any(found):
        raise InputError(f"'{folder}' has no _LR image for '{missing.name}' but for others; add it.")
    return _pairs(files, found, names)


def _plain_pairs(folder: Path, task: Task) -> tuple[ImagePair, ...]:
    """All images of a folder but those whose names say that they are a low-quality version of another one there."""
    files = list_images(folder)
    if any(path.stem.endswith("_HR") for path in files):
        return _selfexsr_pairs(folder, task)
    stems = {path.stem for path in files}
    hq = [p for p in files if not ((m := _LOW_QUALITY_STEM.fullmatch(p.stem)) and m["image"] in stems)]
    if task.name == "sr" and all(_LOW_QUALITY_STEM.fullmatch(path.stem) for path in hq):
        raise InputError(
            f"'{folder}' holds low-quality images by their names, such as '{hq[0].name}'; give the originals."
        )
    return _pairs(hq, [None] * len(hq))


def _beside(folder: Path, hq: Path, stem: str) -> Path | None:
    for suffix in dict.fromkeys((hq.suffix, *IMAGE_SUFFIXES)):
        if (folder / f"{stem}{suffix}").is_file():
            return folder / f"{stem}{suffix}"
    return None


def _pairs(hq: Sequence[Path], lq: Sequence[Path | None], names: Sequence[str] | None = None) -> tuple[ImagePair, ...]:
    return tuple(ImagePair(*item) for item in zip(names or unique_names(hq), hq, lq, strict=True))
