"""PSNR, SSIM and the Y channel, against published figures, closed forms and scikit-image."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jsnas.data.degrade import jpeg
from jsnas.data.images import read_image
from jsnas.errors import InputError
from jsnas.metrics import psnr, quantize, rgb_to_y, ssim

# JPEG rows of Classic5: PSNR and uniform SSIM as in the paper's Table 11, Gaussian SSIM as measured with Wang's code.
CLASSIC5_JPEG = {
    10: (27.8211, 0.7800, 0.7595),
    20: (30.1233, 0.8541, 0.8344),
    30: (31.4840, 0.8844, 0.8666),
    40: (32.4284, 0.9011, 0.8849),
}

images = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=11, max_side=24))


@pytest.mark.parametrize("quality", CLASSIC5_JPEG)
def test_classic5_jpeg_rows(shared: Path, quality: int) -> None:
    rows = []
    for path in sorted((shared / "data/test/Classic5").glob("*.png")):
        gray = read_image(path, 1)
        decoded = jpeg(gray, quality)
        rows.append((psnr(decoded, gray), ssim(decoded, gray, "uniform8"), ssim(decoded, gray, "gaussian")))
    assert len(rows) == 5
    decibels, uniform, gaussian = np.mean(rows, axis=0)
    expected = CLASSIC5_JPEG[quality]
    assert decibels == pytest.approx(expected[0], abs=6e-5)
    assert uniform == pytest.approx(expected[1], abs=6e-5)
    assert gaussian == pytest.approx(expected[2], abs=6e-5)


@pytest.mark.parametrize(
    ("rgb", "y"), [((0, 0, 0), 16.0), ((255, 255, 255), 235.0), ((255, 0, 0), 81.481), ((0, 0, 255), 40.966)]
)
def test_y_of_known_colours(rgb: tuple[int, int, int], y: float) -> None:
    assert rgb_to_y(np.array([[rgb]], dtype=np.uint8))[0, 0] == pytest.approx(y, abs=1e-12)


def test_y_agrees_with_scikit_image_and_is_not_rounded() -> None:
    from skimage.color import rgb2ycbcr

    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    y = rgb_to_y(image)
    np.testing.assert_allclose(y, rgb2ycbcr(image)[..., 0], atol=1e-10)
    assert np.any(y != np.rint(y))


@given(difference=st.integers(1, 255))
def test_psnr_of_a_constant_difference(difference: int) -> None:
    a = np.zeros((4, 5), dtype=np.uint8)
    assert psnr(a, a + np.uint8(difference)) == pytest.approx(20 * math.log10(255 / difference))


@given(a=images)
def test_equal_images(a: np.ndarray) -> None:
    assert psnr(a, a) == math.inf
    assert ssim(a, a) == pytest.approx(1)
    assert ssim(a, a, "uniform8") == pytest.approx(1)


@given(a=images, seed=st.integers(0, 99))
def test_metrics_are_symmetric_and_ssim_is_at_most_one(a: np.ndarray, seed: int) -> None:
    b = np.random.default_rng(seed).permuted(a, axis=0)
    assert psnr(a, b) == psnr(b, a)
    for window in ("gaussian", "uniform8"):
        assert ssim(a, b, window) == pytest.approx(ssim(b, a, window))
        assert ssim(a, b, window) <= 1 + 1e-12


def test_box_ssim_by_its_definition() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 256, (2, 11, 10)).astype(np.float64)
    values = []
    for top in range(4):
        for left in range(3):
            x, y = a[top : top + 8, left : left + 8], b[top : top + 8, left : left + 8]
            covariance = np.mean((x - x.mean()) * (y - y.mean()))
            luminance = (2 * x.mean() * y.mean() + 6.5025) / (x.mean() ** 2 + y.mean() ** 2 + 6.5025)
            values.append(luminance * (2 * covariance + 58.5225) / (x.var() + y.var() + 58.5225))
    assert ssim(a, b, "uniform8") == pytest.approx(np.mean(values), abs=1e-12)


def test_gaussian_ssim_ignores_where_the_window_does_not_fit() -> None:
    # 11 x 11 pixels hold one window: its weighted moments, written out.
    rng = np.random.default_rng(2)
    a, b = rng.integers(0, 256, (2, 11, 11)).astype(np.float64)
    line = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    weight = np.outer(line, line) / line.sum() ** 2
    mean_a, mean_b = (weight * a).sum(), (weight * b).sum()
    variances = (weight * a * a).sum() - mean_a**2 + (weight * b * b).sum() - mean_b**2
    covariance = (weight * a * b).sum() - mean_a * mean_b
    expected = (2 * mean_a * mean_b + 6.5025) * (2 * covariance + 58.5225)
    expected /= (mean_a**2 + mean_b**2 + 6.5025) * (variances + 58.5225)
    assert ssim(a, b) == pytest.approx(expected, abs=1e-12)


def test_ssim_of_channels_is_their_mean() -> None:
    a, b = np.random.default_rng(3).integers(0, 256, (2, 16, 17, 3), dtype=np.uint8)
    for window in ("gaussian", "uniform8"):
        singles = [ssim(a[..., channel], b[..., channel], window) for channel in range(3)]
        assert ssim(a, b, window) == pytest.approx(np.mean(singles))


def test_quantize_clips_and_rounds_like_torch() -> None:
    values = np.array([-3.0, -0.5, 0.5, 1.5, 2.5, 254.5, 255.49, 300.0, 127.499], dtype=np.float32)
    assert quantize(values).tolist() == [0, 0, 0, 2, 2, 254, 255, 255, 127]
    np.testing.assert_array_equal(quantize(values), torch.from_numpy(values).round().clamp(0, 255).numpy())


def test_input_errors() -> None:
    small, other = np.zeros((7, 20)), np.zeros((8, 20))
    for call, words in [
        (lambda: psnr(small, other), "same shape"),
        (lambda: psnr(small[:0], small[:0]), "no pixel"),
        (lambda: ssim(small, small, "uniform8"), "8 x 8"),
        (lambda: ssim(other, other), "11 x 11"),
        (lambda: ssim(other, other, "gausian"), "gaussian"),
        (lambda: rgb_to_y(small), "H x W x 3"),
    ]:
        with pytest.raises(InputError, match=words):
            call()
