"""Dense kernels of convolutions in groups, against torch's grouped convolution."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from jsnas import dense_groups
from jsnas.dense_groups import DenseGroups, dense_kernel


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
