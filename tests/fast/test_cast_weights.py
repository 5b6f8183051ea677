"""Weights cast together are what autocast makes of them one by one: the same values and gradients, to the bit."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jsnas.errors import InputError
from jsnas.fast.dense_groups import dense_kernel
from jsnas.fast.training.cast_weights import CastWeights
from jsnas.genotype import Genotype
from jsnas.network import JSNet, NetworkSettings
from jsnas.operations import OPERATIONS


class Halved(nn.Module):
    """A block of somebody else's, which reads its weight: it must find it as it is."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)
        self.seen: list[torch.dtype] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(self.conv.weight.dtype)
        y: Tensor = self.conv(x) * self.conv.weight.mean()
        return y


def network(genotype: Genotype | None = None, **blocks: Any) -> JSNet:
    torch.manual_seed(0)
    made = JSNet(genotype or Genotype.load("jsnet-sr").with_scale(2), NetworkSettings(3, 2, 1, 16, 8), **blocks)
    made.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's types
    return made


def values(net: JSNet) -> list[Tensor]:
    """The output, and the gradients of all parameters."""
    x = 255 * torch.rand(2, 3, 16, 17, generator=torch.Generator().manual_seed(1))
    y = net(x)
    return [y, *torch.autograd.grad(y.square().mean(), list(net.parameters()))]


@pytest.mark.parametrize("dtype", [torch.bfloat16, None])
def test_values_and_all_gradients(dtype: torch.dtype | None) -> None:
    net = network()
    state, cast = list(net.state_dict()), CastWeights(net, "cpu")
    with torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None, cache_enabled=False):
        expected = values(net)
        for _ in range(2):
            with cast:
                found = values(net)
    assert any(tensor.dtype == torch.bfloat16 for tensor in expected[:1]) == (dtype is not None)
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b) and a.dtype == b.dtype and a.stride() == b.stride()
    assert list(net.state_dict()) == state
    assert not any({"forward", "weight", "bias"} & module.__dict__.keys() for module in net.modules())


def test_convolutions_are_cast_in_one_step() -> None:
    net, seen = network(), []
    head: nn.Module = net.head
    head.register_forward_pre_hook(lambda module, inputs: seen.append(module.weight))
    with torch.autocast("cpu", torch.bfloat16), CastWeights(net, "cpu"):
        values(net)
    assert seen[0].dtype == torch.bfloat16 and type(seen[0].grad_fn).__name__ == "_CastBackward"


def test_blocks_of_others_find_their_weights_as_they_are() -> None:
    genotype = Genotype("sr", (((0, 1), "halved"),), (((0, 1), "skip"),), 2)
    net = network(genotype, operations={**OPERATIONS, "halved": Halved})
    with torch.autocast("cpu", torch.bfloat16), CastWeights(net, "cpu"):
        values(net)
    assert {dtype for module in net.modules() if isinstance(module, Halved) for dtype in module.seen} == {torch.float32}


class Twice(nn.Module):
    """One layer reached by two paths, one that has no part in the output, one that does not learn."""

    def __init__(self) -> None:
        super().__init__()
        self.a = self.b = nn.Conv2d(4, 4, 3, padding=1)
        self.unused, self.frozen, self.thin = (nn.Conv2d(4, 4, 1) for _ in range(3))
        self.frozen.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        kernel = dense_kernel(self.thin.weight[:, :2], 2)  # its gradient has holes
        y: Tensor = F.conv2d(self.frozen(self.b(self.a(x))), kernel, self.thin.bias)
        return y


def test_what_has_no_gradient_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Twice, "__module__", "jsnas.tests")  # as a block of ours
    torch.manual_seed(0)
    net, x, found = Twice(), torch.rand(1, 4, 6, 6), []
    cast = CastWeights(net, "cpu")
    for form in (contextlib.nullcontext(), cast):
        net.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False), form:
            net(x).sum().backward()
        found.append({name: parameter.grad for name, parameter in net.named_parameters()})
    plain, together = found
    assert [name for name, gradient in plain.items() if gradient is None] == [
        *("unused.weight", "unused.bias", "frozen.weight", "frozen.bias")
    ]
    for name, gradient in plain.items():
        assert (together[name] is None) == (gradient is None)
        if gradient is not None:
            torch.testing.assert_close(together[name], gradient, rtol=2e-2, atol=2e-2)  # summed in another type


def test_an_error_leaves_the_network_as_it_was() -> None:
    net = network()
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(InputError), CastWeights(net, "cpu"):
        net(torch.ones(1, 5, 16, 16))
    assert not any({"forward", "weight", "bias"} & module.__dict__.keys() for module in net.modules())
