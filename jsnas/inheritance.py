"""Starts a derived network from the weights of the supernet that it was found in, where shapes allow.

What has the same shape in both is copied. An operation that was searched on c of the C channels of its edge (c = C/K,
partial channels) is widened to C as the same operation on each of the C/c groups of channels: for x = (x_1, ..., x_R),
R = C/c, the widened operation is

    O(x) = (o(x_1), ..., o(x_R)),  o the operation that was searched.

As convolutions that is exact. A dense kernel w becomes block-diagonal, W[(g, a), (g', b)] = w[a, b] if g = g', else 0,
where (g, a) is channel a of group g; the zeros may learn. A depthwise kernel and a bias are repeated for each group.
Where a convolution reads F concatenated maps, as the second cell of a residual dense block does, its input channels are
(f, g, b) in the wide operation and (f, b) in the narrow one, and a grouped convolution hands this order on.

The supernet itself is not preserved: it adds up weighted candidates, passes C - c channels by and shuffles afterwards.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from jsnas.genotype import Genotype
from jsnas.network import JSNet
from jsnas.operations import ResidualDenseBlock

_PROBE_SIDE = 16  # pixels of the image on which a widened operation is compared with the searched one
_BODY = re.compile(r"body\.(\d+)\.(.*)")


@dataclass(frozen=True)
class Inheritance:
    """Where the tensors of a network come from, by name.

    Attributes:
        copied: As they are in the supernet.
        widened: From fewer channels.
        repeated: Of modules beyond the searched ones: those of the last module that was searched.
        fresh: Not inherited.
    """

    copied: tuple[str, ...]
    widened: tuple[str, ...]
    repeated: tuple[str, ...]
    fresh: tuple[str, ...]

    @property
    def inherited(self) -> int:
        """How many tensors come from the supernet, in whatever way."""
        return len(self.copied) + len(self.widened) + len(self.repeated)

    def __str__(self) -> str:
        """Such as ``inherited 30 of 41 tensors (24 copied, 6 widened), 11 fresh``."""
        ways = {"copied": self.copied, "widened": self.widened, "repeated from the last module": self.repeated}
        words = ", ".join(f"{len(names)} {way}" for way, names in ways.items() if names)
        total = self.inherited + len(self.fresh)
        return f"inherited {self.inherited} of {total} tensors ({words or 'none'}), {len(self.fresh)} fresh"


def inherit_weights(supernet: Mapping[str, Tensor], genotype: Genotype, prefix: str = "network.") -> dict[str, Tensor]:
    """The supernet's weights of what a genotype chose, under the names of the derived network.

    Where the search had no channel mask (K = 1) and the sizes are equal, this is the derived network's state dict.

    Args:
        supernet: State dict of the mutated search space.
        genotype: What was derived from it.
        prefix: Where the network sits in the space.
    """
    chosen = {
        f"{part}_part.graph.edges.{i}_{j}.": f"{name}."
        for part, edges in (("operation", genotype.operations), ("attention", genotype.attentions))
        for (i, j), name in edges
    }
    inherited = {}
    for key, value in supernet.items():
        if not key.startswith(prefix) or "._arch_" in key:
            continue
        path = key.removeprefix(prefix)
        edge = re.match(r"(body\.\d+\.)(\w+_part\.graph\.edges\.\d+_\d+\.)(.*)", path)
        if edge is None:
            inherited[path] = value
        elif edge[2] in chosen and edge[3].startswith(chosen[edge[2]]):
            inherited[edge[1] + edge[2] + edge[3].removeprefix(chosen[edge[2]])] = value
    return inherited


@torch.no_grad()
def inherit(network: JSNet, supernet: Mapping[str, Tensor], prefix: str = "network.") -> Inheritance:
    """Gives a network the weights of a supernet where they fit; the rest keeps the values it has.

    A layer, or the block on an edge, is inherited as a whole or not at all.

    A module beyond those that were searched starts as the last of them, and what the gathering convolution reads of it
    as zero, so that the network starts as one of the searched depth. Of a shallower network the last modules are left
    out. An operation is widened where the result equals the searched one on every group of channels; where an unknown
    operation gives something else, it stays fresh.

    Args:
        network: The derived network, changed in place.
        supernet: State dict of the mutated search space, on the CPU as the network.
        prefix: Where the network sits in the space.

    Returns:
        What came from where.
    """
    found = inherit_weights(supernet, network.genotype, prefix)
    searched = 1 + max((int(match[1]) for key in found if (match := _BODY.match(key))), default=-1)
    own = network.state_dict()
    values: dict[str, Tensor] = {}
    widened: set[str] = set()
    for path, block in network.named_modules():
        if re.fullmatch(r"body\.\d+\.operation_part\.graph\.edges\.\w+", path):
            source = f"{_source(path, searched)}."
            narrow = {key.removeprefix(source): value for key, value in found.items() if key.startswith(source)}
            wide = widen(block, narrow, network.settings.inner_channels) if narrow else None
            values |= {f"{path}.{name}": value for name, value in (wide or {}).items()}
            widened |= {f"{path}.{name}" for name in wide or {}}
    for name, mine in own.items():
        value = found.get(_source(name, searched))
        if name == "gather.weight" and value is not None and searched:
            value = _gathering(value, searched, network.settings.modules)
        if name not in values and value is not None and value.shape == mine.shape:
            values[name] = value
    unfit = {_unit(name) for name in own if name not in values}
    ways: dict[str, list[str]] = {"copied": [], "widened": [], "repeated": [], "fresh": []}
    for name, mine in own.items():
        if _unit(name) in unfit:
            ways["fresh"].append(name)
            continue
        mine.copy_(values[name])
        way = "widened" if name in widened else "copied"
        ways[way if _source(name, searched) == name else "repeated"].append(name)
    return Inheritance(**{way: tuple(names) for way, names in ways.items()})


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


def _source(name: str, searched: int) -> str:
    """The name under which the supernet has a parameter or module: modules beyond the searched ones are the last."""
    match = _BODY.match(name)
    return name if match is None else f"body.{min(int(match[1]), searched - 1)}.{match[2]}"


def _unit(name: str) -> str:
    """What is inherited as a whole or not at all: the block on an edge, a layer elsewhere."""
    edge = re.match(r".*\.graph\.edges\.\w+", name)
    return edge[0] if edge is not None else name.rpartition(".")[0]


def _gathering(weight: Tensor, searched: int, modules: int) -> Tensor:
    """The gathering 1x1 convolution for another number of modules; what is read of added ones is zero."""
    parts = list(weight.chunk(searched, 1))[:modules]
    return torch.cat([*parts, *[torch.zeros_like(parts[0])] * (modules - len(parts))], 1)


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
