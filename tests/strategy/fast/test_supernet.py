"""The fast form of a supernet equals the readable one: values, and gradients of weights and architecture."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from jsnas.attentions import ATTENTIONS
from jsnas.network import AttentionSearchModule, JointSearchModule, OperationSearchModule
from jsnas.operations import OPERATIONS
from jsnas.strategy import PartialChannelDARTS, PartialChannelSettings
from jsnas.strategy.fast.halves import Halves
from jsnas.strategy.fast.operation_kernels import make_kernels
from jsnas.strategy.fast.operations import FastOperationPart
from jsnas.strategy.fast.supernet import FastSupernet, lay_out
from jsnas.strategy.partial_channel import MixedEdge, WeightedNode
from search_spaces import AttentionSearchSpace, JointSearchSpace, OperationSearchSpace


class MeanGate(nn.Module):
    """A user's attention with a gate."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, channels, 1, 1))

    def gate(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.scale * x.mean((2, 3), keepdim=True))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)


class OneGate(nn.Module):
    """A user's attention with one value for everything, of no dimensions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.logit = nn.Parameter(torch.tensor(0.3))

    def gate(self, x: Tensor) -> Tensor:
        return self.logit.sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)


class StripGate(nn.Module):
    """A user's attention with one value a channel and column."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, (1, 3), padding=(0, 1), groups=channels)

    def gate(self, x: Tensor) -> Tensor:
        return self.mix(x.mean(2, keepdim=True)).sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)


class Blur(nn.Module):
    """A user's block without a gate, for both kinds of edge."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x)


def supernet(space: Any, **settings: Any) -> nn.Module:
    """The mutated space in double precision, its architecture parameters far from equal."""
    PartialChannelDARTS(PartialChannelSettings(**settings)).mutate_model(space)
    space.double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in space.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(noise if "_arch_" in name else parameter + 0.05 * noise)
    return space


def values(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """The output, and the gradients of all parameters."""
    y = network(x)
    target = 255 * torch.rand(y.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64).to(y)
    parameters = dict(network.named_parameters())
    gradients = torch.autograd.grad((y - target).abs().mean(), list(parameters.values()), allow_unused=True)
    found = {"output": y.detach()}
    found |= {name: g for name, g in zip(parameters, gradients, strict=True) if g is not None}
    return found


def assert_equal(fast: dict[str, Tensor], plain: dict[str, Tensor]) -> None:
    assert fast.keys() == plain.keys()
    for name, expected in plain.items():
        scale = max(expected.abs().max().item(), 1e-5)  # some gradients are zero but for rounding
        torch.testing.assert_close(fast[name], expected, rtol=0, atol=1e-8 * scale, msg=lambda m, n=name: f"{n}: {m}")


SMALL = {"modules": 2, "channels": 16, "inner_channels": 16}
KINDS = [name for name in OPERATIONS if name.startswith("rdb_")]


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (lambda: JointSearchSpace("sr", 2, **SMALL), {}),
        (lambda: JointSearchSpace("sr", 3, 1, 32, 32, 3, 5), {"partial": 8, "edge_normalization": False}),
        (lambda: JointSearchSpace("denoise", 1, **SMALL, operations=["skip", *KINDS[::-1]]), {"partial": 2}),
        (lambda: JointSearchSpace("deblock", 1, **SMALL, inputs=2), {}),
        (lambda: JointSearchSpace("sr", 2, 1, 64, 16, attentions=["ca", "cea"]), {"partial": 1}),
        (lambda: JointSearchSpace("sr", 2, 1, 16, 8), {"partial": 1}),
        (lambda: JointSearchSpace("sr", 2, 1, 20, 12), {}),
        (lambda: JointSearchSpace("sr", 2, **SMALL), {"mask": "random"}),
        (lambda: OperationSearchSpace("sr", 2, 2, 16), {}),
        (lambda: AttentionSearchSpace("denoise", 1, 2, 24), {}),
    ],
    ids=["paper", "other nodes", "gray", "two inputs", "few attentions", "no mask", "odd widths", "random", "o", "a"],
)
def test_values_and_all_gradients(make: Any, settings: dict[str, Any]) -> None:
    network = supernet(make(), **settings)
    x = 255 * torch.rand(2, 3 if network.task_name == "sr" else 1, 17, 22, dtype=torch.float64)
    plain = values(network, x)
    fast_form = FastSupernet(network)
    assert_equal(values(network, x), plain)
    fast_form.remove()
    assert all("forward" not in module.__dict__ for module in network.modules())


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (lambda: JointSearchSpace("sr", 2, **SMALL), {}),
        (lambda: JointSearchSpace("denoise", 1, **SMALL), {"partial": 2}),
        (lambda: AttentionSearchSpace("denoise", 1, 1, 24, attentions=list(ATTENTIONS)), {}),
        (lambda: AttentionSearchSpace("denoise", 1, 1, 352, attentions=list(ATTENTIONS)), {}),
    ],
    ids=["paper", "gray", "all attentions", "too wide for dense kernels"],
)
def test_the_way_of_a_gpu(make: Any, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Dense convolutions and products of matrices; what the Triton kernels do is held in ``test_gated_edge``."""
    network = supernet(make(), **settings)
    x = 255 * torch.rand(2, 3 if network.task_name == "sr" else 1, 17, 22, dtype=torch.float64)
    plain = values(network, x)
    FastSupernet(network)
    lay_out(network, torch.device("cuda"))
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)
    assert_equal(values(network, x), plain)


def test_most_gradients_come_as_their_weights_lie_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of other strides is copied, a step of microseconds each."""
    network = supernet(JointSearchSpace("sr", 2, **SMALL))
    FastSupernet(network)
    lay_out(network, torch.device("cuda"))
    alike: list[bool] = []
    for weight in network.parameters():
        sides = [k for k, side in enumerate(weight.shape) if side > 1]
        weight.register_hook(
            lambda g, w=weight, k=sides: alike.append([g.stride(i) for i in k] == [w.stride(i) for i in k])
        )
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)
    network(torch.rand(2, 3, 17, 22, dtype=torch.float64)).sum().backward()
    assert len(alike) > 500 and sum(alike) > 0.95 * len(alike)


@pytest.mark.parametrize(("channels", "partial"), [(4, 1), (4, 2), (4, 4), (8, 2), (8, 4), (16, 4), (20, 4), (32, 2)])
@settings(max_examples=6, derandomize=True)
@given(data=st.data())
def test_values_and_all_gradients_by_the_loops_in_c(channels: int, partial: int, data: st.DataObject) -> None:
    """The loops are for float32, so this is held against the readable network in double precision."""
    draw = data.draw
    torch.manual_seed(draw(st.integers(0, 1000)))
    operations = draw(st.lists(st.sampled_from(KINDS), min_size=1, unique=True))
    if draw(st.booleans()):
        space: Any = OperationSearchSpace("sr", 2, 1, channels, operations=["none", *operations])
    else:
        attentions = draw(st.lists(st.sampled_from(list(ATTENTIONS)), min_size=1, unique=True))
        space = JointSearchSpace("sr", 2, 1, 2 * channels, channels, operations=operations, attentions=attentions)
    network = supernet(space, partial=partial)
    x = 255 * torch.rand(draw(st.integers(1, 3)), 3, draw(st.integers(15, 23)), draw(st.integers(15, 23))).double()
    plain = values(network, x)
    FastSupernet(network.float(), in_halves=draw(st.booleans()))
    fast = values(network, x.float())
    assert fast.keys() == plain.keys()
    for name, expected in plain.items():
        # Some gradients are zero but for rounding; those of the architecture are differences of far larger numbers.
        scale = max(expected.abs().max().item(), 1e-1 if "_arch_" in name else 1e-2)
        share = 1e-5 if name == "output" else 1e-2  # where rounding switches a ReLU, a gradient jumps
        assert (fast[name] - expected).abs().max() <= share * scale, name


@pytest.mark.parametrize("name", KINDS)
def test_every_operation_alone(name: str) -> None:
    network = supernet(OperationSearchSpace("sr", 2, 1, 16, operations=["none", name]))
    x = 255 * torch.rand(1, 3, 9, 11, dtype=torch.float64)
    plain = values(network, x)
    FastSupernet(network)
    assert_equal(values(network, x), plain)


@pytest.mark.parametrize("name", list(ATTENTIONS))
def test_every_attention_alone(name: str) -> None:
    network = supernet(AttentionSearchSpace("denoise", 1, 1, 16, attentions=[name]))
    x = 255 * torch.rand(3, 1, 15, 18, dtype=torch.float64)
    plain = values(network, x)
    FastSupernet(network)
    assert_equal(values(network, x), plain)


@pytest.mark.parametrize("ours", [["esa"], ["skip"], []])
def test_blocks_of_a_users_own(ours: list[str]) -> None:
    own = [f"{__name__}:{block.__name__}" for block in (Blur, MeanGate, OneGate, StripGate)]
    space = JointSearchSpace("sr", 2, **SMALL, operations=["skip", own[0]], attentions=[*ours, *own])
    network = supernet(space)
    x = 255 * torch.rand(2, 3, 16, 16, dtype=torch.float64)
    plain = values(network, x)
    FastSupernet(network)
    assert_equal(values(network, x), plain)


def test_what_a_step_does_not_use_is_not_computed_and_the_rest_stays() -> None:
    network = supernet(JointSearchSpace("sr", 2, **SMALL))
    x = 255 * torch.rand(1, 3, 16, 16, dtype=torch.float64)
    plain = values(network, x)
    fast_form = FastSupernet(network)
    alphas = {name for name in plain if "_arch_" in name}
    for module in network.modules():
        if isinstance(module, MixedEdge | WeightedNode):
            module.learns = False
    weights_only = values(network, x)
    assert not alphas & weights_only.keys()
    assert_equal(weights_only, {name: value for name, value in plain.items() if name not in alphas})
    for module in network.modules():
        if isinstance(module, MixedEdge | WeightedNode):
            module.learns = True
    fast_form.weights_learn(False)
    architecture = values(network, x)
    assert_equal({name: architecture[name] for name in alphas}, {name: plain[name] for name in alphas})
    assert not any("expand" in name for name in architecture)


@pytest.mark.parametrize("learns", [True, False])
def test_kernels_of_weights_alone_learn_in_the_weights_step_only(learns: bool) -> None:
    network = supernet(JointSearchSpace("sr", 2, **SMALL))
    parts = [FastOperationPart(m.operation_part) for m in network.modules() if isinstance(m, JointSearchModule)]
    make_kernels(parts, learns=learns)
    kernels = [here for part in parts for here in part.kernels]
    assert kernels
    alone = {"first", "second_x", "second_x1", "inner"}
    alone |= {name for name in kernels[0] if name.startswith("dilated_") and "end" not in name}
    for here in kernels:
        assert {name for name, kernel in here.items() if kernel.requires_grad} == set(here) - (
            set() if learns else alone
        )


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (lambda: JointSearchSpace("sr", 2, **SMALL), {}),
        (lambda: JointSearchSpace("deblock", 1, **SMALL, inputs=2), {"mask": "random"}),
        (lambda: AttentionSearchSpace("denoise", 1, 2, 24), {}),
    ],
    ids=["paper", "random", "a"],
)
@pytest.mark.parametrize("images", [1, 2, 5])
def test_halves_of_a_batch(make: Any, settings: dict[str, Any], images: int) -> None:
    network = supernet(make(), **settings)
    x = 255 * torch.rand(images, 3 if network.task_name == "sr" else 1, 17, 22, dtype=torch.float64)
    plain, threads = values(network, x), torch.get_num_threads()
    fast_form = FastSupernet(network, in_halves=True)
    first = values(network, x)
    assert_equal(first, plain)
    again = values(network, x)
    assert all(torch.equal(again[name], value) for name, value in first.items())
    fast_form.weights_learn(False)
    alphas = {name for name in plain if "_arch_" in name}
    architecture = values(network, x)
    assert_equal({name: architecture[name] for name in alphas}, {name: plain[name] for name in alphas})
    fast_form.remove()
    assert torch.get_num_threads() == threads
    assert_equal(values(network, x), plain)


def test_halves_and_what_they_cannot_do() -> None:
    network = supernet(JointSearchSpace("sr", 2, **SMALL)).float()
    x = 255 * torch.rand(4, 3, 16, 16)
    fast_form = FastSupernet(network, in_halves=True)
    wants_gradient = x.clone().requires_grad_()
    network(wants_gradient).mean().backward()
    y = network(x).mean()
    y.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="differentiated once"):
        y.backward()
    with pytest.raises(RuntimeError, match="before its fast form is in place"):
        copy.deepcopy(network)
    fast_form.remove()
    assert copy.deepcopy(network)(x).shape == (4, 3, 32, 32)
    plain = x.clone().requires_grad_()
    network(plain).mean().backward()
    assert wants_gradient.grad is not None and plain.grad is not None
    assert float((wants_gradient.grad - plain.grad).abs().max()) < 1e-4 * float(plain.grad.abs().max())


class BatchBlur(Blur):
    """A user's block whose images depend on each other."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * x.mean()


@pytest.mark.parametrize("own", [BatchBlur, Blur])
def test_batches_with_blocks_of_a_users_own_stay_whole(own: type[nn.Module]) -> None:
    network = supernet(JointSearchSpace("sr", 2, **SMALL, attentions=["esa", f"{__name__}:{own.__name__}"]))
    x = 255 * torch.rand(4, 3, 16, 16, dtype=torch.float64)
    plain = values(network, x)
    sizes = set[int]()
    block = next(module for module in network.modules() if isinstance(module, own))
    block.register_forward_hook(lambda module, inputs, output: sizes.add(len(output)))
    FastSupernet(network, in_halves=True)
    assert_equal(values(network, x), plain)
    assert sizes == {4}


def test_an_error_in_one_half_is_raised_and_the_threads_are_put_back() -> None:
    threads = torch.get_num_threads()
    halves = Halves(threads)
    for calls in ((_broken, lambda: 1), (lambda: 1, _broken)):
        with pytest.raises(ZeroDivisionError):
            halves.both(*calls)
        assert torch.get_num_threads() == threads
    assert halves.both(lambda: 1, lambda: 2) == (1, 2)
    halves.close()


def _broken() -> int:
    return 1 // 0


def test_the_fast_form_is_in_place_where_it_can_be() -> None:
    network = supernet(JointSearchSpace("sr", 2, **SMALL))
    FastSupernet(network)
    parts = (OperationSearchModule, AttentionSearchModule)
    assert all("forward" in m.__dict__ for m in network.modules() if isinstance(m, parts))
    assert sum(isinstance(m, JointSearchModule) for m in network.modules()) == 2


def test_mixed_precision_on_a_cpu_goes_without_the_loops() -> None:
    network = supernet(JointSearchSpace("sr", 2, modules=1, channels=16, inner_channels=16)).float()
    x = 255 * torch.rand(2, 3, 16, 16)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        plain = network(x)
        FastSupernet(network)
        assert float((network(x) - plain).abs().max()) < 0.05 * float(plain.abs().max())
