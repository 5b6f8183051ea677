"""NNI's ENAS, mended (Pham et al., ICML 2018): a controller learns by reinforcement which paths to train.

It runs on any Lightning (NNI's batches carry a tag that Lightning 2.1 dropped), is rewarded against a moving average as
in its paper, and exports the most probable choices of the controller that was trained, where NNI draws from a fresh
one.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from jsnas.errors import InputError
from jsnas.strategy.nni_api import ENAS, EnasLightningModule, LightningModule
from jsnas.strategy.search_module import SearchModule, StartingOver, TwoLoaders


@dataclass(frozen=True)
class EnasSettings:
    """Settings of ENAS.

    Attributes:
        weight_warmup_iters: Iterations on the weights alone before the controller learns.
        learning_rate: Adam's step for the controller.
        batches_per_update: Rewards between two updates of the controller.
        update_times: Updates each time.
        baseline_decay: Decay of the moving average that rewards are compared with.
        gradient_clip: Largest norm of the weights' gradient, or ``None`` for no clipping.

    Raises:
        InputError: If a value is out of its range.
    """

    weight_warmup_iters: int = 20_000
    learning_rate: float = 1e-4
    batches_per_update: int = 20
    update_times: int = 5
    baseline_decay: float = 0.95
    gradient_clip: float | None = None

    def __post_init__(self) -> None:
        if self.weight_warmup_iters < 0:
            raise InputError(f"The warm-up is {self.weight_warmup_iters} iterations; give 0 or more.")
        if self.learning_rate <= 0:
            raise InputError(f"The controller's learning rate is {self.learning_rate}; give a number above 0.")
        if self.batches_per_update < 1 or self.update_times < 1:
            raise InputError("The controller's batches_per_update and update_times start at 1; give 1 or more.")
        if not 0 <= self.baseline_decay < 1:
            raise InputError(f"The baseline's decay is {self.baseline_decay}; give 0 or more, and less than 1.")


class ControllerModule(SearchModule, EnasLightningModule):
    """Trains a path that the controller draws, and after the warm-up the controller, in turn.

    Attributes:
        penalty_of: From a sample to a number taken from its reward in dB, or ``None``.
    """

    resumable = False

    def __init__(
        self, training_module: LightningModule, settings: EnasSettings, architecture_loader: Callable[[], Any]
    ) -> None:
        super().__init__(
            training_module,
            batches_per_update=settings.batches_per_update,
            policy_fn=_policy_factory(settings),
            reward_metric_name="reward",
            update_kwargs={"batch_size": 32, "repeat": 5, "update_times": settings.update_times},
        )
        self.settings = settings
        self.penalty_of: Callable[[dict[str, Any]], float] | None = None
        self._architecture_batches = StartingOver(architecture_loader)
        self._baseline: float | None = None

    def set_model(self, model: Any) -> None:
        """Makes the controller, once: NNI makes a fresh one before each export."""
        if self._generator is None:
            super().set_model(model)
            # Out of the modules, so that it stays on the CPU, where its inputs are.
            policy: Any = self._modules.pop("_policy")
            policy.action_type = "discrete"  # newer tianshou does not know the space of the older gym
            self.__dict__["_policy"] = policy

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """One iteration: a reward for the controller after the warm-up, then a weight step on ``batch``."""
        if self.iteration >= self.settings.weight_warmup_iters:
            self._controller_step(batch_idx)
        self.policy.eval()
        self.resample()
        loss: Tensor = self.training_module.training_step(batch, batch_idx)
        self.advance_optimization(loss, batch_idx, self.settings.gradient_clip)
        self.advance_lr_schedulers(batch_idx)
        self.iteration += 1
        return loss.detach()

    def _controller_step(self, batch_idx: int) -> None:
        self.policy.train()
        sample = self.resample()
        batch = self.trainer.strategy.batch_to_device(next(self._architecture_batches), self.device)
        with torch.no_grad():
            self.architecture_loss = self.training_module.training_step(batch, batch_idx)
        # In dB, so that easy and hard batches weigh alike; the scale of the loss drops out against the baseline.
        reward = -20 * math.log10(max(float(self.architecture_loss), 1e-9))
        reward -= 0.0 if self.penalty_of is None else self.penalty_of(sample)
        decay = self.settings.baseline_decay
        baseline = reward if self._baseline is None else self._baseline
        self._baseline = decay * baseline + (1 - decay) * reward
        assert self._replay_buffer is not None
        self._replay_buffer.update(self.generator.send_reward(reward - baseline))
        self._trajectory_counter += 1
        if self._trajectory_counter % self.settings.batches_per_update == 0:
            for _ in range(self.settings.update_times):
                self.policy.update(0, self._replay_buffer, **self.update_kwargs)

    def choose_validation_path(self) -> None:
        """Takes the controller's most probable path."""
        self.take(self.export())

    def export(self) -> dict[str, Any]:
        """The controller's most probable choices, one after the other."""
        return self._most_probable()[0]

    def export_probs(self) -> dict[str, Any]:
        """The probability of each choice where the ones before it are the most probable."""
        return {
            label: dict(zip(self.generator.simplified_space[label].values, weights, strict=True))
            for label, weights in self._most_probable()[1].items()
        }

    def _most_probable(self) -> tuple[dict[str, Any], dict[str, Any]]:
        self.policy.eval()
        policy = self.policy
        drawn, policy._deterministic_eval = policy._deterministic_eval, True
        try:
            with torch.no_grad():
                sample = dict(self.generator.next_sample())
            return sample, dict(self.generator.sample_logits)
        finally:
            policy._deterministic_eval = drawn


class MendedENAS(TwoLoaders, ENAS):
    """ENAS (Pham et al., ICML 2018): a controller learns by reinforcement which paths to draw.

    Args:
        settings: How to search.
    """

    def __init__(self, settings: EnasSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or EnasSettings()

    def configure_oneshot_module(self, training_module: LightningModule) -> ControllerModule:
        """The search loop; NNI calls this."""
        return ControllerModule(training_module, self.settings, lambda: self._architecture_loader())


def _policy_factory(settings: EnasSettings) -> Any:
    from nni.nas.strategy._rl_impl import default_policy_fn  # needs tianshou and gym

    return functools.partial(default_policy_fn, lr=settings.learning_rate)
