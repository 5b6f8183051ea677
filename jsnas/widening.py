"""Widens an operation that was searched on c of the C channels of its edge (c = C/K, partial channels) to all of them.

The widened operation is the searched one o on each of the R = C/c groups of channels: for x = (x_1, ..., x_R),

    O(x) = (o(x_1), ..., o(x_R)).

As convolutions that is exact. A dense kernel w becomes block-diagonal, W[(g, a), (g', b)] = w[a, b] if g = g', else 0,
where (g, a) is channel a of group g; the zeros may learn. A depthwise kernel and a bias are repeated for each group.
Where a convolution reads F concatenated maps, as the second cell of a residual dense block does, its input channels are
(f, g, b) in the wide operation and (f, b) in the narrow one, and a grouped convolution hands this order on.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from jsnas.operations import ResidualDenseBlock

_PROBE_SIDE = 16  # pixels of the image on which a widened operation is compared with the searched one


@torch.no_grad()
def widen(block: nn.Module, narrow: Mapping[str, Tensor], channels: int) -> dict[str, Tensor] | None:
    """The state dict of an operation at full width that acts on each group of channels as a narrower one does.

    Args:
        block: The operation at full width; it stays as it is.
        narrow: State dict of the same operation at c channels.
        channels: Full width C.

    Returns:
        The state dict; ``None`` where c = C, c does not divide C, or the operation cannot be widened exactly.
    """
    with torch.random.fork_rng(devices=[]):  # the blocks made here are overwritten
        small = _narrow_block(block, narrow, channels)
        if small is None:
            return None
        groups = channels // small[1]
        wide = copy.deepcopy(block).eval()
        try:
            _spread(small[0], wide, groups, 1)
        except _NotWidenedError:
            return None
        side = max(_PROBE_SIDE, int(getattr(block, "smallest_input", 1)))
        x = torch.randn(1, channels, side, side, generator=torch.Generator().manual_seed(0))
        expected = torch.cat([small[0](part) for part in x.chunk(groups, 1)], 1)
        if not torch.allclose(wide(x), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max())):
            return None
    state: dict[str, Tensor] = wide.state_dict()
    return state


class _NotWidenedError(Exception):
    """A layer whose wide form is not the narrow one on every group."""


def _narrow_block(block: nn.Module, narrow: Mapping[str, Tensor], channels: int) -> tuple[nn.Module, int] | None:
    """The operation at the width c < C that its tensors have, and c."""
    make: Any = type(block)
    shapes = {name: value.shape for name, value in narrow.items()}
    for width in range(channels // 2, 0, -1):
        if channels % width:
            continue
        try:
            small: nn.Module = make(width)
        except Exception:  # a user's block need not exist at every width
            continue
        if {name: value.shape for name, value in small.state_dict().items()} == shapes:
            small.load_state_dict(dict(narrow))
            return small.eval(), width
    return None


def _spread(narrow: nn.Module, wide: nn.Module, groups: int, maps: int) -> int:
    """Fills a wide layer so that it acts on each group as the narrow one.

    Args:
        narrow: The layer at c channels.
        wide: The same at ``groups`` times as many.
        groups: R.
        maps: F, concatenated maps in the order of the input channels.

    Returns:
        F of the output.
    """
    if isinstance(narrow, ResidualDenseBlock) and isinstance(wide, ResidualDenseBlock):
        _spread(narrow.cell1, wide.cell1, groups, 1)
        _spread(narrow.cell2, wide.cell2, groups, 2)
        return _spread(narrow.fuse, wide.fuse, groups, 3)
    if isinstance(narrow, nn.Conv2d) and isinstance(wide, nn.Conv2d):
        return _spread_convolution(narrow, wide, groups, maps)
    theirs = {**dict(wide.named_parameters(recurse=False)), **dict(wide.named_buffers(recurse=False))}
    for name, value in (*narrow.named_parameters(recurse=False), *narrow.named_buffers(recurse=False)):
        _put(theirs[name], value, groups, maps)
    for name, child in narrow.named_children():
        after = _spread(child, wide.get_submodule(name), groups, maps)
        maps = after if isinstance(narrow, nn.Sequential) else 1
    return maps


def _spread_convolution(narrow: nn.Conv2d, wide: nn.Conv2d, groups: int, maps: int) -> int:
    if narrow.groups == wide.groups == 1:
        if narrow.in_channels % maps or wide.in_channels != groups * narrow.in_channels:
            raise _NotWidenedError
        kernel = narrow.weight.reshape(narrow.out_channels, maps, -1, *narrow.kernel_size)  # a, f, b
        blocks = kernel.new_zeros(groups, len(kernel), maps, groups, *kernel.shape[2:])
        for g in range(groups):
            blocks[g, :, :, g] = kernel
        wide.weight.copy_(blocks.flatten(2, 4).flatten(0, 1))
        maps = 1
    elif wide.groups == groups * narrow.groups:
        _put(wide.weight, narrow.weight, groups, maps)
    else:
        raise _NotWidenedError
    if narrow.bias is not None and wide.bias is not None:
        _put(wide.bias, narrow.bias, groups, maps)
    return maps


def _put(wide: Tensor, narrow: Tensor, groups: int, maps: int) -> None:
    """Repeats the channels of each map for each group; a parameter that does not grow is the same."""
    if wide.shape == narrow.shape:
        wide.copy_(narrow)
        return
    if len(narrow) % maps or wide.shape != (groups * len(narrow), *narrow.shape[1:]):
        raise _NotWidenedError
    parts = narrow.reshape(maps, 1, -1, *narrow.shape[1:])  # f, group, b
    wide.copy_(parts.expand(-1, groups, *parts.shape[2:]).flatten(0, 2))
