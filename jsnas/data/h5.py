"""Reads the packed images: the H5 is mapped into memory and its uint8 datasets are sliced in place.

h5py is only asked where each dataset lies and is closed again: a handle kept across a fork corrupts what the workers
read, and slicing through h5py is several times slower than slicing the map.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from jsnas.errors import InputError
from jsnas.task import Task

Pixels = npt.NDArray[np.uint8]

FORMAT = "jsnas-h5/1"


@dataclass(frozen=True)
class _Block:
    """Where one image lies in the file."""

    offset: int
    shape: tuple[int, int, int]

    @property
    def end(self) -> int:
        return self.offset + self.shape[0] * self.shape[1] * self.shape[2]


class H5Images:
    """The images of a packed H5, read from the mapped file.

    May be pickled and used after a fork: every process maps the file when it first reads a pixel.

    Args:
        path: A file written by ``jsnas.data.pack.pack``.

    Attributes:
        path: The file.
        task: The task it was packed for.
        names: One name an image, unique.

    Raises:
        InputError: If the file is missing, is not such an H5 or is cut short.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise InputError(f"There is no file '{path}'; pack the images first.")
        try:
            # Without locking: the file is never changed in place, and some network file systems have no locks.
            with h5py.File(path, "r", locking=False) as file:
                if file.attrs.get("format") != FORMAT.encode():
                    raise InputError(f"'{path}' is an H5 of another kind; give one that was packed as {FORMAT}.")
                self.task = Task(**json.loads(file.attrs["task"]))
                self.names: list[str] = [name.decode() for name in file["names"][()]]
                self._hq = _blocks(file["hq"])
                self._lq = _blocks(file["lq"])
                self._sha256 = {kind: [text.decode() for text in file[f"sha256_{kind}"][()]] for kind in ("hq", "lq")}
        except InputError:
            raise
        except Exception as error:  # h5py raises OSError, KeyError, RuntimeError, ... on a damaged file
            raise InputError(f"'{path}' is not a whole H5 of images ({error}); pack the images again.") from error
        self._stamp = _stamp(path)
        counts = {len(self.names), len(self._hq), len(self._sha256["hq"])}
        if len(counts) != 1 or len(self._lq) not in (0, len(self._hq)) or len(self._sha256["lq"]) != len(self._lq):
            raise InputError(f"'{path}' lists other images than it holds; pack the images again.")
        end, size = max((block.end for block in self._hq + self._lq), default=0), path.stat().st_size
        if end > size:
            raise InputError(f"'{path}' is cut short: {size} bytes instead of at least {end}; pack the images again.")
        self._map: Pixels | None = None

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
        packed = self.task
        if (packed.name, packed.scale, packed.quality) != (task.name, task.scale, task.quality):
            raise InputError(
                f"'{self.path}' was packed for {packed.label}, but the task is {task.label}; pack one for it."
            )

    def __len__(self) -> int:
        return len(self.names)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_map": None}

    def hq_shape(self, index: int) -> tuple[int, int, int]:
        """H, W, C of a high-quality image, known without reading it."""
        return self._hq[index].shape

    def hq(self, index: int) -> Pixels:
        """The high-quality image: a read-only uint8 view, H x W x C."""
        return self._view(self._hq[index])

    def lq(self, index: int) -> Pixels | None:
        """The low-quality image: a read-only uint8 view, H/scale x W/scale x C; None where it is made on the fly."""
        return self._view(self._lq[index]) if self._lq else None

    def sha256(self) -> str:
        """One hash for all images, of their names and stored sums; no pixel is read."""
        listing = [self.names, self._sha256["hq"], self._sha256["lq"]]
        return hashlib.sha256(json.dumps(listing).encode()).hexdigest()

    def verify(self) -> None:
        """Reads everything and compares it with the stored SHA-256 sums.

        Raises:
            InputError: If an image differs; it names the first one.
        """
        for index, name in enumerate(self.names):
            for kind, pixels in (("hq", self.hq(index)), ("lq", self.lq(index))):
                if pixels is not None and hashlib.sha256(pixels.data).hexdigest() != self._sha256[kind][index]:
                    raise InputError(f"Image '{name}' ({kind}) in '{self.path}' is damaged; pack the images again.")

    def _view(self, block: _Block) -> Pixels:
        if self._map is None:
            if _stamp(self.path) != self._stamp:
                raise InputError(f"'{self.path}' was replaced while it was in use; start again.")
            # As a plain array: slices of the memmap subclass cost more than the pixels of a patch.
            self._map = np.asarray(np.memmap(self.path, dtype=np.uint8, mode="r"))
        return self._map[block.offset : block.end].reshape(block.shape)


def _blocks(group: h5py.Group) -> list[_Block]:
    """The datasets of a group, in the order of their names."""
    blocks = []
    for name in sorted(group):
        dataset = group[name]
        offset = dataset.id.get_offset()
        if offset is None or dataset.dtype != np.uint8 or dataset.ndim != 3:
            raise ValueError(f"{dataset.name} is not a contiguous uint8 image")
        blocks.append(_Block(offset, dataset.shape))
    return blocks


def _stamp(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns
