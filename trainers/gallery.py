"""Pictures that a run shows of itself: restored validation images, and what a search thinks of each edge."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from jsnas.conventions import preset
from jsnas.data.degrade import upscale
from jsnas.data.images import Pixels, write_png
from jsnas.errors import InputError
from jsnas.genotype import ATTENTION, OPERATION, Genotype, edge_name
from jsnas.metrics import quantize
from jsnas.report.crops import FOLDER, SCORES
from jsnas.report.module_svg import draw_genotype
from jsnas.report.picture_files import png_picture
from jsnas.sample import edge_label
from trainers.run_folder import RunFolder
from trainers.streams import Data

Array = npt.NDArray[Any]

_MOST_IMAGES = 3
_CELL_WIDTH, _CELL_HEIGHT, _LABEL_WIDTH = 124, 20, 110
_FULL = (38, 110, 190)  # of a cell whose candidate has all the probability


@dataclass(frozen=True)
class _Shot:
    lq: Array
    restored: Array
    truth: Array
    psnr_db: float


class Gallery:
    """The first validation images as they were restored last.

    Args:
        data: The images.
    """

    def __init__(self, data: Data) -> None:
        self._data = data
        self._shots: dict[int, _Shot] = {}

    def add(
        self,
        index: int,
        lq: Array,
        restored: Array,
        truth: Array,
        psnr_db: float,
    ) -> None:
        """Takes what ``validation_psnr`` shows of an image."""
        if index in self._shots or len(self._shots) < _MOST_IMAGES:
            self._shots[index] = _Shot(lq, restored, truth, psnr_db)

    def write(self, run: RunFolder, iteration: int) -> None:
        """Writes the images with their scores into the run folder, and to TensorBoard."""
        (run.path / FOLDER).mkdir(exist_ok=True)
        task, convention, scores = self._data.task, preset(self._data.task), []
        for index, shot in self._shots.items():
            before = upscale(shot.lq, task.scale) if task.scale > 1 else shot.lq
            name = f"{index + 1}-{_file_name(self._data.images.names[index])}"
            kinds = {"input": before, "restored": shot.restored, "truth": shot.truth}
            if task.scale > 1:
                kinds["lq"] = shot.lq
            pixels = {kind: quantize(image) for kind, image in kinds.items()}
            for kind, image in pixels.items():
                write_png(run.path / FOLDER / f"{name}-{kind}.png", image)
            side_by_side = np.concatenate([pixels[kind] for kind in ("input", "restored", "truth")], axis=1)
            run.show(f"input, restored, truth/{name}", iteration, side_by_side)
            before_db = convention.score(before, shot.truth, task.scale, with_ssim=False).psnr_db
            scores.append({"image": f"{name}.png", "psnr_db": shot.psnr_db, "psnr_input_db": before_db})
        run.write_json(f"{FOLDER}/{SCORES}", {"convention": convention.name, "iteration": iteration, "images": scores})


def module_picture(genotype: Genotype, confidence: Mapping[str, Mapping[str, float]]) -> Pixels | None:
    """The module as pixels, H x W x 3; ``None`` where typst is not installed or the module cannot be drawn."""
    try:
        content = png_picture(draw_genotype(genotype, confidence), pixels_per_inch=90)
    except InputError:
        return None
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


def confidence_of(genotype: Genotype, probabilities: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Part to edge to the probability of what the genotype has there, from a search's by label and candidate."""
    found: dict[str, dict[str, float]] = {}
    for key, part in (("operations", OPERATION), ("attentions", ATTENTION)):
        shares = {
            edge: probabilities.get(edge_label(part, edge), {}).get(name) for edge, name in getattr(genotype, key)
        }
        found[key] = {edge_name(edge): share for edge, share in shares.items() if share is not None}
    return found


def probability_picture(probabilities: Mapping[str, Mapping[str, float]]) -> Pixels:
    """A heat map, H x W x 3: one row an edge, one cell a candidate with its name and probability.

    Args:
        probabilities: Label of the edge to candidate to probability; at least one edge.
    """
    columns = max(len(weights) for weights in probabilities.values())
    size = (_LABEL_WIDTH + columns * _CELL_WIDTH, len(probabilities) * _CELL_HEIGHT)
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    for row, (label, weights) in enumerate(probabilities.items()):
        top = row * _CELL_HEIGHT
        draw.text((4, top + 4), label, fill="black")
        for column, (name, share) in enumerate(weights.items()):
            left = _LABEL_WIDTH + column * _CELL_WIDTH
            color = tuple(round(255 - share * (255 - full)) for full in _FULL)
            draw.rectangle((left, top, left + _CELL_WIDTH - 2, top + _CELL_HEIGHT - 2), fill=color)
            words = f"{str(name)[:14]} {share:.0%}"
            draw.text((left + 4, top + 4), words, fill="white" if share > 0.9 else "black")
    return np.asarray(image)


def _file_name(name: str) -> str:
    """An image's name without what file names or addresses may not hold."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", Path(name).stem)[:80] or "image"
