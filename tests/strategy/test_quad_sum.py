"""Sums of convolutions to four channels by the loops in C, against torch's own in float64."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from jsnas.strategy.quad_convolution import FromQuad, QuadPoints, QuadSum

TERMS = st.lists(st.tuples(st.integers(1, 9), st.sampled_from([1, 3])), min_size=1, max_size=4)


def in_torch(y: Tensor, *terms: Tensor) -> Tensor:
    """The same by grouped convolutions."""
    edges = len(terms[1])
    total = torch.zeros(1, dtype=y.dtype)
    for x, kernel in zip(terms[::2], terms[1::2], strict=True):
        total = total + F.conv2d(x, kernel.flatten(0, 1), padding=kernel.shape[-1] // 2, groups=edges)
    every = y.shape[1] // (4 * edges)
    zeros = torch.zeros(*total.shape[:2], every - 1, *total.shape[2:], dtype=y.dtype)
    return y + torch.cat([total.unsqueeze(2), zeros], 2).flatten(1, 2)


@given(
    batch=st.integers(1, 3),
    edges=st.integers(1, 4),
    every=st.integers(1, 5),
    height=st.integers(1, 10),
    width=st.integers(1, 10),
    terms=TERMS,
)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_value_and_gradients(
    batch: int, edges: int, every: int, height: int, width: int, terms: list[tuple[int, int]], vectors: None
) -> None:
    generator = torch.Generator().manual_seed(height * width + edges)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    tensors = [random(batch, 4 * edges * every, height, width)]
    for blocks, side in terms:
        tensors += [random(batch, 4 * edges * blocks, height, width), random(edges, 4, 4 * blocks, side, side)]
    dy = random(*tensors[0].shape)
    single = [t.clone().requires_grad_() for t in tensors]
    exact = [t.double().requires_grad_() for t in tensors]
    y = QuadSum.apply(single[0].contiguous(memory_format=torch.channels_last).clone(), *single[1:])
    expected = in_torch(*exact)
    found = [y, *torch.autograd.grad(y, single, dy)]
    right = [expected, *torch.autograd.grad(expected, exact, dy.double())]
    for one, other in zip(found, right, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-4)


def test_gradients_that_are_not_wanted(vectors: None) -> None:
    x, kernel = torch.randn(2, 16, 5, 6, requires_grad=True), torch.randn(2, 4, 8, 3, 3, requires_grad=True)
    y = torch.zeros(2, 32, 5, 6).contiguous(memory_format=torch.channels_last)
    both = torch.autograd.grad(QuadSum.apply(y.clone(), x, kernel).square().sum(), [x, kernel])
    of_x = torch.autograd.grad(QuadSum.apply(y.clone(), x, kernel.detach()).square().sum(), x)
    of_kernel = torch.autograd.grad(QuadSum.apply(y.clone(), x.detach(), kernel).square().sum(), kernel)
    assert torch.equal(both[0], of_x[0]) and torch.equal(both[1], of_kernel[0])


def test_any_number_of_threads_gives_the_same_bits(vectors: None) -> None:
    x, kernel = torch.randn(3, 24, 23, 17, requires_grad=True), torch.randn(2, 4, 12, 3, 3, requires_grad=True)
    start = torch.randn(3, 16, 23, 17).contiguous(memory_format=torch.channels_last)
    threads, results = torch.get_num_threads(), []
    try:
        for number in (1, 2, 5):
            torch.set_num_threads(number)
            y = QuadSum.apply(start.clone(), x, kernel)
            results.append([y, *torch.autograd.grad(y.square().sum(), [x, kernel])])
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@given(
    batch=st.integers(1, 3),
    blocks=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    height=st.integers(1, 10),
    width=st.integers(1, 10),
)
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_convolutions_of_four_channels(batch: int, blocks: list[int], height: int, width: int, vectors: None) -> None:
    generator = torch.Generator().manual_seed(height * width + sum(blocks))
    tensors = [torch.randn(batch, 4, height, width, generator=generator)]
    tensors += [torch.randn(4 * n, 4, 3, 3, generator=generator) for n in blocks]
    dy = [torch.randn(batch, 4 * n, height, width, generator=generator) for n in blocks]
    single, exact = ([t.to(dtype).requires_grad_() for t in tensors] for dtype in (torch.float32, torch.float64))
    y, expected = FromQuad.apply(*single), [F.conv2d(exact[0], kernel, padding=1) for kernel in exact[1:]]
    found = [*y, *torch.autograd.grad(y, single, dy)]
    right = [*expected, *torch.autograd.grad(expected, exact, [each.double() for each in dy])]
    for one, other in zip(found, right, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-4)


@given(
    batch=st.integers(1, 3),
    edges=st.integers(1, 6),
    terms=st.integers(1, 3),
    height=st.integers(1, 10),
    width=st.integers(1, 10),
)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_points(batch: int, edges: int, terms: int, height: int, width: int, vectors: None) -> None:
    generator = torch.Generator().manual_seed(height * width + edges)
    shapes = [(batch, 4 * edges, height, width), (edges, 4, 4, 1, 1)] * terms
    # Whole numbers, so that sums of zero, where the ReLU has its corner, come up and are exact.
    tensors = [torch.randint(-2, 3, shape, generator=generator).float() for shape in shapes]
    dy = torch.randint(-3, 4, shapes[0], generator=generator).float()
    single, exact = ([t.to(dtype).requires_grad_() for t in tensors] for dtype in (torch.float32, torch.float64))
    y = QuadPoints.apply(*single)
    pairs = zip(exact[::2], exact[1::2], strict=True)
    expected = F.relu(sum(F.conv2d(x, kernel.flatten(0, 1), groups=edges) for x, kernel in pairs))
    found = [y, *torch.autograd.grad(y, single, dy)]
    right = [expected, *torch.autograd.grad(expected, exact, dy.double())]
    for one, other in zip(found, right, strict=True):
        assert torch.equal(one.double(), other)


def test_points_give_gradients_that_are_wanted_and_keep_what_is_no_number(vectors: None) -> None:
    x, kernel = torch.randn(2, 8, 5, 7, requires_grad=True), torch.randn(2, 4, 4, 1, 1, requires_grad=True)
    both = torch.autograd.grad(QuadPoints.apply(x, kernel).square().sum(), [x, kernel])
    of_x = torch.autograd.grad(QuadPoints.apply(x, kernel.detach()).square().sum(), x)
    of_kernel = torch.autograd.grad(QuadPoints.apply(x.detach(), kernel).square().sum(), kernel)
    assert torch.equal(both[0], of_x[0]) and torch.equal(both[1], of_kernel[0])
    broken = x.detach().clone()
    broken[1, 2, 3, 4] = torch.nan
    found = QuadPoints.apply(broken, kernel).isnan()
    assert found[1, :4, 3, 4].all() and found.sum() == 4
