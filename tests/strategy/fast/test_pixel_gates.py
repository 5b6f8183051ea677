"""The gates of pixel attention by the loops in C, against the formula in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from jsnas.strategy.fast.pixel_gates import PixelGates


def in_torch(x: Tensor, *values: Tensor) -> list[Tensor]:
    """The gates one by one."""
    count = len(values) // 5
    made = []
    for k, part in enumerate(x.chunk(count, 1)):
        kernel1, bias1, kernel2, bias2, weight = values[5 * k : 5 * k + 5]
        hidden = F.relu(F.conv2d(F.relu(part), kernel1, bias1))
        made.append(weight * torch.sigmoid(F.conv2d(hidden, kernel2, bias2)))
    return made


def tensors(batch: int, gates: int, inputs: int, height: int, width: int) -> list[Tensor]:
    """Some channels of a larger map, and what the gates are made of."""
    generator = torch.Generator().manual_seed(height * width + inputs)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    made = [random(batch, gates * inputs, height, width)]
    for _ in range(gates):
        made += [random(2, inputs, 1, 1), random(2), random(1, 2, 1, 1), random(1), random(1)[0]]
    return made


@given(
    batch=st.integers(1, 3),
    gates=st.integers(1, 4),
    inputs=st.integers(1, 10),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    more=st.integers(0, 3),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_value_and_gradients(
    batch: int, gates: int, inputs: int, height: int, width: int, more: int, vectors: None
) -> None:
    made = tensors(batch, gates, inputs, height, width)
    single = [t.clone().requires_grad_() for t in made]
    exact = [t.double().requires_grad_() for t in made]
    others = torch.full((batch, more, height, width), torch.nan)  # x is some channels of a larger map
    larger = torch.cat([others, single[0], others], 1).contiguous(memory_format=torch.channels_last)
    found = list(PixelGates.apply(larger[:, more : more + gates * inputs], *single[1:]))
    right = in_torch(*exact)
    dy = [torch.randn(y.shape, generator=torch.Generator().manual_seed(1)) for y in right]
    found += torch.autograd.grad(found, single, dy)
    right += torch.autograd.grad(right, exact, [d.double() for d in dy])
    for one, other in zip(found, right, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-4)


def test_gradients_that_are_not_wanted(vectors: None) -> None:
    x, *values = tensors(2, 2, 8, 5, 6)
    x.requires_grad_()
    values[4].requires_grad_()  # the weight of the first gate
    gates = PixelGates.apply(x, *values)
    alone = torch.autograd.grad(sum(y.sum() for y in gates), [x, values[4]])
    for each in values:
        each.requires_grad_()
    gates = PixelGates.apply(x, *values)
    everything = torch.autograd.grad(sum(y.sum() for y in gates), [x, values[4]])
    for one, other in zip(alone, everything, strict=True):
        assert torch.equal(one, other)


def test_no_number_stays_none(vectors: None) -> None:
    x, *values = tensors(1, 1, 8, 1, 3)
    x[0, 5, 0, 1] = torch.nan
    assert PixelGates.apply(x, *values)[0].isnan().flatten().tolist() == [False, True, False]


def test_kernels_of_other_widths_are_refused(vectors: None) -> None:
    x, *values = tensors(1, 2, 8, 4, 4)
    with pytest.raises(ValueError, match="2 gates on 12 channels"):
        PixelGates.apply(x[:, :12], *values)
