"""The fast form of a network that learns: the same function and gradients, each device by the ways measured on it."""

from __future__ import annotations

import torch

from jsnas.cast_weights import CastWeights
from jsnas.dense_groups import DenseGroups
from jsnas.fast_attentions import FastAttentions
from jsnas.fast_dense_blocks import FastDenseBlocks
from jsnas.fast_end import FastEnd
from jsnas.network import RestorationNetwork


class FastTraining:
    """In a ``with`` block, which may be entered again and again, a network computes in this form.

    Args:
        network: The network; its modules and parameters stay what they are.
        device: Where it learns.
    """

    def __init__(self, network: RestorationNetwork, device: torch.device) -> None:
        # Dense kernels, and few of them, are what a GPU is faster at; a network's end was measured on CPUs alone.
        self._forms: list[FastEnd | FastDenseBlocks | CastWeights | DenseGroups | FastAttentions]
        if device.type == "cpu":
            self._forms = [FastEnd(network), FastDenseBlocks(network), FastAttentions(network)]
        else:
            self._forms = [CastWeights(network, device.type), DenseGroups(network), FastAttentions(network)]

    def __enter__(self) -> None:
        for form in self._forms:
            form.__enter__()

    def __exit__(self, *error: object) -> None:
        for form in self._forms:
            form.__exit__(*error)
