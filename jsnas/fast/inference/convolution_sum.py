"""Steps of a fast network: sums of convolutions, and convolutions that several steps read together (see ``rows``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from jsnas.fast.inference.convolution import Activation, FastConvolution
from jsnas.fast.inference.rows import Run, Source, Step, own_rows
from jsnas.native import convolution_sum as sums
from jsnas.native.library import suits


@dataclass(frozen=True)
class Convolution:
    """One convolution in a sum: a map and a kernel, O x I/groups x k x k; the padding keeps the size."""

    stream: int
    weight: Tensor
    dilation: int = 1
    groups: int = 1

    @property
    def radius(self) -> int:
        """Rows needed above and below."""
        return self.dilation * (self.weight.shape[2] // 2)


def by_loops(
    convolutions: Sequence[FastConvolution],
    windows: Sequence[Tensor],
    start: int,
    stop: int,
    relu: bool = False,
    room: Callable[[Tensor, int, int], Tensor | None] | None = None,
) -> Tensor | None:
    """A sum of convolutions by the loops in C, or ``None`` where they are not for all of them.

    Args:
        convolutions: At most one of 3x3 and one of 1x1, in this order; the first may have a bias.
        windows: What they read for rows start to stop, and maps that are added.
        start: The first row.
        stop: The row after the last.
        relu: Whether a ReLU follows.
        room: Called with a map as wide, channels and rows, gives the memory to write to (``Run.room``).
    """
    if not convolutions or not all(conv.has_loops() for conv in convolutions):
        return None
    if not all_single(windows):
        return None
    rest = iter(windows)
    inputs: dict[int, list[sums.Window]] = {0: [], 1: []}  # by radius
    kernels: dict[int, Tensor] = {}
    for conv in convolutions:
        inputs[conv.radius] = [sums.Window(next(rest), min(conv.radius, start)) for _ in conv.widths]
        kernels[conv.radius] = conv.for_loops()
    both, bias = (kernels.get(1), kernels.get(0)), convolutions[0]._buffers["bias"]
    rows, outputs = stop - start, convolutions[0].outputs
    to = None if room is None else room(windows[0], outputs, rows)
    return sums.convolution_sum(inputs[1], inputs[0], list(rest), both, bias, rows, relu, to)


def all_single(windows: Sequence[Tensor]) -> bool:
    """Whether all maps are of the loops' type; under autocast maps of two types meet."""
    return all(x.dtype == torch.float32 for x in windows)


class ConvolutionSum(Step):
    """Sum of convolutions of several maps, a bias and plain maps; then an activation.

    Args:
        terms: The convolutions.
        bias: Of the sum.
        plain: Maps that are added as they are.
        relu: Whether a ReLU follows.
        output: Number of the map written.
    """

    def __init__(
        self, terms: Sequence[Convolution], bias: Tensor | None, plain: Sequence[int], relu: bool, output: int
    ) -> None:
        alike: dict[object, list[Convolution]] = {}  # what one FastConvolution computes
        for term in sorted(terms, key=lambda term: -term.radius):  # wide ones first, cut to the rows that are wanted
            alike.setdefault(term if term.groups > 1 else (term.weight.shape[2], term.dilation), []).append(term)
        sources = [Source(t.stream, t.radius) for together in alike.values() for t in together]
        super().__init__(sources + [Source(stream) for stream in plain], [output])
        self.relu = relu
        self.convolutions = nn.ModuleList()
        for together in alike.values():
            first, weights = together[0], [t.weight for t in together]
            self.convolutions.append(FastConvolution(weights, bias, first.dilation, first.groups))
            bias = None
        assert bias is None, "a sum without convolutions has no bias"

    @override
    def compute(self, windows: list[Tensor], start: int, stop: int, run: Run) -> list[Tensor]:
        room = partial(run.room, self.outputs[0])
        summed = by_loops(self._convolutions(), windows, start, stop, self.relu, room)
        if summed is not None:
            return [summed]
        total: Tensor | None = None
        position, relu = 0, self.relu
        for conv in self._convolutions():
            inputs = windows[position : position + len(conv.widths)]
            position += len(inputs)
            now: Activation = "relu" if relu and position == len(windows) else "none"
            if total is None:
                total = own_rows(conv(inputs, now), conv.radius, start, stop)
            elif not conv.radius:
                total = conv(inputs, now, total)
            else:
                total = total.add_(own_rows(conv(inputs), conv.radius, start, stop))
                continue
            relu = relu and now == "none"
        for x in windows[position:]:
            total = x.clone() if total is None else total.add_(x)
        assert total is not None
        return [total.relu_() if relu else total]

    def _convolutions(self) -> list[FastConvolution]:
        return list(self.convolutions)  # type: ignore[arg-type]


class Split(Step):
    """One 1x1 convolution for several readers of a map, its outputs cut apart, each through layers of its own."""

    def __init__(
        self, stream: int, parts: Sequence[tuple[Tensor, Tensor, nn.Module | None]], outputs: Sequence[int]
    ) -> None:
        super().__init__([Source(stream)], outputs)
        weight, bias = torch.cat([w.detach() for w, _, _ in parts]), torch.cat([b.detach() for _, b, _ in parts])
        spare = -len(weight) % sums.VECTOR if suits(weight) else 0  # zeros, for the loops to fill vectors
        weight, bias = F.pad(weight, (0, 0, 0, 0, 0, 0, 0, spare)), F.pad(bias, (0, spare))
        self.convolution = FastConvolution([weight], bias)
        self.sizes = [weight.shape[0] for weight, _, _ in parts]
        self.layers = nn.ModuleList(layers if layers is not None else nn.Identity() for _, _, layers in parts)

    @override
    def compute(self, windows: list[Tensor], start: int, stop: int, run: Run) -> list[Tensor]:
        y = by_loops([self.convolution], windows, start, stop)
        if y is None:
            y = self.convolution(windows)
        parts = torch.split(y[:, : sum(self.sizes)], self.sizes, 1)
        return [layers(part) for layers, part in zip(self.layers, parts, strict=True)]
