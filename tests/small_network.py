"""A network that is restored in a moment, with one attention on all edges."""

from __future__ import annotations

import torch

from jsnas.genotype import Genotype
from jsnas.network import JSNet, NetworkSettings


def small(task: str, attention: str) -> JSNet:
    torch.manual_seed(0)
    edges = ((0, 1), (0, 2), (1, 2))
    genotype = Genotype(
        task,
        tuple((edge, "rdb_shallow") for edge in edges),
        tuple((edge, attention) for edge in edges),
        2 if task == "sr" else None,
    )
    return JSNet(genotype, NetworkSettings(3 if task == "sr" else 1, 2 if task == "sr" else 1, 2, 16, 8)).eval()
