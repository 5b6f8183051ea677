"""Kernels of several convolutions as the kernel of one."""

from __future__ import annotations

import torch
from torch import Tensor


def on_diagonal(blocks: Tensor) -> Tensor:
    """Kernels of n blocks, E x n x p x q x k x k, on the diagonal of one, E x np x nq x k x k."""
    eye = torch.eye(blocks.shape[1], dtype=blocks.dtype, device=blocks.device)
    spread = blocks.unsqueeze(3) * eye[:, None, :, None, None, None]  # E x n x p x n x q x k x k
    return spread.flatten(3, 4).flatten(1, 2)
