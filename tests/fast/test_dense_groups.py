"""Dense kernels of convolutions in groups, against torch's grouped convolution."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from jsnas.fast import dense_groups
from jsnas.fast.dense_groups import MOST_CHANNELS, DenseGroups, dense_kernel, dense_kernels


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.sampled_from([1, 3]), st.integers(0, 2**16))
def test_a_dense_kernel_does_what_the_groups_do(groups: int, inputs: int, outputs: int, side: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(2, groups * inputs, 5, 4, generator=draw, dtype=torch.float64)
    kernel = torch.randn(groups * outputs, inputs, side, side, generator=draw, dtype=torch.float64).requires_grad_()
    dense = F.conv2d(x, dense_kernel(kernel, groups), padding=side // 2)
    grouped = F.conv2d(x, kernel, padding=side // 2, groups=groups)
    torch.testing.assert_close(dense, grouped)
    dy = torch.randn(dense.shape, generator=draw, dtype=torch.float64)
    found, expected = (torch.autograd.grad(y, kernel, dy)[0] for y in (dense, grouped))
    torch.testing.assert_close(found, expected)


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=6),
    st.sampled_from([1, 3, 40]),
    st.integers(1, 4),
    st.sampled_from([1, 3]),
    st.integers(0, 2**16),
)
def test_dense_kernels_of_many_convolutions(groups: list[int], inputs: int, outputs: int, side: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    shape = (sum(groups), outputs, inputs, side, side)
    kernels = torch.randn(shape, generator=draw, dtype=torch.float64).requires_grad_()
    found, expected, dense = [], [], dense_kernels(kernels, groups)
    for kernel, own, count in zip(dense, kernels.split(groups), groups, strict=True):
        if count:
            x = torch.randn(2, count * inputs, 5, 4, generator=draw, dtype=torch.float64)
            left = x.shape[1] // kernel.shape[1]
            assert left == (count if x.shape[1] > MOST_CHANNELS else 1)
            found.append(F.conv2d(x, kernel, groups=left).flatten())
            expected.append(F.conv2d(x, own.flatten(0, 1), groups=count).flatten())
    assert len(dense) == len(groups)
    if not found:
        return
    y, other = torch.cat(found), torch.cat(expected)
    torch.testing.assert_close(y, other)
    dy = torch.randn(y.shape, generator=draw, dtype=torch.float64)
    torch.testing.assert_close(*(torch.autograd.grad(each, kernels, dy)[0] for each in (y, other)))


def test_dense_kernels_lie_as_cudnn_reads_them() -> None:
    for kernel in dense_kernels(torch.ones(5, 4, 2, 3, 3), [2, 3]):
        assert kernel.is_contiguous(memory_format=torch.channels_last)


def test_layers_go_this_way_in_the_block_only(monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Sequential(nn.Conv2d(4, 8, 3, groups=4), nn.Conv2d(8, 2, 1), nn.Conv2d(2, 2, 1, groups=2))
    x, seen = torch.randn(1, 4, 6, 6), []
    original = dense_groups.conv_in_groups
    monkeypatch.setattr(dense_groups, "conv_in_groups", lambda *a: seen.append(a[-1]) or original(*a))
    plain = network(x)
    with DenseGroups(network):
        assert torch.equal(network(x), plain)
    assert seen == [4, 2]
    assert torch.equal(network(x), plain) and seen == [4, 2]
