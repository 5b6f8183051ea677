"""What fewer bits cost: PSNR of an exported file beside that of its network, on real images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from jsnas.certificate import QualityLoss
from jsnas.conventions import preset
from jsnas.data.degrade import crop_to_multiple, degrade
from jsnas.data.images import Pixels, list_images
from jsnas.errors import InputError
from jsnas.network import JSNet
from jsnas.photographs import photographs, read_for
from jsnas.task import Task

_SIDE = 240  # input pixels of what is used of an image: its middle


def image_pairs(task: Task, folder: Path | None) -> list[tuple[str, Pixels, npt.NDArray[np.float32]]]:
    """Names, originals and their low-quality images, 1 x C x H x W; the middle of every image.

    Args:
        task: How they are degraded.
        folder: High-quality images; photographs that ship with scikit-image by default.

    Raises:
        InputError: If there are fewer than two images.
    """
    files = photographs() if folder is None else list_images(folder)
    if len(files) < 2:
        raise InputError(f"'{folder}' holds one image; give at least two, so that none is scored that was fitted to.")
    pairs = []
    for number, file in enumerate(files):
        image = read_for(file, task)
        side = _SIDE * task.scale
        top, left = (max(0, (have - side) // 2) for have in image.shape[:2])
        hq = crop_to_multiple(image[top : top + side, left : left + side], task.scale)
        lq = degrade(np.ascontiguousarray(hq), task, np.random.default_rng(number))
        pairs.append((file.name, hq, np.ascontiguousarray(lq.transpose(2, 0, 1)[None].astype(np.float32))))
    return pairs


def measure_loss(
    network: JSNet,
    restorer: Callable[[Tensor], Tensor],
    task: Task,
    pairs: Sequence[tuple[str, Pixels, npt.NDArray[np.float32]]],
) -> QualityLoss:
    """Scores network and file by the task's convention; the means over the images.

    Args:
        network: The network, on the CPU.
        restorer: The loaded file.
        task: What both are for.
        pairs: Of ``image_pairs``.
    """
    convention = preset(task)

    def mean_psnr(function: Callable[[Tensor], Tensor]) -> float:
        scores = []
        for _, hq, lq in pairs:
            with torch.inference_mode():
                restored = function(torch.from_numpy(lq))[0].permute(1, 2, 0).numpy()
            scores.append(convention.score(restored, hq, task.scale, with_ssim=False).psnr_db)
        return float(np.mean(scores))

    names = tuple(name for name, _, _ in pairs)
    return QualityLoss(names, mean_psnr(network), mean_psnr(restorer))
