"""One supernet for several tasks: they share the weights of the body, each has an architecture of its own.

Shared are the modules, the gathering convolution and the fusion module. A task's own are head, upsampling and tail, for
its images have their own channels and scale, and the architecture parameters. Where a candidate stands on an edge in
several tasks it has the same weights in all of them; what only one task searches (CCA, SA) learns from that task alone.

The tasks take turns: in each iteration every task has its architecture step and its weight step, as in a search for it
alone (``jsnas.strategy.alternating``), on the weights that the one before has left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from jsnas.strategy.nni_api import LightningModule
from jsnas.strategy.pc_darts import PartialChannelModule, PartialChannelSettings

SHARED_PARTS = ("network.body.", "network.gather.", "network.fusion.")


def share_weights(spaces: Sequence[nn.Module]) -> None:
    """Makes the parameters of the shared parts one object in all spaces, the first's; architecture parameters stay.

    Args:
        spaces: Search spaces of one size that ``PartialChannelDARTS`` has mutated, one for each task.
    """
    pool: dict[str, nn.Parameter] = {}
    for space in spaces:
        for path, module in space.named_modules():
            for name, parameter in list(module.named_parameters(recurse=False)):
                place = f"{path}.{name}"
                if place.startswith(SHARED_PARTS) and not name.startswith("_arch_"):
                    setattr(module, name, pool.setdefault(place, parameter))


def shared_optimizer(
    modules: Sequence[TaskModule], make: Callable[[list[nn.Parameter]], torch.optim.Optimizer]
) -> torch.optim.Optimizer:
    """One optimizer of the weights of all tasks, each weight once.

    Args:
        modules: The tasks.
        make: From parameters to their optimizer.
    """
    unique = {id(parameter): parameter for module in modules for parameter in module.weight_parameters()}
    return make(list(unique.values()))


class TaskModule(PartialChannelModule):
    """The search loop of one task, without Lightning's trainer: the caller gives the batches and the optimizer.

    Args:
        training_module: As for the loop of one task; its ``model`` is set.
        settings: How to search.
        architecture_batch: Gives the next batch of the architecture's images, on the device.
    """

    trainer: Any = None

    def __init__(
        self, training_module: LightningModule, settings: PartialChannelSettings, architecture_batch: Callable[[], Any]
    ) -> None:
        super().__init__(training_module, settings, list)
        self._architecture_batch = architecture_batch

    def prepare(self, weight_optimizer: torch.optim.Optimizer, precision: str) -> None:
        """Called once before the first step, when the module is on its device and weights are shared.

        Args:
            weight_optimizer: That of all tasks.
            precision: As Lightning names it.
        """
        architecture_optimizer: Any = self.configure_architecture_optimizers()
        architecture_optimizer.is_arch_optimizer = True
        self.trainer = _NoTrainer(precision, [weight_optimizer, architecture_optimizer])
        self.on_train_start()

    def architecture_optimizers(self) -> Any:
        """The optimizer of this task's architecture parameters."""
        return self.architecture_optimizer()

    def advance_optimization(
        self,
        loss: Tensor,
        batch_idx: int,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """A step of the weights that this task uses; those of the others have no gradient and stay."""
        optimizer = self.weight_optimizer()
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        if gradient_clip_val is not None:
            torch.nn.utils.clip_grad_norm_(self._weights, gradient_clip_val)
        optimizer.step()

    def advance_lr_schedulers(self, batch_idx: int) -> None:
        """The search has none."""

    def _next_architecture_batch(self) -> Any:
        return self._architecture_batch()


class _NoTrainer:
    """What the search loop asks of Lightning's trainer."""

    world_size = 1

    def __init__(self, precision: str, optimizers: list[torch.optim.Optimizer]) -> None:
        self.precision, self.optimizers = precision, optimizers
