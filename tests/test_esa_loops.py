"""The small map of enhanced spatial attention by the loops in C, against torch's own operations in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from jsnas.fast.inference.gated_sum import EnlargedGate
from jsnas.native import esa
from jsnas.native.library import compiled, last

pytestmark = pytest.mark.skipif(not compiled(), reason="the loops were not compiled: there was no compiler")


def narrow_map(images: int, channels: int, height: int, width: int) -> Tensor:
    """A part of a map of more channels, as the loops are to read it."""
    return last(torch.randn(images, channels + 8, height, width))[:, 4 : channels + 4]


def assert_close(found: Tensor, expected: Tensor) -> None:
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max().clamp_min(1)


@pytest.mark.parametrize("channels", [4, 8, 12, 16, 24])
@pytest.mark.parametrize("size", [(3, 3), (4, 8), (15, 33), (40, 37), (255, 64)])
def test_convolution_of_stride_two(channels: int, size: tuple[int, int], vectors: None) -> None:
    torch.manual_seed(0)
    x, kernel, bias = narrow_map(2, channels, *size), torch.randn(channels, channels, 3, 3), torch.randn(channels)
    assert_close(esa.shrink(x, kernel, bias), F.conv2d(x.double(), kernel.double(), bias.double(), 2))


@pytest.mark.parametrize("channels", [4, 8, 12, 16])
def test_enlarging_whole_maps(channels: int, vectors: None) -> None:
    torch.manual_seed(0)
    for small_size, size in (((1, 1), (15, 16)), ((2, 5), (19, 33)), ((41, 7), (256, 50)), ((9, 9), (5, 4))):
        small, narrow = torch.randn(3, channels, *small_size), narrow_map(3, channels, *size)
        found = esa.enlarge(small, 0, small_size[0], narrow, 0, size[0])
        assert_close(found, F.interpolate(small.double(), size, mode="bilinear", align_corners=False) + narrow)


@settings(max_examples=60)
@given(
    channels=st.sampled_from([4, 8]),
    small_size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    size=st.tuples(st.integers(1, 60), st.integers(1, 20)),
    data=st.data(),
)
def test_enlarging_some_rows(
    channels: int, small_size: tuple[int, int], size: tuple[int, int], data: st.DataObject
) -> None:
    torch.manual_seed(0)
    small, narrow = torch.randn(1, channels, *small_size), narrow_map(1, channels, *size)
    start = data.draw(st.integers(0, size[0] - 1))
    stop = data.draw(st.integers(start + 1, size[0]))
    first, end = EnlargedGate.rows_of(size[0], small_size[0], start, stop)
    found = esa.enlarge(small[:, :, first:end], first, small_size[0], narrow[:, :, start:stop], start, size[0])
    whole = F.interpolate(small.double(), size, mode="bilinear", align_corners=False) + narrow
    assert_close(found, whole[:, :, start:stop])


def test_which_maps_are_for_the_loops() -> None:
    assert esa.takes(torch.zeros(1, 8, 3, 3))
    assert not esa.takes(torch.zeros(1, 6, 3, 3))
    assert not esa.takes(torch.zeros(1, 8, 3, 3).double())
