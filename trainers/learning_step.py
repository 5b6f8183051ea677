"""One step of a derived network that learns, as trainings and trials take it: fast, and on one GPU recorded."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor

from jsnas.fast.cuda_graph import RecordedStep
from jsnas.fast.training.network import FastTraining
from jsnas.network import JSNet
from trainers.config import Config
from trainers.patch_loss import patch_loss
from trainers.streams import pick_device


def fabric_of(config: Config, strategy: str | DDPStrategy = "auto") -> Fabric:
    """Fabric for a config's device and precision, not launched yet.

    Args:
        config: Settings.
        strategy: How several processes learn together.

    Raises:
        InputError: If the device does not exist here.
    """
    device = pick_device(config.device)
    return Fabric(
        accelerator="gpu" if device.type == "cuda" else device.type,
        devices=config.devices if device.index is None else [device.index],
        num_nodes=config.num_nodes,
        strategy=strategy,
        precision=config.precision,  # type: ignore[arg-type]  # checked by the config
    )


class LearningStep:
    """Loss, gradients and Adam's step for a batch (paper, Sec. 4.1.3).

    Args:
        network: The network; it goes to Fabric's device and learns in channels-last.
        config: Settings.
        fabric: Ready to set it up.

    Attributes:
        optimizer: Adam, as Fabric wraps it.
    """

    def __init__(self, network: JSNet, config: Config, fabric: Fabric) -> None:
        t = config.train
        adam = torch.optim.Adam(network.parameters(), lr=t.learning_rate, betas=t.betas, eps=t.eps, fused=True)
        # The same numbers, and convolutions need no copies. torch lacks this overload in its types.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._model, self.optimizer = fabric.setup(network, adam)
        self._fabric = fabric
        self._fast_form = FastTraining(network, fabric.device)
        # Gradients scaled for 16-mixed are looked at by the host in every step.
        records = fabric.device.type == "cuda" and fabric.world_size == 1 and config.precision != "16-mixed"
        self._take = RecordedStep(self._learn, [adam], network, fabric.device) if records else self._learn

    def __call__(self, batch: Sequence[Tensor], learning_rate: float) -> Tensor:
        """Takes the step; returns the loss of its batch, on the device.

        Args:
            batch: Low-quality and true patches, from any device.
            learning_rate: Of this step.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        return self._take(*(tensor.to(self._fabric.device, non_blocking=True) for tensor in batch))[0]

    def _learn(self, lq: Tensor, hq: Tensor) -> tuple[Tensor]:
        lq, hq = (tensor.to(memory_format=torch.channels_last) for tensor in (lq, hq))
        with self._fast_form:
            loss = patch_loss(self._model, (lq, hq))
        self.optimizer.zero_grad(set_to_none=True)
        self._fabric.backward(loss)
        self.optimizer.step()
        return (loss.detach(),)
