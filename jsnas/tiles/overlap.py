"""How far tiles of an exported network must overlap: measured, since a network may look at the whole image.

Whoever restores a large image with an exported file cuts it into tiles. Channel attention takes its mean over the
tile instead of the image then, and ESA's pooled map has another raster, so no overlap need be enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from jsnas.data.images import Pixels
from jsnas.metrics import quantize

TILE = 64  # input pixels; what is kept of each tile
OVERLAPS = (16, 32, 64)


@dataclass(frozen=True)
class TileOverlap:
    """What was measured.

    Attributes:
        tile: Side in input pixels of what is kept of a tile.
        levels: Overlap in input pixels on every side to the largest difference from the whole image, in levels of 255.
        safe: The smallest overlap that differs by one level at most; ``None`` if none that was tried does.
    """

    tile: int
    levels: dict[int, int]
    safe: int | None

    def __str__(self) -> str:
        if self.safe is not None:
            return f"tiles of {self.tile} pixels need an overlap of {self.safe}"
        last = max(self.levels)
        return (
            f"no overlap up to {last} makes tiles of {self.tile} pixels safe ({self.levels[last]} levels off): the "
            "network looks at the whole image; `jsnas restore` does tiles without that error"
        )


def measure_overlap(
    network: Callable[[Tensor], Tensor], image: Pixels, scale: int, overlaps: Sequence[int] = OVERLAPS
) -> TileOverlap:
    """Restores an image whole and in tiles, one in the middle and one in a corner, and compares.

    Args:
        network: Maps 1 x C x H x W float in [0, 255] to 1 x C x sH x sW, on the CPU.
        image: uint8 H x W x C, at least three tiles high and wide.
        scale: The network's.
        overlaps: What to try, in rising order.
    """
    x = torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32))[None]
    with torch.inference_mode():
        whole = quantize(network(x).numpy()).astype(int)
        levels: dict[int, int] = {}
        for overlap in overlaps:
            differences = []
            for top, left in ((TILE, TILE), (0, 0)):
                y0, x0 = max(top - overlap, 0), max(left - overlap, 0)
                piece = x[:, :, y0 : top + TILE + overlap, x0 : left + TILE + overlap].contiguous()
                y = quantize(network(piece).numpy()).astype(int)
                y = y[:, :, scale * (top - y0) :, scale * (left - x0) :][:, :, : scale * TILE, : scale * TILE]
                expected = whole[:, :, scale * top : scale * (top + TILE), scale * left : scale * (left + TILE)]
                differences.append(int(np.abs(y - expected).max()))
            levels[overlap] = max(differences)
            if levels[overlap] <= 1:
                break
    return TileOverlap(TILE, levels, next((overlap for overlap, off in levels.items() if off <= 1), None))
