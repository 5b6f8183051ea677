"""From a config to data: the packed images, who learns on which of them, and the streams of patches."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from jsnas.data.h5 import H5Images
from jsnas.data.patches import PatchBatches, Split, split_images
from jsnas.errors import InputError
from jsnas.task import Task
from trainers.config import Config
from trainers.ranks import Ranks

# Streams of one run must differ; the offsets keep runs of neighbouring seeds apart too.
_STREAM_SEEDS = {"weights": 0, "architecture": 1}


@dataclass(frozen=True)
class Data:
    """The images of a run.

    Attributes:
        images: The packed images.
        split: Which images serve for what.
        task: The task with its level.
    """

    images: H5Images
    split: Split
    task: Task


def open_data(config: Config) -> Data:
    """Opens the H5, or the folder of them, that the config names.

    Raises:
        InputError: If none is named, it cannot be read, is of another task, or cannot be split as asked.
    """
    if config.datasets.path is None:
        raise InputError("No data were given; pack images with `jsnas pack` and name the file with --data FILE.h5.")
    task = config.to_task()
    images = H5Images.open_for(Path(config.datasets.path), task)
    d = config.datasets
    return Data(images, split_images(len(images), d.weights, d.architecture, d.validation), task)


def patch_stream(data: Data, config: Config, part: str, ranks: Ranks | None = None) -> PatchBatches:
    """The endless stream of batches of one part, ``"weights"`` or ``"architecture"``.

    Args:
        data: The images.
        config: Settings.
        part: Which part.
        ranks: The processes that share each batch out; this one gets its share.
    """
    d = config.datasets
    seed = 2 * config.manual_seed + _STREAM_SEEDS[part]
    indices = data.split.weights if part == "weights" else data.split.architecture
    share = (0, 1) if ranks is None else (ranks.rank, ranks.count)
    return PatchBatches(data.images, data.task, indices, d.patch_size, d.batch_size, seed, d.augment, share)


def worker_count(config: Config) -> int:
    """Worker processes: as asked, but no more than there are cores to spare, and none where the CPU does the training.

    A batch takes a millisecond and a step on the CPU a hundred or more, so workers would only take its cores.
    """
    if pick_device(config.device).type == "cpu":
        return 0
    return min(config.datasets.workers, max(0, (os.cpu_count() or 1) // config.devices - 1))


def pick_device(name: str) -> torch.device:
    """The device of a config: ``auto`` is the first GPU, or the CPU.

    Raises:
        InputError: If the device does not exist here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"'{name}' is no device; give auto, cpu, cuda or cuda:1.") from error
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise InputError(
            f"Device '{name}' was asked for, but this machine has {torch.cuda.device_count()} usable GPUs."
        )
    return device
