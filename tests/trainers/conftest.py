"""A folder with everything for a run of seconds: five smooth images, a tiny config, and the packed H5."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jsnas.data.pack import pack
from jsnas.task import Task

TINY = """
task: sr
scale: 2
network: {modules: 1, channels: 8, inner_channels: 4}
datasets: {patch_size: 16, batch_size: 2, workers: 0, weights: 1-3, architecture: 4-4, validation: 5-5}
strategy: {args: {partial: 2}}
search: {modules: 1, channels: 8, inner_channels: 4, operation_nodes: 3, attention_nodes: 2, total_iter: 8,
  weight_warmup_iters: 3}
train: {total_iter: 8, halve_every: 4, ema_decay: 0.9}
val: {val_freq: 4, max_side: 48}
logger: {print_freq: 2, save_checkpoint_freq: 4}
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder, with ``images/``, ``tiny.yaml`` and ``data.h5``."""
    folder = tmp_path_factory.mktemp("work")
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    for number in range(5):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 7, 3), dtype=np.uint8))
        coarse.resize((70, 60), Image.Resampling.BICUBIC).save(folder / "images" / f"{number}.png")
    (folder / "tiny.yaml").write_text(TINY)
    pack(folder / "images", folder / "data.h5", Task("sr", 2))
    return folder
