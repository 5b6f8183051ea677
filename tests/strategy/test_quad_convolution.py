"""Convolutions in groups of four by the loops in C, against torch's own in float64."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jsnas.native.library import suits
from jsnas.strategy.quad_convolution import QuadConvolution


@given(batch=st.integers(1, 3), groups=st.integers(1, 9), height=st.integers(1, 10), width=st.integers(1, 10))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_value_and_gradients(batch: int, groups: int, height: int, width: int, vectors: None) -> None:
    generator = torch.Generator().manual_seed(height * width + groups)
    x, dy = (torch.randn(batch, 4 * groups, height, width, generator=generator) for _ in range(2))
    kernel = torch.randn(4 * groups, 4, 3, 3, generator=generator)
    single, exact = ([t.to(dtype).requires_grad_() for t in (x, kernel)] for dtype in (torch.float32, torch.float64))
    y, expected = QuadConvolution.apply(*single), F.conv2d(*exact, padding=1, groups=groups)
    found = [y, *torch.autograd.grad(y, single, dy)]
    right = [expected, *torch.autograd.grad(expected, exact, dy.double())]
    for one, other in zip(found, right, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=5e-5)


def test_any_number_of_threads_gives_the_same_bits(vectors: None) -> None:
    x, kernel = torch.randn(3, 24, 23, 17, requires_grad=True), torch.randn(24, 4, 3, 3, requires_grad=True)
    threads, results = torch.get_num_threads(), []
    try:
        for number in (1, 2, 5):
            torch.set_num_threads(number)
            y = QuadConvolution.apply(x, kernel)
            results.append([y, *torch.autograd.grad(y.square().sum(), [x, kernel])])
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_other_types_are_left_to_torch() -> None:
    assert not suits(torch.zeros(1, 4, 2, 2, dtype=torch.float64))
    assert not suits(torch.zeros(1, 4, 2, 2, device="meta"))
