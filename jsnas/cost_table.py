"""What each candidate adds to the cost of a network, so that the cost of any genotype is a sum.

Parameters and multiply-adds add up exactly; a measured latency (``jsnas.latency``) does so about.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from jsnas.attentions import ATTENTIONS
from jsnas.cost import PAPER_SIZE, cost_of, multiply_adds_of, parameters_of
from jsnas.errors import unknown_name
from jsnas.genotype import ATTENTION, EXCLUDED, OPERATION, Genotype
from jsnas.network import JSNet, NetworkSettings
from jsnas.operations import OPERATIONS

COUNTED = ("parameters", "multiply_adds")
BlockFactory = Callable[[int], nn.Module]
Candidates = Mapping[str, BlockFactory]


@dataclass(frozen=True)
class CostTable:
    """Cost of a network as a sum over its edges.

    Attributes:
        unit: What is counted: ``"parameters"``, ``"multiply_adds"`` or ``"seconds"``.
        edges: For each part, the cost of each candidate on one edge, in all stacked modules together.
        rest: Cost of the network without any candidate.
    """

    unit: str
    edges: Mapping[str, Mapping[str, float]]
    rest: float

    def predicted(self, genotype: Genotype) -> float:
        """Cost of the genotype's network."""
        return self.rest + sum(self.edges[part][name] for part, kept in genotype.parts for _, name in kept)

    def expected(self, probabilities: Mapping[str, Mapping[str, Tensor]]) -> Tensor:
        """Mean cost where each edge holds a candidate with a probability; differentiable.

        Args:
            probabilities: Label of an edge to the probabilities of its candidates; the others share that of
                ``none``, which the derivation never takes.
        """
        total = torch.tensor(float(self.rest))
        for label, weights in probabilities.items():
            costs = self.edges[label.partition("_")[0]]
            kept = {name: weight for name, weight in weights.items() if name != EXCLUDED or len(weights) == 1}
            # Prices as numbers, not as a tensor: nothing is copied to the device.
            total = total + sum(weight * costs[name] for name, weight in kept.items()) / sum(kept.values())
        return total

    def mean(self, genotype: Genotype) -> float:
        """Mean cost over all candidates on the edges of a genotype."""

        def average(part: str) -> float:
            costs = [cost for name, cost in self.edges[part].items() if name != EXCLUDED]
            return sum(costs) / max(1, len(costs))

        return self.rest + sum(len(kept) * average(part) for part, kept in genotype.parts)


def counted_table(
    unit: str,
    settings: NetworkSettings,
    plain: Genotype,
    operations: Candidates = OPERATIONS,
    attentions: Candidates = ATTENTIONS,
    output_size: tuple[int, int] = PAPER_SIZE,
) -> CostTable:
    """Counts every candidate; nothing is computed.

    Args:
        unit: ``"parameters"`` or ``"multiply_adds"``.
        settings: Size of the network.
        plain: A genotype of the wanted edges that holds ``skip`` everywhere.
        operations: The candidates by name.
        attentions: The same for attentions.
        output_size: Height and width in pixels that multiply-adds are counted for.

    Raises:
        InputError: If the unit is unknown or the size below what the network takes.
    """
    if unit not in COUNTED:
        raise unknown_name("cost", unit, COUNTED)
    height, width = (side // settings.scale for side in output_size)

    def count(make: BlockFactory, channels: int) -> float:
        block = make(channels)
        if unit == "parameters":
            return float(settings.modules * parameters_of(block))
        x = torch.empty(1, channels, height, width, device="meta")
        return float(settings.modules * multiply_adds_of(block.to("meta"), x))

    edges = {
        OPERATION: {name: count(make, settings.inner_channels) for name, make in operations.items()},
        ATTENTION: {name: count(make, settings.channels) for name, make in attentions.items()},
    }
    cost = cost_of(JSNet(plain, settings), output_size)
    return CostTable(unit, edges, float(cost.parameters if unit == "parameters" else cost.multiply_adds))


def plain_genotype(task: str, operation_nodes: int, attention_nodes: int, inputs: int | None = None) -> Genotype:
    """The genotype that holds ``skip`` on every edge that is kept: all, or the first ``inputs`` of each node."""

    def part(nodes: int) -> tuple[tuple[tuple[int, int], str], ...]:
        return tuple(((i, j), "skip") for j in range(1, nodes) for i in range(min(j, inputs or j)))

    return Genotype(task, part(operation_nodes), part(attention_nodes))
