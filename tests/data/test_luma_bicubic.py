"""MATLAB's resize in floats; the published rows it gives are in tests/trainers/test_reproduce.py."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jsnas.data.degrade import downscale, upscale
from jsnas.data.luma_bicubic import imresize, luma_bicubic
from jsnas.errors import InputError


@settings(max_examples=30)
@given(height=st.integers(4, 30), width=st.integers(4, 30), scale=st.sampled_from([2, 3, 4]), seed=st.integers(0, 99))
def test_it_is_the_8_bit_resize_but_for_rounding(height: int, width: int, scale: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    lq = rng.integers(100, 156, (height, width, 1), dtype=np.uint8)  # no overshoot is clipped
    hq = rng.integers(100, 156, (height * scale, width * scale, 1), dtype=np.uint8)
    # Two roundings to 8 bits and their passage through the kernel: below 1.5.
    assert np.abs(imresize(lq[..., 0].astype(float), scale) - upscale(lq, scale)[..., 0]).max() < 1.5
    assert np.abs(imresize(hq[..., 0].astype(float), 1 / scale) - downscale(hq, scale)[..., 0]).max() < 1.5


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_ramps_are_kept_inside(scale: int) -> None:
    ramp = np.add.outer(np.arange(60.0), 2 * np.arange(72.0))
    small = imresize(ramp, 1 / scale)
    assert small.shape == (60 // scale, 72 // scale)
    # Pixel centres: output pixel i lies at scale * (i + 1/2) - 1/2.
    rows, columns = ((np.arange(side // scale) + 0.5) * scale - 0.5 for side in ramp.shape)
    inside = slice(3, -3)
    np.testing.assert_allclose(small[inside, inside], np.add.outer(rows, 2 * columns)[inside, inside], atol=1e-9)


def test_input_errors() -> None:
    for call, words in (
        (lambda: imresize(np.zeros((3, 3, 1)), 2), "one plane"),
        (lambda: luma_bicubic(np.zeros((9, 9, 1), dtype=np.uint8), 2), "divides"),
        (lambda: luma_bicubic(np.zeros((8, 8, 3), dtype=np.uint8), 2), "H x W x 1"),
    ):
        with pytest.raises(InputError, match=words):
            call()
