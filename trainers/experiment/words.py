"""A sample of the search space in the words of a genotype, as NNI's page shows a trial's parameters, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jsnas.errors import InputError
from jsnas.sample import edge_label, inputs_label


def in_words(sample: Mapping[str, Any]) -> dict[str, str]:
    """``{"operation_0_1": "rdb_common"}`` as ``{"operation 0>1": "rdb_common"}``; kept inputs as ``"0 2"``."""
    return {label_in_words(label): choice_in_words(choice) for label, choice in sample.items()}


def label_in_words(label: str) -> str:
    """``"operation_0_1"`` as ``"operation 0>1"``, ``"operation_inputs_3"`` as ``"operation inputs of 3"``."""
    part, _, rest = label.partition("_")
    if rest.startswith("inputs_"):
        return f"{part} inputs of {rest.removeprefix('inputs_')}"
    return f"{part} {rest.replace('_', '>')}"


def choice_in_words(choice: Any) -> str:
    """A candidate's name as it is, a list of inputs as their numbers."""
    return " ".join(map(str, choice)) if isinstance(choice, (list, tuple)) else str(choice)


def from_words(words: Mapping[str, Any]) -> dict[str, Any]:
    """The sample that words name.

    Raises:
        InputError: If a key is none of ours.
    """
    sample: dict[str, Any] = {}
    for key, value in words.items():
        part, _, rest = key.partition(" ")
        ends = rest.removeprefix("inputs of ").split(">")
        if not part or not all(end.isdecimal() for end in ends):
            raise InputError(f"The trial's parameter '{key}' is none of a search space; give such as 'operation 0>1'.")
        if rest.startswith("inputs of ") and len(ends) == 1:
            sample[inputs_label(part, int(ends[0]))] = [int(i) for i in str(value).split()]
        elif len(ends) == 2:
            sample[edge_label(part, (int(ends[0]), int(ends[1])))] = value
        else:
            raise InputError(f"The trial's parameter '{key}' is none of a search space; give such as 'operation 0>1'.")
    return sample
