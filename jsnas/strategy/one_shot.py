"""NNI's other differentiable strategies on our search loop: DARTS, GumbelDARTS and Proxyless.

The supernets are NNI's own. What is mended beside the loop: Gumbel's temperature falls with the iterations (NNI's
falls with epochs, of which a stream of patches has one) and validation sees no noise; Proxyless runs the other
candidates only in the architecture step, where their outputs are needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from jsnas.errors import InputError
from jsnas.strategy.alternating import AlternatingModule, DifferentiableSettings, DifferentiableStrategy
from jsnas.strategy.nni_api import GumbelDARTS, GumbelSoftmax, LightningModule, Proxyless, ProxylessMixedLayer


@dataclass(frozen=True)
class DartsSettings(DifferentiableSettings):
    """Settings of DARTS.

    Attributes:
        second_order: Whether the architecture gradient looks through one unrolled step of the weights.
    """

    second_order: bool = False


@dataclass(frozen=True)
class GumbelSettings(DifferentiableSettings):
    """Settings of GumbelDARTS.

    Attributes:
        temperature: Temperature at the first and after the last iteration of the annealing.
        annealing_iters: Iterations over which it falls linearly.

    Raises:
        InputError: If a value is out of its range.
    """

    temperature: tuple[float, float] = (1.0, 0.33)
    annealing_iters: int = 400_000

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.temperature[0] >= self.temperature[1] > 0:
            raise InputError(
                f"The temperature goes from {self.temperature[0]} to {self.temperature[1]}; give a fall to above 0."
            )
        if self.annealing_iters < 1:
            raise InputError(f"The annealing takes {self.annealing_iters} iterations; give 1 or more.")


class MendedDARTS(DifferentiableStrategy):
    """DARTS (Liu et al., ICLR 2019): every edge is the weighted sum of all candidates at full width.

    Args:
        settings: How to search.
    """

    def __init__(self, settings: DartsSettings | None = None) -> None:
        super().__init__(settings or DartsSettings())


class QuietGumbelSoftmax(GumbelSoftmax):
    """Gumbel softmax while training, the plain one in evaluation mode."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Weights that sum to 1 over the last dimension."""
        weights: Tensor = super().forward(inputs) if self.training else torch.softmax(inputs, -1)
        return weights


class AnnealingModule(AlternatingModule):
    """The search loop with a temperature that falls from iteration to iteration."""

    settings: GumbelSettings
    repeats = False  # the temperature is a number of Python's

    def on_train_start(self) -> None:
        """Looks up what every step needs."""
        super().on_train_start()
        self._softmaxes = [m for m in self.modules() if isinstance(m, GumbelSoftmax)]

    def start_iteration(self) -> None:
        """Sets the temperature."""
        first, last = self.settings.temperature
        progress = min(1.0, self.iteration / self.settings.annealing_iters)
        for softmax in self._softmaxes:
            softmax.tau = first + progress * (last - first)


class MendedGumbelDARTS(DifferentiableStrategy, GumbelDARTS):
    """DARTS with Gumbel noise that turns the mixture into a choice (SNAS, FBNet).

    Args:
        settings: How to search.
    """

    settings: GumbelSettings

    def __init__(self, settings: GumbelSettings | None = None) -> None:
        super().__init__(settings or GumbelSettings())

    def configure_softmax(self) -> nn.Module:
        """The noisy softmax; NNI calls this."""
        return QuietGumbelSoftmax()

    def configure_oneshot_module(self, training_module: LightningModule) -> AnnealingModule:
        """The search loop; NNI calls this."""
        return AnnealingModule(training_module, self.settings, lambda: self._architecture_loader())


class OnePathLayer(ProxylessMixedLayer):
    """One sampled candidate; the others run only where their outputs give the architecture's gradient."""

    moves_architecture = False

    def forward(self, x: Tensor) -> Tensor:
        """The sampled candidate's output."""
        y: Tensor = super().forward(x) if self.moves_architecture else self.forward_path(self._sample_idx, x)
        return y


class OnePathModule(AlternatingModule):
    """The search loop with a path drawn before every step; what is validated is the derived path."""

    repeats = False

    def on_train_start(self) -> None:
        """Looks up what every step needs."""
        super().on_train_start()
        self._layers = [m for m in self.modules() if isinstance(m, OnePathLayer)]

    def start_step(self, moves_architecture: bool) -> None:
        """Draws a path by the current probabilities."""
        for layer in self._layers:
            layer.moves_architecture = moves_architecture
        self.resample()

    def choose_validation_path(self) -> None:
        """Takes the heaviest candidates."""
        self.take(self.export())


class MendedProxyless(DifferentiableStrategy, Proxyless):
    """ProxylessNAS (Cai et al., ICLR 2019): one path at a time, its gradient by comparing candidates.

    Args:
        settings: How to search.
    """

    def __init__(self, settings: DifferentiableSettings | None = None) -> None:
        super().__init__(settings or DifferentiableSettings())

    def default_mutation_hooks(self) -> list[Any]:
        """NNI's, with our layer in the place of NNI's."""
        theirs = super().default_mutation_hooks()
        return [OnePathLayer.mutate if hook == ProxylessMixedLayer.mutate else hook for hook in theirs]

    def configure_oneshot_module(self, training_module: LightningModule) -> OnePathModule:
        """The search loop; NNI calls this."""
        return OnePathModule(training_module, self.settings, lambda: self._architecture_loader())
