"""Restores image files with a network: what one does with a checkpoint in the end.

The fast form of the network does the work, in bounded memory (``jsnas.tiles``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from jsnas.data.images import list_images, read_image, read_luma, write_png
from jsnas.errors import InputError
from jsnas.fast import fast_network
from jsnas.network import JSNet
from jsnas.task import Task
from jsnas.tiles import restore_pixels


def restore_files(
    network: JSNet,
    task: Task,
    images: Sequence[Path],
    out: Path,
    device: torch.device,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Restores low-quality images and writes them as PNG files of the same name.

    Args:
        network: The network; it is left as it is.
        task: What it was trained for: super-resolution reads RGB, denoising gray, deblocking the luma.
        images: Image files, and folders of them.
        out: The folder to write to; it is made.
        device: Where to compute.
        overwrite: Whether files that are there may be replaced.
        progress: Called with (images done, images in all).

    Returns:
        The files written.

    Raises:
        InputError: If an image cannot be read or is too small, or a file would be overwritten.
    """
    files = [file for image in images for file in (list_images(image) if image.is_dir() else [image])]
    targets = [out / f"{file.stem}.png" for file in files]
    for target in targets:
        if targets.count(target) > 1:
            raise InputError(f"Two images would be written to '{target}'; rename one of them.")
        if target.exists() and not overwrite:
            raise InputError(f"'{target}' exists; choose another --out or say --overwrite.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder '{out}' cannot be made ({error.strerror}); choose another --out.") from error
    fast = fast_network(network).to(device)
    for done, (file, target) in enumerate(zip(files, targets, strict=True), start=1):
        image = read_luma(file) if task.name == "deblock" else read_image(file, task.image_channels)
        try:
            restored = restore_pixels(fast, image, device)
        except InputError as error:
            raise InputError(f"'{file}': {error}") from error
        write_png(target, restored)
        if progress is not None:
            progress(done, len(files))
    return targets
