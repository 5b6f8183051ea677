"""Attention graphs of a network that learns, by gated sums: values and all gradients are those of the plain graph."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from gradients import assert_close, values
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from jsnas.attentions import ATTENTIONS, Attention
from jsnas.fast.training.attentions import FastAttentions
from jsnas.fast.training.network import FastTraining
from jsnas.genotype import Genotype, edge_list
from jsnas.native.library import compiled
from jsnas.network import AttentionSearchModule, JSNet, NetworkSettings

KNOWN = sorted(set(ATTENTIONS) - {"none"})


def attention_part(names: list[str], channels: int, **blocks: Any) -> AttentionSearchModule:
    """One whose edges are of these kinds, in double precision, its parameters away from their defaults."""
    torch.manual_seed(0)
    nodes = next(n for n in range(2, 6) if len(edge_list(n)) == len(names))
    edges = tuple(zip(edge_list(nodes), names, strict=True))
    genotype = Genotype("sr", tuple((edge, "skip") for edge in edge_list(2)), edges, 2)
    part = JSNet(genotype, NetworkSettings(3, 2, 1, channels, 8), **blocks).double().body[0].attention_part
    assert isinstance(part, AttentionSearchModule)
    with torch.no_grad():
        for parameter in part.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return part


def check(part: nn.Module, x: Tensor) -> None:
    expected = values(part, x)
    single = copy.deepcopy(part).float()
    with FastAttentions(single):
        found = values(single, x.float())
    assert ("NativeGatedSum" in type(found[0].grad_fn).__name__) == (compiled() and x.shape[1] % 16 == 0)
    assert_close(found, expected)


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("channels", [16, 64, 24])  # the loops are not made for the last
def test_every_attention(name: str, channels: int) -> None:
    check(attention_part([name] * 6, channels), torch.randn(2, channels, 19, 23, dtype=torch.float64))


@pytest.mark.parametrize("name", sorted(set(KNOWN) - {"esa"}))  # which needs 15 pixels
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1), (2, 1)])
def test_the_least_pixels(name: str, size: tuple[int, int]) -> None:
    check(attention_part([name] * 3, 32), torch.randn(3, 32, *size, dtype=torch.float64))


@settings(max_examples=25)
@given(
    names=st.lists(st.sampled_from(KNOWN), min_size=6, max_size=6),
    size=st.tuples(st.integers(1, 3), st.integers(15, 24), st.integers(15, 24)),
)
def test_any_mixture(names: list[str], size: tuple[int, int, int]) -> None:
    check(attention_part(names, 32), torch.randn(size[0], 32, *size[1:], dtype=torch.float64))


class Halving(Attention):
    """An attention of somebody else's."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((1, channels, 1, 1), 0.5))

    def gate(self, x: Tensor) -> Tensor:
        return self.scale


class Same(nn.Module):
    """A block of somebody else's that gives what it gets: nobody may change it."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x


@pytest.mark.parametrize("other", [Halving, Same])
def test_blocks_of_others_beside_ours(other: type[nn.Module]) -> None:
    blocks = {"attentions": {**ATTENTIONS, "other": other}}
    part = attention_part(["other", "esa", "other", "cea", "skip", "other"], 32, **blocks)
    x = torch.randn(2, 32, 17, 16, dtype=torch.float64)
    expected = values(part, x)
    single = copy.deepcopy(part).float()
    with FastAttentions(single):
        found = values(single, x.float())
    assert_close(found, expected)


def test_other_numbers_keep_the_plain_way() -> None:
    part = attention_part(KNOWN[:6], 32)
    x = torch.randn(1, 32, 16, 16, dtype=torch.float64)
    with FastAttentions(part):
        assert torch.equal(part(x), part.graph(x)[-1])
    single = part.float()
    with torch.autocast("cpu", torch.bfloat16):
        expected = single(x.float())
        with FastAttentions(single):
            assert torch.equal(single(x.float()), expected)


def test_the_network_is_itself_again() -> None:
    network = JSNet(Genotype.load("jsnet-sr").with_scale(2), NetworkSettings(3, 2, 2, 16, 8))
    form, state = FastTraining(network, torch.device("cpu")), list(network.state_dict())
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), form:
            assert "forward" in network.body[0].attention_part.__dict__  # type: ignore[operator]
            assert list(network.state_dict()) == state
            1 / 0  # noqa: B018
        assert all(not {"forward", "fuse"} & module.__dict__.keys() for module in network.modules())


def test_a_form_within_itself_and_copies_of_a_network_in_its_form() -> None:
    torch.manual_seed(0)
    network = JSNet(Genotype.load("jsnet-sr").with_scale(2), NetworkSettings(3, 2, 1, 32, 16))
    form, x = FastTraining(network, torch.device("cpu")), 255 * torch.rand(2, 3, 32, 32)
    with form:
        with form:
            network(x)
        assert "forward" in network.body[0].attention_part.__dict__  # type: ignore[operator]
        copied = copy.deepcopy(network)
    assert all(not {"forward", "fuse"} & module.__dict__.keys() for module in network.modules())
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.mul_(0.5)
    network.load_state_dict(copied.state_dict())
    assert_close([copied(x)], [network(x)])
    copied(x).mean().backward()
    assert all(parameter.grad is not None for parameter in copied.parameters())
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.skipif(not compiled(), reason="torch's operations can be differentiated again")
def test_second_gradients_are_refused() -> None:
    network = JSNet(Genotype.load("jsnet-sr").with_scale(2), NetworkSettings(3, 2, 1, 32, 16))
    x = (255 * torch.rand(2, 3, 32, 32)).requires_grad_()
    with (
        FastTraining(network, torch.device("cpu")),
        pytest.raises(RuntimeError, match="cannot be differentiated again"),
    ):
        torch.autograd.grad(network(x).square().mean(), x, create_graph=True)
    (dx,) = torch.autograd.grad(network(x).square().mean(), x, create_graph=True)
    dx.square().sum().backward()
