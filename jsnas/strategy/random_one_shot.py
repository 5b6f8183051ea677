"""NNI's RandomOneShot, mended: single path one-shot (Guo et al., ECCV 2020) with uniform sampling.

Paths come from a seed, by iteration; it ends in a comparison of candidates by their validation PSNR with the shared
weights, where NNI exports any architecture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from jsnas.errors import InputError
from jsnas.strategy.nni_api import LightningModule, RandomOneShot, RandomSamplingLightningModule
from jsnas.strategy.search_module import SearchModule

_ATTEMPTS = 200  # draws of a new candidate that a filter accepts, before giving up
_VALIDATED, _COMPARED = 2**31 - 1, 2**31 - 2  # seeds beside the iterations


@dataclass(frozen=True)
class RandomOneShotSettings:
    """Settings of RandomOneShot.

    Attributes:
        candidates: Architectures that are compared with the shared weights at the end.
        gradient_clip: Largest norm of the weights' gradient, or ``None`` for no clipping.
        seed: Seed of all paths.

    Raises:
        InputError: If a value is out of its range.
    """

    candidates: int = 20
    gradient_clip: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.candidates < 1:
            raise InputError(f"{self.candidates} candidates are to be compared; give 1 or more.")


class RandomPathModule(SearchModule, RandomSamplingLightningModule):
    """Trains a uniformly drawn path in each iteration.

    Attributes:
        accepts: Whether a sample may be drawn; ``None`` accepts all.
        score: From a sample and its PSNR in dB to what is compared; the PSNR itself by default.
    """

    derives = False

    def __init__(self, training_module: LightningModule, settings: RandomOneShotSettings) -> None:
        super().__init__(training_module)
        self.settings = settings
        self.accepts: Callable[[dict[str, Any]], bool] | None = None
        self.score: Callable[[dict[str, Any], float], float] = lambda sample, psnr_db: psnr_db
        self._best: dict[str, Any] | None = None

    @property
    def automatic_optimization(self) -> bool:
        """Off: the step is ours, so that gradients are clipped as everywhere."""
        return False

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """One iteration: a weight step on a path."""
        self.take(self._draw(self.iteration))
        loss: Tensor = self.training_module.training_step(batch, batch_idx)
        self.advance_optimization(loss, batch_idx, self.settings.gradient_clip)
        self.advance_lr_schedulers(batch_idx)
        self.iteration += 1
        return loss.detach()

    def choose_validation_path(self) -> None:
        """Takes a path that is the same each time, so that validations can be compared."""
        self.take(self._draw(_VALIDATED))

    def finish(self, evaluate: Callable[[], float], log: Callable[[dict[str, Any], float], None]) -> None:
        """Compares candidates with the shared weights and keeps the best."""
        best = -math.inf
        seen: list[dict[str, Any]] = []
        for sample in self._candidates():
            if sample in seen:
                continue
            seen.append(sample)
            self.take(sample)
            psnr_db = evaluate()
            log(sample, psnr_db)
            if self.score(sample, psnr_db) > best:
                best, self._best = self.score(sample, psnr_db), sample
            if len(seen) == self.settings.candidates:
                break

    def export(self) -> dict[str, Any]:
        """The best candidate of ``finish``; before it, the path that is validated."""
        return dict(self._best if self._best is not None else self._draw(_VALIDATED))

    def export_probs(self) -> dict[str, Any]:
        """None: all choices are equally probable."""
        return {}

    def _candidates(self) -> Iterator[dict[str, Any]]:
        generator = np.random.RandomState([self.settings.seed, _COMPARED])
        for _ in range(20 * self.settings.candidates):  # a small space may not have so many
            yield self._draw_from(generator)

    def _draw(self, number: int) -> dict[str, Any]:
        return self._draw_from(np.random.RandomState([self.settings.seed, number]))

    def _draw_from(self, generator: np.random.RandomState) -> dict[str, Any]:
        mutables = list(self.model.simplify().values())
        for _ in range(_ATTEMPTS):
            sample: dict[str, Any] = {}
            for mutable in mutables:
                mutable.random(sample, generator)
            if self.accepts is None or self.accepts(sample):
                return sample
        raise InputError(f"None of {_ATTEMPTS} random architectures is within the budget; raise search.budget_target.")


class MendedRandomOneShot(RandomOneShot):
    """Single path one-shot (Guo et al., ECCV 2020) with uniform sampling.

    Args:
        settings: How to search.
    """

    def __init__(self, settings: RandomOneShotSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or RandomOneShotSettings()

    def configure_oneshot_module(self, training_module: LightningModule) -> RandomPathModule:
        """The search loop; NNI calls this."""
        return RandomPathModule(training_module, self.settings)

    def val_dataloader(self, train_dataloader_fn: Callable[[], Any], val_dataloader_fn: Callable[[], Any]) -> Any:
        """None: the recipe validates on whole images."""
        return None
