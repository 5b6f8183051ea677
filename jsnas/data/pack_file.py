"""One packed H5, written image by image.

``hq/000000``, ``hq/000001``, ... and ``lq/...`` are contiguous uint8 datasets, H x W x C, so that a reader can map the
file. ``names`` and ``sha256_hq``/``sha256_lq`` have one entry an image. The root attributes are ``format``, ``task``
(JSON), ``jsnas`` (the version) and ``settings`` (JSON: Pillow's version, which decodes and resizes, and how many
low-quality images were read from files rather than made).
"""

from __future__ import annotations

import errno
import importlib.metadata
import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import PIL

from jsnas.data.atomic import atomic_file
from jsnas.data.h5_index import FORMAT
from jsnas.data.images import Pixels
from jsnas.task import Task

_SPARE_BYTES = 1 << 20  # of disk, for the tables at the end of the file


class PackFile:
    """An H5 that is being written.

    Attributes:
        pixels: High-quality pixels so far.
    """

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._groups = {kind: file.create_group(kind) for kind in ("hq", "lq")}
        self._names: list[str] = []
        self._sums: dict[str, list[str]] = {"hq": [], "lq": []}
        self.pixels = 0

    def add(self, name: str, hq: Pixels, lq: Pixels | None, hq_sha256: str, lq_sha256: str) -> None:
        """Adds an image, with the hashes of its pixels; ``lq`` is ``None`` where it is made on the fly."""
        _make_sure_of_room(Path(self._file.filename), hq.nbytes + (0 if lq is None else lq.nbytes))
        number = f"{len(self._names):06d}"
        self._groups["hq"].create_dataset(number, data=hq)
        self._sums["hq"].append(hq_sha256)
        if lq is not None:
            self._groups["lq"].create_dataset(number, data=lq)
            self._sums["lq"].append(lq_sha256)
        self._names.append(name)
        self.pixels += hq.shape[0] * hq.shape[1]

    def finish(self, task: Task, lq_files: int, more: Iterable[tuple[str, str]] = ()) -> None:
        """Writes what is said of all images.

        Args:
            task: What they are for.
            lq_files: How many low-quality images were read from files.
            more: Further root attributes.
        """
        self._file.create_dataset("names", data=_fixed(self._names))
        for kind, values in self._sums.items():
            self._file.create_dataset(f"sha256_{kind}", data=_fixed(values))
        settings = {"pillow": PIL.__version__, "lq_files": lq_files}
        about = {"format": FORMAT, "task": json.dumps(task.to_dict()), "jsnas": _version()}
        for key, value in (*about.items(), ("settings", json.dumps(settings)), *more):
            self._file.attrs[key] = _fixed([value])[0]


@contextmanager
def pack_file(out: Path) -> Iterator[PackFile]:
    """Opens an H5 to write; it appears under its name when the block ends well.

    Raises:
        InputError: If it cannot be written.
    """
    # The format of HDF5 1.10 has checksums on what it says of the datasets, the older one has none.
    with (
        atomic_file(out) as temporary,
        _h5py_errors_said(),
        h5py.File(temporary, "w", libver=("v110", "v110")) as file,
    ):
        yield PackFile(file)


def _make_sure_of_room(path: Path, needed: int) -> None:
    """Raises an OSError before the disk is full: HDF5 cannot close a file whose last bytes do not fit any more."""
    if shutil.disk_usage(path.parent).free < needed + _SPARE_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


@contextmanager
def _h5py_errors_said() -> Iterator[None]:
    """Makes an OSError of HDF5's failure to write, and keeps what its objects print when they are thrown away."""
    hook = sys.unraisablehook

    def quiet(unraisable: Any) -> None:
        if "h5py" not in repr(unraisable.object):
            hook(unraisable)

    sys.unraisablehook = quiet
    try:
        try:
            yield
        except RuntimeError as error:
            reason = re.search(r"error message = '([^']*)'", str(error))
            if reason is None:
                raise
            failure = OSError(reason[1])
        else:
            return
        raise failure
    finally:
        sys.unraisablehook = hook


def _fixed(texts: Sequence[str]) -> npt.NDArray[np.bytes_]:
    """As UTF-8 of a fixed length; what is no Unicode in a file name is escaped, so that it can be printed."""
    # HDF5 keeps strings of variable length without a checksum and crashes on damaged ones.
    return np.array([text.encode("utf-8", "backslashreplace") for text in texts], dtype=np.bytes_)


def _version() -> str:
    try:
        return importlib.metadata.version("jsnas")
    except importlib.metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"
