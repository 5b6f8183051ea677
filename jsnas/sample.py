"""An NNI sample in our words: the labels of the search space, and the genotype that a sample names.

A sample is the mapping from label to choice that every NNI strategy ends in. One label stands for one edge and
is shared by all stacked modules, so it has nothing to do with a module's index. NNI forbids "/" in labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jsnas.errors import InputError
from jsnas.genotype import ATTENTION, OPERATION, Edge, Genotype


def edge_label(part: str, edge: Edge) -> str:
    """Label of the choice on an edge: ``operation_0_1``."""
    return f"{part}_{edge[0]}_{edge[1]}"


def inputs_label(part: str, node: int) -> str:
    """Label of the choice of a node's inputs: ``operation_inputs_3``."""
    return f"{part}_inputs_{node}"


def genotype_from_sample(sample: Mapping[str, Any], task: str, scale: int | None = None) -> Genotype:
    """The genotype that an NNI sample names.

    Args:
        sample: Label to choice: a candidate's name for an edge, a list of node indices for a node's inputs.
        task: Name of the task it was searched for.
        scale: Its scale, for super-resolution.

    Raises:
        InputError: If a label is none of ours or a choice has the wrong type.
    """
    chosen: dict[str, dict[Edge, str]] = {OPERATION: {}, ATTENTION: {}}
    inputs: dict[tuple[str, int], list[int]] = {}
    for label, choice in sample.items():
        part, _, rest = label.partition("_")
        numbers = rest.removeprefix("inputs_").split("_")
        if part not in chosen or not all(number.isdecimal() for number in numbers):
            raise InputError(
                f"The sample's label '{label}' is not of a joint search space; was it searched with another?"
            )
        if rest.startswith("inputs_") and isinstance(choice, (list, tuple)):
            inputs[part, int(numbers[0])] = [int(i) for i in choice]
        elif len(numbers) == 2 and isinstance(choice, str):
            chosen[part][int(numbers[0]), int(numbers[1])] = choice
        else:
            raise InputError(f"The sample's label '{label}' holds {choice!r}; a name or a list of inputs was expected.")

    def kept(part: str) -> tuple[tuple[Edge, str], ...]:
        edges = chosen[part].items()
        return tuple(((i, j), name) for (i, j), name in edges if (part, j) not in inputs or i in inputs[part, j])

    return Genotype(task, kept(OPERATION), kept(ATTENTION), scale)


def sample_from_genotype(genotype: Genotype) -> dict[str, str]:
    """The labels and names of a genotype's edges (without choices of inputs)."""
    return {edge_label(part, edge): name for part, edges in genotype.parts for edge, name in edges}
