"""Planted figures: each is computed here by other code, in a known wrong way, and must be told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from skimage.metrics import structural_similarity

from jsnas.conventions import Score
from jsnas.data.degrade import downscale, upscale
from jsnas.data.images import write_png
from jsnas.errors import InputError
from jsnas.task import Task
from trainers.explain import (
    BOX_SSIM,
    NONE_OF_THESE,
    POOLED,
    PRESET,
    ConventionRow,
    ConventionSet,
    ConventionsTable,
    explain_restorer,
    explanations,
    nearest,
)

Plane = npt.NDArray[np.float64]
FILES = ("bird.png", "butterfly.png", "woman.png")


def luma(image: npt.NDArray[np.uint8]) -> Plane:
    return 16 + image.astype(float) @ np.array([65.481, 128.553, 24.966]) / 255


def full_luma(image: npt.NDArray[np.uint8]) -> Plane:
    return image.astype(float) @ np.array([0.299, 0.587, 0.114])


def decibels(a: Plane, b: Plane, border: int) -> float:
    inside = slice(border, -border if border else None)
    return float(10 * np.log10(255**2 / np.mean((a[inside, inside] - b[inside, inside]) ** 2)))


def planted(images: list[npt.NDArray[np.uint8]], scale: int) -> dict[str, float]:
    """Figures of bicubic interpolation in ways that are known by name."""

    def mean(
        convert: Callable[[npt.NDArray[np.uint8]], Plane], border: int, small: Callable[..., npt.NDArray[np.uint8]]
    ) -> float:
        pairs = [(convert(upscale(small(hq), scale)), convert(hq)) for hq in images]
        return float(np.mean([decibels(a, b, border) for a, b in pairs]))

    def right(hq: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        return downscale(hq, scale)

    def like_cv2(hq: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        x = torch.from_numpy(hq.astype(np.float32)).permute(2, 0, 1)[None]
        y = F.interpolate(x, scale_factor=1 / scale, mode="bicubic", align_corners=False)[0].permute(1, 2, 0)
        return y.numpy().round().clip(0, 255).astype(np.uint8)

    def lanczos(hq: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        size = (hq.shape[1] // scale, hq.shape[0] // scale)
        return np.array(Image.fromarray(hq).resize(size, Image.Resampling.LANCZOS))

    return {
        PRESET: mean(luma, scale, right),
        "Y rounded": mean(lambda image: np.round(luma(image)), scale, right),
        "full-range Y": mean(full_luma, scale, right),
        "RGB": mean(lambda image: image.astype(float), scale, right),
        "no border cut off": mean(luma, 0, right),
        "RGB, no border cut off": mean(lambda image: image.astype(float), 0, right),
        "LR by bicubic without anti-aliasing (cv2, torch)": mean(luma, scale, like_cv2),
        "LR by Lanczos (Pillow)": mean(luma, scale, lanczos),
    }


def interpolate(root: Path, scale: int, explain: float | None = None) -> ConventionsTable:
    return explain_restorer(lambda lq: upscale(lq, scale), root, Task("sr", scale=scale), explain)


@pytest.fixture(scope="module")
def images(shared: Path) -> list[npt.NDArray[np.uint8]]:
    pictures = [np.array(Image.open(shared / "data/test/Set5" / name))[:144, :144] for name in FILES]
    assert all(picture.shape == (144, 144, 3) for picture in pictures)
    return pictures


def test_planted_conventions_are_named(images: list[npt.NDArray[np.uint8]], tmp_path: Path) -> None:
    for number, picture in enumerate(images):
        write_png(tmp_path / f"{number}.png", picture)
    cases = named = 0
    for scale in (2, 3, 4):
        (entry,) = interpolate(tmp_path, scale).sets
        figures = planted(images, scale)
        for name, figure in figures.items():
            answer = explanations(entry.rows, round(figure, 2))
            same = [other for other, value in figures.items() if round(value, 2) == round(figure, 2)]
            cases += 1
            named += name in answer and set(same) <= set(answer) and len(answer) <= len(same) + 2
        # No convention is far above the best row, none lies in the widest gap between two rows.
        values = sorted(row.score.psnr_db for row in entry.rows)
        gap = int(np.argmax(np.diff(values)))
        for nowhere in (values[-1] + 0.05, (values[gap] + values[gap + 1]) / 2):
            assert explanations(entry.rows, round(nowhere, 2)) == ()
    assert cases == 24
    assert named >= 23


def test_ssim_can_be_explained_too(images: list[npt.NDArray[np.uint8]], tmp_path: Path) -> None:
    for number, picture in enumerate(images):
        write_png(tmp_path / f"{number}.png", picture)
    pairs = [(luma(upscale(downscale(hq, 2), 2))[2:-2, 2:-2], luma(hq)[2:-2, 2:-2]) for hq in images]
    gaussian = np.mean(
        [
            structural_similarity(a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255)
            for a, b in pairs
        ]
    )
    (entry,) = interpolate(tmp_path, 2).sets
    box = next(row for row in entry.rows if row.name == BOX_SSIM)
    assert explanations(entry.rows, round(float(gaussian), 4))[0] == PRESET
    assert box.score.ssim is not None
    assert explanations(entry.rows, round(box.score.ssim, 4)) == (BOX_SSIM,)
    assert explanations(entry.rows, 0.1234) == ()


def test_equal_figures_are_all_named_the_likeliest_first() -> None:
    names = (PRESET, "Y rounded", "RGB", BOX_SSIM, POOLED)
    figures = (30.004, 30.0052, 31.0, 30.004, 29.995)
    rows = tuple(ConventionRow(name, Score(figure, None)) for name, figure in zip(names, figures, strict=True))
    assert explanations(rows, 30.0) == (PRESET, POOLED, "Y rounded")  # the last rounds to 30.01, by very little
    assert explanations(rows, 30.01) == ("Y rounded",)
    assert explanations(rows, 30.004) == (PRESET,)  # three decimals were given
    assert explanations(rows, 30.5) == ()
    assert nearest(rows, 30.5) == ("Y rounded", 30.0052) and nearest(rows, 12.0)[0] == POOLED
    table = ConventionsTable(Task("sr", 2), 30.5, (ConventionSet("Set5", rows, ()),)).table()
    assert "explained by: none of these.\n  The nearest is 30.005: Y rounded." in table


def test_gray_images_have_their_row_and_the_report_says_all(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    write_png(tmp_path / "gray.png", rng.integers(0, 256, (32, 32, 1), dtype=np.uint8))
    write_png(tmp_path / "colour.png", rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
    table = interpolate(tmp_path, 2, explain=99.0)
    (entry,) = table.sets
    by_name = {row.name: row.score.psnr_db for row in entry.rows}
    gain = by_name["gray images scored as gray"] - by_name[PRESET]
    assert gain == pytest.approx(10 * np.log10(219 / 255), abs=1e-6)  # one image of two: half of 20 log10
    assert NONE_OF_THESE in table.table()
    assert table.to_dict()["results"][0]["explained_by"] == [NONE_OF_THESE]
    assert "LR by MATLAB's bicubic, not the files" not in by_name  # there are no files
    (tmp_path / "gray.png").unlink()
    assert "gray images scored as gray" not in {row.name for row in interpolate(tmp_path, 2).sets[0].rows}


@pytest.mark.parametrize("task", [Task("denoise", sigma=70.0), Task("deblock", quality=10)])
def test_gray_tasks_have_rows_of_their_own(tmp_path: Path, task: Task) -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    write_png(tmp_path / "a.png", image)
    done: list[tuple[int, int]] = []
    (entry,) = explain_restorer(lambda lq: lq, tmp_path, task, progress=lambda *x: done.append(x)).sets
    by_name = {row.name: row.score.psnr_db for row in entry.rows}
    assert done == [(1, 1)]
    if task.name == "denoise":
        # The score clips the output anyway, so for the identity the clipped input changes nothing.
        assert by_name["noisy input clipped"] == pytest.approx(by_name[PRESET])
        assert "studio-range Y instead of gray" in by_name
    else:
        assert by_name["MATLAB's gray instead of Y"] != by_name[PRESET]


def test_reported_figures_that_are_none(tmp_path: Path) -> None:
    from jsnas.genotype import Genotype
    from jsnas.network import JSNet, NetworkSettings
    from trainers.explain import conventions_table

    network = JSNet(Genotype.from_names("sr", ["skip"], []), NetworkSettings(3, 2, 1, channels=4, inner_channels=2))
    for wrong in (-1.0, 0.0, 1000.0, float("nan")):
        with pytest.raises(InputError, match="PSNR"):
            conventions_table(network, tmp_path, Task("sr", scale=2), explain=wrong)
    write_png(tmp_path / "a.png", np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    names = [
        row.name for row in conventions_table(network, tmp_path, Task("sr", scale=2), self_ensemble=True).sets[0].rows
    ]
    assert "x8 self-ensemble" in names
