"""Sums of convolutions to four channels by the loops in C, against torch's own in float64."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from jsnas.native.library import last
from jsnas.native.quad_points import points_gradients, sum_of_points
from jsnas.native.quad_sums import add_quad_sums, quad_sums_gradients

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
    exact = [t.double().requires_grad_() for t in tensors]
    expected = in_torch(*exact)
    found = by_loops(tensors, dy)
    right = [expected, *torch.autograd.grad(expected, exact[1:], dy.double())]
    for one, other in zip(found, right, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-4)


def by_loops(tensors: list[Tensor], dy: Tensor) -> list[Tensor]:
    """The sum, and the gradients of maps and kernels in turn."""
    pairs = list(zip(tensors[1::2], tensors[2::2], strict=True))
    y = last(tensors[0]).clone()
    add_quad_sums(y, pairs)
    every = [True] * len(pairs)
    maps, kernels = quad_sums_gradients(dy, pairs, every, every)
    return [y, *(gradient for pair in zip(maps, kernels, strict=True) for gradient in pair if gradient is not None)]


def test_gradients_that_are_not_wanted(vectors: None) -> None:
    pairs = [(torch.randn(2, 16, 5, 6), torch.randn(2, 4, 8, 3, 3))]
    dy = torch.randn(2, 32, 5, 6)
    (dx,), (dkernel,) = quad_sums_gradients(dy, pairs, [True], [True])
    (of_x,), nothing = quad_sums_gradients(dy, pairs, [True], [False])
    nothing_too, (of_kernel,) = quad_sums_gradients(dy, pairs, [False], [True])
    assert nothing == nothing_too == [None]
    assert torch.equal(dx, of_x) and torch.equal(dkernel, of_kernel)


@given(terms=TERMS, edges=st.integers(1, 3), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_gradients_of_relus(terms: list[tuple[int, int]], edges: int, seed: int, vectors: None) -> None:
    generator = torch.Generator().manual_seed(seed)
    pairs, dy = [], torch.randn(2, 4 * edges, 6, 7, generator=generator)
    for blocks, side in terms:
        x = torch.randint(-2, 3, (2, 4 * edges * blocks, 6, 7), generator=generator).float()
        pairs.append((x, torch.randn(edges, 4, 4 * blocks, side, side, generator=generator)))
    every = [True] * len(pairs)
    plain, _ = quad_sums_gradients(dy, pairs, every, every)
    relus = [k % 2 == 0 for k in range(len(pairs))]
    found, _ = quad_sums_gradients(dy, pairs, every, every, relus)
    for (x, _), dx, before, is_relu in zip(pairs, plain, found, relus, strict=True):
        assert dx is not None and before is not None
        assert torch.equal(before, torch.where(x > 0, dx, 0) if is_relu else dx)


def test_any_number_of_threads_gives_the_same_bits(vectors: None) -> None:
    tensors = [torch.randn(*shape) for shape in ((3, 16, 23, 17), (3, 24, 23, 17), (2, 4, 12, 3, 3))]
    dy, threads, results = torch.randn(3, 16, 23, 17), torch.get_num_threads(), []
    try:
        for number in (1, 2, 5):
            torch.set_num_threads(number)
            results.append(by_loops(tensors, dy))
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


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
    exact = [t.double().requires_grad_() for t in tensors]
    pairs = zip(exact[::2], exact[1::2], strict=True)
    expected = F.relu(sum(F.conv2d(x, kernel.flatten(0, 1), groups=edges) for x, kernel in pairs))
    given_, every = list(zip(tensors[::2], tensors[1::2], strict=True)), [True] * terms
    y = sum_of_points(given_, relu=True)
    gradients = zip(*points_gradients(dy, y, given_, every, every), strict=True)
    found = [y, *(gradient for pair in gradients for gradient in pair if gradient is not None)]
    right = [expected, *torch.autograd.grad(expected, exact, dy.double())]
    for one, other in zip(found, right, strict=True):
        assert torch.equal(one.double(), other)


def test_points_give_gradients_that_are_wanted_and_keep_what_is_no_number(vectors: None) -> None:
    x, kernel, dy = torch.randn(2, 8, 5, 7), torch.randn(2, 4, 4, 1, 1), torch.randn(2, 8, 5, 7)
    pairs = [(x, kernel)]
    y = sum_of_points(pairs, relu=True)
    (dx,), (dkernel,) = points_gradients(dy, y, pairs, [True], [True])
    (of_x,), nothing = points_gradients(dy, y, pairs, [True], [False])
    nothing_too, (of_kernel,) = points_gradients(dy, y, pairs, [False], [True])
    assert nothing == nothing_too == [None]
    assert torch.equal(dx, of_x) and torch.equal(dkernel, of_kernel)
    x[1, 2, 3, 4] = torch.nan
    found = sum_of_points(pairs, relu=True).isnan()
    assert found[1, :4, 3, 4].all() and found.sum() == 4
