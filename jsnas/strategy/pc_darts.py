"""Partial-channel DARTS as an NNI strategy (paper, Sec. 3.2): ``PartialChannelDARTS`` is what a user hands to NNI.

It turns a space into a supernet whose operation edges mix 1/K of their channels; the search loop is that of all
differentiable strategies.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from jsnas.errors import InputError
from jsnas.genotype import EXCLUDED, OPERATION
from jsnas.strategy.alternating import (
    AlternatingModule,
    DifferentiableSettings,
    DifferentiableStrategy,
)
from jsnas.strategy.fast.supernet import FastSupernet, lay_out
from jsnas.strategy.moments import lay_out_moments
from jsnas.strategy.nni_api import LightningModule, ModelSpace
from jsnas.strategy.partial_channel import (
    MixedAttention,
    MixedEdge,
    PartialChannelEdge,
    WeightedNode,
    check_partial,
)

MASKS = ("first", "random")

__all__ = ["AlternatingModule", "PartialChannelDARTS", "PartialChannelModule", "PartialChannelSettings"]


@dataclass(frozen=True)
class PartialChannelSettings(DifferentiableSettings):
    """Settings of the strategy; the defaults are the paper's (Sec. 4.1.2).

    Attributes:
        partial: K: operation edges feed 1/K of their channels to the candidates; 1 turns the mask off.
        mask: ``"first"``: the first C/K channels, shuffled afterwards; ``"random"``: drawn anew at each step.
        edge_normalization: Whether the inputs of an operation node are weighted by a softmax of their own.
        second_order: Whether the architecture gradient looks through one unrolled step of the weights.
        fast: Whether the supernet computes in its fast form (``jsnas.strategy.fast.supernet``), at any precision on
            a GPU and at 32-true on a CPU; there, on an even number of threads and with blocks of ours alone, a batch
            goes in two halves at once.

    Raises:
        InputError: If a value is out of its range.
    """

    partial: int = 4
    mask: str = "first"
    edge_normalization: bool = True
    second_order: bool = False
    fast: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.partial < 1:
            raise InputError(f"K (partial) is {self.partial}; give 1 for all channels or a divisor of them, such as 4.")
        if self.mask not in MASKS:
            raise InputError(f"The channel mask '{self.mask}' is unknown; give 'first' or 'random'.")


class PartialChannelModule(AlternatingModule):
    """The search loop, with random masks drawn anew in each iteration and inputs derived as in PC-DARTS."""

    settings: PartialChannelSettings

    def __init__(
        self, training_module: LightningModule, settings: PartialChannelSettings, architecture_loader: Any
    ) -> None:
        super().__init__(training_module, settings, architecture_loader)
        self.mask_generator = torch.Generator().manual_seed(settings.seed)
        self._masked_edges: list[PartialChannelEdge] = []
        self._mixed: list[MixedEdge | WeightedNode] = []
        self._fast: FastSupernet | None = None

    def setup(self, stage: str = "") -> None:
        """Gives the weights the layout of the fast form before Lightning makes ready to average gradients.

        Its buffers keep the layout that parameters have then, and would mix up a gradient of another one.
        """
        super().setup(stage)
        if self.trainer.world_size > 1 and self._takes_fast_form(self.trainer.strategy.root_device):
            lay_out(self.training_module.model, self.trainer.strategy.root_device)

    def _takes_fast_form(self, device: torch.device) -> bool:
        # torch's channels-last gradient of a dilated depthwise convolution of 4 channels is NaN in bfloat16 on a CPU.
        exact = device.type != "cpu" or str(self.trainer.precision).startswith("32")
        return self.settings.fast and exact

    def on_train_start(self) -> None:
        """Looks up what every step needs, and puts the fast form in place."""
        super().on_train_start()
        self._masked_edges = [m for m in self.modules() if isinstance(m, PartialChannelEdge)]
        self._mixed = [m for m in self.modules() if isinstance(m, MixedEdge | WeightedNode)]
        if self._takes_fast_form(self.device):
            halves = self.trainer.world_size == 1 and torch.get_num_threads() % 2 == 0
            self._fast = FastSupernet(self.training_module.model, halves)
        for optimizer in self.trainer.optimizers:  # whose state may be loaded by now
            lay_out_moments(optimizer)

    def on_train_end(self) -> None:
        """Takes the fast form out."""
        super().on_train_end()
        if self._fast is not None:
            self._fast.remove()
            self._fast = None
        for mixed in self._mixed:
            mixed.learns = True

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """One iteration, on the threads that suit the fast form."""
        with contextlib.nullcontext() if self._fast is None else self._fast.threads():
            return super().training_step(batch, batch_idx)

    def start_step(self, moves_architecture: bool) -> None:
        """Leaves out the gradients that the step does not use."""
        # With several processes Lightning waits for a gradient of every parameter after each step of the weights.
        several = self.trainer.world_size > 1
        for mixed in self._mixed:
            mixed.learns = moves_architecture or several
        if self._fast is not None:
            self._fast.weights_learn(not moves_architecture or self.settings.second_order)

    def start_iteration(self) -> None:
        """Draws random masks, the same for the two steps of an iteration."""
        for edge in self._masked_edges:
            edge.draw_mask(self.mask_generator)

    def export(self) -> dict[str, Any]:
        """The derived sample: the heaviest candidate of each edge, and where inputs are chosen the strongest edges.

        An edge's strength is its weight into the node times the weight of its heaviest candidate, as in PC-DARTS.
        """
        sample: dict[str, Any] = super().export()
        edges = {m.label: m for m in self.supernet_modules() if isinstance(m, MixedEdge)}
        for node in self.supernet_modules():
            if isinstance(node, WeightedNode) and node.kept is not None:
                part, _, j = node.label.partition("_inputs_")
                strength = [
                    weight * _heaviest(edges[f"{part}_{i}_{j}"]) for i, weight in enumerate(node.weights().tolist())
                ]
                strongest = sorted(range(node.inputs), key=lambda i: -strength[i])[: node.kept]
                sample[node.label] = sorted(strongest)
        return sample

    def search_state(self) -> dict[str, Any]:
        """Adds the generator of random masks."""
        return {**super().search_state(), "mask_generator": self.mask_generator.get_state()}

    def load_search_state(self, state: dict[str, Any]) -> None:
        """Puts back what ``search_state`` gave."""
        super().load_search_state(state)
        self.mask_generator.set_state(state["mask_generator"])


def _heaviest(edge: MixedEdge) -> float:
    weights = dict(zip(edge.names, edge.weights().tolist(), strict=True))
    return max((w for name, w in weights.items() if name != EXCLUDED), default=0.0)


class PartialChannelDARTS(DifferentiableStrategy):
    """The paper's search strategy for NNI: ``NasExperiment(space, evaluator, PartialChannelDARTS(...))``.

    The evaluator's training loader feeds the weights, its validation loader the architecture parameters.

    Args:
        settings: How to search.
    """

    settings: PartialChannelSettings

    def __init__(self, settings: PartialChannelSettings | None = None) -> None:
        super().__init__(settings or PartialChannelSettings())

    def check(self, space: ModelSpace) -> None:
        """Says before anything starts whether this strategy can search a space.

        Raises:
            InputError: If K does not divide the channels of an operation edge.
        """
        for module in space.modules():
            if getattr(module, "part", None) == OPERATION and hasattr(module, "channels"):
                check_partial(module.label, module.channels, self.settings.partial)

    def configure_oneshot_module(self, training_module: LightningModule) -> PartialChannelModule:
        """The search loop; NNI calls this."""
        return PartialChannelModule(training_module, self.settings, lambda: self._architecture_loader())

    def default_mutation_hooks(self) -> list[Any]:
        """Our three mixed modules, then NNI's for anything else a space may hold."""
        ours = [PartialChannelEdge.mutate, MixedAttention.mutate, WeightedNode.mutate]
        return [*ours, *super().default_mutation_hooks()]

    def run_hook(self, hook: Any, name: str, module: nn.Module, memo: dict[str, Any]) -> Any:
        """Passes our settings to the hooks beside NNI's own arguments."""

        def with_settings(module: nn.Module, name: str, memo: dict[str, Any], kwargs: dict[str, Any]) -> Any:
            s = self.settings
            ours = {"partial": s.partial, "mask": s.mask, "edge_normalization": s.edge_normalization}
            return hook(module, name, memo, {**kwargs, **ours, "new_parameter": self._new_parameter})

        return super().run_hook(with_settings, name, module, memo)
