"""The fast form of a network that learns: the same function and gradients, each device by the ways measured on it."""

from __future__ import annotations

import torch

from jsnas.fast.dense_groups import DenseGroups
from jsnas.fast.end import FastEnd
from jsnas.fast.stand_ins import StandIns
from jsnas.fast.training.attentions import FastAttentions
from jsnas.fast.training.cast_weights import CastWeights
from jsnas.fast.training.dense_blocks import FastDenseBlocks
from jsnas.network import RestorationNetwork


class FastTraining(StandIns):
    """In a ``with`` block, which may be entered again and again, a network computes in this form.

    Args:
        network: The network; its modules and parameters stay what they are.
        device: Where it learns.
    """

    def __init__(self, network: RestorationNetwork, device: torch.device) -> None:
        # Dense kernels, and few of them, are what a GPU is faster at; a network's end was measured on CPUs alone.
        own: list[StandIns]
        if device.type == "cpu":
            own = [FastEnd(network), FastDenseBlocks(network)]
        else:
            own = [CastWeights(network, device.type), DenseGroups(network)]
        super().__init__([place for form in (*own, FastAttentions(network)) for place in form.places])
