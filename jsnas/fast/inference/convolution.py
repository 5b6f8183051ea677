"""A convolution for inference: packed once, its activation and its addition to what is there in one go.

On a CPU in float32 this uses what torch's own compiler calls there: oneDNN with kernels reordered ahead and an addition
or an activation done while the result is in a register (`torch.ops.mkldnn`). These operators are internal to torch, so
they are tried once on a small case; where they are missing or do something else, and on other devices and types, plain
convolutions compute the same.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from jsnas.native.convolution_sum import prepared, takes
from jsnas.native.library import last

Activation = Literal["none", "relu", "sigmoid"]


def activate(x: Tensor, activation: Activation) -> Tensor:
    """The activation of a map, which is changed."""
    if activation == "none":
        return x
    return x.relu_() if activation == "relu" else x.sigmoid_()


class FastConvolution(nn.Module):
    """A convolution of a concatenation that keeps the size, without gradients: the inputs are never concatenated.

    Args:
        weights: Kernels O x I/groups x k x k, one for each map of the concatenation; one only if there are groups.
        bias: Of the sum.
        dilation: Of all of them.
        groups: Of the one.
    """

    def __init__(
        self, weights: Sequence[Tensor], bias: Tensor | None = None, dilation: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.register_buffer("weight", last(torch.cat([weight.detach() for weight in weights], 1)))
        self.register_buffer("bias", None if bias is None else bias.detach().clone())
        self.widths, self.outputs = [weight.shape[1] for weight in weights], len(weights[0])
        self.radius = dilation * (weights[0].shape[2] // 2)
        self.dilation, self.groups = dilation, groups
        self._packed: list[Tensor] | None = None
        self._for_loops: Tensor | None = None

    def has_loops(self) -> bool:
        """Whether ``jsnas.native.convolution_sum`` is there for it."""
        weight = self._buffers["weight"]
        assert weight is not None
        return self.dilation == self.groups == 1 and takes(weight, self.widths)

    def for_loops(self) -> Tensor:
        """The kernel as ``jsnas.native.convolution_sum`` takes it."""
        if self._for_loops is None:
            weight = self._buffers["weight"]
            assert weight is not None
            self._for_loops = prepared(weight)
        return self._for_loops

    @override
    def forward(self, inputs: Sequence[Tensor], activation: Activation = "none", onto: Tensor | None = None) -> Tensor:
        """Convolves B x I x H x W maps; adds the result to ``onto``, which is changed, if it is given; activates."""
        if inputs[0].device.type == "cpu" and inputs[0].dtype == torch.float32 and fused_operators_work():
            return self._fused(inputs, activation, onto)
        x = inputs[0] if len(inputs) == 1 else torch.cat(list(inputs), 1)
        y = F.conv2d(x, self._buffers["weight"], self._buffers["bias"], 1, self.radius, self.dilation, self.groups)  # type: ignore[arg-type]
        if onto is not None:
            y = onto.add_(y)
        return activate(y, activation)

    def _fused(self, inputs: Sequence[Tensor], activation: Activation, onto: Tensor | None) -> Tensor:
        if onto is not None and not onto.is_contiguous(memory_format=torch.channels_last):
            return activate(onto.add_(self._fused(inputs, "none", None)), activation)
        if self._packed is None:
            weight = self._buffers["weight"]
            assert weight is not None
            parts = torch.split(weight, self.widths, 1)
            self._packed = [_pack(w, x, self) for w, x in zip(parts, inputs, strict=True)]
        bias = self._buffers["bias"]
        for position, (x, packed) in enumerate(zip(inputs, self._packed, strict=True), start=1):
            onto = _convolve(x, packed, bias, self, activation if position == len(inputs) else "none", onto)
            bias = None
        assert onto is not None
        return onto

    def _apply(self, *arguments: Any, **options: Any) -> Any:
        self._packed = self._for_loops = None  # they would stay behind on the old device
        return super()._apply(*arguments, **options)  # type: ignore[no-untyped-call]

    def _load_from_state_dict(self, *arguments: Any, **options: Any) -> None:
        self._packed = self._for_loops = None  # they are of the kernel before
        super()._load_from_state_dict(*arguments, **options)

    def __getstate__(self) -> dict[str, Any]:
        # oneDNN's layouts can be neither copied nor saved, and both are made again when they are asked for.
        made_anew = {"_packed": None, "_for_loops": None}
        return {**self.__dict__, **made_anew}


def _pack(weight: Tensor, x: Tensor, conv: FastConvolution) -> Tensor:
    """A kernel in oneDNN's order for inputs like x."""
    packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
        weight.contiguous(), [conv.radius] * 2, [1, 1], [conv.dilation] * 2, conv.groups, list(x.shape)
    )
    return packed


def _convolve(
    x: Tensor,
    packed: Tensor,
    bias: Tensor | None,
    conv: FastConvolution,
    activation: Activation,
    onto: Tensor | None,
) -> Tensor:
    x = x.contiguous(memory_format=torch.channels_last)
    geometry = ([conv.radius] * 2, [1, 1], [conv.dilation] * 2, conv.groups)
    operators = torch.ops.mkldnn
    if onto is None:
        y: Tensor = operators._convolution_pointwise(x, packed, bias, *geometry, activation, [], "")
        return y
    relu = "relu" if activation == "relu" else None  # of the activations, the only one after an addition
    y = operators._convolution_pointwise_.binary(onto, x, packed, bias, *geometry, "add", 1.0, relu, [], "")
    return y if relu else activate(y, activation)


@functools.cache
def fused_operators_work() -> bool:
    """Whether torch's internal operators are there and do what they did when this was written."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    x = torch.linspace(-1, 1, 2 * 8 * 6 * 5).view(1, 16, 6, 5)
    weight = torch.linspace(-1, 1, 16 * 16 * 9).roll(700).view(16, 16, 3, 3)
    bias = torch.linspace(-2, 2, 16)
    conv = FastConvolution([weight[:, :8], weight[:, 8:]], bias)
    with torch.no_grad():
        try:
            y = conv._fused(torch.split(x, 8, 1), "relu", last(x))
            gate = FastConvolution([weight], bias)._fused([x], "sigmoid", None)
        except (AttributeError, RuntimeError, TypeError):
            return False
        plain = F.conv2d(x, weight, bias, 1, 1)
        pairs = ((y, (plain + x).relu()), (gate, plain.sigmoid()))
        return all(torch.allclose(a, b, rtol=1e-4, atol=1e-4) for a, b in pairs)
