"""Random training patches from a packed H5, as a reproducible stream of batches."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from jsnas.data.degrade import add_noise
from jsnas.data.h5 import H5Images
from jsnas.data.images import Pixels
from jsnas.errors import InputError
from jsnas.task import Task


class PatchBatches(Dataset[tuple[Tensor, Tensor]]):
    """The k-th batch is a function of the seed and k alone, so a run resumed at iteration k starts at index k.

    Image, position and one of the eight flips and rotations are drawn uniformly for every patch (paper, Sec. 4.1.2).
    The number of workers does not change the stream. It has no end: any index from 0 on is a batch.

    Args:
        images: The packed images.
        task: The task; its noise level is the one that is drawn.
        indices: Which images to draw from.
        patch_size: Side of the low-quality patch, in pixels.
        batch_size: Patches a batch.
        seed: Of the stream; 0 or more. Different data (weights, architecture) should get different seeds.
        augment: Whether to flip and rotate.
        share: (r, n): give only the r-th of n equal parts of every batch, r from 0. The n parts are together what
            (0, 1) gives, so n processes learn what one would.

    Raises:
        InputError: If a setting is out of range, an index names no image, an image is smaller than a patch, or the
            images were packed for another task.
    """

    def __init__(
        self,
        images: H5Images,
        task: Task,
        indices: Sequence[int],
        patch_size: int,
        batch_size: int,
        seed: int,
        augment: bool = True,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        if patch_size < 1 or batch_size < 1 or not 0 <= seed < 2**64:
            raise InputError(
                f"patch_size {patch_size}, batch_size {batch_size} and seed {seed} were given; "
                "sizes start at 1 and the seed at 0."
            )
        if not indices or min(indices) < 0 or max(indices) >= len(images):
            raise InputError(
                f"Image indices {_short(indices)} were given; '{images.path}' holds 0 to {len(images) - 1}."
            )
        if batch_size % share[1] or not 0 <= share[0] < share[1]:
            raise InputError(f"Part {share[0]} of {share[1]} of a batch of {batch_size} is none; make the parts equal.")
        images.check_task(task)
        self.images = images
        self.task = task
        self.indices = tuple(indices)
        self.patch_size = patch_size
        self.batch_size = batch_size
        self.seed = seed
        self.augment = augment
        self.share = share
        for index in self.indices:
            height, width, _ = images.hq_shape(index)
            if min(height, width) // task.scale < patch_size:
                raise InputError(
                    f"Image '{images.names[index]}' has {width // task.scale} x {height // task.scale} low-quality "
                    f"pixels, fewer than a patch of {patch_size} x {patch_size}; leave it out or make patches smaller."
                )

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """The batch of iteration ``index``, or this share of it.

        Returns:
            lq: B x C x p x p, uint8 (float32 with noise for ``denoise``), 0 to 255.
            hq: uint8, B x C x p*scale x p*scale.
        """
        rng = np.random.Generator(np.random.Philox(key=np.array([self.seed, index], dtype=np.uint64)))
        scale, side = self.task.scale, self.patch_size
        part, parts = self.share
        drawn, count, channels = self.batch_size, self.batch_size // parts, self.task.image_channels
        hq = np.empty((count, channels, side * scale, side * scale), dtype=np.uint8)
        lq = np.empty((count, channels, side, side), dtype=np.uint8) if self.task.sigma is None else None
        chosen = rng.integers(len(self.indices), size=drawn)
        turns = rng.integers(8 if self.augment else 1, size=drawn)
        for k in range(drawn):  # all are drawn, so that the shares belong to one batch; our own are cut
            image = self.indices[chosen[k]]
            height, width, _ = self.images.hq_shape(image)
            top = int(rng.integers(height // scale - side + 1))
            left = int(rng.integers(width // scale - side + 1))
            b = k - part * count
            if not 0 <= b < count:
                continue
            hq[b] = _oriented(_cut(self.images.hq(image), top * scale, left * scale, side * scale), int(turns[k]))
            if lq is not None:
                small = self.images.lq(image)
                assert small is not None  # every task without noise is packed with it
                lq[b] = _oriented(_cut(small, top, left, side), int(turns[k]))
        if self.task.sigma is not None:
            rng.standard_normal((part * count, *hq.shape[1:]), dtype=np.float32)  # the noise of the shares before ours
            return torch.from_numpy(add_noise(hq, self.task.sigma, rng)), torch.from_numpy(hq)
        return torch.from_numpy(lq), torch.from_numpy(hq)


def patch_loader(
    batches: PatchBatches, first: int, last: int, workers: int, pinned: bool = False
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Loads the batches of iterations ``first`` to ``last - 1``, in order.

    Args:
        batches: The stream.
        first: The iteration to start at, such as the one a checkpoint was written after.
        last: The iteration to stop before.
        workers: Processes that prepare batches ahead; 0 prepares them in this one.
        pinned: Whether batches are in memory that a GPU copies from while it computes.

    Raises:
        InputError: If the range runs backwards or ``workers`` is negative.
    """
    if not 0 <= first <= last or workers < 0:
        raise InputError(f"Iterations {first} to {last} with {workers} workers were asked for; none may be negative.")
    return DataLoader(
        batches,
        batch_size=None,
        sampler=range(first, last),
        num_workers=workers,
        pin_memory=pinned,
        persistent_workers=workers > 0,
        generator=torch.Generator(),  # else every loader takes a number from the global generator
    )


def is_dead_worker(error: Exception) -> bool:
    """Whether an error is torch's word of a dead worker, which its signal handler raises wherever Python just is."""
    return isinstance(error, RuntimeError) and str(error).startswith("DataLoader worker")


@contextmanager
def dead_workers_reported() -> Iterator[None]:
    """Around a loop over a loader: what becomes of its worker processes is said in a sentence.

    Raises:
        InputError: If a worker died (killed, or out of memory), or met such an error itself.
    """
    try:
        yield
    except InputError as error:
        if "in DataLoader worker process" not in str(error):
            raise
        raise InputError(str(error).strip().splitlines()[-1].partition("InputError: ")[2]) from error
    except RuntimeError as error:
        if not is_dead_worker(error):
            raise
        reason = str(error).splitlines()[0].rstrip(". ")
        raise InputError(
            f"A process that prepares batches died ({reason}); free some memory or lower datasets.workers."
        ) from error


@dataclass(frozen=True)
class Split:
    """Which images (0-based) serve for what.

    Attributes:
        weights: The network weights learn on these.
        architecture: The architecture weights learn on these.
        validation: Never trained on by the network weights; the best checkpoint is chosen on these.
    """

    weights: tuple[int, ...]
    architecture: tuple[int, ...]
    validation: tuple[int, ...]


def split_images(count: int, weights: str = "auto", architecture: str = "auto", validation: str = "auto") -> Split:
    """Divides the images between weights, architecture and validation.

    ``"auto"`` is, for the 900 images of DIV2K, the paper's split: weights 1-800, architecture 801-900; 801-810 also
    validate, which are held out from the weights but not from the architecture. For any other number the last
    tenth validates, the tenth before it is for the architecture, the rest for the weights.

    Args:
        count: How many images there are.
        weights: A range such as ``"1-800"``, counted from 1 and with both ends, or ``"auto"``.
        architecture: The same; may overlap ``validation``.
        validation: The same.

    Raises:
        InputError: If a range is malformed or out of bounds, ``weights`` overlaps another, or fewer than three images
            are to be divided by ``"auto"``.
    """
    texts = {"weights": weights, "architecture": architecture, "validation": validation}
    automatic = _automatic_split(count) if "auto" in texts.values() else {}
    ranges = {key: automatic[key] if text == "auto" else _range(key, text, count) for key, text in texts.items()}
    for other in ("architecture", "validation"):
        shared = sorted(set(ranges["weights"]) & set(ranges[other]))
        if shared:
            raise InputError(
                f"Images {shared[0] + 1}-{shared[-1] + 1} serve both weights and {other};"
                " give ranges that do not overlap."
            )
    return Split(**{key: tuple(value) for key, value in ranges.items()})


def _automatic_split(count: int) -> dict[str, range]:
    if count < 3:
        raise InputError(
            f"{count} images cannot be divided between weights, architecture and validation; pack at least 3."
        )
    if count == 900:
        return {"weights": range(800), "architecture": range(800, 900), "validation": range(800, 810)}
    tenth = max(1, count // 10)
    return {
        "weights": range(count - 2 * tenth),
        "architecture": range(count - 2 * tenth, count - tenth),
        "validation": range(count - tenth, count),
    }


def _range(key: str, text: str, count: int) -> range:
    match = re.fullmatch(r"\s*([0-9]+)\s*-\s*([0-9]+)\s*", text)
    if not match:
        raise InputError(f"The {key} images were given as '{text}'; give a range such as 1-{count}, or auto.")
    first, last = int(match[1]), int(match[2])
    if not 1 <= first <= last <= count:
        raise InputError(f"The {key} images {text} are not within 1-{count}; give a range that is.")
    return range(first - 1, last)


def _cut(image: Pixels, top: int, left: int, side: int) -> Pixels:
    return image[top : top + side, left : left + side]


def _oriented(patch: Pixels, turn: int) -> Pixels:
    """One of the eight flips and rotations (0 leaves it alone), from H x W x C to C x H x W; a view."""
    turned = patch.transpose((2, 1, 0) if turn & 4 else (2, 0, 1))
    return turned[:, :: -1 if turn & 1 else 1, :: -1 if turn & 2 else 1]


def _short(indices: Sequence[int]) -> str:
    return f"{min(indices)} to {max(indices)}" if indices else "(none)"
