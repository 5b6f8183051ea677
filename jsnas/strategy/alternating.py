"""The search loop of every differentiable strategy, and what its NNI strategies share.

``AlternatingModule`` is what Lightning trains: warm-up on the weights alone, afterwards one step of the
architecture parameters on an architecture batch and one of the weights on a weight batch, in turn.
``DifferentiableStrategy`` is a base for NNI's DARTS and its descendants.

Against NNI's own: the order of the architecture parameters is fixed, so a resumed Adam keeps its moments; the
architecture step computes no weight gradients; warm-up counts iterations; both optimizers are settings; initial
values come from a seed; ``none`` never wins; the export takes the heaviest candidates, so it is the same each
time; logged probabilities are a plain softmax; architecture batches come from one persistent iterator and are
not drawn during the warm-up.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from jsnas.errors import InputError
from jsnas.fast.cuda_graph import RecordedStep
from jsnas.genotype import EXCLUDED
from jsnas.strategy.gradients import alone, first_order, second_order
from jsnas.strategy.nni_api import (
    DARTS,
    DartsLightningModule,
    DifferentiableMixedInput,
    DifferentiableMixedLayer,
    LightningModule,
)
from jsnas.strategy.search_module import SearchModule, StartingOver, TwoLoaders


@dataclass(frozen=True)
class DifferentiableSettings:
    """Settings of every differentiable strategy; the defaults are the paper's (Sec. 4.1.2).

    Attributes:
        weight_warmup_iters: Iterations on the weights alone before the architecture moves.
        learning_rate: Adam's step for the architecture parameters.
        betas: Adam's decay rates for them.
        weight_decay: Adam's weight decay for them.
        gradient_clip: Largest norm of the weights' gradient, or ``None`` for no clipping.
        seed: Seed of the initial architecture parameters and of random masks.

    Raises:
        InputError: If a value is out of its range.
    """

    weight_warmup_iters: int = 20_000
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 1e-3
    gradient_clip: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.weight_warmup_iters < 0:
            raise InputError(f"The warm-up is {self.weight_warmup_iters} iterations; give 0 or more.")
        if self.learning_rate <= 0:
            raise InputError(f"The architecture's learning rate is {self.learning_rate}; give a number above 0.")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise InputError(f"The architecture's betas are {self.betas}; give two numbers from 0 to below 1.")


class AlternatingModule(SearchModule, DartsLightningModule):
    """The search loop around a training module whose ``training_step(batch, index)`` returns a loss.

    Attributes:
        architecture_loss: Loss of the last architecture step, or ``None`` before the first.
        penalty: From candidates' probabilities by label to a number added to the architecture's loss, or ``None``.
        repeats: Whether every iteration does the same with other numbers, so that a GPU can replay one.
    """

    repeats = True

    def __init__(
        self, training_module: LightningModule, settings: DifferentiableSettings, architecture_loader: Callable[[], Any]
    ) -> None:
        super().__init__(training_module, gradient_clip_val=settings.gradient_clip)
        self.settings = settings
        self.architecture_loss: Tensor | None = None
        self.penalty: Callable[[dict[str, dict[str, Tensor]]], Tensor] | None = None
        self._architecture_batches = StartingOver(architecture_loader)
        self._recorded: RecordedStep | None = None

    def arch_parameters(self) -> list[nn.Parameter]:
        """The architecture parameters, each once, in the order of the network."""
        found: dict[int, nn.Parameter] = {}
        for module in self.supernet_modules():
            if hasattr(module, "arch_parameters"):
                for parameter in module.arch_parameters():
                    found.setdefault(id(parameter), parameter)
        return list(found.values())

    def weight_parameters(self) -> list[nn.Parameter]:
        """All other parameters, in the order of the network."""
        architecture = {id(parameter) for parameter in self.arch_parameters()}
        return [p for p in self.training_module.parameters() if id(p) not in architecture]

    def configure_architecture_optimizers(self) -> torch.optim.Optimizer:
        """Adam on the architecture parameters (Sec. 4.1.2)."""
        s = self.settings
        return torch.optim.Adam(self.arch_parameters(), lr=s.learning_rate, betas=s.betas, weight_decay=s.weight_decay)

    def on_train_start(self) -> None:
        """Looks up what every step needs."""
        self._alphas = self.arch_parameters()
        self._weights = self.weight_parameters()
        self._recorded = None  # that of a run that was cut short
        if self.repeats and self._can_be_recorded():
            self._recorded = RecordedStep(self._learn_from, self.trainer.optimizers, self, self.device)
        # What is there by now stays: a million objects that Python's collector need not walk in every few iterations.
        gc.collect()
        gc.freeze()

    def on_train_end(self) -> None:
        """Lets the collector walk all objects again."""
        super().on_train_end()
        self._recorded = None
        gc.unfreeze()

    def _can_be_recorded(self) -> bool:
        """Whether the steps are on one GPU, none waits for a number from it, and the training module says it may."""
        if not getattr(self.training_module, "repeats", False):  # a user's own may log, or count its steps
            return False
        waits = getattr(self.settings, "second_order", False) or str(self.trainer.precision).startswith("16")
        return self.device.type == "cuda" and self.trainer.world_size == 1 and not waits

    def on_train_epoch_start(self) -> None:
        """Hands on to the training module; nothing is frozen, the warm-up just leaves out the architecture step."""
        self.training_module.on_train_epoch_start()

    def start_iteration(self) -> None:
        """Called first in every iteration."""

    def start_step(self, moves_architecture: bool) -> None:
        """Called before the architecture step and before the weight step."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """One iteration: an architecture step after the warm-up, then a weight step on ``batch``."""
        self.start_iteration()
        batches = [batch]
        if self.iteration >= self.settings.weight_warmup_iters:
            batches.append(self._next_architecture_batch())
        if self._recorded is not None and all(map(_is_tensors, batches)):
            loss, *architecture_loss = self._recorded(*(tensor for each in batches for tensor in each))
        else:
            loss, *architecture_loss = self._learn(batches, batch_idx)
        self.architecture_loss = architecture_loss[0] if architecture_loss else None
        self.advance_lr_schedulers(batch_idx)
        self.iteration += 1
        return loss

    def _learn_from(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The same of pairs of tensors, one after the other."""
        return self._learn([tensors[k : k + 2] for k in range(0, len(tensors), 2)], 0)

    def _learn(self, batches: Sequence[Any], batch_idx: int) -> tuple[Tensor, ...]:
        """The steps on a batch of the weights and on one of the architecture, if there is one; their losses."""
        architecture_losses = [self._architecture_step(batches[0], batch, batch_idx) for batch in batches[1:]]
        self.start_step(moves_architecture=False)
        loss: Tensor = self.training_module.training_step(batches[0], batch_idx)
        self.advance_optimization(loss, batch_idx, self.gradient_clip_val)
        return loss.detach(), *architecture_losses

    def _architecture_step(self, batch: Any, architecture_batch: Any, batch_idx: int) -> Tensor:
        self.start_step(moves_architecture=True)

        def architecture_loss() -> Tensor:
            loss: Tensor = self.training_module.training_step(architecture_batch, batch_idx)
            return loss if self.penalty is None else loss + self.penalty(self.probabilities())

        def weight_loss() -> Tensor:
            loss: Tensor = self.training_module.training_step(batch, batch_idx)
            return loss

        average = self._average if self.trainer.world_size > 1 else alone
        if getattr(self.settings, "second_order", False):
            rate = self.weight_optimizer().param_groups[0]["lr"]
            loss, gradients = second_order(
                weight_loss, architecture_loss, self._weights, self._alphas, rate, average=average
            )
        else:
            loss, gradients = first_order(architecture_loss, self._alphas, average)
        for alpha, gradient in zip(self._alphas, gradients, strict=True):
            alpha.grad = gradient
        optimizer = self.architecture_optimizers()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    def _average(self, gradients: list[Tensor]) -> list[Tensor]:
        """The mean over the processes, in one exchange."""
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        mean: Tensor = self.trainer.strategy.reduce(flat, reduce_op="mean")
        parts = mean.split([gradient.numel() for gradient in gradients])
        return [part.view_as(gradient) for part, gradient in zip(parts, gradients, strict=True)]

    def architecture_optimizer(self) -> torch.optim.Optimizer:
        """The optimizer of the architecture parameters."""
        optimizers: list[torch.optim.Optimizer] = self.trainer.optimizers
        return next(o for o in optimizers if getattr(o, "is_arch_optimizer", False))

    def _next_architecture_batch(self) -> Any:
        return self.trainer.strategy.batch_to_device(next(self._architecture_batches), self.device)

    def mixed_edges(self) -> dict[str, DifferentiableMixedLayer]:
        """One mixed edge of each label."""
        found: dict[str, DifferentiableMixedLayer] = {}
        for module in self.supernet_modules():
            if isinstance(module, DifferentiableMixedLayer):
                found.setdefault(module.label, module)
        return found

    def probabilities(self) -> dict[str, dict[str, Tensor]]:
        """Differentiable weights of the candidates of each edge, by label and name: a plain softmax."""
        return {
            label: dict(zip(map(str, edge.names), torch.softmax(edge._arch_alpha, -1).unbind(), strict=True))
            for label, edge in self.mixed_edges().items()
        }

    def export(self) -> dict[str, Any]:
        """The derived sample: the heaviest candidate of each edge but ``none``, and the heaviest inputs."""
        sample: dict[str, Any] = {}
        for module in self.supernet_modules():
            if isinstance(module, DifferentiableMixedLayer):
                sample[module.label] = heaviest(module.names, module._arch_alpha)
            elif isinstance(module, DifferentiableMixedInput):
                order = torch.argsort(module._arch_alpha.detach(), descending=True, stable=True).tolist()
                sample[module.label] = sorted(order[: module.n_chosen])
            else:
                sample.update(module.export(sample))
        return {str(label): choice for label, choice in sample.items()}  # NNI's labels are a type of their own

    def export_probs(self) -> dict[str, Any]:
        """Plain softmax weights of all candidates and inputs, by label."""
        probabilities: dict[str, Any] = {}
        for module in self.supernet_modules():
            if isinstance(module, DifferentiableMixedLayer | DifferentiableMixedInput):
                weights = torch.softmax(module._arch_alpha.detach(), -1).tolist()
                names = module.names if isinstance(module, DifferentiableMixedLayer) else range(len(weights))
                probabilities[module.label] = dict(zip(names, weights, strict=True))
            else:
                probabilities.update(module.export_probs(probabilities))
        return probabilities

    def search_state(self) -> dict[str, Any]:
        """What the supernet's state dict does not hold."""
        return {**super().search_state(), "architecture_optimizer": self.architecture_optimizer().state_dict()}

    def load_search_state(self, state: dict[str, Any]) -> None:
        """Puts back what ``search_state`` gave."""
        super().load_search_state(state)
        self.architecture_optimizer().load_state_dict(state["architecture_optimizer"])


def _is_tensors(batch: Any) -> bool:
    """Whether a batch is what the restoration recipe draws: two tensors."""
    return isinstance(batch, tuple | list) and len(batch) == 2 and all(isinstance(t, Tensor) for t in batch)


def heaviest(names: Sequence[Any], alpha: Tensor) -> str:
    """Name of the candidate with the largest parameter other than ``none``; the first of equals."""
    order = torch.argsort(alpha.detach(), descending=True, stable=True).tolist()
    return next((str(names[k]) for k in order if names[k] != EXCLUDED), EXCLUDED)


class DifferentiableStrategy(TwoLoaders, DARTS):
    """Base of the differentiable strategies: the search loop above, seeded parameters, one loader for each part.

    The evaluator's training loader feeds the weights, its validation loader the architecture parameters.

    Args:
        settings: How to search.
    """

    def __init__(self, settings: DifferentiableSettings) -> None:
        super().__init__(arc_learning_rate=settings.learning_rate, gradient_clip_val=settings.gradient_clip)
        self.settings = settings
        self._parameter_generator = torch.Generator().manual_seed(settings.seed)

    def configure_oneshot_module(self, training_module: LightningModule) -> AlternatingModule:
        """The search loop; NNI calls this."""
        return AlternatingModule(training_module, self.settings, lambda: self._architecture_loader())

    def mutate_model(self, model: Any) -> Any:
        """The supernet, its architecture parameters drawn from the seed in the order of the network."""
        self._parameter_generator.manual_seed(self.settings.seed)
        mutated = super().mutate_model(model)
        with torch.no_grad():  # NNI drew these from the global generator
            for parameter in self._arch_parameters.values():
                parameter.copy_(self._new_parameter(len(parameter)))
        return mutated

    def _new_parameter(self, size: int) -> nn.Parameter:
        return nn.Parameter(1e-3 * torch.randn(size, generator=self._parameter_generator))
