"""The weights of all candidates on the attention edges of a supernet, made once a pass and handed out node by node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from jsnas.network import Graph
from jsnas.strategy.partial_channel import WeightedNode, weights_by_label


def candidates_by_class(graph: Graph, i: int) -> dict[type[nn.Module], list[tuple[int, int]]]:
    """The candidates on the edges that leave node i, class after class: where the edge ends, and the number on it."""
    found: dict[type[nn.Module], list[tuple[int, int]]] = {}
    for j in graph.ends_from(i):
        edge: Any = graph.edges[f"{i}_{j}"]
        for k, name in enumerate(edge.names):
            found.setdefault(type(edge[name]), []).append((j, k))
    return found


class CandidateWeights:
    """For each node of some graphs the weights on the edges that leave it, in the order of ``candidates_by_class``.

    Args:
        graphs: Graphs whose edges are all ``MixedAttention``.
    """

    def __init__(self, graphs: Sequence[Graph]) -> None:
        self._edges: list[tuple[Any, Any, int]] = []  # each, its end, and its number among what arrives there
        self._sizes: list[int] = []
        order: list[int] = []  # of the candidates of all edges one after the other
        for graph in graphs:
            for i in range(len(graph.nodes)):
                first = count = len(order)
                starts: dict[int, int] = {}
                for j in graph.ends_from(i):
                    edge: Any = graph.edges[f"{i}_{j}"]
                    self._edges.append((edge, graph.nodes[j - 1], graph.inputs[j - 1].index(i)))
                    starts[j], count = count, count + len(edge.names)
                order += [starts[j] + k for same in candidates_by_class(graph, i).values() for j, k in same]
                self._sizes.append(count - first)
        device = next((p.device for edge, _, _ in self._edges for p in edge.arch_parameters()), None)
        self._order = torch.tensor(order, device=device)

    def __call__(self) -> Sequence[Tensor]:
        """Those of this pass. An edge's weight into its node (Eq. 9) is a factor of them."""
        of_edge = weights_by_label([edge for edge, _, _ in self._edges])
        nodes = weights_by_label([node for _, node, _ in self._edges if isinstance(node, WeightedNode)])
        of_node = {label: weights.unbind() for label, weights in nodes.items()}
        found = []
        for edge, node, number in self._edges:
            weights = of_edge[edge.label]
            found.append(weights * of_node[node.label][number] if isinstance(node, WeightedNode) else weights)
        return torch.split(torch.cat(found).index_select(0, self._order), self._sizes)
