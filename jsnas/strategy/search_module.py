"""What the search recipe needs to know of a one-shot strategy's module, whatever the strategy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor


class StartingOver:
    """Batches of a loader that starts over when it ends.

    Args:
        loader: Makes it, when the first batch is asked for.
    """

    def __init__(self, loader: Callable[[], Any]) -> None:
        self._loader = loader
        self._batches: Iterator[Any] = iter(())

    def __next__(self) -> Any:
        batch = next(self._batches, None)
        if batch is None:
            self._batches = iter(self._loader())
            batch = next(self._batches)
        return batch


class TwoLoaders:
    """A mixin for NNI's one-shot strategies whose search loop draws the architecture's batches itself."""

    _architecture_loader: Callable[[], Any] = list

    def train_dataloader(self, train_dataloader_fn: Callable[[], Any], val_dataloader_fn: Callable[[], Any]) -> Any:
        """The weights' loader; the architecture's is kept for the search loop to draw from."""
        self._architecture_loader = val_dataloader_fn
        return train_dataloader_fn()


class SearchModule:
    """A mixin for NNI's one-shot modules.

    Attributes:
        iteration: Weight steps done; set it before fitting to carry on a search.
        architecture_loss: Loss of the last step of the architecture, or ``None``.
        derives: Whether ``export`` means something before the search is over.
        resumable: Whether ``search_state`` holds all that a search needs to be carried on.
    """

    derives = True
    resumable = True
    architecture_loss: Tensor | None = None
    trainer: Any
    supernet_modules: Any  # NNI's

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.iteration = 0

    def weight_optimizer(self) -> torch.optim.Optimizer:
        """The optimizer of the weights, as the training module configured it."""
        optimizers: list[torch.optim.Optimizer] = self.trainer.optimizers
        return next(o for o in optimizers if not getattr(o, "is_arch_optimizer", False))

    def take(self, sample: dict[str, Any]) -> None:
        """Puts the supernet on the path of a sample."""
        for module in self.supernet_modules():
            module.resample(sample)

    def choose_validation_path(self) -> None:
        """Puts the supernet into the state that is validated; nothing to do where all candidates are mixed."""

    def finish(self, evaluate: Callable[[], float], log: Callable[[dict[str, Any], float], None]) -> None:
        """Called once after the last iteration, for strategies that choose only then.

        Args:
            evaluate: Validation PSNR in dB of the supernet as it stands.
            log: Called with each sample that was compared and its PSNR.
        """

    def search_state(self) -> dict[str, Any]:
        """What a search needs to be carried on, beside the supernet's state dict and the weights' optimizer."""
        return {"iteration": self.iteration}

    def load_search_state(self, state: dict[str, Any]) -> None:
        """Puts back what ``search_state`` gave."""
        self.iteration = int(state["iteration"])
