"""Convolutions in groups of four by the loops in C, against torch's own in float64."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from jsnas.native.library import last, suits
from jsnas.native.quads import convolve, kernel_gradient, map_gradient


def value_and_gradients(x: Tensor, kernel: Tensor, dy: Tensor) -> list[Tensor]:
    return [convolve(x, kernel), map_gradient(dy, kernel), kernel_gradient(x, dy)]


@given(batch=st.integers(1, 3), groups=st.integers(1, 9), height=st.integers(1, 10), width=st.integers(1, 10))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_value_and_gradients(batch: int, groups: int, height: int, width: int, vectors: None) -> None:
    generator = torch.Generator().manual_seed(height * width + groups)
    x, dy = (torch.randn(batch, 4 * groups, height, width, generator=generator) for _ in range(2))
    kernel = torch.randn(4 * groups, 4, 3, 3, generator=generator)
    exact = [t.double().requires_grad_() for t in (x, kernel)]
    expected = F.conv2d(*exact, padding=1, groups=groups)
    right = [expected, *torch.autograd.grad(expected, exact, dy.double())]
    for one, other in zip(value_and_gradients(x, kernel, dy), right, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=5e-5)


@given(groups=st.integers(1, 9), height=st.integers(1, 10), width=st.integers(1, 10), adds=st.booleans())
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_added_and_relus(groups: int, height: int, width: int, adds: bool, vectors: None) -> None:
    generator = torch.Generator().manual_seed(height * width + groups)
    size, kernel_size = (2, 4 * groups, height, width), (4 * groups, 4, 3, 3)
    # Whole numbers, so that sums of zero, where a ReLU has its corner, come up and are exact.
    x, more, dy = (torch.randint(-2, 3, size, generator=generator).float() for _ in range(3))
    kernel = torch.randint(-2, 3, kernel_size, generator=generator).float()
    y = F.conv2d(x, kernel, padding=1, groups=groups)
    assert torch.equal(convolve(x, kernel, more if adds else None, relu=True), F.relu(y + more if adds else y))
    before = x.clone().requires_grad_()
    (right,) = torch.autograd.grad(F.conv2d(F.relu(before), kernel, padding=1, groups=groups), before, dy)
    total = last(more).clone() if adds else None
    found = map_gradient(dy, kernel, F.relu(x), total)
    assert torch.equal(found, torch.where(x > 0, more, 0) + right if adds else right)
    assert total is None or found is total


def test_any_number_of_threads_gives_the_same_bits(vectors: None) -> None:
    x, kernel, dy = torch.randn(3, 24, 23, 17), torch.randn(24, 4, 3, 3), torch.randn(3, 24, 23, 17)
    threads, results = torch.get_num_threads(), []
    try:
        for number in (1, 2, 5):
            torch.set_num_threads(number)
            results.append(value_and_gradients(x, kernel, dy))
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_other_types_are_left_to_torch() -> None:
    assert not suits(torch.zeros(1, 4, 2, 2, dtype=torch.float64))
    assert not suits(torch.zeros(1, 4, 2, 2, device="meta"))
