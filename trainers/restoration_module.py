"""What one training step is, for NNI and Lightning."""

from __future__ import annotations

import torch
from torch import Tensor

from jsnas.strategy.nni_api import LightningModule
from trainers.patch_loss import patch_loss
from trainers.steady_adam import SteadyAdam


class RestorationModule(LightningModule):
    """The training recipe that NNI's evaluator needs; the network is set by NNI.

    Args:
        learning_rate: Adam's step.
        betas: Adam's decay rates.
        weight_decay: Adam's weight decay.
        fused: Whether Adam steps all parameters in one go; gradients scaled for 16-mixed cannot be clipped then.

    Attributes:
        repeats: Every step does the same with other numbers and nothing on the host, so that a GPU can replay one.
    """

    repeats = True

    def __init__(
        self, learning_rate: float, betas: tuple[float, float], weight_decay: float, fused: bool = True
    ) -> None:
        super().__init__()
        self.learning_rate, self.betas, self.weight_decay, self.fused = learning_rate, betas, weight_decay, fused

    def forward(self, x: Tensor) -> Tensor:
        """Restored images."""
        y: Tensor = self.model(x)
        return y

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """The loss of one batch."""
        return patch_loss(self.model, batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam on all parameters; a strategy takes the architecture's out."""
        if self.fused:
            return SteadyAdam(self.parameters(), self.learning_rate, self.betas, self.weight_decay)
        return torch.optim.Adam(self.parameters(), self.learning_rate, self.betas, weight_decay=self.weight_decay)
