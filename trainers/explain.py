"""Recipe: score one network under the conventions that people mix up, and say which one a reported figure follows.

Every row but the first deviates from the task's preset in one way (a few common pairs in two). Rows that need other
inputs run the network again; all others score the same outputs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from jsnas.conventions import Convention, Score, is_gray, preset
from jsnas.data.benchmarks import BenchmarkSet, LoadedPair, find_benchmark, load_pair
from jsnas.data.degrade import degrade
from jsnas.data.folders import ImagePair
from jsnas.data.images import read_image
from jsnas.data.resizers import OTHER_RESIZERS
from jsnas.errors import InputError
from jsnas.metrics import BT601, quantize, rgb_to_y
from jsnas.network import JSNet
from jsnas.task import Task
from trainers.evaluate import Progress, Restorer, cumulative, mean_score, network_restorer

PRESET = "preset"
POOLED = "PSNR of the pooled error, not the mean of PSNRs"
BOX_SSIM = "8x8 box window for SSIM"
SELF_ENSEMBLE = "x8 self-ensemble"
NONE_OF_THESE = "none of these"

# Half a unit of the last printed digit, and a little for other machines' arithmetic.
_ARITHMETIC = {"psnr_db": 5e-4, "ssim": 5e-6}

InputVariant = Callable[[ImagePair, LoadedPair], LoadedPair | None]  # None where it does not apply to an image


@dataclass(frozen=True)
class ConventionRow:
    """The figures of a set under one convention."""

    name: str
    score: Score


@dataclass(frozen=True)
class ConventionSet:
    """One set under all conventions.

    Attributes:
        dataset: Its name.
        rows: The preset first.
        explained_by: Names of the rows that give the reported figure when rounded as it was printed, the likeliest
            first; empty for none of these; None where no figure was given.
    """

    dataset: str
    rows: tuple[ConventionRow, ...]
    explained_by: tuple[str, ...] | None


@dataclass(frozen=True)
class ConventionsTable:
    """What ``conventions_table`` measured.

    Attributes:
        task: What was undone.
        explain: The reported figure, if one was given.
        sets: One entry a set.
    """

    task: Task
    explain: float | None
    sets: tuple[ConventionSet, ...]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "format": "jsnas-conventions/1",
            "task": self.task.to_dict(),
            "explain": self.explain,
            "results": [
                {
                    "dataset": entry.dataset,
                    "explained_by": None if entry.explained_by is None else list(entry.explained_by or [NONE_OF_THESE]),
                    "rows": [
                        {"convention": row.name, "psnr_db": row.score.psnr_db, "ssim": row.score.ssim}
                        for row in entry.rows
                    ],
                }
                for entry in self.sets
            ],
        }

    def to_json(self) -> str:
        """``to_dict`` as indented JSON."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def table(self) -> str:
        """The figures as text, differences to the preset beside them, and the explanation."""
        lines = []
        for entry in self.sets:
            first = entry.rows[0].score
            width = max(len(row.name) for row in entry.rows)
            lines += [f"{entry.dataset}, {self.task.label}", f"  {'convention':<{width}}  PSNR dB  to preset    SSIM"]
            for row in entry.rows:
                difference = row.score.psnr_db - first.psnr_db
                ssim = f"{row.score.ssim:.4f}" if row.score.ssim is not None else "-"
                lines.append(f"  {row.name:<{width}}  {row.score.psnr_db:7.3f}  {difference:+9.3f}  {ssim:>6}")
            if entry.explained_by is not None:
                names = "; or ".join(entry.explained_by or [NONE_OF_THESE])
                lines.append(f"  A figure of {self.explain} is explained by: {names}.")
                if not entry.explained_by and self.explain is not None:
                    name, figure = nearest(entry.rows, self.explain)
                    lines.append(f"  The nearest is {figure:.3f}: {name}.")
            lines.append("")
        return "\n".join(lines)


def conventions_table(
    network: JSNet,
    root: Path,
    task: Task,
    explain: float | None = None,
    self_ensemble: bool = False,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> ConventionsTable:
    """Scores a network on all sets below a folder under every convention.

    Args:
        network: The network; it is moved to ``device``.
        root: As for ``evaluate``.
        task: Which degradation is undone.
        explain: A reported figure: PSNR in dB, or SSIM if it is at most 1. It is taken to be rounded to two decimals
            (SSIM: four), or to as many as it has if those are more.
        self_ensemble: Whether the x8 self-ensemble gets a row; it takes eight runs.
        device: Where to compute; None for the CPU.
        progress: Called after every image.

    Raises:
        InputError: As ``evaluate``, or if the reported figure is no PSNR or SSIM.
    """
    if explain is not None and not 0 < explain < 200:
        raise InputError(f"A figure of {explain} was given to explain; give a PSNR in dB such as 37.91, or an SSIM.")
    device = device or torch.device("cpu")
    restore = network_restorer(network, task, False, device)
    ensemble = network_restorer(network, task, True, device) if self_ensemble else None
    return explain_restorer(restore, root, task, explain, ensemble, progress)


def explain_restorer(
    restore: Restorer,
    root: Path,
    task: Task,
    explain: float | None = None,
    ensemble: Restorer | None = None,
    progress: Progress | None = None,
) -> ConventionsTable:
    """``conventions_table`` for any function that restores an image, such as an interpolation."""
    sets: list[ConventionSet] = []
    benchmarks = find_benchmark(root, task)
    total, done = sum(len(found.pairs) for found in benchmarks), 0
    for found in benchmarks:
        rows = _measure(restore, ensemble, found, task, cumulative(progress, done, total))
        done += len(found.pairs)
        sets.append(ConventionSet(found.name, rows, None if explain is None else explanations(rows, explain)))
    return ConventionsTable(task, explain, tuple(sets))


def nearest(rows: tuple[ConventionRow, ...], reported: float) -> tuple[str, float]:
    """Name and figure of the row that comes nearest to a PSNR, or to an SSIM if it is at most 1."""
    kind = "psnr_db" if reported > 1 else "ssim"
    figures = {row.name: float(value) for row in rows if (value := getattr(row.score, kind)) is not None}
    return min(figures.items(), key=lambda item: abs(item[1] - reported))


def explanations(rows: tuple[ConventionRow, ...], reported: float) -> tuple[str, ...]:
    """Names of the rows whose figure is the reported one within its rounding.

    Several rows can agree; nothing in the figure tells them apart, so those come first that round to it exactly, and
    among them the more common convention (the order of the rows).
    """
    metric = "ssim" if reported <= 1 else "psnr_db"
    digits = max(4 if metric == "ssim" else 2, len(f"{reported!r}".partition(".")[2]))
    matches = []
    for order, row in enumerate(rows):
        figure = row.score.ssim if metric == "ssim" else row.score.psnr_db
        # A row that differs in the other metric only explains nothing that the preset does not.
        if figure is None or row.name == (POOLED if metric == "ssim" else BOX_SSIM):
            continue
        if abs(figure - reported) <= 0.5 * 10.0**-digits + _ARITHMETIC[metric]:
            matches.append((round(figure, digits) != reported, order, row.name))
    return tuple(name for _, _, name in sorted(matches))


def scoring_conventions(task: Task) -> dict[str, Convention]:
    """The conventions that score the same outputs, by name, the preset first and the more common ones earlier."""
    base = preset(task)
    borders = sorted({4, 6, 8, task.scale + 6} - {task.scale})
    named: dict[str, Convention] = {PRESET: base}
    if task.name == "sr":
        named |= {
            "Y rounded": replace(base, channel="y_rounded"),
            "full-range Y": replace(base, channel="y_full"),
            "RGB": replace(base, channel="rgb"),
            "no border cut off": replace(base, border=0),
            "gray images scored as gray": replace(base, gray_images="as_gray"),
            "RGB, no border cut off": replace(base, channel="rgb", border=0),
            "Y rounded, no border cut off": replace(base, channel="y_rounded", border=0),
            "full-range Y, no border cut off": replace(base, channel="y_full", border=0),
        }
    named |= {
        "output not rounded": replace(base, quantized=False),
        **{f"border of {border} cut off": replace(base, border=border) for border in borders},
        BOX_SSIM: replace(base, ssim_window="uniform8"),
    }
    return {name: replace(convention, name=name) for name, convention in named.items()}


def input_variants(task: Task) -> dict[str, InputVariant]:
    """Other ways to make the pairs, by name."""
    if task.name == "sr":
        return {
            "LR by MATLAB's bicubic, not the files": _made_by_preset(task),
            **{name: _resized(resizer, task.scale) for name, resizer in OTHER_RESIZERS.items()},
        }
    if task.name == "denoise":
        return {
            "noisy input clipped": lambda pair, loaded: replace(loaded, lq=np.clip(loaded.lq, 0, 255)),
            "noisy input clipped and rounded": lambda pair, loaded: replace(loaded, lq=quantize(loaded.lq)),
            "studio-range Y instead of gray": _from_colour(task, rgb_to_y),
        }
    return {
        "MATLAB's gray instead of Y": _from_colour(task, None),
        "full-range Y instead of studio range": _from_colour(task, lambda rgb: rgb @ np.array(BT601)),
    }


def _measure(
    restore: Restorer, ensemble: Restorer | None, found: BenchmarkSet, task: Task, progress: Progress | None
) -> tuple[ConventionRow, ...]:
    conventions, variants = scoring_conventions(task), input_variants(task)
    scores: dict[str, list[Score]] = {name: [] for name in (*conventions, SELF_ENSEMBLE, *variants)}
    applied, any_gray = set(conventions), False
    for number, pair in enumerate(found.pairs, start=1):
        loaded = load_pair(pair, task)
        any_gray |= task.name == "sr" and is_gray(loaded.hq)
        try:
            restored = restore(loaded.lq)
            for name, convention in conventions.items():
                scores[name].append(convention.score(restored, loaded.hq, task.scale))
            for name, variant in variants.items():
                other = variant(pair, loaded)
                if other is not None:
                    applied.add(name)
                    score = conventions[PRESET].score(restore(other.lq), other.hq, task.scale)
                else:
                    score = scores[PRESET][-1]
                scores[name].append(score)
            if ensemble is not None:
                applied.add(SELF_ENSEMBLE)
                scores[SELF_ENSEMBLE].append(conventions[PRESET].score(ensemble(loaded.lq), loaded.hq, task.scale))
        except InputError as error:
            raise InputError(f"At '{pair.hq}': {error}") from error
        if progress:
            progress(number, len(found.pairs))
    if not any_gray:
        applied.discard("gray images scored as gray")
    rows = [ConventionRow(name, mean_score(values)) for name, values in scores.items() if name in applied]
    if len(found.pairs) > 1:
        rows.append(ConventionRow(POOLED, _pooled(scores[PRESET])))
    return tuple(rows)


def _pooled(scores: list[Score]) -> Score:
    errors = [10.0 ** (-score.psnr_db / 10.0) for score in scores]
    return Score(float(-10.0 * np.log10(np.mean(errors))), mean_score(scores).ssim)


def _resized(resizer: Callable[[npt.NDArray[np.uint8], int], npt.NDArray[np.uint8]], scale: int) -> InputVariant:
    return lambda pair, loaded: replace(loaded, lq=resizer(loaded.hq, scale))


def _made_by_preset(task: Task) -> InputVariant:
    def make(pair: ImagePair, loaded: LoadedPair) -> LoadedPair | None:
        return None if pair.lq is None else load_pair(replace(pair, lq=None), task)

    return make


def _from_colour(task: Task, gray: Callable[[npt.NDArray[Any]], npt.NDArray[Any]] | None) -> InputVariant:
    """Colour files made gray by ``gray``, or by MATLAB's ``rgb2gray`` for None; gray files do not apply."""

    def make(pair: ImagePair, loaded: LoadedPair) -> LoadedPair | None:
        rgb = read_image(pair.hq, 3)
        if is_gray(rgb):
            return None
        hq = read_image(pair.hq, 1) if gray is None else quantize(gray(rgb))[..., None]
        return LoadedPair(pair.name, hq, degrade(hq, task, np.random.default_rng(0)))

    return make
