"""Sums of convolutions by the loops in C, the 3x3 ones by Winograd's way, against torch's own in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from jsnas.native.convolution_sum import Sum, Window, convolution_sum, convolution_sums, prepared, takes
from jsnas.native.library import compiled, last

pytestmark = pytest.mark.skipif(not compiled(), reason="the loops were not compiled: there was no compiler")


@dataclass
class Case:
    """A random sum: maps of 16 n channels for each n of wide, points and plain."""

    wide: list[int]
    points: list[int]
    plain: int
    outputs: int
    size: tuple[int, int]
    images: int = 1
    above: int = 0
    below: int = 0
    relu: bool = False
    bias: bool = True

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        rows, columns = self.size
        self.wide_maps = [self.random_map(16 * n, self.above + rows + self.below, columns) for n in self.wide]
        self.point_maps = [self.random_map(16 * n, rows, columns) for n in self.points]
        self.plain_maps = [self.random_map(self.outputs, rows, columns) for _ in range(self.plain)]
        sides = ((3, self.wide), (1, self.points))
        self.kernels = [torch.randn(self.outputs, 16 * sum(n), side, side) if n else None for side, n in sides]
        self.of_bias = torch.randn(self.outputs) if self.bias else None

    def random_map(self, channels: int, rows: int, columns: int) -> Tensor:
        """A part of a map of more channels, as the loops are to read it."""
        return last(torch.randn(self.images, channels + 16, rows, columns))[:, 8 : channels + 8]

    def by_loops(self) -> Tensor:
        first, second = (None if kernel is None else prepared(kernel) for kernel in self.kernels)
        wide = [Window(x, self.above) for x in self.wide_maps]
        points = [Window(x) for x in self.point_maps]
        return convolution_sum(
            wide, points, self.plain_maps, (first, second), self.of_bias, self.size[0], relu=self.relu
        )

    def by_torch(self) -> Tensor:
        total = self._sum(lambda x: x.double())
        return total.relu() if self.relu else total

    def magnitude(self) -> Tensor:
        """The sum of the absolute values of all terms, to which rounding is in proportion."""
        return self._sum(lambda x: x.double().abs())

    def _sum(self, of: Callable[[Tensor], Tensor]) -> Tensor:
        total = sum((of(x) for x in self.plain_maps), torch.zeros((), dtype=torch.float64))
        for kernel, maps in zip(self.kernels, (self.wide_maps, self.point_maps), strict=True):
            if kernel is not None:
                y = F.conv2d(of(torch.cat(maps, 1)), of(kernel), padding=kernel.shape[2] // 2)
                total = total + (y[:, :, self.above :][:, :, : self.size[0]] if kernel.shape[2] > 1 else y)
        return total if self.of_bias is None else total + of(self.of_bias)[:, None, None]


def relative_error(found: Tensor, expected: Tensor, magnitude: Tensor) -> float:
    """The largest error of a value, as a share of the magnitude of its terms; those next to zero may err as 0.001."""
    return float(((found - expected).abs() / magnitude.clamp_min(1e-3)).max())


@pytest.mark.parametrize(
    "case",
    [
        Case([1], [], 0, 16, (8, 32)),
        Case([1, 2], [3, 1], 2, 32, (13, 37), images=2, above=1, below=1, relu=True),
        Case([], [4], 1, 64, (5, 9), relu=True),
        Case([2], [], 0, 48, (1, 1), bias=False),
        Case([1], [1], 0, 16, (3, 270), below=1),
        Case([1], [2], 1, 16, (4, 33), above=1),
        Case([], [1, 1, 1, 1], 3, 16, (7, 8), images=3),
    ],
    ids=lambda case: f"{case.wide}-{case.points}-{case.plain}-{case.outputs}-{case.size}",
)
def test_sums_are_those_of_torch(case: Case, vectors: None) -> None:
    assert relative_error(case.by_loops(), case.by_torch(), case.magnitude()) < 1e-5


@settings(max_examples=60)
@given(
    wide=st.lists(st.integers(1, 3), max_size=3),
    points=st.lists(st.integers(1, 3), max_size=3),
    plain=st.integers(0, 2),
    outputs=st.integers(1, 4),
    size=st.tuples(st.integers(1, 11), st.integers(1, 70)),
    images=st.integers(1, 2),
    beyond=st.tuples(st.integers(0, 1), st.integers(0, 1)),
    relu=st.booleans(),
    bias=st.booleans(),
)
def test_sums_of_any_shape(
    wide: list[int],
    points: list[int],
    plain: int,
    outputs: int,
    size: tuple[int, int],
    images: int,
    beyond: tuple[int, int],
    relu: bool,
    bias: bool,
) -> None:
    if not wide and not points:
        points = [1]
    case = Case(wide, points, plain, 16 * outputs, size, images, *beyond, relu, bias)
    assert relative_error(case.by_loops(), case.by_torch(), case.magnitude()) < 1e-5


def test_any_number_of_threads_gives_the_same_bits() -> None:
    case, threads, results = Case([1, 1], [2], 1, 32, (21, 300), images=2), torch.get_num_threads(), []
    try:
        for number in (1, 2, 5):
            torch.set_num_threads(number)
            results.append(case.by_loops())
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


@settings(max_examples=40)
@given(
    size=st.tuples(st.integers(1, 3), st.integers(1, 11), st.integers(1, 70)),
    channels=st.sampled_from([16, 32]),
    threads=st.integers(1, 3),
    seed=st.integers(0, 2**16),
)
def test_sums_one_after_the_other(size: tuple[int, int, int], channels: int, threads: int, seed: int) -> None:
    """The second reads what the first writes, and is zero where a third map is not above zero."""
    draw, before = torch.Generator().manual_seed(seed), torch.get_num_threads()
    shape = (size[0], channels, *size[1:])
    x, gate = (last(torch.randn(shape, generator=draw)) for _ in range(2))
    wide, point = (torch.randn(channels, channels, side, side, generator=draw) for side in (3, 1))
    y, z = torch.empty_like(x), torch.empty_like(x)
    first = Sum(y, [Window(x)], [], [], (prepared(wide), None), relu=True)
    second = Sum(z, [Window(y)], [Window(x)], [x], (prepared(wide), prepared(point)), gate=gate)
    try:
        torch.set_num_threads(threads)
        convolution_sums([first, second])
    finally:
        torch.set_num_threads(before)
    x, wide, point = x.double(), wide.double(), point.double()
    expected, magnitude = F.conv2d(x, wide, padding=1).relu(), F.conv2d(x.abs(), wide.abs(), padding=1)
    assert relative_error(y, expected, magnitude) < 1e-5
    expected = F.conv2d(expected, wide, padding=1) + F.conv2d(x, point) + x
    magnitude = F.conv2d(magnitude, wide.abs(), padding=1) + F.conv2d(x.abs(), point.abs()) + x.abs()
    assert relative_error(z, expected * (gate > 0), magnitude) < 1e-5


def test_no_number_stays_none() -> None:
    """A NaN of the input is in every output that sees it, with a ReLU, too, and in no other tile's."""
    case = Case([1], [], 0, 16, (8, 64), relu=True)
    case.wide_maps[0][0, 3, 2, 10] = torch.nan
    y, expected = case.by_loops(), case.by_torch()
    assert y[expected.isnan()].isnan().all()
    assert not y[:, :, 4:].isnan().any() and not y[..., 12:].isnan().any()


@pytest.mark.parametrize(
    ("shape", "widths", "taken"),
    [
        ((16, 32, 3, 3), [16, 16], True),
        ((16, 32, 1, 1), [32], True),
        ((16, 32, 5, 5), [32], False),
        ((16, 32, 3, 3), [8, 24], False),
        ((12, 32, 3, 3), [32], False),
        ((16, 16, 3, 1), [16], False),
    ],
)
def test_which_kernels_are_for_the_loops(shape: tuple[int, ...], widths: list[int], taken: bool) -> None:
    assert takes(torch.zeros(shape), widths) == taken
    assert not takes(torch.zeros(shape).double(), widths)
