"""Recipe: score a network on benchmark sets, image by image, beside the degraded input itself.

Everything that could move a figure is in the report: the convention, the hashes of the pixels, and whether the
low-quality images were read or made.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from jsnas.conventions import Convention, Score, preset
from jsnas.data.benchmarks import BenchmarkSet, DataHash, LoadedPair, find_benchmark, load_pair
from jsnas.data.degrade import upscale
from jsnas.errors import InputError
from jsnas.network import JSNet
from jsnas.restore import restore_array
from jsnas.restore import self_ensemble as restore_ensemble
from jsnas.task import Task

Restorer = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]  # low-quality H x W x C to sH x sW x C, 0-255
Progress = Callable[[int, int], None]  # images done, images in all


@dataclass(frozen=True)
class ImageResult:
    """Figures of one image.

    Attributes:
        name: Its name in the set.
        width: Width of the original in pixels, after cropping to a multiple of the scale.
        height: Its height.
        score: The restored image against the original; None where no network ran.
        input_score: The input against the original, enlarged by bicubic interpolation for super-resolution.
    """

    name: str
    width: int
    height: int
    score: Score | None
    input_score: Score


@dataclass(frozen=True)
class SetResult:
    """Figures of a set: means over its images, and the images.

    Attributes:
        dataset: The set's name.
        task: What was undone, the level included.
        convention: How it was scored.
        lq_source: ``"files"`` or ``"made"``.
        lq_as_preset: Whether every low-quality image is what the preset makes of its original, to the last bit;
            so it is with ``"made"`` and with files that MATLAB made.
        hq_sha256: Hash of the high-quality pixels, independent of names and order.
        sha256: Hash of names, high- and low-quality pixels.
        images: Per image.
    """

    dataset: str
    task: Task
    convention: Convention
    lq_source: str
    lq_as_preset: bool
    hq_sha256: str
    sha256: str
    images: tuple[ImageResult, ...]

    @property
    def score(self) -> Score | None:
        """Mean over the images; None where no network ran."""
        scores = [image.score for image in self.images if image.score is not None]
        return mean_score(scores) if scores else None

    @property
    def input_score(self) -> Score:
        """Mean of the inputs' figures."""
        return mean_score([image.input_score for image in self.images])

    def to_dict(self) -> dict[str, Any]:
        """One entry of ``results``, and everything that says how it came about."""
        level = self.task.to_dict()
        if self.task.name != "sr":
            level.pop("scale")
        entry: dict[str, Any] = {"dataset": self.dataset, "task": level.pop("name"), **level}
        entry |= {**_figures(self.score), "images": len(self.images), "convention": self.convention.name}
        entry[self.baseline_name] = _figures(self.input_score)
        entry |= {"lq_source": self.lq_source, "lq_as_preset": self.lq_as_preset}
        entry |= {"hq_sha256": self.hq_sha256, "sha256": self.sha256}
        entry["per_image"] = [
            {
                "name": image.name,
                "width": image.width,
                "height": image.height,
                **_figures(image.score),
                self.baseline_name: _figures(image.input_score),
            }
            for image in self.images
        ]
        return entry

    @property
    def baseline_name(self) -> str:
        """What the input's figures are called: ``bicubic`` for super-resolution, else ``input``."""
        return "bicubic" if self.task.name == "sr" else "input"


@dataclass(frozen=True)
class EvaluationReport:
    """What ``evaluate`` measured.

    Attributes:
        task: What was undone.
        convention: How it was scored.
        self_ensemble: Whether every figure is of the x8 self-ensemble.
        sets: One entry a set.
    """

    task: Task
    convention: Convention
    self_ensemble: bool
    sets: tuple[SetResult, ...]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON; a figure that is infinite (equal images) or was not measured is null."""
        convention = self.convention
        return {
            "format": "jsnas-evaluation/1",
            "task": self.task.to_dict(),
            "convention": {
                "name": convention.name,
                "channel": convention.channel,
                "border": convention.border_pixels(self.task.scale),
                "ssim_window": convention.ssim_window,
                "quantized": convention.quantized,
                "gray_images": convention.gray_images,
            },
            "self_ensemble": self.self_ensemble,
            "results": [entry.to_dict() for entry in self.sets],
        }

    def to_json(self) -> str:
        """``to_dict`` as indented JSON."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n"

    def table(self, per_image: bool = True) -> str:
        """The figures as text, a block a set; ``per_image`` lists the images above the means."""
        lines = [
            f"{self.task.label}, convention '{self.convention.name}'"
            + (", x8 self-ensemble" if self.self_ensemble else "")
        ]
        for entry in self.sets:
            source = "made here" if entry.lq_source == "made" else "from files"
            source += "" if entry.lq_as_preset else ", NOT as the preset makes them"
            lines += ["", f"{entry.dataset}: {len(entry.images)} images, inputs {source}, data {entry.sha256[:12]}"]
            width = max(len(name) for name in ("image", *(image.name for image in entry.images)))
            head = "  ".join(f"{title:>7}" for title in ("PSNR dB", "SSIM", entry.baseline_name, "SSIM"))
            lines.append(f"  {'image':<{width}}  {head}")
            if per_image:
                lines += [_line(image.name, width, image.score, image.input_score) for image in entry.images]
            lines.append(_line("mean", width, entry.score, entry.input_score))
        return "\n".join(lines) + "\n"


def evaluate(
    network: JSNet,
    root: Path,
    task: Task,
    convention: Convention | None = None,
    self_ensemble: bool = False,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> EvaluationReport:
    """Scores a network on all sets below a folder.

    Args:
        network: The network; it is moved to ``device``.
        root: A set in one of the layouts of ``find_benchmark``, or a folder of several.
        task: Which degradation is undone.
        convention: How to score; None for the task's preset.
        self_ensemble: Whether to average over the eight flips and rotations.
        device: Where to compute; None for the CPU.
        progress: Called after every image.

    Raises:
        InputError: If the network is of another task or scale, there is no set, or an image is too small.
    """
    device = device or torch.device("cpu")
    restore = network_restorer(network, task, self_ensemble, device)
    convention = convention or preset(task)
    sets = find_benchmark(root, task)
    total, done, results = sum(len(found.pairs) for found in sets), 0, []
    for found in sets:
        results.append(score_set(found, task, convention, restore, cumulative(progress, done, total)))
        done += len(found.pairs)
    return EvaluationReport(task, convention, self_ensemble, tuple(results))


def network_restorer(network: JSNet, task: Task, self_ensemble: bool, device: torch.device) -> Restorer:
    """The function that restores an image with a network.

    Raises:
        InputError: If the network is of another task or scale.
    """
    settings = network.settings
    if (settings.image_channels, settings.scale) != (task.image_channels, task.scale):
        raise InputError(
            f"The network takes {settings.image_channels} channels and enlarges {settings.scale} times, but task "
            f"{task.label} asks for {task.image_channels} and {task.scale} times; give a checkpoint of that task."
        )
    network.to(device)
    run = restore_ensemble if self_ensemble else restore_array
    return lambda lq: run(network, lq, device)


def score_set(
    found: BenchmarkSet,
    task: Task,
    convention: Convention,
    restore: Restorer | None,
    progress: Progress | None = None,
) -> SetResult:
    """Scores one set; without ``restore`` only the inputs are scored.

    Raises:
        InputError: If an image cannot be read or is too small; the sentence names it.
    """
    images, hashes, as_preset = [], DataHash(), True
    for number, pair in enumerate(found.pairs, start=1):
        loaded = load_pair(pair, task)
        hashes.add(loaded)
        if pair.lq is not None:
            as_preset &= np.array_equal(loaded.lq, load_pair(replace(pair, lq=None), task).lq)
        try:
            score = convention.score(restore(loaded.lq), loaded.hq, task.scale) if restore else None
            input_score = convention.score(baseline(loaded, task), loaded.hq, task.scale)
        except InputError as error:
            raise InputError(f"At '{pair.hq}': {error}") from error
        images.append(ImageResult(pair.name, loaded.hq.shape[1], loaded.hq.shape[0], score, input_score))
        if progress:
            progress(number, len(found.pairs))
    source = found.lq_source
    return SetResult(found.name, task, convention, source, as_preset, hashes.hq, hashes.pairs, tuple(images))


def baseline(loaded: LoadedPair, task: Task) -> npt.NDArray[Any]:
    """The input at the size of the original: enlarged by MATLAB's bicubic for super-resolution, else as it is."""
    return upscale(loaded.lq, task.scale) if task.name == "sr" else loaded.lq


def mean_score(scores: Sequence[Score]) -> Score:
    """The mean of PSNR in dB and of SSIM over images, as all tables give it."""
    ssims = [score.ssim for score in scores if score.ssim is not None]
    psnr_db = float(np.mean([score.psnr_db for score in scores]))
    return Score(psnr_db, float(np.mean(ssims)) if len(ssims) == len(scores) else None)


def _figures(score: Score | None) -> dict[str, float | None]:
    psnr_db = score.psnr_db if score is not None and math.isfinite(score.psnr_db) else None
    return {"psnr_db": psnr_db, "ssim": None if score is None else score.ssim}


def _line(name: str, width: int, score: Score | None, baseline: Score) -> str:
    cells = [
        f"{value:>7.{digits}f}" if value is not None else f"{'-':>7}"
        for one in (score, baseline)
        for value, digits in ((one.psnr_db if one else None, 3), (one.ssim if one else None, 4))
    ]
    return f"  {name:<{width}}  " + "  ".join(cells)


def cumulative(progress: Progress | None, done: int, total: int) -> Progress | None:
    """Progress within one set as progress over all, after ``done`` images of ``total``."""
    if progress is None:
        return None
    report = progress
    return lambda number, _: report(done + number, total)
