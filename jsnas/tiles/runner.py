"""Takes an image through a tile network: as many passes as the statistics need, the last of which is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from jsnas.tiles.layout import Tile, Tiling, batches, tiles_of
from jsnas.tiles.network import TileNetwork, joined

# x, place, size, statistics to the result and the shares, all on the CPU; as TileNetwork.forward.
Compute = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
Write = Callable[[int, int, npt.NDArray[np.float32]], None]  # first row and column of the result, and H x W x C


def restore_in_tiles(
    network: TileNetwork,
    compute: Compute,
    lq: npt.NDArray[Any],
    tiling: Tiling,
    smallest: int,
    write: Write,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Restores one image; besides input and result only a batch of tiles is held.

    Args:
        network: The tile network; it says how many passes there are.
        compute: It, or a form of it that computes elsewhere.
        lq: H x W x C on the 0-255 scale.
        tiling: How to cut.
        smallest: Smallest side that the network takes.
        write: Gets the inside of every restored tile.
        progress: Called with (tiles done, tiles in all) over all passes.
    """
    height, width = lq.shape[:2]
    groups = list(batches(tiles_of(height, width, tiling, smallest), tiling.batch))
    size = torch.tensor([height, width], dtype=torch.float32)
    statistics = torch.zeros(network.statistics)
    count = sum(len(group) for group in groups)
    done = 0
    for number in range(network.passes):
        last = number == network.passes - 1
        shares, pixels = [], []
        for group in groups:
            with torch.inference_mode():
                y, share = compute(_cut(lq, group), _places(group), size, statistics)
            if last:
                for tile, restored in zip(group, y, strict=True):
                    _write_inside(tile, restored, write)
            else:
                shares.append(share)
                pixels += [tile.pixels for tile in group]
            done += len(group)
            if progress is not None:
                progress(done, count * network.passes)
        if not last:
            statistics = joined(torch.cat(shares), torch.tensor(pixels), network)


def _cut(lq: npt.NDArray[Any], group: list[Tile]) -> Tensor:
    parts = [lq[t.rows.start : t.rows.stop, t.columns.start : t.columns.stop] for t in group]
    return torch.from_numpy(np.stack([part.transpose(2, 0, 1).astype(np.float32) for part in parts]))


def _places(group: list[Tile]) -> Tensor:
    rows = [
        (
            t.rows.start,
            t.columns.start,
            t.rows.first - t.rows.start,
            t.rows.last - t.rows.start,
            t.columns.first - t.columns.start,
            t.columns.last - t.columns.start,
        )
        for t in group
    ]
    return torch.tensor(rows, dtype=torch.float32)


def _write_inside(tile: Tile, restored: Tensor, write: Write) -> None:
    scale = restored.shape[1] // tile.shape[0]
    r, c = tile.rows, tile.columns
    inside = restored[:, scale * (r.first - r.start) : scale * (r.last - r.start)]
    inside = inside[:, :, scale * (c.first - c.start) : scale * (c.last - c.start)]
    write(scale * r.first, scale * c.first, inside.permute(1, 2, 0).numpy())
