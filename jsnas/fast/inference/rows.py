"""Runs a graph of steps a few rows at a time, so that what one step writes is in the cache when the next reads it.

A whole feature map of 64 channels does not fit into a CPU's cache, so layer after layer waits for memory. Here every
step advances by some rows as soon as its inputs have them; a map's rows are dropped when their last reader has
passed. The result is that of the whole maps, and memory grows with the width of the image only.

A convolution pads each chunk on all sides, as if it were an image, and the rows that have seen zeros in place of the
next chunk are left out; so an image that is a single chunk is never copied, and others only where chunks meet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Source:
    """What a step reads.

    Attributes:
        stream: Number of the map.
        radius: Rows it needs above and below each of its own; ``None`` if it needs the whole map.
        smaller: Whether the map has fewer rows than what the step makes, and the step says which of them it needs.
    """

    stream: int
    radius: int | None = 0
    smaller: bool = False


class Rows:
    """The rows of one map, B x C x height x W, that still have a reader.

    Args:
        height: Of the map.
        whole: Whether the map will be complete before it is read to the end, and is large. It is then kept as 16-bit
            integers with a scale for each channel of each chunk (an error below 1/65,000 of the largest value), in one
            piece, so that the chunks that come and go leave no holes among chunks that stay.
        joined: Whether several readers look beyond their own rows: chunks are then joined once for all of them.
    """

    def __init__(self, height: int, whole: bool = False, joined: bool = False) -> None:
        self.height = height
        self.end = 0
        self._whole = whole
        self._joined = joined
        self._chunks: list[tuple[int, Tensor]] = []  # first row and rows, in order
        self._needed = 0  # rows above it have no reader
        self._packed: Tensor | None = None
        self._scales: list[tuple[int, int, Tensor]] = []
        self._room: tuple[int, Tensor, Tensor] | None = None  # first row; all rows there; the next ones among them

    def room(self, shape: tuple[int, int, int, int]) -> Tensor:
        """Memory for the next rows of one image, behind those that still have a reader, unless these are many.

        When what was written there is added, it is in one piece with the rows before it, and a reader of both copies
        nothing.

        Args:
            shape: 1 x C x rows x W; the memory is in channels-last.
        """
        _, channels, rows, width = shape
        first = min(max(self._needed, self._chunks[0][0]), self.end) if self._chunks else self.end
        kept = self.end - first
        if self._whole or kept > rows:
            first, kept = self.end, 0
        together = torch.empty((1, channels, kept + rows, width), memory_format=torch.channels_last)
        if kept:
            together[:, :, :kept] = self.read(first, self.end)
        self._room = first, together, together[:, :, kept:]
        return self._room[2]

    def append(self, chunk: Tensor) -> None:
        """Adds the next rows."""
        start, self.end = self.end, self.end + chunk.shape[2]
        room, self._room = self._room, None
        if room is not None and room[2] is chunk and room[0] < start:
            self._chunks = [room[:2]]
            return
        if not self._whole:
            self._chunks.append((start, chunk))
            return
        if self._packed is None:
            shape = (chunk.shape[0], chunk.shape[1], self.height, chunk.shape[3])
            self._packed = torch.empty(shape, dtype=torch.int16, device=chunk.device, memory_format=torch.channels_last)
        scale = chunk.abs().amax((2, 3), keepdim=True).clamp_min(1e-30) / 32767
        self._packed[:, :, start : self.end] = (chunk / scale).round_()
        self._scales.append((start, self.end, scale))

    def read(self, start: int, stop: int) -> Tensor:
        """Rows start to stop. Not to be written to."""
        if self._joined and len(self._chunks) > 1 and self._chunks[-1][0] < stop:
            first = max(self._chunks[0][0], self._needed)
            kept = [chunk[:, :, max(first - a, 0) :] for a, chunk in self._chunks]
            self._chunks = [(first, torch.cat(kept, 2))]
        parts = []
        for first, end, scale in self._scales:
            a, b = max(start, first), min(stop, end)
            if a < b:
                assert self._packed is not None
                parts.append(self._packed[:, :, a:b] * scale)
        for first, chunk in self._chunks:
            a, b = max(start, first), min(stop, first + chunk.shape[2])
            if a < b:
                parts.append(chunk if b - a == chunk.shape[2] else chunk[:, :, a - first : b - first])
        return parts[0] if len(parts) == 1 else torch.cat(parts, 2)

    def drop(self, before: int) -> None:
        """Forgets the rows above one."""
        self._needed = before
        while self._chunks and self._chunks[0][0] + self._chunks[0][1].shape[2] <= before:
            del self._chunks[0]
        if before >= self.height:
            self._packed, self._scales = None, []


def own_rows(y: Tensor, radius: int, start: int, stop: int) -> Tensor:
    """Rows start to stop of a result that has a row for each row of the window of that radius around them."""
    before = min(radius, start)
    return y[:, :, before : before + stop - start]


class Run:
    """The state of one pass over one image (or batch)."""

    def __init__(self, streams: int, rows: int, quantum: int) -> None:
        self.streams: list[Rows | None] = [None] * streams
        self.rows = rows
        self.quantum = quantum
        self.height = 0  # of the source
        self.done: dict[Step, int] = {}  # output units of each step so far
        self.memory: dict[Step, list[Tensor]] = {}  # what a step keeps from row to row

    def stream(self, number: int) -> Rows:
        """A map; its producer has run at least once."""
        rows = self.streams[number]
        assert rows is not None
        return rows

    def room(self, number: int, like: Tensor, channels: int, rows: int) -> Tensor | None:
        """Memory for the next rows of a map as wide as another, or ``None`` for several images."""
        return None if len(like) > 1 else self.stream(number).room((1, channels, rows, like.shape[3]))

    def height_of(self, number: int) -> int:
        """Height of a map."""
        return self.stream(number).height


class Step(nn.Module):
    """Computes rows of one or more maps from rows of others.

    Attributes:
        sources: What it reads; the first gives the height.
        outputs: Numbers of the maps it writes.
        scale: Rows written for each row of the first source.
    """

    scale = 1

    def __init__(self, sources: Sequence[Source], outputs: Sequence[int]) -> None:
        super().__init__()
        self.sources = tuple(sources)
        self.outputs = tuple(outputs)

    def units(self, run: Run) -> int:
        """How many units of work there are: rows of the first source."""
        return run.height_of(self.sources[0].stream)

    def available(self, run: Run) -> int:
        """How many units its inputs allow by now."""
        last = total = self.units(run)
        for source in self.sources:
            rows = run.stream(source.stream)
            if rows.end < rows.height:
                last = min(last, 0 if source.radius is None else rows.end - source.radius)
        return last if last == total else max(last, 0)

    def window(self, run: Run, source: Source, start: int, stop: int) -> tuple[int, int]:
        """The rows of a source that units start to stop need; fewer than its radius at the edges of the map."""
        height = run.height_of(source.stream)
        if source.radius is None:
            return 0, height
        return max(start - source.radius, 0), min(stop + source.radius, height)

    def compute(self, windows: list[Tensor], start: int, stop: int, run: Run) -> list[Tensor]:
        """The rows of each output for units start to stop, from the windows of the sources."""
        raise NotImplementedError

    def advance(self, run: Run) -> bool:
        """Does as much as inputs and chunk size allow; says whether that was anything."""
        total, start = self.units(run), run.done[self]
        if start == total:
            return False
        share = run.rows if total == run.height else run.rows * total // run.height + 1
        stop = min(self.available(run), start + share)
        if run.height <= total > stop:  # maps smaller than the image are too small to be choosy
            stop -= (stop - start) % run.quantum
        if stop <= start:
            return False
        windows = [run.stream(s.stream).read(*self.window(run, s, start, stop)) for s in self.sources]
        for number, chunk in zip(self.outputs, self.compute(windows, start, stop, run), strict=True):
            run.stream(number).append(chunk)
        run.done[self] = stop
        return True

    def oldest(self, run: Run, source: Source) -> int:
        """The first row of a source that is still needed."""
        done = run.done[self]
        if done == self.units(run):
            return run.height_of(source.stream)
        return self.window(run, source, done, done + 1)[0]

    def output_height(self, run: Run) -> int:
        """Height of the outputs."""
        return self.scale * self.units(run)


class Program(nn.Module):
    """Steps in an order in which each follows those it reads; map 0 is the input.

    Args:
        steps: The steps.
        streams: Number of maps.
        output: The map that is the result.
        whole: Large maps that are complete before they are read to the end.
    """

    def __init__(self, steps: Sequence[Step], streams: int, output: int, whole: Sequence[int] = ()) -> None:
        super().__init__()
        self.whole = frozenset(whole)
        kept = _needed(steps, output)
        self.steps = nn.ModuleList(kept)
        beyond = [source for step in kept for source in step.sources if source.radius or source.smaller]
        self.joined = frozenset(source.stream for source in beyond)
        self.streams = streams
        self.output = output

    def run(self, x: Tensor, rows: int, quantum: int, write: Callable[[int, Tensor], None]) -> None:
        """Computes the result from the input, B x C x H x W.

        Args:
            x: The input.
            rows: Rows of the input in a chunk.
            quantum: Chunks end at multiples of this; few sizes mean few kernels for oneDNN to prepare.
            write: Called with the first row and the rows of each chunk of the result, from top to bottom.
        """
        steps: list[Step] = list(self.steps)  # type: ignore[arg-type]
        run = Run(self.streams, rows, quantum)
        run.height = x.shape[2]
        run.streams[0] = Rows(x.shape[2])
        run.stream(0).append(x)
        readers: dict[int, list[tuple[Step, Source]]] = {}
        for step in steps:
            run.done[step] = 0
            for source in step.sources:
                readers.setdefault(source.stream, []).append((step, source))
            for number in step.outputs:
                run.streams[number] = Rows(step.output_height(run), number in self.whole, number in self.joined)
        result, written = run.stream(self.output), 0
        while result.end < result.height:
            if not sum(_advance(step, run, readers) for step in steps):  # every one gets its turn
                raise RuntimeError("No step can advance.")
            if result.end > written:
                write(written, result.read(written, result.end))
                written = result.end
                result.drop(written)


def _advance(step: Step, run: Run, readers: dict[int, list[tuple[Step, Source]]]) -> bool:
    """Lets a step advance and drops what no step will read any more."""
    if not step.advance(run):
        return False
    for number in {source.stream for source in step.sources}:
        run.stream(number).drop(min(reader.oldest(run, source) for reader, source in readers[number]))
    return True


def _needed(steps: Sequence[Step], output: int) -> list[Step]:
    """The steps that the output depends on."""
    wanted, kept = {output}, []
    for step in reversed(steps):
        if wanted & set(step.outputs):
            wanted |= {source.stream for source in step.sources}
            kept.append(step)
    return kept[::-1]
