"""The steps of a fast network: sums of convolutions, gated sums, statistics, resizing (see ``rows``).

Chunks are B x C x rows x W in channels-last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from jsnas.fast.inference.convolution import Activation, FastConvolution, dense, last
from jsnas.fast.inference.rows import Run, Source, Step, own_rows
from jsnas.native import convolution_sum as sums
from jsnas.native import esa
from jsnas.native import gated_sum as native
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
    if not _all_single(windows):
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


def _all_single(windows: Sequence[Tensor]) -> bool:
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


class ChannelExtremes(Step):
    """Maximum and mean over the channels: the two maps that spatial attention looks at."""

    @override
    def compute(self, windows: list[Tensor], start: int, stop: int, run: Run) -> list[Tensor]:
        x = windows[0]
        y = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
        return [y.contiguous(memory_format=torch.channels_last)]


class Gate(nn.Module):
    """A factor of a gated sum. ``sources`` says what it reads; ``value`` makes the factor of it, free to be changed."""

    def __init__(self, sources: Sequence[Source]) -> None:
        super().__init__()
        self.sources = tuple(sources)

    def value(self, windows: list[Tensor], start: int, stop: int, run: Run) -> Tensor:
        """The factor for rows start to stop, from the windows of the sources; it broadcasts to the map."""
        raise NotImplementedError

    def wide(self, windows: list[Tensor], start: int, stop: int, run: Run) -> native.Wide | None:
        """The same as the loops in C make it, or ``None`` where it is a value a pixel or a channel."""
        return None


class MapGate(Gate):
    """A factor that is a map already: of one channel, or one value a channel for the whole image."""

    @override
    def value(self, windows: list[Tensor], start: int, stop: int, run: Run) -> Tensor:
        return windows[0]


class ConvolutionGate(Gate):
    """Sigmoid of one convolution of a map, grouped or not."""

    def __init__(self, stream: int, weight: Tensor, bias: Tensor | None, groups: int = 1) -> None:
        super().__init__([Source(stream, weight.shape[2] // 2)])
        self.convolution = FastConvolution([dense(weight, groups)], bias)
        self.register_buffer("kernel", weight.detach().clone())

    @override
    def value(self, windows: list[Tensor], start: int, stop: int, run: Run) -> Tensor:
        return own_rows(self.convolution(windows, "sigmoid"), self.convolution.radius, start, stop)

    @override
    def wide(self, windows: list[Tensor], start: int, stop: int, run: Run) -> native.Wide | None:
        kernel, bias = self._buffers["kernel"], self.convolution._buffers["bias"]
        assert kernel is not None
        above = min(self.convolution.radius, start)
        return native.Wide(windows[0], kernel, bias, above=above) if len(kernel) > 1 else None


class EnlargedGate(Gate):
    """The gate of ESA: a small map enlarged, a narrow map added, a 1x1 convolution, a sigmoid."""

    def __init__(self, small: int, narrow: int, expand: nn.Conv2d) -> None:
        super().__init__([Source(narrow), Source(small, -1)])  # -1: rows by ``rows_of``
        self.expand = FastConvolution([expand.weight], expand.bias)

    @staticmethod
    def rows_of(height: int, small: int, start: int, stop: int) -> tuple[int, int]:
        """The rows of the small map that rows start to stop of the large one lie between."""

        def above(row: int) -> int:
            return int(max((row + 0.5) * (small / height) - 0.5, 0.0))

        return max(above(start) - 1, 0), min(above(stop - 1) + 3, small)  # one to spare on each side for rounding

    @override
    def value(self, windows: list[Tensor], start: int, stop: int, run: Run) -> Tensor:
        y: Tensor = self.expand([self._enlarged(windows, start, stop, run)], "sigmoid")
        return y

    @override
    def wide(self, windows: list[Tensor], start: int, stop: int, run: Run) -> native.Wide | None:
        enlarged, kernel = self._enlarged(windows, start, stop, run), self.expand._buffers["weight"]
        assert kernel is not None
        return native.Wide(enlarged, kernel, self.expand._buffers["bias"])

    def _enlarged(self, windows: list[Tensor], start: int, stop: int, run: Run) -> Tensor:
        """The small map's rows enlarged, and the narrow map added."""
        narrow, small = windows
        height, small_height = run.height_of(self.sources[0].stream), run.height_of(self.sources[1].stream)
        first, _ = self.rows_of(height, small_height, start, stop)
        if esa.takes(narrow) and small.dtype == narrow.dtype:
            return esa.enlarge(small, first, small_height, narrow, start, height)
        # Bilinear resizing in two goes: rows here, columns by torch.
        exact = torch.promote_types(small.dtype, torch.float32)
        place = (torch.arange(start, stop, dtype=exact, device=small.device) + 0.5) * (small_height / height) - 0.5
        place = place.clamp_(min=0)
        upper = place.long().clamp_(max=small_height - 1)
        lower = (upper + 1).clamp_(max=small_height - 1)
        weight = (place - upper)[:, None, None].to(small.dtype)
        last_channels = small.permute(0, 2, 3, 1)  # else the rows picked are laid out anew
        rows = torch.lerp(last_channels[:, upper - first], last_channels[:, lower - first], weight).permute(0, 3, 1, 2)
        wide = F.interpolate(rows, (stop - start, narrow.shape[3]), mode="bilinear", align_corners=False)
        return wide.add_(narrow)


class GatedSum(Step):
    """Sum of maps times their gates, and of plain maps: a node of the attention graph (Eq. 10)."""

    def __init__(self, gated: Sequence[tuple[int, Gate]], plain: Sequence[int], output: int) -> None:
        sources = [Source(stream) for stream, _ in gated] + [Source(stream) for stream in plain]
        super().__init__(sources + [source for _, gate in gated for source in gate.sources], [output])
        self.gates = nn.ModuleList(gate for _, gate in gated)
        self.plain = len(plain)

    @override
    def available(self, run: Run) -> int:
        ready = total = self.units(run)
        for source in self.sources:
            rows = run.stream(source.stream)
            if rows.end == rows.height:
                continue
            if source.radius == -1:
                reach = max(int((rows.end - 1.5) * (total / rows.height) - 0.5), 0)  # the inverse of rows_of
                while reach > 0 and EnlargedGate.rows_of(total, rows.height, reach - 1, reach)[1] > rows.end:
                    reach -= 1
                ready = min(ready, reach)
            else:
                ready = min(ready, 0 if source.radius is None else rows.end - source.radius)
        return ready if ready == total else max(ready, 0)

    @override
    def window(self, run: Run, source: Source, start: int, stop: int) -> tuple[int, int]:
        if source.radius == -1:
            return EnlargedGate.rows_of(self.units(run), run.height_of(source.stream), start, stop)
        return super().window(run, source, start, stop)

    @override
    def compute(self, windows: list[Tensor], start: int, stop: int, run: Run) -> list[Tensor]:
        total: Tensor | None = None
        position = len(self.gates) + self.plain
        plain = windows[len(self.gates) : position]
        if native.takes(windows[0]) and _all_single(windows):
            summed = self._by_loops(windows, start, stop, run)
            if summed is not None:
                return [summed]
        for x, gate in zip(windows, self.gates, strict=False):
            assert isinstance(gate, Gate)
            count = len(gate.sources)
            factor = gate.value(windows[position : position + count], start, stop, run)
            position += count
            if total is not None:
                total.addcmul_(x, factor)
            elif factor.shape != x.shape:
                total = x * factor
            else:  # memory is what this waits for: written where the factor was, and a plain map added on the way
                total = torch.addcmul(plain.pop(), x, factor, out=factor) if plain else factor.mul_(x)
        for x in plain:
            total = x.clone() if total is None else total.add_(x)
        assert total is not None
        return [total]

    def _by_loops(self, windows: list[Tensor], start: int, stop: int, run: Run) -> Tensor | None:
        """The sum by the loops in C; ``None`` where a gate is none of theirs."""
        position = len(self.gates) + self.plain
        inputs = []
        for x, gate in zip(windows, self.gates, strict=False):
            assert isinstance(gate, Gate)
            of_gate = windows[position : position + len(gate.sources)]
            position += len(gate.sources)
            wide = gate.wide(of_gate, start, stop, run)
            if wide is not None:
                if not wide.known():
                    return None
                inputs.append(native.Gated(x, wide=[wide]))
                continue
            value = gate.value(of_gate, start, stop, run)
            inputs.append(native.Gated(x, channel=value) if value.shape[2:] == (1, 1) else native.Gated(x, pixel=value))
        one = windows[0].new_ones(1, 1, 1, 1)
        plain = windows[len(self.gates) : len(self.gates) + self.plain]
        x = windows[0]
        to = run.room(self.outputs[0], x, x.shape[1], stop - start)
        return native.gated_sum([*inputs, *(native.Gated(x, channel=one) for x in plain)], to)


class PooledView(Step):
    """The start of ESA's small map: an unpadded 3x3 convolution of stride 2, then maximum pooling 7 of stride 3."""

    def __init__(self, stream: int, stride: nn.Conv2d, output: int) -> None:
        super().__init__([Source(stream, 0)], [output])
        self.register_buffer("weight", last(stride.weight))
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
