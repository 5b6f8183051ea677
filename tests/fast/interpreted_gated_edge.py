"""The Triton kernels of a gated edge against torch's own derivatives of the formula; ``test_gated_edge`` runs this."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from jsnas.fast.gated_edge import GatedEdge, has_triton
from jsnas.fast.gated_sum import EdgeTerm, WideGate, _by_kernels
from jsnas.fast.training.network import FastTraining
from jsnas.genotype import Genotype, edge_list
from jsnas.native import library
from jsnas.network import JSNet, NetworkSettings
from jsnas.strategy import PartialChannelDARTS, PartialChannelSettings
from jsnas.strategy.fast.supernet import FastSupernet
from search_spaces import JointSearchSpace


def formula(maps: list[Tensor], edges: list[EdgeTerm]) -> Tensor:
    """What it is: sum_i x_i (sum_m t_im + sum_k w_ik sigmoid(conv_ik(n_ik)))."""
    y = torch.zeros(())
    for x, edge in zip(maps, edges, strict=True):
        gate = sum(edge.thin, torch.zeros(()))
        for g in edge.wide:
            groups = g.narrow.shape[1] // g.kernel.shape[1]
            logits = F.conv2d(g.narrow, g.kernel, g.bias, padding=g.kernel.shape[-1] // 2, groups=groups)
            gate = gate + (1 if g.weight is None else g.weight) * torch.sigmoid(logits)
        y = y + x * gate
    return y


def by_kernels(maps: list[Tensor], edges: list[EdgeTerm]) -> Tensor:
    """Edges that lead from several nodes to one."""
    total: Tensor | None = None
    for x, edge in zip(maps, edges, strict=True):
        total = _by_kernels(x.contiguous(memory_format=torch.channels_last), replace(edge, total=total))
    assert total is not None
    return total


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from([None, 1, "batch"]), st.integers(0, 2)), min_size=1, max_size=3),
    st.tuples(st.integers(1, 3), st.integers(2, 9), st.integers(1, 9)),
    st.sampled_from([4, 6, 64]),
    st.booleans(),
    st.integers(0, 2**16),
)
@settings(max_examples=25, deadline=None)
def test_values_and_gradients(
    gates: list[tuple[bool, int | str | None, int]],
    size: tuple[int, int, int],
    channels: int,
    weighted: bool,
    seed: int,
) -> None:
    draw = torch.Generator().manual_seed(seed)
    batch, height, width = size

    def new(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw).requires_grad_()

    maps, edges, leaves = list[Tensor](), list[EdgeTerm](), list[Tensor]()
    for pixel, channel, wide in gates:
        thin = [new(batch if channel == "batch" else 1, channels, 1, 1)] if channel else []
        thin += [new(batch, 1, height, width)] if pixel else []
        # A depthwise 3x3 kernel with no bias, a 1x1 kernel with one.
        shapes: list[tuple[tuple[int, ...], bool]] = [((channels, 1, 3, 3), False), ((channels, 2, 1, 1), True)]
        made = [
            WideGate(
                new(batch, 2, height, width),
                new(*shape),
                new(channels) if has_bias else None,
                new() if weighted else None,
            )
            for shape, has_bias in shapes[:wide]
        ]
        maps.append(new(batch, channels, height, width))
        edges.append(EdgeTerm(None, thin, made))
        leaves += [maps[-1], *thin, *itertools.chain(*([g.narrow, g.kernel] for g in made))]
        leaves += [t for g in made for t in (g.bias, g.weight) if t is not None]
    y, expected = by_kernels(maps, edges), formula(maps, edges)
    torch.testing.assert_close(y, expected.expand_as(y), rtol=1e-4, atol=1e-5)
    dy = torch.randn(y.shape, generator=draw)
    found = torch.autograd.grad(y, leaves, dy)
    for ours, theirs in zip(found, torch.autograd.grad(expected.expand_as(y), leaves, dy), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch, x: Tensor) -> list[int]:
    """Tensors say that they are on a GPU, and there are no loops in C; every call of the kernels is counted."""
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)
    monkeypatch.setattr(library, "compiled", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    assert has_triton(x.device)  # which tries a kernel, once
    called: list[int] = []
    apply = GatedEdge.apply
    monkeypatch.setattr(GatedEdge, "apply", lambda *arguments: called.append(1) or apply(*arguments))
    return called


def test_the_supernet_by_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    space = JointSearchSpace("sr", 2, 1, 16, 16)
    PartialChannelDARTS(PartialChannelSettings()).mutate_model(space)
    x, target = 255 * torch.rand(2, 3, 15, 16), 255 * torch.rand(2, 3, 30, 32)
    parameters = list(space.parameters())

    def gradients() -> Tensor:
        loss = F.l1_loss(space(x), target)
        return torch.cat([gradient.flatten() for gradient in torch.autograd.grad(loss, parameters)])

    plain = gradients()
    FastSupernet(space)
    called = as_on_a_gpu(monkeypatch, x)
    torch.testing.assert_close(gradients(), plain, rtol=1e-3, atol=1e-5 * float(plain.abs().max()))
    assert len(called) == 6  # the edges of an attention graph of four nodes


def test_a_training_by_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attention graphs of every kind of block."""
    torch.manual_seed(0)
    nodes = edge_list(4)
    kinds = ["esa", "cea", "pa", "ca", "sa", "skip"]
    genotype = Genotype("sr", tuple((edge, "skip") for edge in edge_list(2)), tuple(zip(nodes, kinds, strict=True)), 2)
    network = JSNet(genotype, NetworkSettings(3, 2, 1, 16, 8))
    x, target = 255 * torch.rand(2, 3, 15, 16), 255 * torch.rand(2, 3, 30, 32)
    parameters = list(network.parameters())

    def gradients() -> Tensor:
        found = torch.autograd.grad(F.l1_loss(network(x), target), parameters)
        return torch.cat([gradient.flatten() for gradient in found])

    plain = gradients()
    called = as_on_a_gpu(monkeypatch, x)
    with FastTraining(network, torch.device("cuda")):
        torch.testing.assert_close(gradients(), plain, rtol=1e-3, atol=1e-5 * float(plain.abs().max()))
    assert len(called) == 6
