"""The valid files that a fuzz makes wrong: one of every kind that jsnas reads, made by jsnas itself."""

from __future__ import annotations

import math
import os
import pickle
import random
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks import tiny_runs
from benchmarks.fuzz_mutations import CANARY
from jsnas.bench import SUFFIXES, Bench, Row, export_table
from jsnas.genotype import Genotype, shipped_genotypes

CANARY_CODE = (
    "from pathlib import Path\nPath({0!r}).touch()\nfrom torch import nn\nclass Block(nn.Identity):\n    pass\n"
)


@dataclass(frozen=True)
class ValidFiles:
    """What is in a folder that ``make_valid`` filled.

    Attributes:
        folder: The folder.
        images: Image files of many kinds, by name.
        pickles: Files of torch and of pickle, some of which would run code.
        h5: Packed images.
        checkpoint: A checkpoint, safetensors.
        state: A state to resume from.
        genotype: A genotype, JSON.
        config: A config, YAML.
        metrics: Metrics of a run, a line of JSON each.
    """

    folder: Path
    images: dict[str, bytes]
    pickles: list[bytes]
    h5: bytes
    checkpoint: bytes
    state: bytes
    genotype: bytes
    config: bytes
    metrics: bytes

    @classmethod
    def read(cls, folder: Path) -> ValidFiles:
        """All of them."""
        return cls(
            folder,
            {path.name: path.read_bytes() for path in sorted((folder / "odd").iterdir())},
            [path.read_bytes() for path in sorted((folder / "pickles").iterdir())],
            (folder / "data.h5").read_bytes(),
            (folder / "train/checkpoint.safetensors").read_bytes(),
            sorted((folder / "train/states").glob("*.pt"))[-1].read_bytes(),
            *((folder / name).read_bytes() for name in ("genotype.json", "tiny.yaml", "train/metrics.jsonl")),
        )


def make_valid(folder: Path) -> None:
    """Fills a folder with one valid input of every kind."""
    from trainers.cli import main

    tiny_runs.make(folder)
    words = tiny_runs.words("train", folder, folder / "train", ["--iterations", "8", "--logger.tensorboard=false"])
    if main(words) != 0:
        raise RuntimeError("the training that the fuzzed files come from failed")
    _make_table(folder / "table")
    (folder / "pickles").mkdir()
    tensors = {"up.0.weight": torch.zeros(128, 32, 3, 3), "head.0.weight": torch.zeros(64, 3, 3, 3)}
    for number, content in enumerate((tensors, {"a": _Code()}, [1, {"b": 2}])):
        torch.save(content, folder / "pickles" / f"{number}.pt")
    (folder / "pickles" / "3.pt").write_bytes(pickle.dumps(_Code()))
    _make_images(folder / "odd")


def canary(folder: Path) -> Path:
    """Puts a module on the path that leaves a mark when it is imported; returns the mark."""
    mark = folder / "imported"
    (folder / f"{CANARY}.py").write_text(CANARY_CODE.format(str(mark)), encoding="utf-8")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH", ""))))
    return mark


class _Code:
    """A pickle of it imports the canary."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (__import__, (CANARY,))


def _make_images(folder: Path) -> None:
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (20, 24, 4), dtype=np.uint8)
    picture = Image.fromarray(pixels[..., :3])
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, image, options in (
        ("rgb.png", picture, {"exif": exif}),
        ("rgba.png", Image.fromarray(pixels), {}),
        ("gray.png", picture.convert("L"), {}),
        ("deep.png", Image.fromarray(pixels[..., 0].astype(np.uint16) * 200), {}),
        ("palette.png", picture.quantize(7), {"transparency": 1}),
        ("photo.jpg", picture, {"exif": exif, "progressive": True}),
        ("cmyk.jpg", picture.convert("CMYK"), {}),
        ("lzw.tif", picture, {"compression": "tiff_lzw"}),
        ("cmyk.tif", picture.convert("CMYK"), {}),
        ("one.bmp", picture.crop((0, 0, 1, 1)), {}),
        ("photo.webp", picture, {}),
        ("raw.ppm", picture, {}),
    ):
        buffer = BytesIO()
        kind = {"jpg": "JPEG", "tif": "TIFF"}.get(name.rpartition(".")[2], name.rpartition(".")[2].upper())
        image.save(buffer, kind, **options)
        (folder / name).write_bytes(buffer.getvalue())


def _make_table(folder: Path) -> None:
    """A table in its three forms, with figures of no training."""
    bench, rng = Bench(folder), random.Random(0)
    protocol = bench.add_protocol({"task": "sr-x2"})
    for name in shipped_genotypes():
        for seed in (0, 1):
            psnr_db = math.nan if seed and rng.random() < 0.3 else rng.uniform(28, 31)
            failed = "it diverged" if math.isnan(psnr_db) else ""
            genotype = Genotype.load(name)
            bench.add(Row(protocol, genotype, seed, 100, psnr_db, 1000, 10**9, 0.01, 1.0, "a machine", failed))
    for suffix in SUFFIXES:
        export_table(bench.rows(), bench.protocols(), folder / f"table{suffix}")
