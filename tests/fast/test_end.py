"""The end of a network in one convolution equals the two: values, and all gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from jsnas.fast.end import FastEnd
from jsnas.lookup import network_of
from jsnas.network import NetworkSettings, RestorationNetwork


def network(scale: int, channels: int = 8, image_channels: int = 3) -> RestorationNetwork:
    """One without modules worth mentioning."""
    torch.manual_seed(0)
    sizes = NetworkSettings(image_channels, scale, 1, channels, 8, None)
    return RestorationNetwork(sizes, torch.nn.Identity).double()


def values(network: RestorationNetwork, x: Tensor) -> list[Tensor]:
    """The output of the end, and the gradients of what led to it."""
    y = network.tail(network.upsample(x))
    generator = torch.Generator().manual_seed(1)
    dy = torch.randn(y.shape, generator=generator, dtype=torch.float64).to(y)
    learns = [x, *network.upsample.parameters(), *network.tail.parameters()]
    return [y.detach(), *torch.autograd.grad(y, learns, dy)]


@settings(max_examples=30)
@given(st.sampled_from([2, 3, 4]), st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.booleans())
def test_any_size(scale: int, height: int, width: int, batch: int, channels_last: bool) -> None:
    plain = network(scale)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    plain.to(memory_format=layout)  # type: ignore[call-overload]
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(batch, 8, height, width, generator=generator, dtype=torch.float64)
    x = x.contiguous(memory_format=layout).requires_grad_()
    expected = values(plain, x)
    with FastEnd(plain):
        found = values(plain, x)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12 * b.abs().max().item())


@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 1e-5), (torch.bfloat16, 4e-2)])
def test_narrower_numbers(dtype: torch.dtype, within: float) -> None:
    plain = network(2, 64)
    x = torch.randn(2, 64, 20, 17, dtype=torch.float64, requires_grad=True)
    expected = values(plain, x)
    plain.to(dtype)
    with FastEnd(plain):
        found = values(plain, x.detach().to(dtype).requires_grad_())
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == dtype
        torch.testing.assert_close(a.double(), b, rtol=0, atol=within * b.abs().max().item())


def test_mixed_precision_keeps_the_digits_of_kernels() -> None:
    plain = network(2, 64).float()
    x = torch.randn(2, 64, 20, 17)

    def error(y: Tensor) -> float:
        return (y.float() - expected).abs().mean().item()

    with torch.no_grad():
        expected = plain.tail(plain.upsample(x))
        with torch.autocast("cpu", torch.bfloat16):
            two = plain.tail(plain.upsample(x))
            with FastEnd(plain):
                one = plain.tail(plain.upsample(x))
    assert one.dtype == two.dtype == torch.bfloat16
    assert 0 < error(one) < error(two)  # one rounding of features less


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_whole_networks(scale: int) -> None:
    gray = RestorationNetwork(NetworkSettings(1, 1, 3, 8, 8, (3, 5)), torch.nn.Identity)
    plain: RestorationNetwork = gray.double() if scale == 1 else network_of("jsnet-sr", scale=scale).double()
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, dtype=torch.float64))
    x = 255 * torch.rand(2, plain.settings.image_channels, 19, 16, dtype=torch.float64)

    def values() -> list[Tensor]:
        y = plain(x)
        dy = torch.randn(y.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        return [y, *torch.autograd.grad(y, list(plain.parameters()), dy)]

    expected = values()
    with FastEnd(plain):
        found = values()
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-9 * max(b.abs().max().item(), 1e-3))
    assert any(not torch.equal(a, b) for a, b in zip(found, expected, strict=True))  # another order of sums


def test_the_network_is_itself_again() -> None:
    plain = network_of("jsnet-sr", scale=2)
    state = list(plain.state_dict())
    with pytest.raises(ZeroDivisionError), FastEnd(plain):
        assert "forward" in plain.tail.__dict__ and list(plain.state_dict()) == state
        1 / 0  # noqa: B018
    assert all(not {"forward", "fuse"} & module.__dict__.keys() for module in plain.modules())


def test_layers_that_are_not_ours_keep_their_way() -> None:
    other = network(2)
    other.tail = torch.nn.Sequential(other.tail)  # type: ignore[assignment]
    x = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    expected = other(x)
    with FastEnd(other):
        assert torch.equal(other(x), expected) and "forward" not in other.tail.__dict__
