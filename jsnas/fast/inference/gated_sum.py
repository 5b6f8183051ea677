"""Steps of a fast network: sums of gated maps, and the gates in them (see ``rows``)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from jsnas.fast.dense_groups import dense_kernel
from jsnas.fast.inference.convolution import FastConvolution
from jsnas.fast.inference.convolution_sum import all_single
from jsnas.fast.inference.rows import Run, Source, Step, own_rows
from jsnas.native import esa
from jsnas.native import gated_sum as native


class Gate(nn.Module):
    """A factor of a gated sum. ``sources`` says what it reads; ``value`` makes the factor of it.

    But for a ``MapGate``'s, which others read, the factor is free to be changed.
    """

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
        self.convolution = FastConvolution([dense_kernel(weight.detach(), groups)], bias)
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
        super().__init__([Source(narrow), Source(small, smaller=True)])
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
            if source.smaller:
                reach = max(int((rows.end - 1.5) * (total / rows.height) - 0.5), 0)  # the inverse of rows_of
                while reach > 0 and EnlargedGate.rows_of(total, rows.height, reach - 1, reach)[1] > rows.end:
                    reach -= 1
                ready = min(ready, reach)
            else:
                ready = min(ready, 0 if source.radius is None else rows.end - source.radius)
        return ready if ready == total else max(ready, 0)

    @override
    def window(self, run: Run, source: Source, start: int, stop: int) -> tuple[int, int]:
        if source.smaller:
            return EnlargedGate.rows_of(self.units(run), run.height_of(source.stream), start, stop)
        return super().window(run, source, start, stop)

    @override
    def compute(self, windows: list[Tensor], start: int, stop: int, run: Run) -> list[Tensor]:
        total: Tensor | None = None
        position = len(self.gates) + self.plain
        plain = windows[len(self.gates) : position]
        if native.takes(windows[0]) and all_single(windows):
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
            elif factor.shape != x.shape or isinstance(gate, MapGate):
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
