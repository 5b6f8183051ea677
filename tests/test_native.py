"""The loops in C: values and gradients against the formula in float64, with the vectors of every processor."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from jsnas.fast.gated_sum import EdgeTerm, WideGate, gated_sums
from jsnas.fast.inference.network import fast_network
from jsnas.lookup import network_of
from jsnas.native import gated_sum as native
from jsnas.native import library
from jsnas.native.library import compiled, last

pytestmark = pytest.mark.skipif(not compiled(), reason="the loops were not compiled: there was no compiler")


def node_of(
    images: int, channels: int, rows: int, columns: int, edges: int, forms: str
) -> tuple[Tensor, list[EdgeTerm]]:
    """A random map, and edges: c one value a channel, p a pixel, o the same for all, d depthwise, w pointwise.

    Every second edge has a total already.
    """

    def random(*shape: int) -> Tensor:
        return torch.randn(shape).requires_grad_()

    def wide(form: str) -> WideGate:
        joint = random(images, channels // 8 + 3, rows, columns).contiguous(memory_format=torch.channels_last)
        narrow, weight = joint[:, 2:-1], random()
        if form == "d":
            return WideGate(narrow, random(channels, 1, 3, 3), None, weight)
        return WideGate(narrow, random(channels, channels // 8, 1, 1), random(channels), weight)

    sizes = {"c": (images, channels, 1, 1), "p": (images, 1, rows, columns), "o": (1, 1, 1, 1)}
    return random(images, channels, rows, columns), [
        EdgeTerm(
            random(images, channels, rows, columns) if k % 2 else None,
            [random(*sizes[form]) for form in forms if form in sizes],
            [wide(form) for form in forms if form in "dw"],
        )
        for k in range(edges)
    ]


def flat(x: Tensor, edges: list[EdgeTerm]) -> list[Tensor]:
    wide = [(g.narrow, g.kernel, g.bias, g.weight) for e in edges for g in e.wide]
    given_ = [x, *(t for e in edges for t in (e.total, *e.thin)), *(t for gate in wide for t in gate)]
    return [t for t in given_ if t is not None]


def by_formula(edges: list[EdgeTerm], tensors: list[Tensor]) -> Tensor:
    """What the edges come to, one after the other, from ``flat`` tensors of any type."""
    values = iter(tensors)
    x = next(values)
    maps = [(None if e.total is None else next(values), [next(values) for _ in e.thin]) for e in edges]
    ys = []
    for (total, thin), edge in zip(maps, edges, strict=True):
        gate = sum(thin, torch.zeros_like(x))
        for wide in edge.wide:
            narrow, kernel = next(values), next(values)
            bias = None if wide.bias is None else next(values)
            groups = narrow.shape[1] // kernel.shape[1]
            logits = F.conv2d(narrow, kernel, bias, padding=kernel.shape[2] // 2, groups=groups)
            gate = gate + next(values) * torch.sigmoid(logits)
        ys.append(x * gate if total is None else total + x * gate)
    return torch.cat(ys)


def in_place(edges: list[EdgeTerm]) -> list[EdgeTerm]:
    """Totals that may be changed."""
    return [replace(e, total=None if e.total is None else last(e.total).clone()) for e in edges]


def by_loops(x: Tensor, edges: list[EdgeTerm]) -> Tensor:
    """The same by the loops in C."""
    ys = gated_sums(x, in_place(edges))
    assert {type(y.grad_fn).__name__ for y in ys} == {"NativeGatedSumBackward"}
    return torch.cat(ys)


@pytest.mark.parametrize("forms", ["cpdw", "odw", "pd", "w", "c", "dd", "cpdww"])
@pytest.mark.parametrize("shape", [(2, 64, 5, 9), (1, 16, 1, 2), (3, 48, 4, 3), (1, 128, 2, 6), (2, 64, 40, 64)])
def test_values_and_gradients(forms: str, shape: tuple[int, int, int, int], vectors: None) -> None:
    torch.manual_seed(len(forms))
    check(*node_of(*shape, edges=3, forms=forms))


@settings(max_examples=40)
@given(st.data())
def test_values_and_gradients_of_any_shape(data: Any) -> None:
    torch.manual_seed(0)
    shape = [data.draw(st.integers(least, most)) for least, most in ((1, 3), (1, 5), (1, 12), (2, 12))]
    forms = data.draw(st.text("dw", max_size=8)) + data.draw(st.sampled_from(["", "c", "p", "o", "cp", "op"]))
    check(*node_of(shape[0], 16 * shape[1], *shape[2:], edges=data.draw(st.integers(1, 4)), forms=forms or "c"))


def check(x: Tensor, edges: list[EdgeTerm]) -> None:
    y = by_loops(x, edges)
    tensors = flat(x, edges)
    exact = [t.detach().double().requires_grad_() for t in tensors]
    expected = by_formula(edges, exact)
    dy, rounding = torch.randn_like(y), 4e-7 * y.numel() ** 0.5
    assert_close(y, expected, rounding)
    found = torch.autograd.grad(y, tensors, dy)
    for gradient, tensor, right in zip(found, tensors, torch.autograd.grad(expected, exact, dy.double()), strict=True):
        assert gradient.shape == tensor.shape
        assert_close(gradient, right, rounding)


def assert_close(found: Tensor, expected: Tensor, rounding: float) -> None:
    """Within 1e-5 of the largest value, and what float32 leaves of a sum over all pixels that nearly cancels."""
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max() + rounding


def test_any_number_of_threads_gives_the_same_bits() -> None:
    torch.manual_seed(0)
    (x, edges), threads = node_of(3, 64, 37, 20, edges=2, forms="cpdw"), torch.get_num_threads()
    dy, results = torch.randn(6, 64, 37, 20), []
    try:
        for number in (1, 2, 5):
            torch.set_num_threads(number)
            y = by_loops(x, edges)
            results.append([y, *torch.autograd.grad(y, flat(x, edges), dy)])
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("wanted", ["x", "total", "thin", "narrow", "kernel", "bias", "weight"])
def test_each_gradient_alone(wanted: str) -> None:
    """What nobody wants is not computed, and what is wanted does not depend on it."""
    torch.manual_seed(0)
    x, edges = node_of(2, 32, 6, 5, edges=2, forms="cpdw")
    dy = torch.randn(4, 32, 6, 5)
    of_edges: list[Any] = [t for e in edges for t in ([e.total] if wanted == "total" else e.thin)]
    if wanted not in ("total", "thin"):
        of_edges = [getattr(g, wanted) for e in edges for g in e.wide] if wanted != "x" else [x]
    chosen = [t for t in of_edges if t is not None]
    expected = torch.autograd.grad(by_loops(x, edges), chosen, dy)
    kept = {id(t) for t in chosen}

    def fixed(t: Any) -> Any:
        return t if t is None or id(t) in kept else t.detach()

    held = [
        EdgeTerm(
            fixed(e.total),
            [fixed(t) for t in e.thin],
            [WideGate(fixed(g.narrow), fixed(g.kernel), fixed(g.bias), fixed(g.weight)) for g in e.wide],
        )
        for e in edges
    ]
    alone = torch.autograd.grad(torch.cat(gated_sums(fixed(x), in_place(held))), chosen, dy)
    assert all(torch.equal(a, b) for a, b in zip(alone, expected, strict=True))


def test_huge_logits_and_no_numbers(vectors: None) -> None:
    narrow = torch.tensor([1e30, -1e30, 0.0, float("nan"), float("inf"), -float("inf")]).reshape(1, 1, 1, 6)
    narrow = narrow.repeat(1, 2, 1, 1)
    x, kernel = torch.ones(1, 16, 1, 6), torch.full((16, 2, 1, 1), 0.5)
    y = native.gated_sum([native.Gated(x, wide=[native.Wide(narrow, kernel, None)])])
    assert y[0, :, 0].isnan().all(0).tolist() == [False, False, False, True, False, False]
    assert y[0, 0, 0, [0, 4]].tolist() == [1.0, 1.0]
    assert y[0, 0, 0, [1, 5]].abs().max() < 1e-18  # and not so small that it is denormal
    assert y[0, 0, 0, [1, 5]].min() > torch.finfo(torch.float32).tiny
    assert y[0, :, 0, 2].tolist() == [0.5] * 16
    y = native.gated_sum([native.Gated(float("nan") * x, channel=torch.ones(1, 1, 1, 1))])
    assert y.isnan().all()


@pytest.mark.parametrize("name", ["jsnet-sr", "rb-sa", "rb-cca"])
@pytest.mark.parametrize("images", [1, 2])
def test_inference_with_and_without(name: str, images: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of few rows, so that windows begin above the rows they are for."""
    torch.manual_seed(0)
    network = network_of(name, scale=2, modules=1).eval()
    x = 255 * torch.rand(images, network.settings.image_channels, 45, 31)
    fast = fast_network(network)

    def restored() -> Tensor:
        rows: list[Tensor] = []
        fast.by_rows(x, lambda _, chunk: rows.append(chunk.clone()), 7)
        return torch.cat(rows, 2)

    called: list[int] = []
    loops = native.gated_sum
    monkeypatch.setattr(native, "gated_sum", lambda inputs, to: called.append(len(inputs)) or loops(inputs, to))
    with_loops = restored()
    assert called
    monkeypatch.setattr(library, "compiled", lambda: False)
    called.clear()
    without = restored()
    assert not called
    assert (with_loops - without).abs().max() <= 0.01
    with torch.no_grad():
        assert (with_loops - network(x)).abs().max() <= 0.01
