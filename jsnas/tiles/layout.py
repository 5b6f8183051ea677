"""Where the tiles of an image lie: insides side by side that make the image, and an overlap around each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jsnas.errors import InputError
from jsnas.tiles.network import STEP


@dataclass(frozen=True)
class Tiling:
    """How an image is cut.

    Attributes:
        tile: Side of the inside of a tile in input pixels, at least 6; it is rounded up to a multiple of 6.
        overlap: Input pixels around it that are computed and thrown away; rounded up to a multiple of 6.
        batch: Tiles of one shape that are computed at once.

    Raises:
        InputError: If a value is out of its range.
    """

    tile: int = 384
    overlap: int = 72
    batch: int = 1

    def __post_init__(self) -> None:
        for name, least in (("tile", STEP), ("overlap", 0), ("batch", 1)):
            if getattr(self, name) < least:
                raise InputError(f"A {name} of {getattr(self, name)} was given; give at least {least}.")


@dataclass(frozen=True)
class Span:
    """One side of a tile, in pixels of the image: what is read, and the inside of it that is kept."""

    start: int
    stop: int
    first: int
    last: int


@dataclass(frozen=True)
class Tile:
    """A tile by its rows and columns."""

    rows: Span
    columns: Span

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of what is read."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    @property
    def pixels(self) -> int:
        """Pixels of the inside."""
        return (self.rows.last - self.rows.first) * (self.columns.last - self.columns.first)


def spans(side: int, tiling: Tiling, smallest: int) -> list[Span]:
    """One side of an image, cut; the last tile takes what would be too little for one of its own.

    Args:
        side: Of the image.
        tiling: How to cut.
        smallest: Smallest side of a tile that the network takes.
    """
    tile, overlap = (-(-value // STEP) * STEP for value in (tiling.tile, tiling.overlap))
    starts = list(range(0, side, tile))
    if len(starts) > 1 and side - max(starts[-1] - overlap, 0) < smallest:
        starts.pop()
    stops = [*starts[1:], side]
    return [
        Span(max(first - overlap, 0), min(last + overlap, side), first, last)
        for first, last in zip(starts, stops, strict=True)
    ]


def tiles_of(height: int, width: int, tiling: Tiling, smallest: int) -> list[Tile]:
    """All tiles of an image, row by row."""
    columns = spans(width, tiling, smallest)
    return [Tile(row, column) for row in spans(height, tiling, smallest) for column in columns]


def batches(tiles: Sequence[Tile], size: int) -> Iterator[list[Tile]]:
    """The tiles in groups of one shape, at most ``size`` of them each."""
    by_shape: dict[tuple[int, int], list[Tile]] = {}
    for tile in tiles:
        by_shape.setdefault(tile.shape, []).append(tile)
    for alike in by_shape.values():
        for start in range(0, len(alike), size):
            yield alike[start : start + size]
