"""Finds the images in the folder layouts that their authors ship.

* DIV2K: ``DIV2K_train_HR/0001.png``, ``DIV2K_train_LR_bicubic/X2/0001x2.png``, and the same for ``DIV2K_valid``,
  whose 0801-0900 follow 0001-0800.
* Benchmark sets: ``HR/baby.png``, ``LR_bicubic/X2/babyx2.png``.
* A plain folder of images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jsnas.data.images import IMAGE_SUFFIXES, list_images
from jsnas.errors import InputError
from jsnas.task import Task

# Folder of high-quality images -> folder of low-quality ones beside it.
_LR_FOLDERS = {
    "DIV2K_train_HR": "DIV2K_train_LR_bicubic",
    "DIV2K_valid_HR": "DIV2K_valid_LR_bicubic",
    "HR": "LR_bicubic",
}


@dataclass(frozen=True)
class ImagePair:
    """A high-quality image and its low-quality one.

    Attributes:
        name: The file name without its suffix; with it where two files differ in the suffix only.
        hq: The high-quality file.
        lq: The low-quality file; None where it is made by the degradation.
    """

    name: str
    hq: Path
    lq: Path | None


def find_pairs(root: Path, task: Task) -> list[ImagePair]:
    """The images below ``root``, in natural order; for super-resolution with their low-quality files if there are any.

    Args:
        root: A folder of one of the layouts above; it may also be the folder of high-quality images itself.
        task: Only ``sr`` has low-quality files; the other tasks make theirs.

    Raises:
        InputError: If there is no image, a folder of low-quality images lacks one, or two images share a name.
    """
    if not root.is_dir():
        raise InputError(f"There is no folder '{root}'; give the folder that holds the images.")
    div2k = [root / name for name in ("DIV2K_train_HR", "DIV2K_valid_HR") if (root / name).is_dir()]
    folders = div2k or [root / "HR" if (root / "HR").is_dir() else root]
    files = [(hq, _low_quality(hq, task)) for folder in folders for hq in list_images(folder)]
    names = unique_names([hq for hq, _ in files])
    return [ImagePair(name, hq, lq) for name, (hq, lq) in zip(names, files, strict=True)]


def unique_names(files: Sequence[Path]) -> list[str]:
    """File names without their suffix, or with it where that is what tells two files apart.

    Raises:
        InputError: If two files have the same name with the suffix too.
    """
    stems = Counter(file.stem for file in files)
    names = [file.stem if stems[file.stem] == 1 else file.name for file in files]
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise InputError(f"{times} images are named '{name}'; rename them so that every image has a name of its own.")
    return names


def _low_quality(hq: Path, task: Task) -> Path | None:
    folder = hq.resolve().parent
    if task.name != "sr" or folder.name not in _LR_FOLDERS:
        return None
    lq_folder = folder.parent / _LR_FOLDERS[folder.name] / f"X{task.scale}"
    if not lq_folder.is_dir():
        return None
    for suffix in dict.fromkeys((hq.suffix, *IMAGE_SUFFIXES)):
        lq = lq_folder / f"{hq.stem}x{task.scale}{suffix}"
        if lq.is_file():
            return lq
    # To make this one and read the others would mix two degradations unseen.
    raise InputError(
        f"'{lq_folder}' has no {hq.stem}x{task.scale}{hq.suffix} for '{hq.name}'; add it or move that folder away."
    )
