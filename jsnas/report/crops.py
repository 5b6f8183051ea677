"""Crops of restored images side by side: input, interpolated, restored, truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from jsnas.data.images import Pixels
from jsnas.report.edge_chart import data_uri
from jsnas.report.markup import Html, el
from jsnas.report.run_files import RunFiles, get, number
from jsnas.report.svg_shapes import TIMES

FOLDER = "restored"
SCORES = "scores.json"  # in that folder: figures of the images, where no summary.json has them
KINDS = ("lq", "input", "restored", "truth")  # the suffixes of the files; ``lq`` only where it is smaller
_SIDE = 160
_BUDGET = 3_000_000  # characters of all crops together
_MOST_PIXELS = 40_000_000


@dataclass(frozen=True)
class Crop:
    """The same place of one image in every kind.

    Attributes:
        name: Name of the image.
        images: Kind to address of the crop.
        place: Left and top of the crop, in pixels of the truth.
    """

    name: str
    images: dict[str, str]
    place: tuple[int, int]


def read_crops(files: RunFiles) -> tuple[list[Crop], int]:
    """The crops of a run that restored images, and how many more images there are than fit into the page."""
    crops: list[Crop] = []
    size = left_out = 0
    for stem in _stems(files.folder / FOLDER):
        crop = _crop(files, stem) if size < _BUDGET else None
        if crop is None:
            left_out += size >= _BUDGET
            continue
        size += sum(map(len, crop.images.values()))
        if size >= _BUDGET and crops:
            left_out += 1
        else:
            crops.append(crop)
    return crops, left_out


def crop_figure(crop: Crop, score: dict[str, object] | None, is_sr: bool) -> Html:
    """The crops of an image with its figures, and the slider between two of them.

    Args:
        crop: The crops.
        score: The image's entry in ``summary.json``.
        is_sr: Whether the task is super-resolution, whose input was interpolated to the size of the truth.
    """
    before = "bicubic" if is_sr else "input"
    psnr = {"input": number(get(score, "psnr_input_db")), "restored": number(get(score, "psnr_db"))}
    words = {"lq": "input", "input": before, "restored": "ours", "truth": "truth"}
    cells = []
    for kind in KINDS:
        if kind not in crop.images:
            continue
        figure = psnr.get(kind)
        said = f"{figure:.2f} dB" if figure is not None else "\u00a0"
        image = el(
            "img", src=crop.images[kind], alt=f"{crop.name}, {words[kind]}", data_kind=kind, width=_SIDE, height=_SIDE
        )
        cells.append(el("figure", image, el("figcaption", el("b", words[kind]), " ", said)))
    slider = el(
        "div",
        el("div", el("img", class_="under", alt=""), el("img", class_="over", alt=""), class_="pair"),
        el("label", el("span", f"{before} | ours"), el("input", type="range", min="0", max="100", value="50")),
        class_="slider", hidden=True, data_left="input", data_right="restored",
    )  # fmt: skip
    left, top = crop.place
    title = el("h3", crop.name, " ", el("small", f"{_SIDE} {TIMES} {_SIDE} pixels at ({left}, {top})"))
    return el("article", title, el("div", el("div", cells, class_="crops"), slider, class_="cropset"))


def _stems(folder: Path) -> Iterator[str]:
    if folder.is_dir():
        yield from sorted(path.name.removesuffix("-restored.png") for path in folder.glob("*-restored.png"))


def _crop(files: RunFiles, stem: str) -> Crop | None:
    found: dict[str, Pixels] = {}
    for kind in KINDS:
        path = files.path(f"{FOLDER}/{stem}-{kind}.png")
        if path is not None and (image := _read(path)) is not None:
            found[kind] = image
        elif path is not None:
            files.problems.append(f"{FOLDER}/{stem}-{kind}.png cannot be read as a PNG.")
    full = [found[kind] for kind in ("input", "restored", "truth") if kind in found]
    if len(full) < 3 or len({image.shape[:2] for image in full}) != 1 or min(full[0].shape[:2]) < 16:
        files.problems.append(f"{FOLDER}/{stem}: input, restored and truth of one size are needed; not shown.")
        return None
    height, width = full[0].shape[:2]
    scale = 1
    if "lq" in found:
        small = found["lq"]
        scale = round(height / small.shape[0])
        if scale < 2 or (small.shape[0] * scale, small.shape[1] * scale) != (height, width):
            del found["lq"]
            scale = 1
    side = min(_SIDE, height, width) // scale * scale
    left, top = _liveliest(found["truth"], side, scale)
    images = {}
    for kind, image in found.items():
        s = scale if kind == "lq" else 1
        cut = image[top // s : (top + side) // s, left // s : (left + side) // s]
        images[kind] = data_uri(Image.fromarray(cut))
    return Crop(stem, images, (left, top))


def _read(path: Path) -> Pixels | None:
    try:
        with Image.open(path, formats=["PNG"]) as image:
            if image.width * image.height > _MOST_PIXELS:
                return None
            return np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _liveliest(truth: Pixels, side: int, step: int) -> tuple[int, int]:
    """Left and top of the crop with the most detail: the greatest sum of absolute differences between neighbours."""
    gray = truth.astype(np.float64).reshape(*truth.shape[:2], -1).mean(axis=2)
    detail = np.zeros_like(gray)
    detail[:, 1:] += np.abs(np.diff(gray, axis=1))
    detail[1:] += np.abs(np.diff(gray, axis=0))
    sums = np.pad(detail, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    boxes = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    stride = 8 // np.gcd(8, step) * step
    boxes = boxes[::stride, ::stride]
    top, left = np.unravel_index(int(boxes.argmax()), boxes.shape)
    return int(left) * stride, int(top) * stride
