"""Packs images into H5 files that training reads without decoding anything.

A few images go straight into one file. More are packed part by part, in several processes where asked; the parts wait
beside the result in a hidden folder, so that a pack that was killed goes on where it stopped. At the end they become
one file, or a folder of them (shards). ``jsnas.data.pack_file`` says what a file holds.
"""

from __future__ import annotations

import hashlib
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jsnas.data.degrade import crop_to_multiple, downscale, jpeg
from jsnas.data.faulty_images import Faults
from jsnas.data.folders import ImagePair, find_pairs, unique_names
from jsnas.data.h5 import H5Images
from jsnas.data.images import Pixels, read_image, read_luma
from jsnas.data.pack_file import pack_file
from jsnas.data.pack_parts import Part, join_parts, parts_folder, ready_parts, run_parts
from jsnas.errors import InputError
from jsnas.task import Task

_THREADS = 4  # Pillow decodes and hashlib hashes outside Python's lock; more threads only hold more images
_PART_IMAGES = 16  # a kill loses the work on so many


@dataclass(frozen=True)
class PackSummary:
    """What was packed. Nothing is ever skipped: an image that cannot be used is an error.

    Attributes:
        images: How many.
        pixels: High-quality pixels of all of them.
        bytes: Size of the H5.
        seconds: Time it took.
        kept: How many images a pack before, that was cut short, had packed already.
    """

    images: int
    pixels: int
    bytes: int
    seconds: float
    kept: int = 0


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
    processes: int = 1,
    shard_images: int | None = None,
) -> PackSummary:
    """Reads the images, makes the low-quality ones that are missing, and writes them into one H5 or several.

    * ``sr``: RGB, cropped from the top left to a multiple of the scale; the low-quality image is read where the
      layout has it, else made by MATLAB's bicubic resize.
    * ``deblock``: the luma of ``read_luma`` and its JPEG.
    * ``denoise``: gray by MATLAB's ``rgb2gray``; the noise is drawn when patches are cut.

    A few images at a time are held in memory. The file or folder appears under its name when it is complete; an
    existing file is replaced then and stays as it is on any error. What a pack that was cut short had done is used by
    the next one of the same images. While a large file is made, its parts take as much room again beside it.

    Args:
        images: A folder that ``find_pairs`` understands, an image file or several.
        out: The H5 to write, or the folder if there are to be shards.
        task: What to pack for.
        progress: Called with (images done, images in all) after every image, or every part of a large pack.
        processes: Processes that pack at the same time; more than one are started afresh and need an importable main.
        shard_images: Images a file of the folder ``out``; ``None`` writes one file.

    Raises:
        FaultyImagesError: If some cannot be read or are too small, or a low-quality file has the wrong size; of a large
            pack the parts without fault are kept for the next one.
        InputError: If there is no image, or the H5 cannot be written.
    """
    start = time.perf_counter()
    if processes < 1 or (shard_images is not None and shard_images < 1):
        raise InputError(f"{processes} processes and {shard_images} images a shard were asked for; give 1 or more.")
    pairs = _pairs(images, task)
    kept = 0
    if shard_images is None and len(pairs) <= _PART_IMAGES:
        pack_pairs(pairs, out, task, _THREADS, progress)
    else:
        with parts_folder(out, shard_images is not None) as folder:
            parts = ready_parts(folder, pairs, task, shard_images or _PART_IMAGES)
            kept = sum(len(part.pairs) for part in parts if part.done)
            run_parts(parts, task, processes, max(1, _THREADS // processes), pack_pairs, progress)
            join_parts(folder, parts, out, task, shard_images is not None)
    packed = H5Images(out)
    pixels = sum(height * width for height, width, _ in map(packed.hq_shape, range(len(packed))))
    return PackSummary(len(packed), pixels, packed.size(), time.perf_counter() - start, kept)


def pack_pairs(
    pairs: Sequence[ImagePair],
    out: Path,
    task: Task,
    threads: int,
    progress: Callable[[int, int], None] | None = None,
    digest: str | None = None,
) -> None:
    """Packs images into one file in this process.

    Args:
        pairs: The images.
        out: The file.
        task: What to pack for.
        threads: Threads that prepare images.
        progress: Called with (images done, images in all) after every image.
        digest: What identifies a part; it is kept in the file.

    Raises:
        FaultyImagesError: If some cannot be used.
        InputError: If the file cannot be written.
    """
    with pack_file(out) as file:
        for index, (pair, image) in enumerate(_prepared(pairs, task, threads)):
            file.add(pair.name, image.hq, image.lq, image.hq_sha256, image.lq_sha256)
            if progress:
                progress(index + 1, len(pairs))
        file.finish(task, sum(pair.lq is not None for pair in pairs), [] if digest is None else [(Part.KEY, digest)])


def _pairs(images: Path | Sequence[Path], task: Task) -> list[ImagePair]:
    if isinstance(images, Path) and not images.is_file():
        return find_pairs(images, task)
    files = [images] if isinstance(images, Path) else list(images)
    if not files:
        raise InputError("No image was given; give a folder or at least one image file.")
    return [ImagePair(name, file, None) for name, file in zip(unique_names(files), files, strict=True)]


def _prepared(pairs: Sequence[ImagePair], task: Task, threads: int) -> Iterator[tuple[ImagePair, _Prepared]]:
    """The prepared images in order; at most ``2 * threads`` are in memory.

    Raises:
        FaultyImagesError: At the end; after the first that cannot be used, the rest is only looked at.
    """
    pool, faults = ThreadPoolExecutor(threads), Faults()
    waiting: deque[tuple[ImagePair, Future[_Prepared]]] = deque()
    coming = iter(pairs)
    try:
        while not faults.enough:
            for pair in itertools.islice(coming, 2 * threads - len(waiting)):
                waiting.append((pair, pool.submit(_prepare, pair, task)))
            if not waiting:
                break
            pair, future = waiting.popleft()
            with faults.collect():
                future.result()
            if not faults:
                yield pair, future.result()
    finally:
        pool.shutdown(cancel_futures=True)
    faults.tell()


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
