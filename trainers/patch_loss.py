"""The loss of search and training: L1 between restored and true patches (paper, Eq. 11)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def patch_loss(network: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Mean absolute error on the 0-255 scale.

    Args:
        network: From low-quality to restored images.
        batch: Low-quality patches B x C x p x p and true ones B x C x sp x sp, uint8 or float.
    """
    lq, hq = batch
    return F.l1_loss(network(lq.float()), hq.float())
