"""Convolutions in groups of eight by the loops in C, against torch's own in float64."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from jsnas.native.octets import takes
from jsnas.strategy.fast.octet_convolution import OctetConvolution


def in_torch(x: Tensor, kernel: Tensor, bias: Tensor, relu: bool) -> Tensor:
    y = F.conv2d(x, kernel, bias, padding=kernel.shape[2] // 2, groups=len(kernel) // 8)
    return F.relu(y) if relu else y


@given(
    batch=st.integers(1, 3),
    groups=st.integers(1, 4),
    side=st.sampled_from([1, 3]),
    height=st.integers(1, 11),
    width=st.integers(1, 11),
    more=st.integers(0, 3),
    relu=st.booleans(),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_value_and_gradients(
    batch: int, groups: int, side: int, height: int, width: int, more: int, relu: bool, vectors: None
) -> None:
    generator = torch.Generator().manual_seed(height * width + groups)
    channels = 8 * groups

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    tensors = [random(batch, channels, height, width), random(channels, 8, side, side), random(channels)]
    dy = random(batch, channels, height, width)
    single = [t.clone().requires_grad_() for t in tensors]
    exact = [t.double().requires_grad_() for t in tensors]
    others = torch.full((batch, more, height, width), torch.nan)  # x is some channels of a larger map
    larger = torch.cat([others, single[0], others], 1).contiguous(memory_format=torch.channels_last)
    x = larger[:, more : more + channels]
    assert takes(x, single[1])
    y = OctetConvolution.apply(x, single[1], single[2], relu)
    expected = in_torch(exact[0], exact[1], exact[2], relu)
    found = [y, *torch.autograd.grad(y, single, dy)]
    right = [expected, *torch.autograd.grad(expected, exact, dy.double())]
    for one, other in zip(found, right, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-4)


def test_gradients_that_are_not_wanted(vectors: None) -> None:
    x, kernel, bias = torch.randn(2, 16, 5, 6, requires_grad=True), torch.randn(16, 8, 3, 3), torch.randn(16)
    y = OctetConvolution.apply(x, kernel, bias, True)
    (alone,) = torch.autograd.grad(y.square().sum(), x)
    kernel.requires_grad_()
    y = OctetConvolution.apply(x, kernel, bias, True)
    both = torch.autograd.grad(y.square().sum(), [x, kernel])
    assert torch.equal(alone, both[0]) and both[1].abs().sum() > 0


def test_no_number_stays_none(vectors: None) -> None:
    x, kernel = torch.randn(1, 8, 1, 3), torch.ones(8, 8, 1, 1)
    x[0, 5, 0, 1] = torch.nan
    y = OctetConvolution.apply(x, kernel, torch.zeros(8), True)
    assert y.isnan().any(1).flatten().tolist() == [False, True, False]


def test_other_kernels_are_not_for_the_loops() -> None:
    x = torch.randn(1, 16, 4, 4)
    shapes = [(16, 4, 3, 3), (8, 8, 3, 3), (16, 8, 5, 5), (16, 8, 1, 3)]
    assert not any(takes(x, torch.randn(shape)) for shape in shapes)
    assert not takes(x.double(), torch.randn(16, 8, 3, 3).double())
