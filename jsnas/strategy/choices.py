"""What a search space puts on its edges and nodes: NNI's own choices, with what our strategy needs to know beside them.

Both are exactly NNI's classes or plain modules, so every NNI strategy runs on the same space; only ours looks
at the extra attributes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from jsnas.network import EdgeSum, NodeMaker
from jsnas.sample import edge_label, inputs_label
from jsnas.strategy.nni_api import InputChoice, LayerChoice

BlockFactory = Callable[[int], nn.Module]


def block_choice(part: str, edge: tuple[int, int], channels: int, candidates: Mapping[str, BlockFactory]) -> nn.Module:
    """An NNI ``LayerChoice`` among candidate blocks.

    Under NNI's ``model_context`` it is the chosen block itself.

    Args:
        part: ``"operation"`` or ``"attention"``.
        edge: The edge (i, j) it stands on; with ``part`` it makes the label that all stacked modules share.
        channels: Channels of the blocks.
        candidates: Name to factory of each candidate.
    """
    choice: Any = LayerChoice(
        {name: factory(channels) for name, factory in candidates.items()}, label=edge_label(part, edge)
    )
    if type(choice) is LayerChoice:
        # Partial channels need the candidates at another width, so the factories travel along.
        choice.part, choice.channels, choice.factories = part, channels, dict(candidates)
    module: nn.Module = choice
    return module


class NodeSum(EdgeSum):
    """A node that keeps all its inputs; a strategy may weight them while it searches (edge normalisation)."""

    def __init__(self, part: str, label: str, inputs: int) -> None:
        super().__init__()
        self.part, self.label, self.inputs = part, label, inputs


def node_maker(part: str, kept_inputs: int | None) -> NodeMaker:
    """Makes nodes that sum all inputs, or an ``InputChoice`` of ``kept_inputs`` where there are more."""

    def make_node(node: int, inputs: int) -> nn.Module:
        label = inputs_label(part, node)
        if kept_inputs is None or inputs <= kept_inputs:
            return NodeSum(part, label, inputs)
        choice: Any = InputChoice(inputs, n_chosen=kept_inputs, reduction="sum", label=label)
        if type(choice) is InputChoice:
            choice.part = part
        module: nn.Module = choice
        return module

    return make_node
