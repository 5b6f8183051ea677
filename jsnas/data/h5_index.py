"""What one packed H5 says of its images: names, hashes, and where in the file each lies.

h5py is only asked where each dataset lies and is closed again: a handle kept across a fork corrupts what the workers
read, and slicing through h5py is several times slower than slicing the mapped file.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from jsnas.errors import InputError
from jsnas.task import Task

FORMAT = "jsnas-h5/1"


@dataclass(frozen=True)
class Block:
    """Where one image lies in the file."""

    offset: int
    shape: tuple[int, int, int]

    @property
    def end(self) -> int:
        """The first byte after it."""
        return self.offset + self.shape[0] * self.shape[1] * self.shape[2]


@dataclass(frozen=True)
class H5Index:
    """The images of one file.

    Attributes:
        path: The file.
        task: The task it was packed for.
        names: One name an image.
        hq: Where the high-quality images lie.
        lq: Where the low-quality ones lie; empty where they are made on the fly.
        sha256: Hashes of the pixels of both kinds, ``"hq"`` and ``"lq"``.
        stamp: What tells that the file was replaced.
    """

    path: Path
    task: Task
    names: list[str]
    hq: list[Block]
    lq: list[Block]
    sha256: dict[str, list[str]]
    stamp: tuple[int, int, int]


def read_index(path: Path) -> H5Index:
    """Reads all but the pixels.

    Args:
        path: A file written by ``jsnas.data.pack.pack``.

    Raises:
        InputError: If the file is missing, is not such an H5 or is cut short.
    """
    if not path.is_file():
        raise InputError(f"There is no file '{path.absolute()}'; pack the images first, or name them with --data.")
    try:
        # Without locking: the file is never changed in place, and some network file systems have no locks.
        with h5py.File(path, "r", locking=False) as file:
            if file.attrs.get("format") != FORMAT.encode():
                raise InputError(f"'{path}' is an H5 of another kind; give one that was packed as {FORMAT}.")
            index = H5Index(
                path,
                Task(**json.loads(file.attrs["task"])),
                [name.decode() for name in file["names"][()]],
                _blocks(file["hq"]),
                _blocks(file["lq"]),
                {kind: [text.decode() for text in file[f"sha256_{kind}"][()]] for kind in ("hq", "lq")},
                file_stamp(path.stat()),
            )
    except InputError:
        raise
    except Exception as error:  # h5py raises OSError, KeyError, RuntimeError, ... on a damaged file
        raise InputError(f"'{path}' is not a whole H5 of images ({error}); pack the images again.") from error
    counts = {len(index.names), len(index.hq), len(index.sha256["hq"])}
    if len(counts) != 1 or len(index.lq) not in (0, len(index.hq)) or len(index.sha256["lq"]) != len(index.lq):
        raise InputError(f"'{path}' lists other images than it holds; pack the images again.")
    end, size = max((block.end for block in index.hq + index.lq), default=0), path.stat().st_size
    if end > size:
        raise InputError(f"'{path}' is cut short: {size} bytes instead of at least {end}; pack the images again.")
    return index


def file_stamp(status: os.stat_result) -> tuple[int, int, int]:
    """Differs between a file and one that took its place."""
    return status.st_ino, status.st_size, status.st_mtime_ns


def _blocks(group: h5py.Group) -> list[Block]:
    """The datasets of a group, in the order of their names."""
    blocks = []
    for name in sorted(group):
        dataset = group[name]
        offset = dataset.id.get_offset()
        if offset is None or dataset.dtype != np.uint8 or dataset.ndim != 3:
            raise ValueError(f"{dataset.name} is not a contiguous uint8 image")
        blocks.append(Block(offset, dataset.shape))
    return blocks
