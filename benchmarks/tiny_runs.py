"""Runs of seconds for the scripts that ask whether jsnas survives: tiny images, tiny networks, the real commands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from jsnas.data.pack import pack
from jsnas.task import Task

SETTINGS = {
    "task": "sr",
    "scale": 2,
    "device": "cpu",
    "network": {"modules": 1, "channels": 8, "inner_channels": 4},
    "datasets": {
        "patch_size": 8,
        "batch_size": 2,
        "workers": 0,
        "weights": "1-3",
        "architecture": "4-4",
        "validation": "5-5",
    },
    "strategy": {"args": {"partial": 2}},
    "search": {
        "modules": 1,
        "channels": 8,
        "inner_channels": 4,
        "operation_nodes": 3,
        "attention_nodes": 2,
        "attentions": ["skip", "ca", "pa"],
        "total_iter": 30,
        "weight_warmup_iters": 6,
    },
    "train": {"genotype": "genotype.json", "total_iter": 60, "halve_every": 20, "ema_decay": 0.9},
    "val": {"val_freq": 7, "max_side": 32},
    "logger": {"print_freq": 3, "save_checkpoint_freq": 4, "tensorboard": False},
}
GENOTYPE = """{"format": "jsnas-genotype/1", "task": "sr", "scale": 2,
 "operations": {"0>1": "rdb_sep", "0>2": "rdb_light", "1>2": "skip"}, "attentions": {"0>1": "ca"}}
"""


def make(folder: Path) -> None:
    """Fills a folder with ``images/``, ``data.h5``, ``tiny.yaml`` and ``genotype.json``."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    for number in range(5):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 7, 3), dtype=np.uint8))
        coarse.resize((44, 40), Image.Resampling.BICUBIC).save(folder / "images" / f"{number}.png")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(SETTINGS), encoding="utf-8")
    (folder / "genotype.json").write_text(GENOTYPE, encoding="utf-8")
    pack(folder / "images", folder / "data.h5", Task("sr", 2))


def words(command: str, folder: Path, out: Path, more: Sequence[str] = ()) -> list[str]:
    """The words after ``jsnas`` of a search or a training in that folder."""
    files = ["--config", str(folder / "tiny.yaml"), "--data", str(folder / "data.h5"), "--out", str(out)]
    genotype = [f"--train.genotype={folder / 'genotype.json'}"]
    return [command, *files, *genotype, *more]
