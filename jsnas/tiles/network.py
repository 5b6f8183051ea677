"""A network that works on tiles of an image as it would on the whole of it.

Two things in a JSNet look beyond any overlap. Channel attentions take statistics of the whole map: here they are given
from outside, and each tile tells its own share of them. ESA enlarges its pooled map by a ratio that depends on the
image's size: here a tile is told where it lies, and must begin at a multiple of 6 pixels, the step of the pooling.
What is left are convolutions, whose reach ``reach`` adds up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jsnas.attentions import ATTENTIONS, Attention, ChannelAttention, ContrastChannelAttention, EnhancedSpatialAttention
from jsnas.errors import InputError
from jsnas.fusion import CrossScaleFusion
from jsnas.genotype import Edge
from jsnas.network import JSNet, strange_blocks
from jsnas.operations import OPERATIONS
from jsnas.portable import portable

STEP = 6  # pixels: a stride of 2 times one of 3
# A row of ESA's output reads pooled rows up to 4 away, each of which sees 15 pixels; the enlarging lags by up to 12.
_ESA_REACH = 38


class TileNetwork(nn.Module):
    """The network on tiles; made by ``tile_network``.

    Attributes:
        passes: How often all tiles must go through it: one more than the statistics that depend on each other.
        statistics: Length of the vector of statistics.
    """

    def __init__(self, network: JSNet) -> None:
        super().__init__()
        _refuse_strangers(network)
        self.passes = _passes(network)
        self.model = portable(network)
        self._view = _View()
        sites = 0
        for parent in list(self.model.modules()):
            for name, child in parent.named_children():
                if isinstance(child, ChannelAttention | ContrastChannelAttention):
                    site = _Channel(child, sites, self._view)
                    sites += site.length
                    setattr(parent, name, site)
                elif isinstance(child, EnhancedSpatialAttention):
                    setattr(parent, name, _Spatial(child, self._view))
        self.statistics = sites

    def forward(self, x: Tensor, place: Tensor, size: Tensor, statistics: Tensor) -> tuple[Tensor, Tensor]:
        """Restores tiles.

        Args:
            x: B x C x h x w in [0, 255], parts of one image.
            place: B x 6, float: the image's row and column where a tile begins, both multiples of 6; first inside row
                of the tile and the one past the last; the same for columns. The insides of all tiles make the image.
            size: 2, float: height and width of the image.
            statistics: Of the whole image, as ``joined`` makes them; zeros in the first pass.

        Returns:
            B x C x sh x sw, right within the inside once the statistics are; and B x ``statistics``, what each
            inside adds to them.
        """
        view = self._view
        view.place, view.size, view.statistics, view.shares = place, size, statistics, {}
        y: Tensor = self.model(x)
        shares = [view.shares[start] for start in sorted(view.shares)]
        view.__init__()  # type: ignore[misc]  # keeps no tensors alive
        return y, torch.cat(shares, 1) if shares else place[:, :0]


class _View:
    """What the blocks of a tile network know beyond their input while it runs."""

    place: Tensor
    size: Tensor
    statistics: Tensor
    shares: dict[int, Tensor]

    def __init__(self) -> None:
        self.place = self.size = self.statistics = torch.empty(0)
        self.shares = {}


class _Channel(nn.Module):
    """``ca`` or ``cca`` with the statistics of the image: the means, and for ``cca`` the variances after them."""

    def __init__(self, attention: ChannelAttention | ContrastChannelAttention, start: int, view: _View) -> None:
        super().__init__()
        self.squeeze, self.excite = attention.squeeze, attention.excite
        self.contrast = isinstance(attention, ContrastChannelAttention)
        self.start, self.channels = start, attention.excite.out_channels
        self.length = self.channels * (2 if self.contrast else 1)
        self._view = (view,)  # in a tuple, as it is no part of the module

    def forward(self, x: Tensor) -> Tensor:
        (view,) = self._view
        rows = _inside(x.shape[2], view.place[:, 2:4])[:, None, :, None]  # B x 1 x h x 1
        columns = _inside(x.shape[3], view.place[:, 4:6])[:, None, None, :]  # B x 1 x 1 x w
        count = rows.sum((2, 3)) * columns.sum((2, 3))  # B x 1
        own = ((x * columns).sum(3, keepdim=True) * rows).sum((2, 3)) / count  # B x C
        share = [own]
        if self.contrast:
            squares = (x - own[:, :, None, None]).square()
            share.append(((squares * columns).sum(3, keepdim=True) * rows).sum((2, 3)) / count)
        view.shares[self.start] = torch.cat(share, 1)
        given = view.statistics[self.start : self.start + self.length].view(-1, self.channels)
        y = given[0].view(1, -1, 1, 1)
        if self.contrast:
            y = given[1].view(1, -1, 1, 1).clamp_min(1e-12).sqrt() + y
        return x * torch.sigmoid(self.excite(F.relu(self.squeeze(y))))


class _Spatial(Attention):
    """``esa`` with the raster of the image."""

    def __init__(self, attention: EnhancedSpatialAttention, view: _View) -> None:
        super().__init__()
        self.attention = attention
        self._view = (view,)

    def gate(self, x: Tensor) -> Tensor:
        (view,), esa = self._view, self.attention
        narrow = esa.squeeze(x)
        small = esa.convs(F.max_pool2d(esa.stride(narrow), 7, 3))
        y = _enlarged(small, 2, x.shape[2], view.place[:, 0], view.size[0])
        y = _enlarged(y, 3, x.shape[3], view.place[:, 1], view.size[1])
        return torch.sigmoid(esa.expand(y + esa.shortcut(narrow)))


def tile_network(network: JSNet) -> TileNetwork:
    """The network for tiles, with a copy of its weights.

    Args:
        network: The network; it is left as it is.

    Raises:
        InputError: If it has blocks that are not ours, whose reach is unknown.
    """
    return TileNetwork(network).eval()


def joined(shares: Tensor, pixels: Tensor, network: TileNetwork) -> Tensor:
    """The statistics of the image from those of the insides of its tiles.

    Means and variances of parts are joined by the formula of Chan, Golub and LeVeque (1979) in double precision.

    Args:
        shares: Tiles x ``statistics``.
        pixels: Number of pixels of each inside.
        network: The tile network.
    """
    weights = (pixels.double() / pixels.double().sum())[:, None]
    shares = shares.double()
    result = (shares * weights).sum(0)
    for site in network.modules():
        if isinstance(site, _Channel) and site.contrast:
            middle, stop = site.start + site.channels, site.start + site.length
            spread = (shares[:, site.start : middle] - result[site.start : middle]).square()
            result[middle:stop] = ((shares[:, middle:stop] + spread) * weights).sum(0)
    return result.float()


def reach(network: JSNet) -> int:
    """Pixels of the input beyond which nothing changes an output, statistics apart: with that overlap tiles are exact.

    Raises:
        InputError: If the network has blocks that are not ours, whose reach is unknown.
    """
    _refuse_strangers(network)
    module = _longest(network.genotype.operations, lambda name: _reach_of(OPERATIONS[name](2)))
    if not network.genotype.operations:
        module += _reach_of(next(iter(network.body)).operation_part)
    module += _longest(
        network.genotype.attentions, lambda name: _ESA_REACH if name == "esa" else _reach_of(ATTENTIONS[name](8))
    )
    kernels = network.settings.fusion_kernels or (1, 1)
    ends = 1 + sum(kernel // 2 for kernel in kernels) + len(network.upsample) // 2 + 1
    return module * network.settings.modules + ends


def _passes(network: JSNet) -> int:
    inside = _longest(network.genotype.attentions, lambda name: int(name in ("ca", "cca")))
    return inside * network.settings.modules + (0 if network.settings.fusion_kernels is None else 2) + 1


def _longest(edges: tuple[tuple[Edge, str], ...], length: Callable[[str], int]) -> int:
    """Length of the longest path through a graph of edges."""
    ends = {0: 0}
    for (i, j), name in sorted(edges):
        ends[j] = max(ends.get(j, 0), ends.get(i, 0) + length(name))
    return max(ends.values())


def _reach_of(block: Any) -> int:
    """The sum over the convolutions of a block, one after the other."""
    convolutions = [module for module in block.modules() if isinstance(module, nn.Conv2d)]
    return sum(max(k // 2 * d for k, d in zip(c.kernel_size, c.dilation, strict=True)) for c in convolutions)


def _refuse_strangers(network: JSNet) -> None:
    if strange := strange_blocks(network):
        raise InputError(
            f"The network has the block '{strange[0]}', whose reach is unknown, so it cannot go in tiles; leave --tile "
            "out and use the backend cpu or cuda."
        )
    if type(network.fusion) not in (CrossScaleFusion, nn.Identity):
        raise InputError("The network's fusion is not ours, so it cannot go in tiles.")


def _inside(side: int, bounds: Tensor) -> Tensor:
    """B x side: 1 where a row is within its tile's bounds, else 0."""
    rows = torch.arange(side, device=bounds.device, dtype=bounds.dtype)
    return ((rows >= bounds[:, :1]) & (rows < bounds[:, 1:])).to(bounds.dtype)


def _enlarged(small: Tensor, dim: int, side: int, start: Tensor, whole: Tensor) -> Tensor:
    """Enlarges rows (``dim`` 2) or columns (3) of a tile's pooled map bilinearly, as the whole image would have them.

    Torch's own bilinear enlarging knows the sizes of the tile only.
    """
    pooled = torch.floor((whole - 15) / STEP) + 1  # rows of the pooled map of the whole image
    rows = torch.arange(side, device=start.device, dtype=start.dtype) + start[:, None]
    centre = ((rows + 0.5) * (pooled / whole) - 0.5).clamp_min(0).minimum(pooled - 1) - start[:, None] / STEP
    last = small.shape[dim] - 1
    above = centre.floor().long().clamp_min(0).clamp_max(last)  # B x side
    below = (above + 1).clamp_max(last)
    shape = list(small.shape)
    shape[dim] = side

    def spread(values: Tensor) -> Tensor:
        return values[:, None, :, None] if dim == 2 else values[:, None, None, :]

    a, b = (small.gather(dim, spread(index).expand(shape)) for index in (above, below))
    return torch.lerp(a, b, spread(centre - above))
