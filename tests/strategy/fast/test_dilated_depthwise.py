"""The dilated depthwise convolution against torch's own, for all sizes that meet the edges in different ways."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jsnas.native.library import compiled
from jsnas.strategy.fast.dilated_depthwise import dilated_depthwise


@given(
    batch=st.integers(1, 3),
    channels=st.integers(1, 25),
    height=st.integers(1, 11),
    width=st.integers(1, 11),
    dilation=st.integers(1, 4),
    channels_last=st.booleans(),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_value_and_gradients(
    batch: int, channels: int, height: int, width: int, dilation: int, channels_last: bool, vectors: None
) -> None:
    generator = torch.Generator().manual_seed(height * width + dilation)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x = torch.randn(batch, channels, height, width, generator=generator).contiguous(memory_format=layout)
    kernel, dy = torch.randn(channels, 1, 3, 3, generator=generator), torch.randn(x.shape, generator=generator)
    single, exact = ([t.to(dtype).requires_grad_() for t in (x, kernel)] for dtype in (torch.float32, torch.float64))
    y = dilated_depthwise(*single, dilation)
    assert not compiled() or type(y.grad_fn).__name__ == "_DilatedDepthwiseBackward"
    expected = F.conv2d(*exact, padding=dilation, dilation=dilation, groups=channels)
    found = [y, *torch.autograd.grad(y, single, dy)]
    right = [expected, *torch.autograd.grad(expected, exact, dy.double())]
    for one, other in zip(found, right, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=2e-5)


def test_any_number_of_threads_gives_the_same_bits() -> None:
    x, kernel = torch.randn(3, 12, 23, 17, requires_grad=True), torch.randn(12, 1, 3, 3, requires_grad=True)
    threads, results = torch.get_num_threads(), []
    try:
        for number in (1, 2, 5):
            torch.set_num_threads(number)
            y = dilated_depthwise(x, kernel, 2)
            results.append([y, *torch.autograd.grad(y.square().sum(), [x, kernel])])
    finally:
        torch.set_num_threads(threads)
    for other in results[1:] if compiled() else []:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("of", ["x", "kernel"])
def test_one_gradient_alone(of: str) -> None:
    x, kernel = torch.randn(2, 4, 7, 9, requires_grad=of == "x"), torch.randn(4, 1, 3, 3, requires_grad=of == "kernel")
    leaf = x if of == "x" else kernel
    (got,) = torch.autograd.grad(dilated_depthwise(x, kernel, 3).square().sum(), leaf)
    (wanted,) = torch.autograd.grad(F.conv2d(x, kernel, padding=3, dilation=3, groups=4).square().sum(), leaf)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)
