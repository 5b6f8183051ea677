"""What edges of an operation part bring, by the loops in C, against torch's convolutions and gradients in float64."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from jsnas.native.library import suits
from jsnas.strategy.fast.native_operations import leave


def kernels_of(edges: int, channels: int, blocks: int, inner: bool, dilated: bool, seed: int) -> dict[str, Tensor]:
    """Random ones: blocks with dense kernels (with a linear end or without), rdb_dil, or neither."""
    shapes: dict[str, tuple[int, ...]] = {}
    if blocks:
        shapes["first"] = shapes["second_x"] = (edges, 4 * blocks, 4, 3, 3)
        shapes["second_x1"] = (edges, blocks, 4, 4, 3, 3)
        if inner:
            shapes["inner"] = (edges, blocks, 4, 4, 3, 3)
        shapes["first_end"], shapes["second_end"] = (edges, 4, 4 * blocks, 1, 1), (edges, 4, 4 * blocks, 3, 3)
    if dilated:
        shapes |= {f"dilated_{name}": (edges, 4, 1, 3, 3) for name in ("first2", "first3", "x2", "x3", "x12", "x13")}
        points = ("first1", "x1", "x11", "first_end", "second_end")
        shapes |= {f"dilated_{name}": (edges, 4, 4, 1, 1) for name in points}
    shapes["state"], shapes["bias"] = (edges, channels, channels, 1, 1), (edges, channels)
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) / 2 for name, shape in shapes.items()}


def by_torch(state: Tensor, k: dict[str, Tensor]) -> Tensor:
    """The same by grouped convolutions."""
    edges, channels = k["bias"].shape

    def conv(x: Tensor, name: str, groups: int = 1, dilation: int = 1) -> Tensor:
        kernel = k[name].flatten(0, -4)
        return F.conv2d(x, kernel, padding=kernel.shape[-1] // 2 * dilation, groups=groups, dilation=dilation)

    def depthwise(x: Tensor, first: str, second: str) -> Tensor:
        return conv(conv(x, first, 4 * edges, 2), second, 4 * edges, 3)

    x, ends = state[:, :4], []
    if "first" in k:
        quads = k["first"].shape[:2].numel() // 4
        y1 = F.relu(conv(x, "first"))
        x1 = conv(y1, "inner", quads) if "inner" in k else y1
        y2 = F.relu(conv(x, "second_x") + conv(x1, "second_x1", quads))
        ends += [conv(x1, "first_end", edges), conv(y2, "second_end", edges)]
    if "dilated_x2" in k:
        wide = x.repeat(1, edges, 1, 1)
        x1 = F.relu(conv(depthwise(wide, "dilated_first2", "dilated_first3"), "dilated_first1", edges))
        of_x = conv(depthwise(wide, "dilated_x2", "dilated_x3"), "dilated_x1", edges)
        x2 = F.relu(of_x + conv(depthwise(x1, "dilated_x12", "dilated_x13"), "dilated_x11", edges))
        ends += [conv(x1, "dilated_first_end", edges), conv(x2, "dilated_second_end", edges)]
    y = F.conv2d(state, k["state"].flatten(0, 1), k["bias"].flatten())
    for end in ends:
        zeros = end.new_zeros(*end.shape[:2], channels // 4 - 1, *end.shape[2:])
        y = y + torch.cat([end.unsqueeze(2), zeros], 2).flatten(1, 2)
    return y


@given(
    batch=st.integers(1, 3),
    edges=st.integers(1, 4),
    channels=st.sampled_from([4, 8, 16]),
    blocks=st.integers(0, 4),
    inner=st.booleans(),
    dilated=st.booleans(),
    height=st.integers(1, 11),
    width=st.integers(1, 11),
    data=st.data(),
)
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_values_and_the_gradients_that_are_wanted(
    batch: int,
    edges: int,
    channels: int,
    blocks: int,
    inner: bool,
    dilated: bool,
    height: int,
    width: int,
    data: st.DataObject,
    vectors: None,
) -> None:
    kernels = kernels_of(edges, channels, blocks, inner, dilated, height * width)
    names = [*kernels, "x"]
    wanted = data.draw(st.just(names) | st.lists(st.sampled_from(names), min_size=1, unique=True))
    generator = torch.Generator().manual_seed(batch + edges)
    x = torch.randn(batch, channels, height, width, generator=generator)
    dy = torch.randn(batch, edges * channels, height, width, generator=generator)
    results = []
    for dtype, forward in ((torch.float64, by_torch), (torch.float32, leave)):
        leaves = {
            name: t.to(dtype, copy=True).requires_grad_(name in wanted) for name, t in (*kernels.items(), ("x", x))
        }
        y = forward(leaves["x"], {name: leaves[name] for name in kernels})
        results.append([y, *torch.autograd.grad(y, [leaves[name] for name in wanted], dy.to(dtype))])
    for right, found in zip(*results, strict=True):
        torch.testing.assert_close(found.double(), right, rtol=0, atol=3e-6 * right.abs().max().item() + 1e-7)


def test_any_number_of_threads_gives_the_same_bits(vectors: None) -> None:
    kernels = {name: t.requires_grad_() for name, t in kernels_of(2, 16, 3, True, True, 0).items()}
    x, dy = torch.randn(3, 16, 23, 17, requires_grad=True), torch.randn(3, 32, 23, 17)
    threads, results = torch.get_num_threads(), []
    # torch's own convolutions may differ with the threads, but not with kernels of zeros, and of ones in the middle.
    for name in ("state", "first", "second_x"):
        kernels[name].data.zero_()
    kernels["first"].data[:, :, :, 1, 1] = kernels["second_x"].data[:, :, :, 1, 1] = 1
    names = [name for name in kernels if name not in ("state", "bias", "first", "second_x")]
    try:
        for number in (1, 2, 5):
            torch.set_num_threads(number)
            y = leave(x, kernels)
            results.append([y, *torch.autograd.grad(y, [x, *(kernels[name] for name in names)], dy)])
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_what_is_no_number_stays_none(vectors: None) -> None:
    kernels = kernels_of(2, 16, 2, True, True, 1)
    x = torch.randn(2, 16, 9, 8)
    x[1, 2, 3, 4] = torch.nan
    found, right = leave(x, kernels).isnan(), by_torch(x, kernels).isnan()
    assert right.any() and not right.all() and torch.equal(found, right)


def test_other_types_are_left_to_torch() -> None:
    assert not suits(torch.zeros(1, 4, 2, 2, dtype=torch.float64))
    assert not suits(torch.zeros(1, 4, 2, 2, device="meta"))
