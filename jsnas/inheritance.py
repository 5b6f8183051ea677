"""Starts a derived network from the weights of the supernet that it was found in, where shapes allow.

What has the same shape in both is copied; operations that were searched on a part of their channels are widened
(``jsnas.widening``). The supernet itself is not preserved: it adds up weighted candidates, passes the other channels by
and shuffles afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from jsnas.genotype import Genotype
from jsnas.network import JSNet
from jsnas.widening import widen

PREFIX = "network."  # where the network sits in a search space
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


def inherit_weights(supernet: Mapping[str, Tensor], genotype: Genotype) -> dict[str, Tensor]:
    """The supernet's weights of what a genotype chose, under the names of the derived network.

    Where the search had no channel mask (K = 1) and the sizes are equal, this is the derived network's state dict.

    Args:
        supernet: State dict of the mutated search space.
        genotype: What was derived from it.
    """
    chosen = {
        f"{part}_part.graph.edges.{i}_{j}.": f"{name}." for part, edges in genotype.parts for (i, j), name in edges
    }
    inherited = {}
    for key, value in supernet.items():
        if not key.startswith(PREFIX) or "._arch_" in key:
            continue
        path = key.removeprefix(PREFIX)
        edge = re.match(r"(body\.\d+\.)(\w+_part\.graph\.edges\.\d+_\d+\.)(.*)", path)
        if edge is None:
            inherited[path] = value
        elif edge[2] in chosen and edge[3].startswith(chosen[edge[2]]):
            inherited[edge[1] + edge[2] + edge[3].removeprefix(chosen[edge[2]])] = value
    return inherited


@torch.no_grad()
def inherit(network: JSNet, supernet: Mapping[str, Tensor]) -> Inheritance:
    """Gives a network the weights of a supernet where they fit; the rest keeps the values it has.

    A layer, or the block on an edge, is inherited as a whole or not at all.

    A module beyond those that were searched starts as the last of them, and what the gathering convolution reads of it
    as zero, so that the network starts as one of the searched depth. Of a shallower network the last modules are left
    out. An operation is widened where the result equals the searched one on every group of channels; where an unknown
    operation gives something else, it stays fresh.

    Args:
        network: The derived network, changed in place.
        supernet: State dict of the mutated search space, on the CPU as the network.

    Returns:
        What came from where.
    """
    found = inherit_weights(supernet, network.genotype)
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
