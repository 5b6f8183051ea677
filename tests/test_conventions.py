"""Scores by closed forms: what a known error must give under each convention."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from jsnas.conventions import Convention, deviating, is_gray, preset
from jsnas.errors import InputError
from jsnas.task import Task

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(20, 230, (40, 36, 3), dtype=np.uint8)
GRAY = COLOUR[..., :1]
SR = preset(Task("sr", scale=2))


def decibels(error: float) -> float:
    return float(20 * np.log10(255 / error))


@pytest.mark.parametrize(
    ("channel", "error"), [("y", 219 / 255), ("y_full", 1.0), ("rgb", 1.0)]
)  # one more on every value: studio-range luma spans 219 of 255 steps
def test_an_offset_of_one(channel: str, error: float) -> None:
    convention = replace(SR, channel=channel)
    assert convention.score(COLOUR + np.uint8(1), COLOUR, 2).psnr_db == pytest.approx(decibels(error), abs=1e-9)


def test_rounded_luma_is_matlabs_uint8() -> None:
    planes = replace(SR, channel="y_rounded", border=0).planes(COLOUR, 2)
    exact = replace(SR, border=0).planes(COLOUR, 2)
    assert np.array_equal(planes, np.rint(planes))
    assert np.abs(planes - exact).max() <= 0.5
    white, black = (np.full((12, 12, 3), value, dtype=np.uint8) for value in (255, 0))
    assert replace(SR, border=0).planes(white, 2)[0, 0] == pytest.approx(235)
    assert replace(SR, border=0).planes(black, 2)[0, 0] == 16


def test_border_is_left_out() -> None:
    wrong = COLOUR.copy()
    wrong[:3], wrong[:, -3:] = 0, 255
    assert replace(SR, border=3).score(wrong, COLOUR, 2) == replace(SR, border=3).score(COLOUR, COLOUR, 2)
    assert SR.score(wrong, COLOUR, 3).psnr_db == np.inf
    for convention, scale in ((SR, 2), (replace(SR, border=0), 3), (replace(SR, border=2), 3)):
        assert convention.score(wrong, COLOUR, scale).psnr_db < 60
    assert SR.score(COLOUR, COLOUR, 2).ssim == pytest.approx(1)


def test_output_is_clipped_and_rounded() -> None:
    restored = COLOUR + np.float32(0.4)
    assert SR.score(restored, COLOUR, 2).psnr_db == np.inf
    unrounded = replace(SR, quantized=False, channel="rgb").score(restored, COLOUR, 2)
    assert unrounded.psnr_db == pytest.approx(decibels(0.4), abs=1e-3)
    white = np.full((20, 20, 3), 255, dtype=np.uint8)
    for convention in (SR, replace(SR, quantized=False)):
        assert convention.score(white + np.float32(30), white, 2).psnr_db == np.inf


def test_gray_images_by_both_treatments() -> None:
    hq = np.repeat(GRAY, 3, axis=2)
    as_rgb, as_gray = (replace(SR, gray_images=name).score(hq + np.uint8(1), hq, 2) for name in ("as_rgb", "as_gray"))
    assert as_rgb.psnr_db - as_gray.psnr_db == pytest.approx(decibels(219) - decibels(255), abs=1e-9)
    assert as_gray.psnr_db == pytest.approx(decibels(1), abs=1e-9)
    colour = [replace(SR, gray_images=name).score(COLOUR + np.uint8(1), COLOUR, 2) for name in ("as_rgb", "as_gray")]
    assert colour[0] == colour[1]
    assert is_gray(hq) and is_gray(GRAY) and not is_gray(COLOUR)


@pytest.mark.parametrize("task", [Task("denoise", sigma=30.0), Task("deblock", quality=10)])
def test_gray_tasks_score_the_whole_image(task: Task) -> None:
    convention = preset(task)
    wrong = GRAY.copy()
    wrong[0, 0, 0] += 10
    expected = 10 * np.log10(255**2 * GRAY.size / 100)
    assert convention.score(wrong, GRAY, 1).psnr_db == pytest.approx(expected, abs=1e-9)
    assert convention.score(wrong, GRAY, 1, with_ssim=False).ssim is None
    with pytest.raises(InputError, match="colour"):
        convention.score(COLOUR, COLOUR, 1)


def test_ssim_window_has_a_name() -> None:
    noisy = np.clip(GRAY + RNG.normal(0, 10, GRAY.shape), 0, 255)
    convention = preset(Task("deblock", quality=10))
    gaussian, box = (replace(convention, ssim_window=name).score(noisy, GRAY, 1) for name in ("gaussian", "uniform8"))
    assert gaussian.psnr_db == box.psnr_db
    assert gaussian.ssim != box.ssim


def test_deviations_are_in_the_name() -> None:
    task = Task("sr", scale=2)
    assert deviating(task) == deviating(task, channel="y", border="scale", quantized=True) == SR
    assert deviating(task, channel="rgb", border=0) == Convention("sr, channel=rgb, border=0", "rgb", border=0)
    assert deviating(task, quantized=False).name == "sr, quantized=False"
    with pytest.raises(InputError, match="channel"):
        deviating(task, channel="luma")  # type: ignore[arg-type]


def test_input_errors() -> None:
    for call, words in (
        (lambda: SR.score(COLOUR[:-1], COLOUR, 2), "must agree"),
        (lambda: SR.score(COLOUR[:4], COLOUR[:4], 2), "nothing left"),
        (lambda: SR.score(COLOUR[:12], COLOUR[:12], 2), "at least 11"),
        (lambda: SR.score(COLOUR[..., 0], COLOUR[..., 0], 2), "H x W x 1"),
        (lambda: SR.score(COLOUR * np.float32(np.nan), COLOUR, 2), "not finite"),
        (lambda: replace(SR, channel="luma"), "Unknown channel"),
        (lambda: replace(SR, border=-1), "border"),
        (lambda: replace(SR, ssim_window="box"), "window"),
        (lambda: Convention("x", "y", gray_images="none"), "gray images"),
    ):
        with pytest.raises(InputError, match=words):
            call()
