"""Reads packed images, of one H5 or of a folder of them: the files are mapped into memory and sliced in place.

The system keeps the pages that are read and drops them when memory is short, so a data set may be larger than memory.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from jsnas.data.h5_index import Block, H5Index, file_stamp, read_index
from jsnas.data.images import Pixels
from jsnas.errors import InputError
from jsnas.task import Task

_SHARD = re.compile(r"(\d+)-of-(\d+)\.h5")


class H5Images:
    """The images of a packed H5, or of a folder of such files (shards) in the order of their names.

    May be pickled and used after a fork: every process maps a file when it first reads a pixel of it.

    Args:
        path: A file or folder written by ``jsnas.data.pack``, or a folder of such files.

    Attributes:
        path: The file or folder.
        task: The task it was packed for.
        names: One name an image, unique.

    Raises:
        InputError: If a file is missing, is not such an H5 or is cut short, or the files do not belong together.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files = [read_index(file) for file in _files(path)]
        self.task = self._files[0].task
        self.names = [name for file in self._files for name in file.names]
        _check_together(path, self._files, self.names)
        self._places = [(number, k) for number, file in enumerate(self._files) for k in range(len(file.names))]
        self._maps: list[tuple[mmap.mmap, Pixels] | None] = [None] * len(self._files)

    @classmethod
    def open_for(cls, path: Path, task: Task) -> H5Images:
        """Opens an H5 that must have been packed for ``task``; for denoising at any noise level.

        Raises:
            InputError: If it was packed for another task, scale or quality; as the constructor.
        """
        images = cls(path)
        images.check_task(task)
        return images

    def check_task(self, task: Task) -> None:
        """Raises an InputError unless the images serve ``task``; see ``open_for``."""
        if not _same_data(self.task, task):
            raise InputError(
                f"'{self.path}' was packed for {self.task.label}, but the task is {task.label}; pack one for it."
            )

    def __len__(self) -> int:
        return len(self.names)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_maps": [None] * len(self._files)}

    def hq_shape(self, index: int) -> tuple[int, int, int]:
        """H, W, C of a high-quality image, known without reading it."""
        number, k = self._places[index]
        return self._files[number].hq[k].shape

    def hq(self, index: int) -> Pixels:
        """The high-quality image: a read-only uint8 view, H x W x C."""
        number, k = self._places[index]
        return self._view(number, self._files[number].hq[k])

    def lq(self, index: int) -> Pixels | None:
        """The low-quality image: a read-only uint8 view, H/scale x W/scale x C; None where it is made on the fly."""
        number, k = self._places[index]
        return self._view(number, self._files[number].lq[k]) if self._files[number].lq else None

    def size(self) -> int:
        """Bytes of the file, or of all files."""
        return sum(file.stamp[1] for file in self._files)

    def stored_sha256(self, kind: str, index: int) -> str:
        """The stored hash of an image, ``kind`` ``"hq"`` or ``"lq"``; nothing where it is made on the fly."""
        number, k = self._places[index]
        sums = self._files[number].sha256[kind]
        return sums[k] if sums else ""

    def sha256(self) -> str:
        """One hash for all images, of their names and stored sums, however many files they are in; no pixel is read."""
        sums = [[text for file in self._files for text in file.sha256[kind]] for kind in ("hq", "lq")]
        return hashlib.sha256(json.dumps([self.names, *sums]).encode()).hexdigest()

    def verify(self) -> None:
        """Reads everything and compares it with the stored SHA-256 sums.

        Raises:
            InputError: If an image differs; it names the first one.
        """
        for index, name in enumerate(self.names):
            for kind, pixels in (("hq", self.hq(index)), ("lq", self.lq(index))):
                if pixels is not None and hashlib.sha256(pixels.data).hexdigest() != self.stored_sha256(kind, index):
                    path = self._files[self._places[index][0]].path
                    raise InputError(f"Image '{name}' ({kind}) in '{path}' is damaged; pack the images again.")

    def _view(self, number: int, block: Block) -> Pixels:
        file = self._files[number]
        mapped, pixels = self._maps[number] or self._map(number)
        if mapped.size() < file.stamp[1]:  # else the system ends the process where it reads past the file's new end
            raise InputError(f"'{file.path}' was cut short while it was in use; pack the images again.")
        return pixels[block.offset : block.end].reshape(block.shape)

    def _map(self, number: int) -> tuple[mmap.mmap, Pixels]:
        file = self._files[number]
        with file.path.open("rb") as opened:
            if file_stamp(os.fstat(opened.fileno())) != file.stamp:
                raise InputError(f"'{file.path}' was replaced while it was in use; start again.")
            mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        both = self._maps[number] = (mapped, np.frombuffer(mapped, dtype=np.uint8))
        return both


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.glob("*.h5") if not file.name.startswith("."))
    if not files:
        raise InputError(f"The folder '{path}' holds no H5; give a file or folder of `jsnas pack`.")
    found = [match for file in files if (match := _SHARD.fullmatch(file.name))]
    for match in found:
        if len(found) != int(match[2]):
            raise InputError(f"'{path}' holds {len(found)} of {int(match[2])} shards; add the others.")
    return files


def _check_together(path: Path, files: list[H5Index], names: list[str]) -> None:
    for file in files:
        if not _same_data(file.task, files[0].task) or bool(file.lq) != bool(files[0].lq):
            raise InputError(
                f"'{file.path}' was packed for {file.task.label}, but '{files[0].path}' for {files[0].task.label}; "
                "keep one kind in a folder."
            )
    name, times = Counter(names).most_common(1)[0] if len(files) > 1 else ("", 1)
    if times > 1:
        raise InputError(f"{times} images in the files of '{path}' are named '{name}'; keep each image in one file.")


def _same_data(a: Task, b: Task) -> bool:
    return (a.name, a.scale, a.quality) == (b.name, b.scale, b.quality)
