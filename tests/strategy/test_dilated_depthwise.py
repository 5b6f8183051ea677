"""The dilated depthwise convolution against torch's own, for all sizes that meet the edges in different ways."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from jsnas.strategy.dilated_depthwise import dilated_depthwise


@given(
    batch=st.integers(1, 3),
    channels=st.integers(1, 5),
    height=st.integers(1, 11),
    width=st.integers(1, 11),
    dilation=st.integers(1, 4),
    channels_last=st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_value_and_gradients(
    batch: int, channels: int, height: int, width: int, dilation: int, channels_last: bool
) -> None:
    generator = torch.Generator().manual_seed(height * width + dilation)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x = torch.randn(batch, channels, height, width, dtype=torch.float64, generator=generator)
    x = x.contiguous(memory_format=layout).requires_grad_()
    kernel = torch.randn(channels, 1, 3, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    dy = torch.randn(x.shape, dtype=torch.float64, generator=generator)
    expected = F.conv2d(x, kernel, padding=dilation, dilation=dilation, groups=channels)
    y = dilated_depthwise(x, kernel, dilation)
    torch.testing.assert_close(y, expected)
    for got, wanted in zip(
        torch.autograd.grad(y, [x, kernel], dy), torch.autograd.grad(expected, [x, kernel], dy), strict=True
    ):
        torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("of", ["x", "kernel"])
def test_one_gradient_alone(of: str) -> None:
    x, kernel = torch.randn(2, 4, 7, 9, requires_grad=of == "x"), torch.randn(4, 1, 3, 3, requires_grad=of == "kernel")
    leaf = x if of == "x" else kernel
    (got,) = torch.autograd.grad(dilated_depthwise(x, kernel, 3).square().sum(), leaf)
    (wanted,) = torch.autograd.grad(F.conv2d(x, kernel, padding=3, dilation=3, groups=4).square().sum(), leaf)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)
