"""Steps of a fast network: what gates look at, such as means, and what waits for whole maps (see ``rows``)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from jsnas.fast.inference.rows import Run, Source, Step
from jsnas.native import esa
from jsnas.native.library import last


class ChannelExtremes(Step):
    """Maximum and mean over the channels: the two maps that spatial attention looks at."""

    @override
    def compute(self, windows: list[Tensor], start: int, stop: int, run: Run) -> list[Tensor]:
        x = windows[0]
        y = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
        return [y.contiguous(memory_format=torch.channels_last)]


class PooledView(Step):
    """The start of ESA's small map: an unpadded 3x3 convolution of stride 2, then maximum pooling 7 of stride 3."""

    def __init__(self, stream: int, stride: nn.Conv2d, output: int) -> None:
        super().__init__([Source(stream, 0)], [output])
        self.register_buffer("weight", last(stride.weight.detach()))
        assert stride.bias is not None
        self.register_buffer("bias", stride.bias.detach().clone())

    @override
    def units(self, run: Run) -> int:
        return self._pooled(run.height_of(self.sources[0].stream))

    @staticmethod
    def _pooled(rows: int) -> int:
        return max(((rows - 3) // 2 + 1 - 7) // 3 + 1, 0)  # row r looks at rows 6r to 6r + 15

    @override
    def available(self, run: Run) -> int:
        return self._pooled(run.stream(self.sources[0].stream).end)

    @override
    def window(self, run: Run, source: Source, start: int, stop: int) -> tuple[int, int]:
        return 6 * start, 6 * (stop - 1) + 15

    @override
    def compute(self, windows: list[Tensor], start: int, stop: int, run: Run) -> list[Tensor]:
        weight, bias = self._buffers["weight"], self._buffers["bias"]
        assert weight is not None and bias is not None
        x = windows[0]
        return [F.max_pool2d(esa.shrink(x, weight, bias) if esa.takes(x) else F.conv2d(x, weight, bias, 2), 7, 3)]


class Statistics(Step):
    """Mean, and where asked for the standard deviation, of every channel over the whole map.

    Chunks are joined by the pairwise formula of Chan, Golub and LeVeque (1979) in double precision.
    """

    def __init__(self, stream: int, outputs: Sequence[int]) -> None:
        super().__init__([Source(stream)], outputs)

    @override
    def output_height(self, run: Run) -> int:
        return 1

    @override
    def advance(self, run: Run) -> bool:
        rows, done = run.stream(self.sources[0].stream), run.done[self]
        stop = min(rows.end, done + max(1, run.rows * rows.height // run.height))
        if stop == done:
            return False
        x = rows.read(done, stop)
        mean = x.mean((2, 3), keepdim=True)
        values = [mean.double()]
        if len(self.outputs) == 2:
            values.append((x - mean).square_().sum((2, 3), keepdim=True).double())
        count, total = (stop - done) * x.shape[3], stop * x.shape[3]
        if done:
            old = run.memory[self]
            shift = values[0] - old[0]
            if len(self.outputs) == 2:
                values[1] = old[1] + values[1] + shift.square() * (count * (total - count) / total)
            values[0] = old[0] + shift * (count / total)
        run.memory[self], run.done[self] = values, stop
        if stop == rows.height:
            run.stream(self.outputs[0]).append(values[0].to(x.dtype))
            if len(self.outputs) == 2:
                variance = (values[1] / total).to(x.dtype)
                run.stream(self.outputs[1]).append(variance.clamp_min(1e-12).sqrt())
        return True


class Global(Step):
    """A function of statistics, or of whole maps: it waits until all it reads is complete."""

    def __init__(self, streams: Sequence[int], function: nn.Module, output: int) -> None:
        super().__init__([Source(stream, None) for stream in streams], [output])
        self.function = function

    @override
    def units(self, run: Run) -> int:
        return 1

    @override
    def available(self, run: Run) -> int:
        ends = [run.stream(source.stream) for source in self.sources]
        return int(all(rows.end == rows.height for rows in ends))

    @override
    def compute(self, windows: list[Tensor], start: int, stop: int, run: Run) -> list[Tensor]:
        return [self.function(*windows)]


class WholeMap(Global):
    """Somebody's own block: it gets whole maps, as the plain network would give them, and keeps their size."""

    @override
    def output_height(self, run: Run) -> int:
        return run.height_of(self.sources[0].stream)

    @override
    def compute(self, windows: list[Tensor], start: int, stop: int, run: Run) -> list[Tensor]:
        y: Tensor = self.function(*[x.contiguous() for x in windows])
        return [y.contiguous(memory_format=torch.channels_last)]
