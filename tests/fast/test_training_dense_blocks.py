"""Dense blocks of a network that learns, by sums of convolutions: values and all gradients are the plain block's."""

from __future__ import annotations

import copy
from unittest.mock import patch

import pytest
import torch
from gradients import assert_close, values
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from jsnas.fast.training import dense_blocks
from jsnas.fast.training.dense_blocks import FastDenseBlocks
from jsnas.native.library import compiled, suits
from jsnas.operations import RDBCommon, RDBDil, RDBLight, RDBSep, RDBShallow

DENSE = [RDBCommon, RDBLight, RDBShallow]


def distance_from_zero(block: nn.Module, x: Tensor) -> float:
    """How far all values that ReLUs get are from zero."""
    least = []
    hooks = [
        module.register_forward_pre_hook(lambda module, inputs: least.append(inputs[0].abs().min().item()))
        for module in block.modules()
        if isinstance(module, nn.ReLU)
    ]
    block(x)
    for hook in hooks:
        hook.remove()
    return min(least)


@settings(max_examples=40)
@given(
    kind=st.sampled_from([*DENSE, RDBSep, RDBDil]),
    channels=st.sampled_from([16, 32, 24]),  # the loops are not made for the last
    size=st.tuples(st.integers(1, 2), st.integers(1, 14), st.integers(1, 36)),
    pays=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_values_and_all_gradients(
    kind: type[nn.Module], channels: int, size: tuple[int, int, int], pays: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    block = nn.Sequential(kind(channels)).double()  # type: ignore[call-arg]
    x = torch.randn(size[0], channels, *size[1:], dtype=torch.float64)
    single, expected = copy.deepcopy(block).float(), values(block, x)
    assume(distance_from_zero(block, x) > 1e-5)  # where rounding switches a ReLU a gradient jumps
    with FastDenseBlocks(single), patch.object(dense_blocks, "_pays", lambda x: pays and suits(x)):
        found = values(single, x.float())
    by_loops = pays and compiled() and kind in DENSE and channels % 16 == 0
    assert ("DenseBlock" in type(found[0].grad_fn).__name__) == by_loops
    assert_close(found, expected)


@pytest.mark.parametrize("kind", DENSE)
def test_parameters_that_do_not_learn_get_no_gradient(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    block = nn.Sequential(kind(16))  # type: ignore[call-arg]
    x, names = torch.randn(2, 16, 9, 8), [name for name, _ in block.named_parameters()]
    plain = dict(zip(names, values(block, x)[2:], strict=True))
    for name in names:
        for other, parameter in block.named_parameters():
            parameter.requires_grad_(other == name)
        with FastDenseBlocks(block), patch.object(dense_blocks, "_pays", suits):
            y = block(x)
        assert compiled() == ("DenseBlock" in type(y.grad_fn).__name__)
        dy = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(y)
        y.backward(dy)
        for other, parameter in block.named_parameters():
            assert (parameter.grad is None) == (other != name)
            if parameter.grad is not None:
                assert_close([parameter.grad], [plain[name]])
                parameter.grad = None


@pytest.mark.parametrize(
    ("shape", "taken"),
    [
        ((4, 16, 24, 24), True),
        ((4, 64, 24, 24), True),
        ((4, 80, 24, 24), False),  # of more channels the kernels take longer than the maps
        ((4, 16, 40, 16), False),
        ((2, 16, 24, 24), False),
        ((1, 16, 64, 64), False),  # fewer images than threads
    ],
)
def test_where_the_loops_are_no_faster_torch_stays(shape: tuple[int, ...], taken: bool) -> None:
    block, threads = nn.Sequential(RDBShallow(shape[1])), torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with FastDenseBlocks(block):
            y = block(torch.rand(shape))
    finally:
        torch.set_num_threads(threads)
    assert ("DenseBlock" in type(y.grad_fn).__name__) == (taken and compiled())


def test_under_autocast_and_afterwards_blocks_are_themselves() -> None:
    block = nn.Sequential(RDBCommon(16))
    x = torch.randn(1, 16, 9, 8)
    expected = block(x)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = block(x)
        with FastDenseBlocks(block):
            assert torch.equal(block(x), mixed)
    with pytest.raises(ZeroDivisionError), FastDenseBlocks(block):
        1 / 0  # noqa: B018
    assert torch.equal(block(x), expected) and "forward" not in block[0].__dict__
