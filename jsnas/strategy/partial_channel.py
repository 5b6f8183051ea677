"""The mixed edges and nodes of the supernet (paper, Eq. 5-10; PC-DARTS, Xu et al., ICLR 2020).

``PartialChannelEdge`` stands for an operation edge, ``MixedAttention`` for an attention edge, ``WeightedNode``
for a node whose inputs are weighted. Each replaces an NNI choice when the strategy mutates a space, and turns
back into the plain block or node when the derived sample freezes it. Edges of one label share one parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from jsnas.errors import InputError
from jsnas.genotype import ATTENTION, EXCLUDED, OPERATION
from jsnas.network import EdgeSum
from jsnas.strategy.choices import NodeSum
from jsnas.strategy.nni_api import (
    BaseSuperNetModule,
    ChosenInputs,
    DifferentiableMixedLayer,
    InputChoice,
    LayerChoice,
)


def check_partial(label: str, channels: int, partial: int) -> None:
    """Raises an ``InputError`` where K (partial) does not divide the channels of the edge of that label."""
    if channels % partial:
        raise InputError(
            f"Edge '{label}' has {channels} channels, which K = {partial} does not divide; choose another K."
        )


class MixedEdge(DifferentiableMixedLayer):
    """What the two kinds of mixed edge share: weights by softmax (Eq. 5, 8) and a derivation without ``none``.

    Attributes:
        learns: Whether a gradient of the architecture parameters is wanted.
    """

    learns = True

    def logits(self) -> Tensor:
        """What the softmax is taken of."""
        alpha: Tensor = self._arch_alpha
        return alpha if self.learns else alpha.detach()

    def weights(self) -> Tensor:
        """The candidates' weights, summing to 1."""
        weights: Tensor = self._softmax(self.logits())
        return weights


class PartialChannelEdge(MixedEdge):
    """An operation edge: the mixture on 1/K of the channels, the rest passed on (Eq. 6).

    Args:
        factories: Name to factory of each candidate; they are made with C/K channels.
        channels: Channels C of the edge, a multiple of K.
        partial: K of PC-DARTS, at least 1; 1 means no mask.
        mask: ``"first"`` takes the first C/K channels and shuffles channels afterwards, as the released code
            does; ``"random"`` takes a random subset, drawn anew at each call of ``draw_mask``, and puts it back
            in place.
        alpha: Architecture parameters, one per candidate.
        softmax: From parameters to weights.
        label: Label of the edge.
    """

    def __init__(
        self,
        factories: Mapping[str, Callable[[int], nn.Module]],
        channels: int,
        partial: int,
        mask: str,
        alpha: nn.Parameter,
        softmax: nn.Module,
        label: str,
    ) -> None:
        check_partial(label, channels, partial)
        super().__init__({name: make(channels // partial) for name, make in factories.items()}, alpha, softmax, label)
        self.factories, self.channels, self.partial, self.mask = dict(factories), channels, partial, mask
        self.register_buffer("order", torch.arange(channels), persistent=mask == "random")

    def draw_mask(self, generator: torch.Generator) -> None:
        """Draws the channels of the next step; does nothing unless the mask is random."""
        if self.mask == "random" and self.partial > 1:
            self.order.copy_(torch.randperm(self.channels, generator=generator))

    def mixture(self, x: Tensor) -> Tensor:
        """Sum of the candidates' outputs by weight, B x C/K x H x W; ``none`` adds nothing."""
        weights = self.weights()
        terms = [weights[k] * self[name](x) for k, name in enumerate(self.names) if name != EXCLUDED]
        return sum(terms[1:], terms[0]) if terms else torch.zeros_like(x)

    def forward(self, x: Tensor) -> Tensor:
        """B x C x H x W to the same shape."""
        if self.partial == 1:
            return self.mixture(x)
        if self.mask == "random":
            x = x[:, self.order]
        selected = self.channels // self.partial
        y = torch.cat([self.mixture(x[:, :selected]), x[:, selected:]], 1)
        if self.mask == "random":
            return y[:, torch.argsort(self.order)]
        b, c, h, w = y.shape
        shuffled: Tensor = y.view(b, self.partial, selected, h, w).transpose(1, 2).reshape(b, c, h, w)
        return shuffled

    def freeze(self, sample: dict[str, Any]) -> nn.Module:
        """The chosen operation at full width, with fresh weights: those of a slice do not fit."""
        self.validate(sample)
        name = self.choice.freeze(sample)
        return self[name] if self.partial == 1 else self.factories[name](self.channels)

    @classmethod
    def mutate(cls, module: Any, name: str, memo: dict[str, Any], kwargs: dict[str, Any]) -> nn.Module | None:
        """NNI's hook: replaces a choice of operations."""
        if type(module) is not LayerChoice or getattr(module, "part", None) != OPERATION:
            return None
        return cls(
            module.factories,
            module.channels,
            kwargs["partial"],
            kwargs["mask"],
            memo[module.label],
            kwargs["softmax"],
            module.label,
        )


class MixedAttention(MixedEdge):
    """An attention edge: x times the weighted sum of the candidates' gates (Eq. 9), all channels.

    A candidate that has no ``gate`` adds its weighted output instead.
    """

    def forward(self, x: Tensor) -> Tensor:
        """B x C x H x W to the same shape."""
        weights = self.weights()
        gates, outputs = [], []
        for k, name in enumerate(self.names):
            block = self[name]
            if hasattr(block, "gate"):
                gates.append(weights[k] * block.gate(x))
            else:
                outputs.append(weights[k] * block(x))
        # Gates of few values first, so that the sum grows to full size once.
        gates.sort(key=torch.numel)
        if gates:
            outputs.append(x * sum(gates[1:], gates[0]))
        total: Tensor = sum(outputs[1:], outputs[0])
        return total

    @classmethod
    def mutate(cls, module: Any, name: str, memo: dict[str, Any], kwargs: dict[str, Any]) -> nn.Module | None:
        """NNI's hook: replaces a choice of attentions."""
        if type(module) is not LayerChoice or getattr(module, "part", None) != ATTENTION:
            return None
        return cls(module.candidates, memo[module.label], kwargs["softmax"], module.label)


class WeightedNode(BaseSuperNetModule):
    """A node whose inputs are weighted by a softmax of its own (edge normalisation of PC-DARTS).

    Args:
        inputs: Number of inputs.
        kept: How many the derivation keeps, or ``None`` for all.
        beta: Architecture parameters, one per input.
        softmax: From parameters to weights.
        label: Label of the choice of inputs.

    Attributes:
        learns: Whether a gradient of the architecture parameters is wanted.
    """

    learns = True

    def __init__(self, inputs: int, kept: int | None, beta: nn.Parameter, softmax: nn.Module, label: str) -> None:
        super().__init__()
        self.inputs, self.kept, self.label = inputs, kept, label
        self._arch_beta, self._softmax = beta, softmax

    def logits(self) -> Tensor:
        """What the softmax is taken of."""
        return self._arch_beta if self.learns else self._arch_beta.detach()

    def weights(self) -> Tensor:
        """The inputs' weights, summing to 1."""
        weights: Tensor = self._softmax(self.logits())
        return weights

    def forward(self, inputs: list[Tensor]) -> Tensor:
        """Weighted sum of tensors of one shape."""
        weights = self.weights()
        terms = [weights[i] * x for i, x in enumerate(inputs)]
        return sum(terms[1:], terms[0])

    def arch_parameters(self) -> Iterator[nn.Parameter]:
        """The one parameter of the node."""
        yield self._arch_beta

    def resample(self, memo: dict[str, Any]) -> dict[str, Any]:
        """Nothing is drawn."""
        return {}

    def export(self, memo: dict[str, Any]) -> dict[str, Any]:
        """Nothing: which inputs are kept depends on the edges, so that ``PartialChannelModule.export`` says it."""
        return {}

    def export_probs(self, memo: dict[str, Any]) -> dict[str, Any]:
        """Weight of each input."""
        return {} if self.label in memo else {self.label: dict(enumerate(self.weights().tolist()))}

    def freeze(self, sample: dict[str, Any]) -> nn.Module:
        """A plain sum of the inputs kept."""
        return EdgeSum() if self.kept is None else ChosenInputs(sample[self.label], reduction="sum")

    @classmethod
    def mutate(cls, module: Any, name: str, memo: dict[str, Any], kwargs: dict[str, Any]) -> nn.Module | None:
        """NNI's hook: replaces an operation node's sum, and every choice of inputs."""
        if type(module) is InputChoice:
            inputs, kept, label = module.n_candidates, module.n_chosen, module.label
        elif (
            type(module) is NodeSum and module.inputs > 1 and module.part == OPERATION and kwargs["edge_normalization"]
        ):
            inputs, kept, label = module.inputs, None, module.label
        else:
            return None
        if label not in memo:
            memo[label] = kwargs["new_parameter"](inputs)
        return cls(inputs, kept, memo[label], kwargs["softmax"], label)


def weights_by_label(mixed: Sequence[MixedEdge | WeightedNode]) -> dict[str, Tensor]:
    """The ``weights()`` of edges, or of nodes, by label; those of as many numbers come from one softmax."""
    weights: dict[str, Tensor] = {}
    alike: dict[tuple[int, bool], list[MixedEdge | WeightedNode]] = {}
    for each in {m.label: m for m in mixed}.values():
        if type(each._softmax) is nn.Softmax and each._softmax.dim == -1:
            alike.setdefault((len(each.logits()), each.learns), []).append(each)
        else:
            weights[each.label] = each.weights()
    for same in alike.values():
        together = torch.stack([each.logits() for each in same]).softmax(-1)
        weights |= zip((each.label for each in same), together.unbind(), strict=True)
    return weights
