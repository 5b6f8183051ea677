"""A network that starts from a supernet: equal sizes give equal tensors, narrower operations act on every group."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from jsnas.genotype import Genotype
from jsnas.inheritance import Inheritance, inherit
from jsnas.network import JSNet, NetworkSettings
from jsnas.operations import OPERATIONS
from jsnas.strategy import MendedDARTS, PartialChannelDARTS, PartialChannelSettings
from jsnas.widening import widen
from search_spaces import JointSearchSpace

GENOTYPE = Genotype.from_names("sr", ["rdb_sep", "rdb_dil", "skip"], ["ca", "esa", "pa"], 2)
SPACE = {"channels": 16, "inner_channels": 8, "operation_nodes": 3, "attention_nodes": 3}


def supernet(partial: int = 4, modules: int = 2) -> JointSearchSpace:
    torch.manual_seed(1)
    strategy = PartialChannelDARTS(PartialChannelSettings(partial=partial))
    return strategy.mutate_model(JointSearchSpace(modules=modules, **SPACE))


def network(modules: int = 2, inner: int = 8, channels: int = 16) -> JSNet:
    torch.manual_seed(2)
    return JSNet(GENOTYPE, NetworkSettings(3, 2, modules, channels, inner))


class Cross(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels, 1, 1))
        self.row = nn.Conv2d(channels, 3 * channels, (1, 3), padding=(0, 1))
        self.column = nn.Sequential(nn.BatchNorm2d(3 * channels), nn.Conv2d(3 * channels, channels, (3, 1), 1, (1, 0)))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * self.column(self.row(x))


class Normed(nn.Module):
    """Divides by a sum over all channels, so no weights make the wide one act on groups."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x / (1 + x.square().sum(1, keepdim=True)))


@pytest.mark.parametrize("groups", [2, 4])
@pytest.mark.parametrize("kind", [*(k for n, k in OPERATIONS.items() if n.startswith("rdb_")), Cross])
def test_a_widened_operation_is_the_narrow_one_on_every_group(kind: type[nn.Module], groups: int) -> None:
    torch.manual_seed(0)
    narrow, wide = kind(4), kind(4 * groups).eval()
    narrow(torch.randn(2, 4, 9, 9))  # moves running means, where there are some
    narrow.eval()
    values = widen(wide, narrow.state_dict(), 4 * groups)
    assert values is not None
    wide.load_state_dict(values)
    x = torch.randn(2, 4 * groups, 11, 13)
    with torch.no_grad():
        expected = torch.cat([narrow(x[:, 4 * g : 4 * g + 4]) for g in range(groups)], 1)
        torch.testing.assert_close(wide(x), expected, rtol=1e-5, atol=1e-5)


def test_what_cannot_be_widened_exactly_is_not() -> None:
    assert widen(Normed(8), Normed(4).state_dict(), 8) is None
    assert widen(OPERATIONS["rdb_sep"](9), OPERATIONS["rdb_sep"](3).state_dict(), 9) is None  # pairs across a border
    assert widen(OPERATIONS["rdb_light"](8), OPERATIONS["rdb_light"](8).state_dict(), 8) is None  # nothing to widen
    assert widen(OPERATIONS["rdb_light"](8), OPERATIONS["rdb_light"](3).state_dict(), 8) is None


def test_the_edges_of_a_derived_network_are_the_supernets_operations_on_every_group() -> None:
    space, derived = supernet(partial=4), network()
    before = torch.get_rng_state()
    found = inherit(derived, space.state_dict())
    assert torch.equal(torch.get_rng_state(), before)
    assert found.fresh == () and found.repeated == ()
    assert {name.split(".")[5] for name in found.widened} == {"0_1", "0_2"}  # the two residual dense blocks
    x = torch.randn(1, 8, 12, 10)
    with torch.no_grad():
        for k in range(2):
            narrow = space.network.body[k].operation_part.graph.edges["0_2"]["rdb_dil"]
            expected = torch.cat([narrow(x[:, c : c + 2]) for c in (0, 2, 4, 6)], 1)
            wide = derived.body[k].operation_part.graph.edges["0_2"]
            torch.testing.assert_close(wide(x), expected, rtol=1e-5, atol=1e-5)
    for name in ("head.weight", "tail.bias", "upsample.0.weight", "gather.weight", "fusion.pa_up.conv.weight"):
        assert torch.equal(derived.state_dict()[name], space.state_dict()[f"network.{name}"])
    gate, searched = (net.body[1].attention_part.graph.edges["0_1"] for net in (derived, space.network))
    assert torch.equal(gate.squeeze.weight, searched["ca"].squeeze.weight)


def test_without_a_mask_all_tensors_are_the_supernets() -> None:
    torch.manual_seed(1)
    space = MendedDARTS().mutate_model(JointSearchSpace(modules=2, **SPACE))
    derived = network()
    assert set(inherit(derived, space.state_dict()).copied) == set(derived.state_dict())
    searched = space.state_dict()
    for name, value in derived.body[1].operation_part.graph.edges["0_1"].state_dict().items():
        assert torch.equal(value, searched[f"network.body.1.operation_part.graph.edges.0_1.rdb_sep.{name}"])


def test_a_deeper_network_starts_as_one_of_the_searched_depth() -> None:
    space = supernet()
    same, deeper, shallower = network(2), network(4), network(1)
    inherit(same, space.state_dict())
    found = inherit(deeper, space.state_dict())
    assert found.fresh == () and {name.split(".")[1] for name in found.repeated} == {"2", "3"}
    x = 255 * torch.rand(1, 3, 20, 20)
    with torch.no_grad():
        torch.testing.assert_close(deeper(x), same(x))
    assert torch.equal(deeper.body[3].operation_part.fuse.weight, same.body[1].operation_part.fuse.weight)
    assert inherit(shallower, space.state_dict()).fresh == ()
    assert torch.equal(shallower.gather.weight, same.gather.weight[:, :16])


def test_what_has_another_shape_stays_fresh() -> None:
    space = supernet()
    wider = network(channels=24)
    before = {name: value.clone() for name, value in wider.state_dict().items()}
    found = inherit(wider, space.state_dict())
    assert "head.weight" in found.fresh and "body.0.operation_part.reduce.weight" in found.fresh
    assert all(torch.equal(before[name], wider.state_dict()[name]) for name in found.fresh)
    assert "body.1.operation_part.graph.edges.0_1.cell1.0.weight" in found.widened  # the inner width is the same
    edge_of_another = JSNet(
        Genotype.from_names("sr", ["rdb_sep", "skip", "skip"], ["sa", "ca", "ca"], 2), network().settings
    )
    found = inherit(edge_of_another, space.state_dict())  # SA is no candidate for super-resolution
    assert {name.rpartition(".")[0] for name in found.fresh} == {
        f"body.{k}.attention_part.graph.edges.0_1.conv" for k in (0, 1)
    }


def test_the_sentence_counts_every_tensor_once() -> None:
    found = Inheritance(("a", "b"), ("c",), (), ("d",))
    assert str(found) == "inherited 3 of 4 tensors (2 copied, 1 widened), 1 fresh"
    assert str(Inheritance((), (), (), ("d",))) == "inherited 0 of 1 tensors (none), 1 fresh"
