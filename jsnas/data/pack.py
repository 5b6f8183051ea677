"""Packs images into one H5 that training reads without decoding anything.

``hq/000000``, ``hq/000001``, ... and ``lq/...`` are contiguous uint8 datasets, H x W x C, so that a reader can map the
file. ``names`` and ``sha256_hq``/``sha256_lq`` have one entry an image. The root attributes are ``format``, ``task``
(JSON), ``jsnas`` (the version) and ``settings`` (JSON: Pillow's version, which decodes and resizes, and how many
low-quality images were read from files rather than made).
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
import PIL

from jsnas.data.atomic import atomic_file
from jsnas.data.degrade import crop_to_multiple, downscale, jpeg
from jsnas.data.folders import ImagePair, find_pairs, unique_names
from jsnas.data.h5 import FORMAT, Pixels
from jsnas.data.images import read_image, read_luma
from jsnas.errors import InputError
from jsnas.task import Task

_THREADS = 4  # Pillow decodes and hashlib hashes outside Python's lock; more threads only hold more images


@dataclass(frozen=True)
class PackSummary:
    """What was packed. Nothing is ever skipped: an image that cannot be used is an error.

    Attributes:
        images: How many.
        pixels: High-quality pixels of all of them.
        bytes: Size of the H5.
        seconds: Time it took.
    """

    images: int
    pixels: int
    bytes: int
    seconds: float


@dataclass(frozen=True)
class _Prepared:
    hq: Pixels
    lq: Pixels | None
    hq_sha256: str
    lq_sha256: str


def pack(
    images: Path | Sequence[Path],
    out: Path,
    task: Task,
    progress: Callable[[int, int], None] | None = None,
) -> PackSummary:
    """Reads the images, makes the low-quality ones that are missing, and writes them into one H5.

    * ``sr``: RGB, cropped from the top left to a multiple of the scale; the low-quality image is read where the
      layout has it, else made by MATLAB's bicubic resize.
    * ``deblock``: the luma of ``read_luma`` and its JPEG.
    * ``denoise``: gray by MATLAB's ``rgb2gray``; the noise is drawn when patches are cut.

    A few images at a time are held in memory. The file appears under its name when it is complete; an existing one is
    replaced then and stays as it is on any error.

    Args:
        images: A folder that ``find_pairs`` understands, an image file or several.
        out: The H5 to write.
        task: What to pack for.
        progress: Called with (images done, images in all) after every image.

    Raises:
        InputError: If there is no image, one cannot be read or is too small, a low-quality file has the wrong size, or
            the H5 cannot be written.
    """
    start = time.perf_counter()
    pairs = _pairs(images, task)
    pixels = 0
    names: list[str] = []
    sums: dict[str, list[str]] = {"hq": [], "lq": []}
    with atomic_file(out) as temporary:
        # The format of HDF5 1.10 has checksums on what it says of the datasets, the older one has none.
        with h5py.File(temporary, "w", libver=("v110", "v110")) as file:
            hq_group, lq_group = file.create_group("hq"), file.create_group("lq")
            for index, (pair, image) in enumerate(_prepared(pairs, task)):
                hq_group.create_dataset(f"{index:06d}", data=image.hq)
                sums["hq"].append(image.hq_sha256)
                if image.lq is not None:
                    lq_group.create_dataset(f"{index:06d}", data=image.lq)
                    sums["lq"].append(image.lq_sha256)
                names.append(pair.name)
                pixels += image.hq.shape[0] * image.hq.shape[1]
                if progress:
                    progress(index + 1, len(pairs))
            file.create_dataset("names", data=_fixed(names))
            for kind, values in sums.items():
                file.create_dataset(f"sha256_{kind}", data=_fixed(values))
            about = {"format": FORMAT, "task": json.dumps(task.to_dict()), "jsnas": _version()}
            for key, value in (about | {"settings": json.dumps(_settings(pairs))}).items():
                file.attrs[key] = _fixed([value])[0]
        size = temporary.stat().st_size
    return PackSummary(len(pairs), pixels, size, time.perf_counter() - start)


def _pairs(images: Path | Sequence[Path], task: Task) -> list[ImagePair]:
    if isinstance(images, Path) and not images.is_file():
        return find_pairs(images, task)
    files = [images] if isinstance(images, Path) else list(images)
    if not files:
        raise InputError("No image was given; give a folder or at least one image file.")
    return [ImagePair(name, file, None) for name, file in zip(unique_names(files), files, strict=True)]


def _fixed(texts: Sequence[str]) -> npt.NDArray[np.bytes_]:
    """As UTF-8 of a fixed length; what is no Unicode in a file name is escaped, so that it can be printed."""
    # HDF5 keeps strings of variable length without a checksum and crashes on damaged ones.
    return np.array([text.encode("utf-8", "backslashreplace") for text in texts], dtype=np.bytes_)


def _settings(pairs: Iterable[ImagePair]) -> dict[str, str | int]:
    return {"pillow": PIL.__version__, "lq_files": sum(pair.lq is not None for pair in pairs)}


def _version() -> str:
    try:
        return importlib.metadata.version("jsnas")
    except importlib.metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"


def _prepared(pairs: Sequence[ImagePair], task: Task) -> Iterator[tuple[ImagePair, _Prepared]]:
    """The prepared images in order; at most ``2 * _THREADS`` are in memory."""
    pool = ThreadPoolExecutor(_THREADS)
    waiting: deque[tuple[ImagePair, Future[_Prepared]]] = deque()
    try:
        for pair in pairs:
            waiting.append((pair, pool.submit(_prepare, pair, task)))
            if len(waiting) == 2 * _THREADS:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare(pair: ImagePair, task: Task) -> _Prepared:
    hq, lq = _images(pair, task)
    hq = np.ascontiguousarray(hq)
    return _Prepared(
        hq, lq, hashlib.sha256(hq.data).hexdigest(), "" if lq is None else hashlib.sha256(lq.data).hexdigest()
    )


def _images(pair: ImagePair, task: Task) -> tuple[Pixels, Pixels | None]:
    if task.quality is not None:
        hq = read_luma(pair.hq)
        return hq, jpeg(hq, task.quality)
    if task.sigma is not None:
        return read_image(pair.hq, 1), None
    whole = read_image(pair.hq, 3)
    hq = crop_to_multiple(whole, task.scale)
    if not hq.size:
        raise InputError(
            f"'{pair.hq}' has {whole.shape[1]} x {whole.shape[0]} pixels, too few for scale {task.scale}; leave it out."
        )
    if pair.lq is None:
        return hq, downscale(hq, task.scale)
    lq = read_image(pair.lq, 3)
    if (lq.shape[0] * task.scale, lq.shape[1] * task.scale) != hq.shape[:2]:
        raise InputError(
            f"'{pair.lq}' has {lq.shape[1]} x {lq.shape[0]} pixels, but scale {task.scale} of '{pair.hq}', which has "
            f"{whole.shape[1]} x {whole.shape[0]}, is {hq.shape[1] // task.scale} x {hq.shape[0] // task.scale}; "
            "check both files."
        )
    return hq, lq
