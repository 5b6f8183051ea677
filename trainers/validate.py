"""Validation PSNR on images held out from the training domain, by the task's convention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from jsnas.conventions import preset
from jsnas.data.degrade import add_noise
from jsnas.restore import restore_array
from trainers.config import Config
from trainers.ranks import Ranks
from trainers.streams import Data

Watcher = Callable[[int, npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], float], None]


def validation_psnr(
    network: nn.Module,
    data: Data,
    config: Config,
    device: torch.device,
    watch: Watcher | None = None,
    ranks: Ranks | None = None,
) -> float:
    """Mean PSNR in dB of a network over the held-out images, cropped around the centre to a bounded size.

    The network is put in evaluation mode meanwhile; noise is drawn from seed 0 for each image.

    Args:
        network: The network, on ``device``.
        data: The images.
        config: Settings.
        device: Where to compute.
        watch: Called with each image's index, input, restored image, truth (H x W x C) and PSNR in dB.
        ranks: The processes that share the images out, each of which gets the mean over all; only this one's images are
            watched.
    """
    task, convention = data.task, preset(data.task)
    chosen = data.split.validation[: config.val.max_images]
    training = network.training
    network.eval()
    ranks = ranks or Ranks()
    scores = [0.0] * len(chosen)
    for place in np.array_split(range(len(chosen)), ranks.count)[ranks.rank]:
        index = chosen[place]
        hq = _centre(data.images.hq(index), config.val.max_side // task.scale * task.scale, task.scale)
        packed = data.images.lq(index)
        if task.sigma is not None:
            lq = add_noise(hq, task.sigma, np.random.default_rng(0))
        elif packed is not None:
            lq = _centre(packed, config.val.max_side // task.scale, 1)
        restored = restore_array(network, lq, device)
        scores[place] = convention.score(restored, hq, task.scale, with_ssim=False).psnr_db
        if watch is not None:
            watch(index, lq, restored, hq, scores[place])
    network.train(training)
    return float(np.mean(ranks.sum(scores)))


def _centre(image: np.ndarray, side: int, step: int) -> np.ndarray:
    """The middle of an image, at most ``side`` pixels a side, cut at multiples of ``step``."""
    top, left = (max(0, (length - side) // 2) // step * step for length in image.shape[:2])
    return image[top : top + side, left : left + side]
