"""The ends of a fast network: the first convolutions, the cross-scale fusion, the upsampling."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from jsnas.fast.end import composed
from jsnas.fast.inference.blocks import Builder, Excitation
from jsnas.fast.inference.convolution import FastConvolution
from jsnas.fast.inference.convolution_sum import by_loops
from jsnas.fast.inference.rows import Run, Source, Step, own_rows
from jsnas.fast.inference.statistics import Global, Statistics
from jsnas.fusion import CrossScaleFusion, PixelAttentionConv
from jsnas.native.library import last
from jsnas.network import MeanShift


class Shift(Step):
    """The first step: integers to floats, the mean taken away."""

    def __init__(self, shift: MeanShift, output: int) -> None:
        super().__init__([Source(0)], [output])
        self.register_buffer("weight", last(shift.weight.detach()))
        self.register_buffer("bias", shift.bias.detach().clone())

    @override
    def compute(self, windows: list[Tensor], start: int, stop: int, run: Run) -> list[Tensor]:
        weight = self._buffers["weight"]
        assert weight is not None
        x = windows[0].to(weight.dtype).contiguous(memory_format=torch.channels_last)
        return [F.conv2d(x, weight, self._buffers["bias"])]


class PixelAttentionRows(Step):
    """A convolution gated by a 1x1 one. It may have to wait for a map that it does not look at."""

    def __init__(self, x: int, module: PixelAttentionConv, after: int | None, output: int) -> None:
        sources = [Source(x, module.conv.kernel_size[0] // 2)]
        super().__init__(sources + ([] if after is None else [Source(after, None)]), [output])
        self.convolution = FastConvolution([module.conv.weight])
        self.gate = FastConvolution([module.gate.weight], module.gate.bias)

    @override
    def compute(self, windows: list[Tensor], start: int, stop: int, run: Run) -> list[Tensor]:
        x, radius = windows[0], self.convolution.radius
        gate = self.gate([own_rows(x, radius, start, stop)], "sigmoid")
        y = by_loops([self.convolution], [x], start, stop, room=partial(run.room, self.outputs[0]))
        if y is None:
            y = own_rows(self.convolution([x]), radius, start, stop)
        return [y.mul_(gate)]


class Scaled(Step):
    """Sum of maps, each times one value a channel; a map without one is added as it is."""

    def __init__(self, terms: list[tuple[int, int | None]], output: int) -> None:
        terms = sorted(terms, key=lambda term: term[1] is None)  # a scaled one first
        factors = [factor for _, factor in terms if factor is not None]
        super().__init__([Source(s) for s, _ in terms] + [Source(f, None) for f in factors], [output])
        self.terms, self.factors = len(terms), len(factors)

    @override
    def compute(self, windows: list[Tensor], start: int, stop: int, run: Run) -> list[Tensor]:
        maps, factors = windows[: self.terms], windows[self.terms :]
        total = maps[0] * factors[0]
        for x, factor in zip(maps[1:], factors[1:], strict=False):
            total.addcmul_(x, factor)
        for x in maps[self.factors :]:
            total.add_(x)
        return [total]


class _UpGate(nn.Module):
    """The gate on x1_up, whose mean follows from those of its parts: mean(pa_up) + mean(x) * gate of x."""

    def __init__(self, excitation: Excitation) -> None:
        super().__init__()
        self.excitation = excitation

    def forward(self, mean_up: Tensor, mean_x: Tensor, gate_x: Tensor) -> Tensor:
        """1 + the gate."""
        y: Tensor = self.excitation(mean_up + mean_x * gate_x) + 1
        return y


class _PlusOne(nn.Module):
    def __init__(self, excitation: Excitation) -> None:
        super().__init__()
        self.excitation = excitation

    def forward(self, mean: Tensor) -> Tensor:
        """1 + the gate."""
        y: Tensor = self.excitation(mean) + 1
        return y


class _Product(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """The product."""
        return a * b


def fusion(build: Builder, x: int, module: CrossScaleFusion, recompute: bool) -> int:
    """The cross-scale fusion after its first 1x1 convolution.

    Its channel attentions need means over the whole image of maps that follow from one another, so the image is gone
    through three times. Eq. 12 in one line: pa_down (1 + d2) + (pa_up + x d1) (1 + u2), with the gates d1 of x, u1 of
    pa_up, d2 of pa_down = PA(pa_up u1 + x) and u2 of pa_up + x d1.

    Args:
        build: Takes the steps.
        x: The map, C/2 channels.
        module: The weights.
        recompute: Whether the maps on the way are computed anew in each pass (memory: x) or kept (x and two more).
    """

    def gate(function: nn.Module, *streams: int) -> int:
        output = build.new()
        build.steps.append(Global(list(streams), function, output))
        return output

    def mean(stream: int) -> int:
        output = build.new()
        build.steps.append(Statistics(stream, [output]))
        return output

    def attention(stream: int, conv: PixelAttentionConv, after: int | None = None) -> int:
        output = build.new()
        build.steps.append(PixelAttentionRows(stream, conv, after, output))
        return output

    def scaled(*terms: tuple[int, int | None]) -> int:
        output = build.new()
        build.steps.append(Scaled(list(terms), output))
        return output

    pa_up = attention(x, module.pa_up)
    mean_x, mean_up = mean(x), mean(pa_up)
    gate_x = gate(Excitation(module.ca_down1), mean_x)
    gate_up = gate(Excitation(module.ca_up1), mean_up)
    up_factor = gate(_UpGate(Excitation(module.ca_up2)), mean_up, mean_x, gate_x)
    x_factor = gate(_Product(), gate_x, up_factor)
    if recompute:
        pa_up = attention(x, module.pa_up, after=gate_up)
    pa_down = attention(scaled((pa_up, gate_up), (x, None)), module.pa_down)
    down_factor = gate(_PlusOne(Excitation(module.ca_down2)), mean(pa_down))
    if recompute:
        pa_up = attention(x, module.pa_up, after=down_factor)
        pa_down = attention(scaled((pa_up, gate_up), (x, None)), module.pa_down)
    return scaled((pa_down, down_factor), (pa_up, up_factor), (x, x_factor))


class Enlarge(Step):
    """3x3 convolution and pixel shuffle."""

    def __init__(self, x: int, conv: nn.Conv2d, factor: int, output: int) -> None:
        super().__init__([Source(x, 1)], [output])
        self.scale = factor
        self.convolution = FastConvolution([conv.weight], conv.bias)

    @override
    def compute(self, windows: list[Tensor], start: int, stop: int, run: Run) -> list[Tensor]:
        y = own_rows(self.convolution(windows), 1, start, stop)
        return [F.pixel_shuffle(y, self.scale).contiguous(memory_format=torch.channels_last)]


class EnlargeToImage(Step):
    """3x3 convolution, pixel shuffle and the 3x3 convolution to the image, as one 5x5 convolution and a pixel shuffle.

    ``jsnas.fast.end`` says how, for a network that learns; here an image comes in windows of rows.
    """

    def __init__(self, x: int, up: nn.Conv2d, factor: int, weight: Tensor, bias: Tensor, output: int) -> None:
        super().__init__([Source(x, 2)], [output])
        self.scale = factor
        assert up.bias is not None
        self.up = FastConvolution([up.weight], up.bias)
        self.tail = FastConvolution([weight], bias)
        kernels = [kernel.detach().double() for kernel in (up.weight, up.bias, weight, bias)]
        both, both_bias = composed(kernels[0], kernels[1], factor, kernels[2], kernels[3])
        self.both = FastConvolution([both.to(up.weight)], both_bias.to(up.weight))

    @override
    def compute(self, windows: list[Tensor], start: int, stop: int, run: Run) -> list[Tensor]:
        x, s = windows[0], self.scale
        above = s * min(2, start)
        own = slice(above, above + s * (stop - start))
        if x.shape[3] < 4:
            return [self._plain(x)[:, :, own]]
        y = F.pixel_shuffle(own_rows(self.both([x]), 2, start, stop), s)
        y[..., 0] = self._plain(x[..., :4])[:, :, own, 0]
        y[..., -1] = self._plain(x[..., -4:])[:, :, own, -1]
        if start == 0:
            y[:, :, 0] = self._plain(x[:, :, :4])[:, :, 0]
        if stop == run.height_of(self.sources[0].stream):
            y[:, :, -1] = self._plain(x[:, :, -4:])[:, :, -1]
        return [y]

    def _plain(self, x: Tensor) -> Tensor:
        """The two convolutions."""
        y: Tensor = self.tail([F.pixel_shuffle(self.up([x]), self.scale)])
        return y
